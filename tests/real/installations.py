"""Small environments that are installed for real, out of a small cache of uv's.

The cache is the tests' own: it gets poisoned.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from harness.matrix.environment import INSTALLED, Prepared, clean_environ
from tests.real.checkouts import CHECKOUT, NAME, log_of, make_checkout, prepare

# A small package, and one with a file of more than 1 MiB.
REQUIREMENTS = ("six==1.16.0", "regex==2023.12.25")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of uv's beside the environments, so that files are linked, for all tests of this file."""
    folder = tmp_path_factory.getbasetemp() / "uv-cache"
    monkeypatch.setenv("UV_CACHE_DIR", str(folder))
    monkeypatch.delenv("UV_LINK_MODE", raising=False)
    return folder


@pytest.fixture
def root(tmp_path: Path, cache: Path) -> Path:
    """A checkout whose environment is not installed yet."""
    return make_checkout(tmp_path / "checkout", *REQUIREMENTS)


@pytest.fixture
def notes() -> list[str]:
    """What a person is told."""
    return []


@pytest.fixture
def prepared(root: Path) -> Prepared:
    """An environment that is whole."""
    made = prepare(root)
    assert isinstance(made, Prepared), made
    return made


def site_of(root: Path) -> Path:
    return next((root / ".tox" / NAME / "lib").glob("python*")) / "site-packages"


def marker_of(root: Path) -> Path:
    return root / ".tox" / NAME / INSTALLED


def prepare_again(root: Path, notes: list[str]) -> Prepared:
    made = prepare(root, notes.append)
    assert isinstance(made, Prepared), made
    return made


def assert_whole(root: Path) -> None:
    """As seen from outside: by uv, by importing, and by what is said next time."""
    python = root / ".tox" / NAME / "bin" / "python"
    code = "import six, regex, pytest, pytest_benchmark, filelock; print(six.__version__, regex.findall('a+', 'baab'))"
    done = subprocess.run([python, "-c", code], env=clean_environ(), capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("1.16.0 ['aa']\n", 0), done.stderr
    later: list[str] = []
    assert prepare_again(root, later).changes() == []
    assert later == []
    assert log_of(root).read_bytes() == b"", "tox was not needed"


def start_preparing(root: Path, **environ: str) -> subprocess.Popen[str]:
    """The preparing of the environment as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.real.checkouts", str(root)],
        cwd=CHECKOUT,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def told_by(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    output, errors = process.communicate(timeout=120)
    assert "Traceback" not in errors, errors
    return [json.loads(line) for line in output.splitlines()]


def at_work(root: Path) -> dict[int, str]:
    """Processes of tox and uv that work on the environment: those with its marker, and their command."""
    found = {}
    wanted = f"HARNESS_ATTEMPT={root / '.tox' / NAME}".encode()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
    return found


def wait_for(condition: Any, within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.002)
