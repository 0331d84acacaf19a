"""Locks: made by uv, told stale, and the resolver's reason where there is no solution."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from harness.bench.environment import pins_of
from harness.bench.errors import DiskFullError, IndexUnreachableError, NotWritableError, ToolBrokenError, UsageError
from harness.matrix import tooling
from harness.matrix.combination import Combination, names, read
from harness.matrix.locks import BENCH_REQUIREMENTS, lock, read_lock

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with nothing in it but what locking reads; the bench needs one small package there."""
    (tmp_path / "matrices").mkdir()
    (tmp_path / BENCH_REQUIREMENTS).parent.mkdir(parents=True)
    (tmp_path / BENCH_REQUIREMENTS).write_text("iniconfig>=2\n", encoding="utf-8")
    return tmp_path


def _combination(root: Path, *lines: str, python: str = "3.11") -> Combination:
    text = "\n".join([f"# python: {python}", *lines, ""])
    (root / "matrices" / "small.in").write_text(text, encoding="utf-8")
    return read(root, "small")


def _locks(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "matrices").rglob("*") if path.is_file() and path.suffix != ".in")


def test_a_lock_holds_everything_with_hashes_and_reads_back(root: Path) -> None:
    made = lock(root, _combination(root, "six==1.16.0"))
    assert (made.reason, made.path) == ("", root / "matrices" / "locks" / "small.txt")
    assert pins_of(made.text)["six"] == "1.16.0"
    assert "iniconfig" in pins_of(made.text)
    assert made.text.count("--hash=sha256:") >= 2
    assert "--output-file=matrices/locks/small.txt matrices/small.in harness/bench/requirements.in" in made.text
    assert str(root) not in made.text
    back = read_lock(root, read(root, "small"))
    assert back == made
    assert len(back.digest) == 16


def test_locking_again_changes_nothing(root: Path) -> None:
    combination = _combination(root, "six==1.16.0")
    assert lock(root, combination).text == lock(root, combination).text


@pytest.mark.parametrize(
    ("lines", "python", "told"),
    [
        (["six==1.15.0"], "3.11", "six==1.15.0 is asked for, and 1.16.0 is locked"),
        (["six>=1.17"], "3.11", "six>=1.17 is asked for, and 1.16.0 is locked"),
        (["six==1.16.0", "attrs"], "3.11", "attrs is asked for, and nothing is locked"),
        (["six==1.16.0"], "3.12", "it was not made for Python 3.12"),
    ],
)
def test_an_edited_combination_makes_its_lock_stale(root: Path, lines: list[str], python: str, told: str) -> None:
    _write_lock(root)
    with pytest.raises(UsageError) as caught:
        read_lock(root, _combination(root, *lines, python=python))
    assert f"matrices/locks/small.txt does not fit matrices/small.in: {told}. Run `harness lock small`." in str(
        caught.value
    )


@pytest.mark.parametrize(
    "lines", [["six==1.16.0"], ["Six"], ["six<2"], ["six", 'attrs ; python_version >= "3.12"'], ["six==1.16.*"]]
)
def test_what_the_lock_still_fits_is_not_stale(root: Path, lines: list[str]) -> None:
    _write_lock(root)
    assert read_lock(root, _combination(root, *lines)).reason == ""


def test_a_marker_is_about_the_combinations_python_and_not_ours(root: Path) -> None:
    _write_lock(root)
    with pytest.raises(UsageError, match=r"attrs.* is asked for, and nothing is locked"):
        read_lock(root, _combination(root, "six", 'attrs ; python_version == "3.11"'))
    assert read_lock(root, _combination(root, "six", 'attrs ; python_version != "3.11"')).reason == ""


def _write_lock(root: Path) -> None:
    folder = root / "matrices" / "locks"
    folder.mkdir()
    head = "#    uv pip compile --python-version 3.11 --generate-hashes --output-file=x matrices/small.in\n"
    (folder / "small.txt").write_text(head + "six==1.16.0 \\\n    --hash=sha256:" + "0" * 64 + "\n", encoding="utf-8")


def test_a_combination_without_a_lock_is_told(root: Path) -> None:
    with pytest.raises(UsageError, match=r"small has no lock\. Run `harness lock small`\."):
        read_lock(root, _combination(root, "six"))


def test_a_set_without_a_solution_leaves_the_resolvers_reason_until_it_has_one(root: Path) -> None:
    lock(root, _combination(root, "six==1.16.0"))
    impossible = _combination(root, "six==1.16.0", "six==1.15.0")
    made = lock(root, impossible)
    assert "requirements are unsatisfiable" in made.reason
    assert made.kind == "NoSolution"
    assert made.reason.startswith("No solution found")
    assert _locks(root) == ["small.unresolvable"]
    back = read_lock(root, impossible)
    assert (back.reason, back.digest, back.kind) == (made.reason, made.digest, made.kind)

    possible = _combination(root, "six==1.15.0")
    with pytest.raises(UsageError, match=r"small\.in was edited since its lock was tried\. Run `harness lock small`"):
        read_lock(root, possible)
    assert lock(root, possible).reason == ""
    assert _locks(root) == ["small.txt"]
    assert read_lock(root, possible).reason == ""


@pytest.fixture(params=["refused", "offline"])
def no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package index that cannot be reached."""
    monkeypatch.setenv("UV_NO_CACHE", "1")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    if request.param == "refused":
        monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:1/simple")
    else:
        monkeypatch.setenv("UV_OFFLINE", "1")


@pytest.mark.usefixtures("no_network")
def test_without_a_network_nothing_is_written(root: Path) -> None:
    told = r"resolving matrices/small\.in: the package index could not be reached \(.*Check the network"
    with pytest.raises(IndexUnreachableError, match=told) as caught:
        lock(root, _combination(root, "six==1.16.0"))
    assert caught.value.exit_code == 3
    assert "127.0.0.1" not in str(caught.value)
    assert not (root / "matrices" / "locks").exists()


@pytest.mark.usefixtures("no_network")
def test_without_a_network_a_lock_stays_as_it_was(root: Path) -> None:
    _write_lock(root)
    before = (root / "matrices" / "locks" / "small.txt").read_bytes()
    with pytest.raises(IndexUnreachableError):
        lock(root, _combination(root, "six==1.15.0"))
    assert _locks(root) == ["small.txt"]
    assert (root / "matrices" / "locks" / "small.txt").read_bytes() == before


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "six==1.16.99",
            r"six==1\.16\.99 is asked for, and the package index does not have it.* has is six==1\.16\.0\.",
        ),
        ("six==0.0.1", r"six==0\.0\.1 is asked for, .* The nearest that it has is six==0\.9\.\d\."),
        ("six>=99", r"six>=99 is asked for, and the package index does not have it"),
        ("this-package-is-not-there-xyz", r"this-package-is-not-there-xyz is asked for, and the package index"),
    ],
)
def test_what_the_package_index_does_not_have_is_wrong_input(root: Path, line: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        lock(root, _combination(root, "iniconfig", line))
    assert caught.value.exit_code == 2
    assert not (root / "matrices" / "locks").exists()


@pytest.mark.parametrize(("line", "kind"), [("pywin32==306", "NoWheel"), ("sklearn==0.0.post12", "BuildFailed")])
def test_what_cannot_be_installed_here_is_recorded_like_no_solution(root: Path, line: str, kind: str) -> None:
    made = lock(root, _combination(root, line))
    assert made.kind == read_lock(root, read(root, "small")).kind == kind
    assert _locks(root) == ["small.unresolvable"]


def test_where_the_disk_is_full_or_may_not_be_written_to_a_lock_stays_as_it_was(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = lock(root, _combination(root, "six==1.16.0"))
    combination = _combination(root, "six==1.15.0")

    for number, expected in ((errno.ENOSPC, DiskFullError), (errno.EROFS, NotWritableError)):

        def refuse(path: Path, target: Path, number: int = number) -> Path:
            raise OSError(number, os.strerror(number), str(path))

        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", refuse)
            with pytest.raises(expected, match=f"locking small: .*{os.strerror(number)}"):
                lock(root, combination)
        assert made.path.read_text(encoding="utf-8") == made.text
        assert _locks(root) == ["small.txt"]


def test_a_cache_on_a_full_disk_is_told(root: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(small_disk / "cache"))
    with pytest.raises(DiskFullError, match="No space left on device") as caught:
        lock(root, _combination(root, "six==1.16.0"))
    assert str(small_disk) not in str(caught.value)
    assert not (root / "matrices" / "locks").exists()


def test_a_uv_that_is_killed_is_no_reason(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "uv"
    broken.write_text("#!/bin/sh\nkill -9 $$\n", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setattr(tooling, "find_uv_bin", lambda: str(broken))
    with pytest.raises(ToolBrokenError, match=r"uv was ended by signal 9\. Nothing was written"):
        lock(root, _combination(root, "six"))
    assert not (root / "matrices" / "locks").exists()


def test_what_the_bench_needs_never_moves_what_is_tested(root: Path) -> None:
    (root / BENCH_REQUIREMENTS).write_text("six<1.16\n", encoding="utf-8")
    with pytest.raises(
        UsageError, match=r"does not fit beside small without moving what is tested: six 1\.\S+ becomes"
    ):
        lock(root, _combination(root, "six"))
    with pytest.raises(UsageError, match=r"does not fit beside small .*: No solution found"):
        lock(root, _combination(root, "six==1.16.0"))
    assert _locks(root) == []


@pytest.mark.parametrize("name", names(ROOT))
def test_every_committed_lock_fits_its_combination(name: str) -> None:
    made = read_lock(ROOT, read(ROOT, name))
    if not made.reason:
        pins = pins_of(made.text)
        assert {package: pins[package] for package in read(ROOT, name).pins} == read(ROOT, name).pins
