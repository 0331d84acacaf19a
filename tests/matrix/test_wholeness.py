"""What RECORDs and snapshots tell of an environment's files."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import shutil
import time
from pathlib import Path

import pytest

from harness.matrix.private import LARGEST, make_private
from harness.matrix.wholeness import (
    Change,
    broken,
    claims,
    compare,
    is_as_claimed,
    listed,
    owners,
    package_of_info,
    package_of_record,
    sites,
    take,
)

SITE = "lib/python3.11/site-packages"


def _digest(content: bytes) -> str:
    return f"sha256={base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip('=')}"


def _install(folder: Path, info: str, files: dict[str, bytes]) -> None:
    """Put a package there as an installer does, with a RECORD."""
    site = folder / SITE
    files = {**files, f"{info}.dist-info/METADATA": b"Name: x\n"}
    lines = []
    for name, content in files.items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        lines.append(f"{name},{_digest(content)},{len(content)}")
    lines += [f"{info}.dist-info/RECORD,,", f"{info}/__pycache__/x.cpython-311.pyc,,"]
    (site / f"{info}.dist-info" / "RECORD").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """Two packages, one of which has a script."""
    folder = tmp_path / "env"
    _install(folder, "one-1.0", {"one/__init__.py": b"", "one/a.py": b"a = 1\n", "../../../bin/one": b"#!x\n"})
    _install(folder, "Two.Words-2.0", {"two/b.py": b"b = 2\n", '"two/odd, name.txt"': b"x"})
    (folder / SITE / "two" / "odd, name.txt").write_bytes(b"x")
    (folder / SITE / '"two' / 'odd, name.txt"').unlink()
    (folder / SITE / '"two').rmdir()
    (folder / "pyvenv.cfg").write_text("home = /\n", encoding="utf-8")
    return folder


def _broken(folder: Path) -> dict[str, list[str]]:
    return broken(folder, claims(folder, sites(folder)))


def _changes(folder: Path, before: dict[str, object]) -> list[Change]:
    return compare(folder, before, take(folder), owners(claims(folder, sites(folder))))  # type: ignore[arg-type]


def test_a_whole_environment(environment: Path) -> None:
    assert _broken(environment) == {}
    owned = owners(claims(environment, sites(environment)))
    assert owned["bin/one"] == "one"
    assert owned[f"{SITE}/two/odd, name.txt"] == "two-words"
    assert set(take(environment)) - set(owned) == {"pyvenv.cfg"}


def test_what_is_missing_or_cut_is_told_by_package(environment: Path) -> None:
    (environment / SITE / "one" / "a.py").unlink()
    (environment / "bin" / "one").write_bytes(b"#")
    (environment / SITE / "two" / "b.py").unlink()
    (environment / SITE / "two" / "b.py").mkdir()
    assert _broken(environment) == {
        "one": [f"{SITE}/one/a.py", "bin/one"],
        "two-words": [f"{SITE}/two/b.py"],
    }


def test_an_edit_of_equal_length_is_not_seen_by_size_and_is_by_content(environment: Path) -> None:
    path = environment / SITE / "one" / "a.py"
    claimed = claims(environment, sites(environment))[f"{SITE}/one/a.py"]
    assert is_as_claimed(path, claimed)
    path.write_bytes(b"a = 7\n")
    assert _broken(environment) == {}
    assert not is_as_claimed(path, claimed)
    assert not is_as_claimed(environment / "nothing", claimed)
    assert not is_as_claimed(path, ())


def test_of_two_claimants_any_that_fits_will_do(environment: Path) -> None:
    _install(environment, "three-1.0", {"one/a.py": b"longer than one's\n"})
    assert _broken(environment) == {}
    (environment / SITE / "one" / "a.py").write_bytes(b"a = 1\n")
    assert _broken(environment) == {}
    (environment / SITE / "one" / "a.py").write_bytes(b"neither")
    assert _broken(environment) == {"one": [f"{SITE}/one/a.py"], "three": [f"{SITE}/one/a.py"]}


@pytest.mark.parametrize("damage", ["missing", "binary", "empty-folder"])
def test_a_package_without_a_record_that_can_be_read_is_broken(environment: Path, damage: str) -> None:
    record = environment / SITE / "one-1.0.dist-info" / "RECORD"
    record.unlink()
    if damage == "binary":
        record.write_bytes(b"\xff\xfe\0")
    if damage == "empty-folder":
        (record.parent / "METADATA").unlink()
    assert _broken(environment) == {"one": [f"{SITE}/one-1.0.dist-info/RECORD"]}


def test_every_kind_of_change_is_seen(environment: Path) -> None:
    before = take(environment)
    status = (environment / SITE / "two" / "b.py").stat()
    started = time.time()
    (environment / SITE / "one" / "a.py").write_bytes(b"a = 7\n")  # of equal length
    (environment / SITE / "later.pth").write_text("import x\n", encoding="utf-8")
    (environment / "bin" / "one").unlink()
    swapped = environment / SITE / "two" / "swapped"
    swapped.write_bytes(b"b = 7\n")
    os.utime(swapped, ns=(status.st_atime_ns, status.st_mtime_ns))
    swapped.replace(environment / SITE / "two" / "b.py")  # of equal length and time
    changes = _changes(environment, dict(before))
    assert [(change.what, change.path, change.package) for change in changes] == [
        ("removed", "bin/one", "one"),
        ("added", f"{SITE}/later.pth", ""),
        ("edited", f"{SITE}/one/a.py", "one"),
        ("edited", f"{SITE}/two/b.py", "two-words"),
    ]
    assert all(started - 1 <= change.changed <= time.time() for change in changes)
    assert str(changes[2]) == f"edited {SITE}/one/a.py (one)"
    assert str(changes[1]) == f"added {SITE}/later.pth"


def test_the_time_of_a_change_cannot_be_set_back(environment: Path) -> None:
    before = take(environment)
    path = environment / SITE / "one" / "a.py"
    path.write_bytes(b"a = 7\n")
    os.utime(path, (1, 1))
    (change,) = _changes(environment, dict(before))
    assert change.changed > time.time() - 60


def test_bytecode_and_what_the_harness_and_tox_write_are_no_change(environment: Path) -> None:
    before = take(environment)
    (environment / SITE / "one" / "__pycache__").mkdir()
    (environment / SITE / "one" / "__pycache__" / "a.cpython-311.pyc").touch()
    for name in ("harness-installed.json", ".tox-info.json", ".lock", "log", "tmp"):
        (environment / name).touch()
    assert take(environment) == before
    (environment / SITE / "harness-made.py").touch()
    assert set(take(environment)) - set(before) == {f"{SITE}/harness-made.py"}


def test_what_vanishes_while_it_is_looked_at_hides_nothing_beside_it(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(take(environment))
    gone = (environment / SITE / "one" / "__init__.py", environment / SITE / "two" / "b.py")
    listed_by = os.scandir

    def vanishing(path: str) -> object:
        """The folder's entries as they were, of which one is gone before it is looked at."""
        with listed_by(path) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for each in gone:
            if str(each.parent) == path:
                each.unlink()
        if path == str(environment / SITE):
            shutil.rmtree(environment / SITE / "one-1.0.dist-info")
        return contextlib.nullcontext(found)

    monkeypatch.setattr(os, "scandir", vanishing)
    now = set(take(environment))
    monkeypatch.undo()
    assert {path.removeprefix(f"{SITE}/") for path in before - now} == {
        "one/__init__.py",
        "one-1.0.dist-info/METADATA",
        "one-1.0.dist-info/RECORD",
        "two/b.py",
    }
    assert now == set(take(environment))


def test_the_package_of_a_dist_info() -> None:
    assert package_of_info("Flask_Cors-6.0.2.dist-info") == "flask-cors"
    assert package_of_info("torch-2.1.0+cu118.dist-info") == "torch"
    assert package_of_record(f"{SITE}/Flask_Cors-6.0.2.dist-info/RECORD") == "flask-cors"
    assert package_of_record(f"{SITE}/Flask_Cors-6.0.2.dist-info/METADATA") == ""
    assert package_of_record("RECORD") == ""


def test_a_long_list_is_told_shortly() -> None:
    assert listed(range(3)) == "0, 1, 2"
    assert listed(range(8)) == "0, 1, 2, 3, 4 and 3 more"


def test_small_files_become_private_and_large_ones_stay_shared(environment: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    for name, size, mode in (
        ("small", 100, 0o640),
        ("script", LARGEST, 0o755),
        ("empty", 0, 0o644),
        ("large", LARGEST + 1, 0o644),
    ):
        (cache / name).write_bytes(b"x" * size)
        (cache / name).chmod(mode)
        os.utime(cache / name, ns=(10**18, 10**18 + 7))
        os.link(cache / name, environment / SITE / name)
    (environment / SITE / "symlink").symlink_to("small")
    os.link(environment / SITE / "symlink", environment / SITE / "symlink-again", follow_symlinks=False)
    (environment / "harness-private").mkdir()  # left by one that was killed
    (environment / "harness-private" / "0").write_bytes(b"half")
    names = set(take(environment))

    assert make_private(environment) == 3
    for name in ("small", "script", "empty"):
        ours, theirs = (environment / SITE / name).stat(), (cache / name).stat()
        assert (ours.st_size, ours.st_mode, ours.st_mtime_ns) == (theirs.st_size, theirs.st_mode, theirs.st_mtime_ns)
        assert (ours.st_nlink, theirs.st_nlink) == (1, 1)
        assert (environment / SITE / name).read_bytes() == (cache / name).read_bytes()
    assert (environment / SITE / "large").samefile(cache / "large")
    assert (environment / SITE / "symlink").is_symlink()
    assert set(take(environment)) == names
    assert not (environment / "harness-private").exists()
    (environment / SITE / "small").write_bytes(b"edited")
    assert (cache / "small").read_bytes() == b"x" * 100
    assert make_private(environment) == 0
