"""What the real tests share: pinned environments, installed by tox as a user's are."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.matrix.combination import read
from harness.matrix.environment import Prepared, clean_environ
from harness.matrix.installing import holding, prepare_environment
from harness.matrix.locks import read_lock

ROOT = Path(__file__).resolve().parents[2]


def _untimed(arguments: tuple[str | Path, ...]) -> list[str]:
    """The arguments, with nothing timed where they do not say how often: most tests are not about timing."""
    given = [*map(str, arguments)]
    return given if any(each.startswith("--launches") for each in given) else [*given, "--launches=0"]


@functools.cache
def _installed(name: str) -> Path:
    log = ROOT / ".harness" / "logs" / f"{name}-install.log"
    lock = read_lock(ROOT, read(ROOT, name))
    with holding(ROOT, name, print):
        prepared = prepare_environment(ROOT, name, lock, log=log, note=print, busy=print)
    assert isinstance(prepared, Prepared), prepared
    return prepared.python


@pytest.fixture(scope="session")
def pinned() -> Callable[[str], Path]:
    """The interpreter of a pinned environment, installed on first use."""
    return _installed


@pytest.fixture(scope="session")
def harness() -> Callable[..., subprocess.CompletedProcess[str]]:
    """The `harness` command in the checkout, as a user calls it."""

    def call(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
        given = _untimed(arguments) if arguments[0] == "run" else [*map(str, arguments)]
        return subprocess.run(
            [sys.executable, "-m", "harness.cli", *given],
            cwd=ROOT,
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )

    return call


@pytest.fixture(scope="session")
def bench(pinned: Callable[[str], Path]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The bench alone, in a pinned environment: `bench("torch2.0", "-k", "resnet18", "--out", folder)`."""

    def call(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [str(pinned(name)), "-m", "pytest", "-c", "harness/bench/pytest.ini", "-p", "harness.bench"]
        return subprocess.run(
            [
                *command,
                "--combination",
                name,
                f"--lock=matrices/locks/{name}.txt",
                "--device=cpu",
                *_untimed(arguments),
            ],
            cwd=ROOT,
            env=clean_environ(),
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )

    return call
