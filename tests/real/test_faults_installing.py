"""What may happen to an environment behind the lock, once it is installed, each brought about for real."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.bench.errors import (
    IndexUnreachableError,
    InterpreterGoneError,
)
from harness.matrix.environment import Prepared, clean_environ
from harness.matrix.tooling import uv
from tests.real.checkouts import NAME, make_checkout, prepare, relock
from tests.real.installations import (
    REQUIREMENTS,
    assert_whole,
    cache,
    marker_of,
    notes,
    prepare_again,
    prepared,
    root,
    site_of,
)

__all__ = ["cache", "notes", "prepared", "root"]
pytestmark = pytest.mark.real


def test_an_environment_is_installed_once_and_its_small_files_are_its_own(root: Path, notes: list[str]) -> None:
    prepared = prepare_again(root, notes)
    assert notes == []
    assert prepared.packages["six"] == "1.16.0"
    assert prepared.python_version.startswith("3.11.")
    assert (site_of(root) / "six.py").stat().st_nlink == 1
    (large,) = (site_of(root) / "regex").glob("_regex.*.so")
    assert large.stat().st_size > 2**20
    assert large.stat().st_nlink > 1, "it is shared with uv's cache"
    assert json.loads(marker_of(root).read_text(encoding="utf-8"))["lock"]
    assert_whole(root)


def test_what_plain_tox_installed_is_checked_and_taken(root: Path, notes: list[str]) -> None:
    command = [sys.executable, "-m", "tox", "run", "--notest", "-e", NAME, f"--workdir={root / '.tox'}"]
    subprocess.run(command, cwd=root, env=clean_environ(), capture_output=True, check=True)
    assert not marker_of(root).exists()
    prepare_again(root, notes)
    assert notes == []
    assert_whole(root)


def test_another_lock_is_installed(root: Path, prepared: Prepared, notes: list[str]) -> None:
    relock(root, *REQUIREMENTS, "iniconfig", "toolz==0.12.0")
    again = prepare_again(root, notes)
    assert "toolz" in again.packages
    assert_whole(root)
    relock(root, *REQUIREMENTS)
    assert "toolz" not in prepare_again(root, notes).packages
    assert_whole(root)


def test_bytecode_is_no_change(root: Path, prepared: Prepared) -> None:
    subprocess.run([prepared.python, "-m", "compileall", "-q", site_of(root)], check=True)
    assert (site_of(root) / "__pycache__").exists()
    assert prepared.changes() == []


def test_an_edited_file_is_noticed_and_mended_and_never_reaches_the_cache(
    root: Path, prepared: Prepared, notes: list[str], tmp_path: Path
) -> None:
    path = site_of(root) / "six.py"
    original = path.read_bytes()
    started = time.time()
    path.write_bytes(original.replace(b"1.16.0", b"6.66.6"))  # of equal length, in place
    (change,) = prepared.changes()
    assert (change.what, change.package) == ("edited", "six")
    assert change.path.endswith("site-packages/six.py")
    assert started - 1 <= change.changed <= time.time()

    mended = prepared.mended([change], note=notes.append)
    assert path.read_bytes() == original
    assert mended.changes() == []
    assert len(notes) == 1
    assert notes[0].startswith(f"{NAME}: reinstalling six, changed since it was installed: edited ")
    assert_whole(root)

    other = make_checkout(tmp_path / "other", *REQUIREMENTS)
    prepare(other)
    assert (site_of(other) / "six.py").read_bytes() == original


def test_it_is_noticed_before_a_run_too(root: Path, prepared: Prepared, notes: list[str]) -> None:
    (site_of(root) / "pytest" / "__init__.py").write_text("raise RuntimeError\n", encoding="utf-8")
    prepare_again(root, notes)
    assert len(notes) == 1
    assert "reinstalling pytest, changed since it was installed" in notes[0]
    assert_whole(root)


def test_a_large_file_that_was_edited_through_its_link_is_mended_in_the_cache_too(
    root: Path, prepared: Prepared, notes: list[str], tmp_path: Path
) -> None:
    (large,) = (site_of(root) / "regex").glob("_regex.*.so")
    original = large.read_bytes()
    with large.open("r+b") as file:
        file.seek(2**19)
        file.write(bytes(byte ^ 255 for byte in original[2**19 : 2**19 + 64]))
    changes = prepared.changes()
    assert [change.package for change in changes] == ["regex"]
    prepared.mended(changes, note=notes.append)
    assert large.read_bytes() == original
    assert_whole(root)
    other = make_checkout(tmp_path / "other", *REQUIREMENTS)
    prepare(other)
    (elsewhere,) = (site_of(other) / "regex").glob("_regex.*.so")
    assert elsewhere.read_bytes() == original


def test_a_cut_file_that_came_from_a_poisoned_cache_is_mended(root: Path, notes: list[str], tmp_path: Path) -> None:
    other = make_checkout(tmp_path / "other", *REQUIREMENTS)
    prepare(other)
    (shared,) = (site_of(other) / "regex").glob("_regex.*.so")
    with shared.open("r+b") as file:
        file.truncate(1000)
    prepare_again(root, notes)
    assert len(notes) == 1
    assert f"{NAME}: not whole, reinstalling regex (1 files of regex missing or cut)" in notes[0]
    (mended,) = (site_of(root) / "regex").glob("_regex.*.so")
    assert mended.stat().st_size > 2**20
    assert_whole(root)


def test_what_was_removed_and_added_is_undone(root: Path, prepared: Prepared, notes: list[str]) -> None:
    (site_of(root) / "regex" / "__init__.py").unlink()
    (site_of(root) / "evil.pth").write_text("import os\n", encoding="utf-8")
    (site_of(root) / "stray" / "deep").mkdir(parents=True)
    (site_of(root) / "stray" / "deep" / "module.py").touch()
    changes = prepared.changes()
    assert sorted((change.what, change.package) for change in changes) == [
        ("added", ""),
        ("added", ""),
        ("removed", "regex"),
    ]
    assert prepared.mended(changes, note=notes.append).changes() == []
    assert not (site_of(root) / "evil.pth").exists()
    assert not (site_of(root) / "stray").exists()
    assert [note.split(":")[1].split()[0] for note in notes] == ["removing", "reinstalling"]
    assert_whole(root)


def test_a_file_that_was_only_touched_has_not_changed(root: Path, prepared: Prepared, notes: list[str]) -> None:
    path = site_of(root) / "six.py"
    path.touch()
    beside = path.with_name("six.copy")
    beside.write_bytes(path.read_bytes())
    beside.replace(path)
    assert prepared.changes() == []
    assert_whole(root)


@pytest.mark.parametrize("version", ["1.15.0", "1.17.0"])
def test_a_package_that_was_exchanged_is_put_back(
    root: Path, prepared: Prepared, notes: list[str], version: str
) -> None:
    command = [uv(), "pip", "install", "--quiet", "--python", str(prepared.python), f"six=={version}", "toolz==0.12.0"]
    subprocess.run(command, check=True)
    changes = prepared.changes()
    assert {"added", "edited", "removed"} == {change.what for change in changes}
    mended = prepared.mended(changes, note=notes.append)
    assert mended.packages == prepared.packages
    assert_whole(root)


def test_metadata_that_was_removed_is_put_back(root: Path, prepared: Prepared, notes: list[str]) -> None:
    (site_of(root) / "six-1.16.0.dist-info" / "RECORD").unlink()
    (site_of(root) / "regex-2023.12.25.dist-info" / "METADATA").write_text("rubbish", encoding="utf-8")
    prepare_again(root, notes)
    assert_whole(root)


def test_a_package_that_the_lock_does_not_have_is_removed(root: Path, prepared: Prepared, notes: list[str]) -> None:
    command = [uv(), "pip", "install", "--quiet", "--python", str(prepared.python), "toolz==0.12.0"]
    subprocess.run(command, check=True)
    marker_of(root).unlink()
    assert "toolz" not in prepare_again(root, notes).packages
    assert "toolz: not locked, 0.12.0 installed" in notes[0]
    assert_whole(root)


def test_what_no_package_has_is_installed_anew(root: Path, prepared: Prepared, notes: list[str]) -> None:
    (root / ".tox" / NAME / "pyvenv.cfg").write_text("include-system-site-packages = true\n", encoding="utf-8")
    prepare_again(root, notes)
    assert "installing anew" in notes[0]
    assert_whole(root)


def test_a_deleted_environment_is_told_and_installed_again(root: Path, prepared: Prepared, notes: list[str]) -> None:
    subprocess.run(["rm", "-rf", root / ".tox" / NAME], check=True)
    with pytest.raises(InterpreterGoneError, match="Somebody deleted the environment"):
        prepared.changes()
    prepare_again(root, notes)
    assert_whole(root)


def test_what_reinstalling_does_not_mend_is_told(
    root: Path, prepared: Prepared, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (site_of(root) / "six.py").write_text("", encoding="utf-8")
    changes = prepared.changes()
    with monkeypatch.context() as patched:
        patched.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:1/simple")
        patched.setenv("UV_HTTP_RETRIES", "0")
        with pytest.raises(IndexUnreachableError):
            prepared.mended(changes, note=notes.append)
    assert not marker_of(root).exists(), "half a mending is no whole environment"
    prepare_again(root, notes)
    assert "1 files of six missing or cut" in notes[-1]
    assert_whole(root)
