"""Files that a person names: what is refused, and what stays as it was beside what is written."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness.bench.errors import DiskFullError, NotWritableError, UsageError
from harness.cli.writing import append, refuse_unwritable, write_whole


def test_a_file_is_written_whole_with_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    refuse_unwritable(path, "--to")
    assert list(tmp_path.iterdir()) == []
    for text in ("one", "two"):
        write_whole(path, text)
        assert path.read_text(encoding="utf-8") == text
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("before", ["before", None])
def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path: Path, before: str | None) -> None:
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "target", tmp_path / "link"
    if before:
        target.write_text(before, encoding="utf-8")
    link.symlink_to(target)
    refuse_unwritable(link, "--to")
    write_whole(link, "after")
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8") == "after"
    assert sorted(tmp_path.rglob("*")) == [link, target.parent, target]


def test_a_pipe_stays_a_pipe_and_has_the_text(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text(encoding="utf-8")), daemon=True)
    reader.start()
    refuse_unwritable(pipe, "--to")
    write_whole(pipe, "text")
    reader.join(60)
    assert read == ["text"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_full_device_stays_and_is_named(full_device: Path) -> None:
    refuse_unwritable(full_device, "--to")
    for write in (write_whole, append):
        with pytest.raises(DiskFullError, match="full could not be written: No space left on device"):
            write(full_device, "text")
    assert stat.S_ISCHR(full_device.stat().st_mode)
    assert list(full_device.parent.iterdir()) == [full_device]


def test_nothing_is_left_where_a_folder_came_in_between(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(NotWritableError, match="folder could not be written: Is a directory"):
        write_whole(folder, "text")
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("place", ["folder", "file/x", "file/x/y", "/proc/nope/x", "/proc/x", "loop", "a" * 300])
def test_what_cannot_be_written_is_refused_and_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("", encoding="utf-8")
    (tmp_path / "loop").symlink_to("loop")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UsageError, match=r"^--to x: .* cannot be written: .*[.] Name another file[.]$") as error:
        refuse_unwritable(tmp_path / place, "--to x")
    assert place in str(error.value)
    assert sorted(tmp_path.iterdir()) == before


def test_what_is_printed_and_what_goes_to_stdout_by_name_come_in_order(tmp_path: Path) -> None:
    source = (
        "from pathlib import Path; from harness.cli.writing import write_whole; "
        "print('first'); write_whole(Path('/dev/stdout'), 'second\\n'); print('third')"
    )
    with (tmp_path / "out").open("w") as out:
        subprocess.run([sys.executable, "-c", source], stdout=out, check=True)
    assert (tmp_path / "out").read_text(encoding="utf-8") == "first\nsecond\nthird\n"
