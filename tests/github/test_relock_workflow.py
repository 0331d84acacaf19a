"""The workflow that locks what was merged: its scripts, as they stand, in a clone."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from harness.bench.environment import pins_of
from harness.matrix import combination as combinations
from harness.matrix import locks
from tests.github.checkouts import commit, edit, git, repository
from tests.github.runner import bash, read

JOBS = read(".github/workflows/relock.yml")["jobs"]
LIST, LOCK, COMMIT = "List the combinations whose lock does not fit", "Lock them", "Commit the locks"


def script(job: str, name: str) -> str:
    (found,) = [step["run"] for step in JOBS[job]["steps"] if step.get("name") == name]
    return str(found)


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone of a repository whose `one`, with its extension, was edited two pushes ago, and `three` is new."""
    root = repository(tmp_path / "origin")
    for name in ("one", "one+more", "two"):
        locks.lock(root, combinations.read(root, name))
    commit(root, "locked")
    edit(root / "matrices" / "one.in", "torch==1.0", "torch==2.0")
    commit(root, "Update dependency torch to v2")
    shutil.copy(root / "matrices" / "two.in", root / "matrices" / "three.in")
    commit(root, "A new combination")
    git(root, "config", "receive.denyCurrentBranch", "ignore")
    git(tmp_path, "clone", "--quiet", root.as_uri(), "checkout")
    return tmp_path / "checkout"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """What the scripts are run with."""
    programs = tmp_path / "bin"
    program(programs, "harness", f'exec "{sys.executable}" -m harness.cli "$@"')
    program(programs, "gh", "exit 0")
    path = f"{programs}:{Path(shutil.which('git') or '').parent}:/usr/bin:/bin"
    given = {"RUNNER_TEMP": str(tmp_path), "GITHUB_REF_NAME": "main", "GITHUB_OUTPUT": str(tmp_path / "output")}
    return {"PATH": path, **given}


def test_what_was_merged_is_locked_and_committed_alone(checkout: Path, tmp_path: Path, environ: dict[str, str]) -> None:
    done = bash(script("resolve", LIST), checkout, environ)
    assert done.returncode == 0, done.stdout
    names = (tmp_path / "output").read_text(encoding="utf-8").strip().removeprefix("names=")
    assert names.split() == ["one", "one+more", "three"], "whichever push edited them"
    done = bash(script("resolve", LOCK), checkout, {**environ, "NAMES": names})
    assert done.returncode == 0, done.stdout
    shutil.copytree(checkout / "matrices" / "locks", tmp_path / "locks")
    git(checkout, "checkout", "--quiet", "--", ".")
    git(checkout, "clean", "--quiet", "--force")
    for name in ("two.txt", "other.txt"):
        (tmp_path / "locks" / name).write_text("not this", encoding="utf-8")
    (checkout / "matrices" / "other.in").write_text("not this", encoding="utf-8")
    done = bash(script("commit", COMMIT), checkout, {**environ, "NAMES": names})
    assert done.returncode == 0, done.stdout
    origin = tmp_path / "origin"
    changed = git(origin, "show", "--name-only", "--format=%s", "main").split("\n\n")
    assert changed[0] == "Locks of the pins that moved"
    assert changed[1].split() == [f"matrices/locks/{name}.txt" for name in ("one+more", "one", "three")]
    assert pins_of(git(origin, "show", "main:matrices/locks/one.txt"))["torch"] == "2.0"
    done = bash(script("commit", COMMIT), checkout, {**environ, "NAMES": names})
    assert done.returncode == 0, "nothing is left to commit"
    (tmp_path / "output").unlink()
    (checkout / "matrices" / "other.in").unlink()
    assert bash(script("resolve", LIST), checkout, environ).returncode == 0
    assert "one" not in (tmp_path / "output").read_text(encoding="utf-8"), "nothing is left to lock"


@pytest.mark.parametrize("name", ["../../README", "-r", "a/b", "$(id)"])
def test_what_is_no_name_is_not_committed(checkout: Path, tmp_path: Path, environ: dict[str, str], name: str) -> None:
    (tmp_path / "locks").mkdir()
    (tmp_path / "README.txt").write_text("not this", encoding="utf-8")
    done = bash(script("commit", COMMIT), checkout, {**environ, "NAMES": name})
    assert (done.returncode, done.stdout) == (1, f"No name of a combination: {name}\n")
    assert git(checkout, "status", "--porcelain") == ""


def test_a_list_that_fails_fails_its_step(checkout: Path, tmp_path: Path, environ: dict[str, str]) -> None:
    for path in (checkout / "matrices").glob("*.in"):
        path.unlink()
    assert bash(script("resolve", LIST), checkout, environ).returncode == 2
    assert not (tmp_path / "output").exists()


def test_one_that_cannot_be_locked_fails_its_step_and_the_others_are_locked(
    checkout: Path, tmp_path: Path, environ: dict[str, str]
) -> None:
    edit(checkout / "matrices" / "three.in", "torch==1.0", "torch==9.0")
    (checkout / "matrices" / "broken.in").write_text("# python: 3.11\n=\n", encoding="utf-8")
    before = (checkout / "matrices" / "locks" / "one.txt").read_text(encoding="utf-8")
    assert bash(script("resolve", LIST), checkout, environ).returncode == 0
    names = (tmp_path / "output").read_text(encoding="utf-8").strip().removeprefix("names=")
    assert names.split() == ["broken", "one", "one+more", "three"]
    done = bash(script("resolve", LOCK), checkout, {**environ, "NAMES": names})
    assert done.returncode != 0
    assert "broken: NOT locked, what was there is as it was: matrices/broken.in" in done.stdout
    assert "2 of 4 could not be locked. Mend that, and run `harness lock broken three`." in done.stdout
    assert (checkout / "matrices" / "locks" / "one.txt").read_text(encoding="utf-8") != before
    for step in (JOBS["resolve"]["steps"][-1], JOBS["commit"]):
        assert "!cancelled()" in step["if"], "what was locked is committed though another failed"


def test_the_job_that_may_write_resolves_nothing() -> None:
    assert JOBS["resolve"]["permissions"] == {"contents": "read"}
    assert JOBS["commit"]["permissions"] == {"contents": "write"}
    assert "harness" not in script("commit", COMMIT)


def test_each_job_has_the_newest_commit_of_the_branch() -> None:
    """Of the runs that wait GitHub keeps the last, and one that ran before it may have pushed locks."""
    for job in JOBS.values():
        assert job["steps"][0]["with"]["ref"] == "${{ github.ref }}"
