"""What a step may do to its process, and what becomes of the cell and of its neighbours."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.real.plugins import add_strategy

pytestmark = pytest.mark.real

FAULTS = {
    "segfault": ("ctypes.string_at(0)", "crashed", "SIGSEGV"),
    "exit-zero": ("sys.exit(0)", "failed", "SystemExit"),
    "hard-exit": ("os._exit(0)", "crashed", "NoResult"),
    "hang": ("time.sleep(3600)", "timed-out", "Timeout"),
    "hanging-child": (
        "__import__('subprocess').Popen(['sleep', '3606']); time.sleep(3600)",
        "timed-out",
        "Timeout",
    ),
    "glutton": ("data = [b'x' * 2**26 for _ in range(2**10)]", "out-of-memory", "MemoryLimit"),
    "refused-allocation": ("bytearray(2**60)", "out-of-memory", "MemoryError"),
    "raises": ("raise KeyError('lost')", "failed", "KeyError"),
    "no-artifact": ("return Artifact('state-dict', context.folder / 'nothing')", "failed", "RuntimeError"),
}


OTHERS = ("missing-import", "well-behaved", "native")


@pytest.fixture(scope="module")
def records(
    bench: Callable[..., subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The records of a run in which most strategies, from a folder of a user's own, misbehave, by strategy."""
    plugins, out = tmp_path_factory.mktemp("plugins"), tmp_path_factory.mktemp("out")
    for name, (body, _, _) in FAULTS.items():
        add_strategy(plugins, name, body)
    add_strategy(plugins, "missing-import", "pass", imports="('antigravity_that_is_not_there',)")
    add_strategy(plugins, "well-behaved", "pass")
    selected = [f"--strategies={name}" for name in (*FAULTS, *OTHERS)]
    limits = ["--timeout-s=10", "--memory-limit-mb=2500"]
    done = bench("torch2.0", "--models=length-loop", "--plugin-folder", plugins, *selected, *limits, "--out", out)
    assert done.returncode == 1, done.stdout + done.stderr
    found = [json.loads(path.read_text(encoding="utf-8")) for path in (out / "records").glob("*.json")]
    return {record["row"]["strategy"]: record for record in found}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_becomes_its_outcome(records: dict[str, Any], name: str) -> None:
    row = records[name]["row"]
    assert (row["outcome"], row["error_type"]) == FAULTS[name][1:], row
    assert row["stage"] == "convert"
    assert row["fingerprint"]
    assert row["error"]


def test_every_cell_is_recorded_and_the_others_pass(records: dict[str, Any]) -> None:
    assert set(records) == {*FAULTS, *OTHERS}
    assert records["native"]["row"]["outcome"] == "passed"


def test_an_import_that_fails_costs_only_the_cells_that_need_it(records: dict[str, Any]) -> None:
    row = records["missing-import"]["row"]
    assert (row["outcome"], row["stage"], row["error_type"]) == ("failed", "import", "ModuleNotFoundError")


def test_a_step_and_a_strategy_of_a_users_own_run(records: dict[str, Any]) -> None:
    row = records["well-behaved"]["row"]
    assert (row["outcome"], row["stage"], row["probes_passed"]) == ("passed", "measure", row["probes_total"]), row


def test_no_process_is_left_behind(records: dict[str, Any]) -> None:
    commands = [
        path.read_bytes().replace(b"\0", b" ") for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()
    ]
    assert not [command for command in commands if command.startswith(b"sleep 3606")]
