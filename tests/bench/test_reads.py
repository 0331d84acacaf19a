"""What a child reads is written down as it reads it: in processes of its own, since an audit hook stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.bench.places import CODE
from harness.bench.reads import MOST_FILES, TABLE_FILES, content_of, named_in, reads_in, together


def _read_by(folder: Path, body: str, **environ: str) -> set[str]:
    """The names of what a process reads that runs `body` after it has begun to watch."""
    work = folder / "work"
    work.mkdir()
    begin = f"from pathlib import Path; from harness.bench.reads import watch; watch(Path({str(work)!r}))\n"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(CODE), str(folder)]), "TMPDIR": str(work), **environ}
    subprocess.run([sys.executable, "-c", begin + body], cwd=folder, env=environ, check=True)
    return {Path(path).name for path in reads_in(work)}


@pytest.mark.parametrize(
    ("body", "read"),
    [
        ("open('data.bin', 'rb').read()", {"data.bin"}),
        ("import net", {"net.py"}),
        ("import os; os.listdir('parts')", {"parts"}),
        ("list(Path('parts').glob('*.txt'))", {"parts"}),
        ("try: open('lacking.bin')\nexcept OSError: pass", {"lacking.bin"}),
        ("open('data.bin'); import os; os._exit(3)", {"data.bin"}),
        ("open('new.txt', 'w').write('new')", set()),
        ("import sysconfig, json.tool; open('/etc/hostname').read(); import os; os.listdir('/proc')", set()),
        ("open(Path('work') / 'scratch', 'w').close(); open(Path('work') / 'scratch').read()", set()),
    ],
)
def test_files_that_are_opened_and_folders_that_are_listed(tmp_path: Path, body: str, read: set[str]) -> None:
    (tmp_path / "data.bin").write_bytes(b"data")
    (tmp_path / "net.py").write_text("", encoding="utf-8")
    (tmp_path / "parts").mkdir()
    if "os._exit" in body:
        with pytest.raises(subprocess.CalledProcessError):
            _read_by(tmp_path, body)
        assert {Path(path).name for path in reads_in(tmp_path / "work")} == read
        return
    assert _read_by(tmp_path, body) == read


MAPPED = """
import ctypes, os
from pathlib import Path
from harness.bench.reads import watch
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]

def opened(name):
    return libc.open(name, os.O_RDONLY)

opened(b"before.bin")
look = watch(Path("work"))
mapped = opened(b"weights.safetensors")
libc.mmap(None, 4, 1, 2, mapped, 0)
libc.close(mapped)
opened(b"open.bin")
libc.open(b"written.bin", os.O_RDWR)
libc.close(opened(b"closed.bin"))
look()
"""


def test_what_code_that_is_not_pythons_has_mapped_or_open(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    for name in ("before.bin", "weights.safetensors", "open.bin", "written.bin", "closed.bin"):
        (tmp_path / name).write_bytes(b"data")
    environ = {**os.environ, "PYTHONPATH": str(CODE), "TMPDIR": str(tmp_path / "work")}
    subprocess.run([sys.executable, "-c", MAPPED], cwd=tmp_path, env=environ, check=True)
    assert {Path(path).name for path in reads_in(tmp_path / "work")} == {"weights.safetensors", "open.bin"}


def test_of_a_folder_by_its_whole_path_the_files_in_it_count_unless_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretrained, huge, scratch = tmp_path / "pretrained", tmp_path / "huge", tmp_path / "scratch"
    for folder, files in ((pretrained, ["config.json", "model.safetensors", ".lock", "deep/x"]), (scratch, ["any"])):
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
    huge.mkdir()
    for number in range(MOST_FILES + 1):
        (huge / f"{number}.bin").touch()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    file = tmp_path / "models" / "net.py"
    file.parent.mkdir()
    file.write_text(f"A = {str(pretrained)!r}, {str(huge)!r}, {str(scratch)!r}, {str(tmp_path)!r}, '/usr', '/'\n")
    assert named_in([file]) == [pretrained / "config.json", pretrained / "model.safetensors"]
    (huge / "0.bin").unlink()
    assert len(named_in([file])) == 2 + MOST_FILES


def test_what_had_another_content_for_one_than_for_the_other_is_not_known() -> None:
    """A file was edited between the build and the conversion: the cell is of neither content."""
    built = {"/data": "one", "/model.py": "two"}
    assert together(built, {"/model.py": "two", "/step.json": ""}) == {**built, "/step.json": ""}
    assert together(built, {"/data": "another"}) is None


def test_a_module_that_was_compiled_before_is_its_source(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("", encoding="utf-8")
    environ = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    subprocess.run([sys.executable, "-c", "import net"], env=environ, check=True)
    assert list(tmp_path.glob("__pycache__/net.*.pyc"))
    assert _read_by(tmp_path, "import net") == {"net.py"}


@pytest.mark.parametrize(
    ("path", "counts"), [("/usr/src/app/data.bin", True), ("/usr/share/zoneinfo/UTC", False), ("/usr/lib/one", False)]
)
def test_of_the_system_only_what_is_installed_is_left_out(tmp_path: Path, path: str, counts: bool) -> None:
    found = _read_by(tmp_path, f"try: open({path!r})\nexcept OSError: pass")
    assert found == ({Path(path).name} if counts else set())


def test_a_content_is_of_bytes_of_names_or_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1")
    (tmp_path / "other").write_bytes(b"1")
    assert content_of(tmp_path / "one") == content_of(tmp_path / "other") != ""
    before = content_of(tmp_path)
    (tmp_path / "one").write_bytes(b"2")
    assert content_of(tmp_path) == before
    (tmp_path / "third").touch()
    assert content_of(tmp_path) != before
    assert content_of(tmp_path / "lacking") == ""


def test_what_a_file_names_beside_it_is_found(tmp_path: Path) -> None:
    (tmp_path / "parts" / "deep").mkdir(parents=True)
    for name in ("model.safetensors", "parts/deep/one.bin", "unnamed.bin"):
        (tmp_path / name).touch()
    file = tmp_path / "net.py"
    (tmp_path / "anything" / "of").mkdir(parents=True)
    (tmp_path / "anything" / "others").touch()
    text = f"A = 'model.safetensors'\nB = load('parts')\nC = '.', '..', 'lacking.bin', '', '{tmp_path / 'anything'}'\n"
    file.write_text(text, encoding="utf-8")
    found = [path.relative_to(tmp_path).as_posix() for path in named_in([file])]
    assert found == ["anything/others", "model.safetensors", "parts", "parts/deep/one.bin"]


def test_the_tables_in_a_folder_that_a_file_names_are_no_data_of_it(tmp_path: Path) -> None:
    """And whatever else lies there is, also beside a table, and where only one of a table's files is."""
    table = tmp_path / "results" / "small" / "cpu-quick" / "20260101T000000Z"
    data = ("results/README.md", "results/small/trained.npz", "results/other/run.json")
    for path in (*(table / name for name in (*TABLE_FILES, "launches.csv", "more/x")), *(tmp_path / n for n in data)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    file = tmp_path / "net.py"
    file.write_text("A = 'results'\n", encoding="utf-8")
    assert [path.relative_to(tmp_path).as_posix() for path in named_in([file])] == sorted(("results", *data))
