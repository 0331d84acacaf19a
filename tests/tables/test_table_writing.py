"""Writing is one step: real writers killed at any moment, full and read-only file systems, two writers of one table."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.bench.errors import DiskFullError, HarnessError, NotWritableError, UsageError
from harness.tables.assembly import merge
from harness.tables.consistency import lock_digest
from harness.tables.reading import read_table
from harness.tables.schema import Table
from harness.tables.writing import write_table
from tests.tables.samples import failed, passed, table

ROOT = Path(__file__).resolve().parents[2]
RECORDS = (passed("resnet18", "native"), failed("resnet18", "onnx-torchscript:16"))
LOCK = "torch==2.0.1 \\\n    --hash=sha256:0\n"
TOOLS = "onnx2tf==1.17.5\n"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def with_locks() -> Table:
    own = table(*RECORDS, lock_digest=lock_digest(LOCK))
    converted = passed("resnet18", "onnx2tf", extension="tools")
    made = merge([own, table(converted, extension="tools", lock_digest=lock_digest(TOOLS))])
    return replace(made, locks={"": LOCK, "tools": TOOLS})


def test_a_table_keeps_the_locks_that_it_is_of(tmp_path: Path) -> None:
    folder = write_table(tmp_path, with_locks())
    assert names(folder) == ["cells.csv", "launches.csv", "lock+tools.txt", "lock.txt", "run.json"]
    assert read_table(folder).locks == {"": LOCK, "tools": TOOLS}
    (folder / "lock.txt").write_text(LOCK.replace("\n", "\r\n"), newline="")
    assert read_table(folder).locks[""].endswith("\r\n")


def test_a_lock_that_is_not_the_runs_is_refused(tmp_path: Path) -> None:
    folder = write_table(tmp_path, with_locks())
    (folder / "lock+tools.txt").write_text("onnx2tf==1.28.8\n")
    with pytest.raises(UsageError, match=r"lock\+tools.txt has the digest \w{16}, and run.json says \w{16}"):
        read_table(folder)
    (folder / "lock+tools.txt").write_text(TOOLS)
    (folder / "lock+jax.txt").write_text("jax\n")
    with pytest.raises(UsageError, match=r"lock\+jax.txt is of an extension that run.json does not know"):
        read_table(folder)


def test_the_same_table_again_changes_nothing_and_another_is_refused_whole(tmp_path: Path) -> None:
    folder = write_table(tmp_path, with_locks())
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}
    assert write_table(tmp_path, with_locks()) == folder
    other = with_locks()
    for made in (
        Table(run=other.run, records=other.records, locks={"": LOCK}),
        Table(run=other.run, records=other.records[:1], locks=other.locks),
    ):
        with pytest.raises(UsageError, match="there is another table already"):
            write_table(tmp_path, made)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()} == before
    assert names(folder.parent) == [folder.name]


def test_an_unfinished_table_is_not_replaced(tmp_path: Path) -> None:
    """What stands in `results/` was said by someone; a reader never finds it gone, not even for a moment."""
    folder = write_table(tmp_path, table(RECORDS[0], missing=[("resnet18", "onnx-torchscript:16")], ended=None))
    with pytest.raises(UsageError, match="Move it away"):
        write_table(tmp_path, table(*RECORDS))
    assert not read_table(folder).run.complete


def test_an_empty_folder_in_its_place_gives_way(tmp_path: Path) -> None:
    (tmp_path / "torch2.0" / "cpu-quick" / "20260131T120000Z").mkdir(parents=True)
    assert read_table(write_table(tmp_path, table(*RECORDS))).run.complete


MANY = table(*(passed(f"model{each}", "native") for each in range(30)))


def many(number: int) -> Table:
    """A table of some size, of the run that started `number` seconds after midnight."""
    hours, minutes, seconds = number // 3600 % 24, number // 60 % 60, number % 60
    started = f"2026-{1 + number // 86400 // 28:02}-{1 + number // 86400 % 28:02}T{hours:02}:{minutes:02}:{seconds:02}Z"
    return replace(MANY, run=replace(MANY.run, started=started))


def writer_from(root: Path, number: int) -> int:
    """The process id of a fork that writes table after table until it is killed."""
    child = os.fork()
    if child:
        return child
    try:
        for each in itertools.count(number):
            write_table(root, many(each))
    finally:
        os._exit(1)


def _seconds_for_a_table(root: Path) -> float:
    """How long one takes to be written on this machine, as busy as it is: the median of nine."""
    spent = []
    for number in range(9):
        written, started = many(number), time.perf_counter()
        write_table(root, written)
        spent.append(time.perf_counter() - started)
    return statistics.median(spent)


def test_a_writer_that_is_killed_at_any_moment_leaves_whole_tables_alone(tmp_path: Path) -> None:
    """Sixty writers or more, each killed at some moment; whoever reads, then or later, finds tables whole."""
    chance = random.Random(7)
    series = tmp_path / "torch2.0" / "cpu-quick"
    left = read = 0
    longest_s = max(0.02, 4 * _seconds_for_a_table(tmp_path / "before"))
    for turn in itertools.count():
        # How many are killed in the midst of a table is a matter of the machine, and enough of them must be.
        if turn >= 60 and min(left, read) > 20:
            break
        assert turn < 3000, f"{left} writers were killed in the midst of a table and {read} tables read: too few"
        child = writer_from(tmp_path, turn * 1000)
        time.sleep(chance.uniform(0.0, longest_s))
        for folder in sorted(series.glob("[!.]*"))[-2:]:
            assert len(read_table(folder).records) == 30
            read += 1
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL
        left += len(list(series.glob(".*")))
    tables = sorted(series.glob("[!.]*"))
    assert len(tables) > 30
    for folder in tables:
        assert len(read_table(folder).records) == 30
    write_table(tmp_path, many(900_000))
    assert not list(series.glob(".*"))


def test_two_writers_at_once_come_to_one_table_each(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from harness.tables.writing import write_table
from tests.tables.test_table_writing import many
for number in range(40):
    write_table(Path(sys.argv[1]), many(number))
"""
    writers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    series = tmp_path / "torch2.0" / "cpu-quick"
    assert len(names(series)) == 40
    assert not [name for name in names(series) if name.startswith(".")]


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("no right to mount a small file system here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_told_and_nothing_is_left(mounted: Path) -> None:
    kept = write_table(mounted, table(*RECORDS))
    with contextlib.suppress(OSError), (mounted / "ballast").open("wb", buffering=0) as ballast:
        while ballast.write(b"x" * 4096):
            pass
    before = everything(mounted)
    for made in (many(0), table(*(passed(f"m{n}", "native") for n in range(200)), combination="torch2.1")):
        with pytest.raises(DiskFullError, match=r"the table cannot be written \(No space left") as caught:
            write_table(mounted, made)
        assert "Make room" in str(caught.value)
        assert everything(mounted) == before
    assert read_table(kept).run.complete


def test_a_read_only_disk_is_told(mounted: Path) -> None:
    kept = write_table(mounted, table(*RECORDS))
    before = everything(mounted)
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
    for made in (many(0), table(*RECORDS, combination="torch2.1")):
        with pytest.raises(NotWritableError, match="Read-only file system"):
            write_table(mounted, made)
    assert everything(mounted) == before
    assert write_table(mounted, table(*RECORDS)) == kept


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to become somebody else")
def test_a_folder_that_one_may_not_write_to_is_told(tmp_path: Path) -> None:
    kept = write_table(tmp_path / "results", table(*RECORDS))
    code = (
        "import os, sys; from pathlib import Path\n"
        "from harness.tables.writing import write_table\n"
        "from harness.bench.errors import NotWritableError\n"
        "from tests.tables.test_table_writing import many\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try:\n    write_table(Path(sys.argv[1]), many(0))\n"
        "except NotWritableError as error:\n    sys.exit(42 if 'Permission denied' in str(error) else 1)\n"
    )
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_mode & 0o005 != 0o005 and path != Path("/"):
            path.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "results")], cwd=ROOT, check=False)
    assert done.returncode == 42
    assert names(kept.parent) == [kept.name]


@pytest.mark.parametrize("error", [DiskFullError, NotWritableError])
def test_what_the_file_system_refuses_is_no_verdict(error: type[HarnessError]) -> None:
    assert error.exit_code == 3
    assert error.remedy
