"""What every command that reads prints of the committed tables, as wide as it is to be."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import shlex
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.cells import cell_len

from harness.cli import cli
from tests.documents import committed_results

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = (
    "show torch2.0",
    "show torch2.1 --tier core",
    "show torch2.9 --extensions",
    "compare torch2.0 torch2.1 --tier core",
    "gate torch2.0 torch2.1",
    "gate torch2.0 torch2.9 --extensions",
    "history torch2.0/resnet18/native torch2.1/embedding-new-zeros/onnx-torchscript",
    "history */*",
    "explain torch2.1/embedding-new-zeros/onnx-torchscript",
    "explain torch2.0/resnet18/litert --extensions",
    "expect torch2.1 --check",
)
ELSEWHERE = (
    "plan torch2.0 --tier core",
    "bump --help",
    "run --help",
    "--help",
    "show --nowhere",
    "plan torch2.0 --models nothing-is-called-like-this --strategies neither-is-anything-called-like-that",
)
"""These take no folder of results."""


def printed(command: str, *, columns: str | None) -> list[str]:
    """The lines of both streams, as a file has them."""
    arguments = ["--root", str(ROOT), *shlex.split(command)]
    if command in COMMANDS:
        arguments += ["--results", str(committed_results())]
    done = CliRunner(env={"COLUMNS": columns, "NO_COLOR": "1", "FORCE_COLOR": None}).invoke(cli, arguments)
    lines = [*done.stdout.splitlines(), *done.stderr.splitlines()]
    assert lines
    assert "bug in the harness" not in done.stderr
    return lines


@pytest.mark.parametrize("command", [*COMMANDS, *ELSEWHERE])
def test_no_line_is_wider_and_nothing_of_it_is_lost(command: str) -> None:
    whole = "".join("".join(printed(command, columns="2000")).split())
    for width in (80, 200):
        lines = printed(command, columns=str(width))
        assert [line for line in lines if cell_len(line) > width] == []
        if command.startswith(("explain", "plan", "expect")):  # what is no table is folded, and no more
            assert "".join("".join(lines).split()) == whole


def test_a_terminal_is_asked_how_wide_it_is() -> None:
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    command = [sys.executable, "-m", "harness.cli", "--root", str(ROOT), "plan", "nowhere-is-a-combination-" + "x" * 60]
    environ = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")} | {
        "TERM": "xterm",
        "NO_COLOR": "1",
    }
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environ) as process:
        os.close(its)
        shown = bytearray()
        with contextlib.suppress(OSError):  # EIO says that nobody has it open any more
            while part := os.read(ours, 4096):
                shown += part
        os.close(ours)
    assert process.returncode == 2
    lines = shown.decode().splitlines()
    assert len(lines) > 2
    assert max(map(len, lines)) <= 60


def test_in_a_file_what_cannot_be_folded_stays_whole() -> None:
    assert max(map(len, printed("explain torch2.0/resnet18/litert --extensions", columns=None))) > 200
    assert printed("gate torch2.0 torch2.1", columns=None) == printed("gate torch2.0 torch2.1", columns="nothing")
