"""What cannot be installed: facts of the pins, wrong input, and what is no result, each brought about for real."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path

import pytest

from harness.bench.errors import (
    DiskFullError,
    EnvironmentChangedError,
    IndexUnreachableError,
    NotWritableError,
    UsageError,
)
from harness.bench.stages import Outcome, Stage
from harness.matrix.environment import FactOfPins, Prepared
from tests.real.checkouts import NAME, prepare, relock
from tests.real.installations import (
    assert_whole,
    cache,
    marker_of,
    notes,
    prepare_again,
    prepared,
    root,
    site_of,
    start_preparing,
    told_by,
)

__all__ = ["cache", "notes", "prepared", "root"]
pytestmark = pytest.mark.real


def _rewrite_lock(root: Path, pin: str) -> None:
    """A lock with one pin more, as somebody with another machine made it."""
    (root / "matrices" / f"{NAME}.in").write_text(f"# python: 3.11\nfilelock\n{pin}\n", encoding="utf-8")
    path = root / "matrices" / "locks" / f"{NAME}.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines, pin, ""]), encoding="utf-8")


@pytest.mark.parametrize(
    ("pin", "kind"),
    [
        ("pywin32==306", "NoWheel"),
        ("tensorflow==2.3.0", "NoWheel"),
        ("sklearn==0.0.post12", "BuildFailed"),
        ("six==1.15.0", "NoSolution"),
    ],
)
def test_what_cannot_be_installed_is_a_fact_of_the_pins(root: Path, pin: str, kind: str) -> None:
    _rewrite_lock(root, pin)
    fact = prepare(root)
    assert isinstance(fact, FactOfPins)
    assert (fact.outcome, fact.stage, fact.error_type) == (Outcome.FAILED, Stage.INSTALL, kind)
    assert "://" not in fact.reason
    assert not marker_of(root).exists()


def test_what_has_no_solution_is_a_fact_of_the_pins(root: Path) -> None:
    relock(root, "six==1.16.0", "six==1.15.0")
    fact = prepare(root)
    assert isinstance(fact, FactOfPins)
    assert (fact.outcome, fact.stage, fact.error_type) == (Outcome.UNRESOLVABLE, Stage.RESOLVE, "NoSolution")
    assert not (root / ".tox").exists()


def test_a_version_that_is_not_to_be_had_is_wrong_input(root: Path) -> None:
    _rewrite_lock(root, "toolz==99.9")
    with pytest.raises(UsageError, match=r"installing small: toolz==99\.9 is asked for, and the package index"):
        prepare(root)


def test_a_hash_that_differs_is_refused(root: Path) -> None:
    path = root / "matrices" / "locks" / f"{NAME}.txt"
    head, name, rest = path.read_text(encoding="utf-8").partition("six==1.16.0")
    wrong = " \\\n    --hash=sha256:" + "0" * 64 + "\n"
    path.write_text(head + name + wrong, encoding="utf-8")
    with pytest.raises(UsageError, match=r"another six==1\.16\.0 than the lock: their hashes differ"):
        prepare(root)
    assert rest
    assert not marker_of(root).exists()


@pytest.mark.parametrize("environ", [{"UV_DEFAULT_INDEX": "http://127.0.0.1:1/simple"}, {"UV_OFFLINE": "1"}])
def test_a_package_index_that_is_not_reached_is_no_result(root: Path, environ: dict[str, str]) -> None:
    harness = start_preparing(root, UV_HTTP_RETRIES="0", UV_NO_CACHE="1", **environ)
    (told,) = told_by(harness)
    assert harness.returncode == 3
    assert told["error"] == IndexUnreachableError.__name__
    assert "127.0.0.1" not in told["told"]
    prepare_again(root, [])
    assert_whole(root)


def test_a_disk_that_is_full_is_no_result(root: Path, notes: list[str]) -> None:
    for size_kb in (64, 400, 1500):
        with _Mounted(root / ".tox", f"size={size_kb}k"), pytest.raises(DiskFullError, match="Make room"):
            prepare(root)
    prepare_again(root, notes)
    assert_whole(root)


def test_a_folder_that_may_not_be_written_to_is_told(root: Path) -> None:
    for folder in (".tox", ".harness"):
        with _Mounted(root / folder, "ro"), pytest.raises(NotWritableError, match="Read-only file system"):
            prepare(root)


class _Mounted:
    """A file system of the test's own at a folder; skipped where this user may not mount one."""

    def __init__(self, folder: Path, options: str) -> None:
        self.folder, self.options = folder, options

    def __enter__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", self.options, "tmpfs", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"this user may not mount a file system: {done.stderr.strip()}")

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], check=True)


def test_a_lock_without_what_the_bench_needs_is_told(root: Path) -> None:
    (root / "harness" / "bench" / "requirements.in").write_text("", encoding="utf-8")
    path = root / "matrices" / "locks" / f"{NAME}.txt"
    path.unlink()
    relock(root, "six==1.16.0")
    with pytest.raises(UsageError, match=r"lacks what the bench needs: .*'pytest'.*Run `harness lock small`"):
        prepare(root)


def test_what_cannot_be_mended_twice_is_told(
    root: Path, prepared: Prepared, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody goes on editing while it is mended."""
    path = site_of(root) / "six.py"
    stop = threading.Event()

    def edit() -> None:
        while not stop.is_set():
            path.write_text("", encoding="utf-8")
            time.sleep(0.001)

    path.write_text("", encoding="utf-8")
    changes = prepared.changes()
    editing = threading.Thread(target=edit)
    editing.start()
    try:
        with pytest.raises(EnvironmentChangedError):
            prepared.mended(changes, note=notes.append)
    finally:
        stop.set()
        editing.join()
    prepare_again(root, notes)
    assert_whole(root)
