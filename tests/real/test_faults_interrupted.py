"""Installations that are interrupted, or under way twice, for real."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness.bench.errors import (
    ToolBrokenError,
)
from harness.matrix.environment import Prepared
from harness.matrix.tooling import uv
from harness.matrix.wholeness import broken, claims, sites
from tests.real.checkouts import NAME, prepare, relock
from tests.real.installations import (
    REQUIREMENTS,
    assert_whole,
    at_work,
    cache,
    marker_of,
    notes,
    prepare_again,
    prepared,
    root,
    site_of,
    start_preparing,
    told_by,
    wait_for,
)

__all__ = ["cache", "notes", "prepared", "root"]
pytestmark = pytest.mark.real
SLOW = {"UV_LINK_MODE": "copy", "UV_CONCURRENT_INSTALLS": "1"}
MANY_FILES = ("sympy==1.12", "babel==2.14.0", "pytz==2023.3", "networkx==3.2")


@pytest.fixture
def wide(root: Path) -> Path:
    """A checkout with enough files that their installation can be interrupted; they are in the cache already."""
    relock(root, *REQUIREMENTS, *MANY_FILES)
    prepare(root)
    subprocess.run(["rm", "-rf", root / ".tox" / NAME], check=True)
    return root


def _is_linking(root: Path) -> bool:
    return any(root.glob(f".tox/{NAME}/lib/python*/site-packages/sympy/*/*.py"))


def _half_installed(root: Path) -> dict[str, list[str]]:
    """Packages whose metadata is there and whose files are not."""
    folder = root / ".tox" / NAME
    return broken(folder, claims(folder, sites(folder)))


def _uv_at_work(root: Path) -> int | None:
    """The process of uv that installs, if it is under way."""
    found = [pid for pid, command in at_work(root).items() if command.startswith(f"{uv()} pip install")]
    return found[0] if found else None


def _stopped_half_way(root: Path) -> subprocess.Popen[str]:
    """A harness whose uv stands still where a package's metadata is there and its files are not.

    It is let go on for a moment at a time until then; how it orders files is its own business, so it may take another
    installation.
    """
    for _ in range(10):
        harness = start_preparing(root, **SLOW)
        while harness.poll() is None:
            tool = _uv_at_work(root)
            with contextlib.suppress(ProcessLookupError):  # it came to its end
                while tool is not None:
                    os.kill(tool, signal.SIGSTOP)
                    time.sleep(0.002)
                    if _half_installed(root):
                        return harness
                    os.kill(tool, signal.SIGCONT)
                    time.sleep(0.002)
        harness.communicate()
        subprocess.run(["rm", "-rf", root / ".tox" / NAME], check=True)
    pytest.fail("no installation could be stopped half way")


def test_killed_with_tox_and_uv_while_installing(wide: Path, notes: list[str]) -> None:
    harness = _stopped_half_way(wide)
    working = at_work(wide)
    for pid in [harness.pid, *working]:
        os.kill(pid, signal.SIGKILL)
    harness.communicate()
    assert any(" pip install " in command for command in working.values()), working
    assert any(" -m tox run " in command for command in working.values()), working
    assert not marker_of(wide).exists()
    half = _half_installed(wide)
    assert half, "nothing was cut"

    prepare_again(wide, notes)
    # Where uv stumbles over what is there, all is installed anew; else what is not whole is.
    assert any("not whole, reinstalling" in note or "installing anew" in note for note in notes), (notes, list(half))
    assert _half_installed(wide) == {}
    assert_whole(wide)


def test_whole_metadata_of_cut_packages_deceives_nobody(root: Path, prepared: Prepared, notes: list[str]) -> None:
    """What tox and a look at versions take for installed."""
    marker_of(root).unlink()
    for path in sorted((site_of(root) / "_pytest").glob("*.py"))[14:]:
        path.unlink()
    (site_of(root) / "six.py").write_bytes(b"")
    prepare_again(root, notes)
    assert len(notes) == 1
    assert "not whole, reinstalling pytest, six (" in notes[0]
    assert_whole(root)


_BY_HAND = pytest.mark.long


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, marks=_BY_HAND),
        signal.SIGTERM,
        pytest.param(signal.SIGHUP, marks=_BY_HAND),
        signal.SIGKILL,
    ],
)
def test_the_harness_is_ended_while_it_installs(wide: Path, notes: list[str], number: int) -> None:
    harness = start_preparing(wide, **SLOW)
    wait_for(lambda: _is_linking(wide))
    harness.send_signal(number)
    harness.communicate(timeout=30)
    assert harness.returncode == (-number if number == signal.SIGKILL else 3)
    wait_for(lambda: not at_work(wide), within_s=2)
    assert not marker_of(wide).exists()
    prepare_again(wide, notes)
    assert_whole(wide)


@_BY_HAND
def test_uv_is_killed_while_it_installs(wide: Path, notes: list[str]) -> None:
    harness = start_preparing(wide, **SLOW)
    wait_for(lambda: _is_linking(wide))
    tool = _uv_at_work(wide)
    assert tool is not None
    os.kill(tool, signal.SIGKILL)
    told = told_by(harness)
    assert harness.returncode == 3
    assert told[-1]["error"] == ToolBrokenError.__name__
    assert "tox or uv was killed" in told[-1]["told"]
    prepare_again(wide, notes)
    assert_whole(wide)


def test_two_never_install_into_one_environment_at_once(wide: Path) -> None:
    first = start_preparing(wide, **SLOW)
    wait_for(lambda: _is_linking(wide))
    second = start_preparing(wide)
    told = [told_by(first), told_by(second)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert [note for note in told[0] if "note" in note] == []
    (waiting,) = [note["note"] for note in told[1] if "note" in note]
    assert f"the environment {NAME} is held by process {first.pid} since " in waiting
    assert_whole(wide)
