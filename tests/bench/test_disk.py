"""What a child wrote is removed, whatever rights it took away, and nothing else is touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.bench.disk import remove_tree, space_at
from harness.matrix.evicting import free_at


def test_a_folder_without_rights_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "file").touch()
    (folder / "inner").chmod(0o000)
    folder.chmod(0o500)
    before = tmp_path.stat().st_mode
    remove_tree(folder)
    assert not folder.exists()
    assert tmp_path.stat().st_mode == before


def test_what_is_not_there_changes_nothing_around_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    remove_tree(tmp_path / "nothing")
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_space_is_told_of_the_nearest_folder_that_is_there(tmp_path: Path) -> None:
    assert space_at(tmp_path / "gone" / "further").free > 0


def test_what_is_reserved_for_root_is_planned_with_by_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = os.statvfs(tmp_path)
    given = list(found)
    given[2:5] = [1000, 600, 100]  # blocks, those that are free, and those that are free to everybody
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(given))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert space_at(tmp_path).free == 600 * found.f_frsize
    assert space_at(tmp_path, reserved=False).free == 100 * found.f_frsize == free_at(tmp_path)
