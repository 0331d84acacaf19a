"""Which pins a change touches, and what `harness pins` says of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.bench.errors import UsageError
from harness.cli import cli
from harness.matrix.since import Touched, change_since, shared_commit
from tests.github.checkouts import commit, edit, git, repository


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return repository(tmp_path / "checkout")


def pins(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["--root", str(root), "pins", *arguments])


def names(root: Path, *, extensions: bool = False) -> list[str]:
    return [each.name for each in change_since(root, "HEAD", extensions=extensions).touched]


def test_a_pin_that_moved_is_held_against_what_was_there(root: Path) -> None:
    head = git(root, "rev-parse", "HEAD").strip()
    edit(root / "matrices" / "two.in", "torch==1.0", "torch==2.0")
    change = change_since(root, "HEAD")
    base = f".harness/base/{head[:12]}/matrices/two.in"
    file = "matrices/two.in"
    assert change.commit == head
    assert change.touched == (Touched(name="two", file=file, base=base, candidate=file),)
    assert "torch==1.0" in (root / base).read_text(encoding="utf-8")
    assert (root / base).with_name("wheels").is_dir(), "all that the base refers to is there"
    assert git(root, "status", "--porcelain").split() == ["M", "matrices/two.in"]


def test_what_says_the_same_is_no_change(root: Path) -> None:
    with (root / "matrices" / "two.in").open("a", encoding="utf-8") as file:
        file.write("# a remark\n")
    assert names(root) == []
    assert pins(root, "--since", "HEAD").stdout.startswith("No pins differ since ")
    assert pins(root, "--since", "HEAD", "--json").stdout == "[]\n"


def test_an_extension_counts_by_its_own_lines(root: Path) -> None:
    edit(root / "matrices" / "one.in", "torch==1.0", "torch==2.0")
    assert names(root) == ["one"]
    assert names(root, extensions=True) == ["one", "one+more"]
    edit(root / "matrices" / "one+more.in", "extra==1.0", "extra==2.0")
    assert names(root) == ["one", "one+more"]


def lock_two(root: Path) -> Path:
    """A lock of `two` that fits; it has its wheels from an index, which a test has none of."""
    lock = root / "matrices" / "locks" / "two.txt"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text("# uv pip compile --python-version 3.11 two.in\ntorch==1.0\nsix==1.0\n", encoding="utf-8")
    return lock


def test_a_lock_is_taken_where_it_fits(root: Path) -> None:
    lock_two(root)
    commit(root, "locked")
    edit(root / "matrices" / "two.in", "torch==1.0", "torch==2.0")
    (touched,) = change_since(root, "HEAD").touched
    assert (Path(touched.base).name, touched.candidate) == ("two.txt", "matrices/two.in")
    edit(root / "matrices" / "locks" / "two.txt", "torch==1.0", "torch==2.0")
    (touched,) = change_since(root, "HEAD").touched
    assert (Path(touched.base).name, touched.candidate) == ("two.txt", "matrices/locks/two.txt")


def test_a_lock_alone_can_move(root: Path) -> None:
    lock_two(root).write_text("# --python-version 3.11 \ntorch==1.0\nsix==1.0\nbrought==1\n", encoding="utf-8")
    commit(root, "locked")
    edit(root / "matrices" / "locks" / "two.txt", "brought==1", "brought==2")
    assert names(root) == ["two"]


def test_a_lock_with_a_place_on_this_machine_holds_nowhere_else(root: Path) -> None:
    with lock_two(root).open("a", encoding="utf-8") as file:
        file.write("-e ./mine\n")
    commit(root, "locked")
    edit(root / "matrices" / "two.in", "torch==1.0", "torch==2.0")
    (touched,) = change_since(root, "HEAD").touched
    assert Path(touched.base).name == "two.in"


def test_only_what_the_branch_changed_counts(root: Path) -> None:
    git(root, "checkout", "--quiet", "-b", "bump")
    edit(root / "matrices" / "one.in", "torch==1.0", "torch==2.0")
    commit(root, "a bump")
    git(root, "checkout", "--quiet", "main")
    edit(root / "matrices" / "two.in", "torch==1.0", "torch==2.0")
    commit(root, "another one, meanwhile")
    git(root, "checkout", "--quiet", "bump")
    assert [each.name for each in change_since(root, "main").touched] == ["one"]
    git(root, "merge", "--quiet", "--no-edit", "main")
    git(root, "checkout", "--quiet", "--detach", "main")
    git(root, "merge", "--quiet", "--no-ff", "--no-edit", "bump")
    assert [each.name for each in change_since(root, "HEAD^1").touched] == ["one"], "what GitHub checks out"


def test_combinations_that_are_new_or_gone_have_no_two_sides(root: Path) -> None:
    (root / "matrices" / "two.in").rename(root / "matrices" / "three.in")
    told = pins(root, "--since", "HEAD").stdout
    assert told == "matrices/three.in: new, with nothing to hold it against\nmatrices/two.in: gone\n"


def test_requirements_count_with_all_that_they_include(root: Path) -> None:
    (root / "requirements").mkdir()
    (root / "requirements" / "base.txt").write_text("torch==1.0\n", encoding="utf-8")
    (root / "requirements.txt").write_text("-r requirements/base.txt\n", encoding="utf-8")
    commit(root, "requirements")
    assert names(root) == []
    edit(root / "requirements" / "base.txt", "1.0", "2.0")
    (touched,) = change_since(root, "HEAD").touched
    assert (touched.name, touched.candidate) == ("requirements.txt", "requirements.txt")
    base = root / touched.base
    assert base.name == "requirements.txt"
    assert (base.parent / "requirements" / "base.txt").read_text(encoding="utf-8") == "torch==1.0\n"


def test_a_root_may_be_a_folder_of_its_repository(tmp_path: Path) -> None:
    root = repository(tmp_path / "checkout")
    inner = root / "inner"
    inner.mkdir()
    for name in ("matrices", "harness"):
        (root / name).rename(inner / name)
    commit(root, "moved")
    edit(inner / "matrices" / "two.in", "torch==1.0", "torch==2.0")
    (touched,) = change_since(inner, "HEAD").touched
    assert "torch==1.0" in (inner / touched.base).read_text(encoding="utf-8")


def test_the_command_prints_what_to_type_and_takes_names(root: Path) -> None:
    for name in ("one", "two"):
        edit(root / "matrices" / f"{name}.in", "torch==1.0", "torch==2.0")
    told = pins(root, "--since", "HEAD").stdout.splitlines()
    assert told[::2] == ["one: matrices/one.in", "two: matrices/two.in"]
    assert told[1].startswith("  harness gate --base-requirements .harness/base/")
    assert told[1].endswith("/matrices/one.in --candidate-requirements matrices/one.in")
    listed = json.loads(pins(root, "--since", "HEAD", "--json", "two").stdout)
    assert [each["name"] for each in listed] == ["two"]
    wrong = pins(root, "--since", "HEAD", "tow")
    assert wrong.exit_code == 2
    assert "Did you mean 'two'?" in wrong.stderr


@pytest.mark.parametrize("reference", ["nowhere", "--all", ""])
def test_a_reference_that_git_does_not_know_is_wrong_use(root: Path, reference: str) -> None:
    with pytest.raises(UsageError, match="--since"):
        shared_commit(root, reference)


def test_without_git_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pins(tmp_path, "--since", "HEAD").exit_code == 2
    monkeypatch.setenv("PATH", "")
    told = pins(tmp_path, "--since", "HEAD")
    assert told.exit_code == 2
    assert "--since needs git" in told.stderr
