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

pytestmark = pytest.mark.skipif(not shutil.which("jq"), reason="the workflow's script needs jq: install it to run this")


def script(job: str, name: str) -> str:
    (found,) = [step["run"] for step in JOBS[job]["steps"] if step.get("name") == name]
    return str(found)


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone of a repository whose pins of `two`, and of `one` with its extension, were merged without their locks."""
    root = repository(tmp_path / "origin")
    for name in ("one", "one+more", "two"):
        locks.lock(root, combinations.read(root, name))
    commit(root, "locked")
    edit(root / "matrices" / "one.in", "torch==1.0", "torch==2.0")
    commit(root, "Update dependency torch to v2")
    git(root, "config", "receive.denyCurrentBranch", "ignore")
    git(tmp_path, "clone", "--quiet", root.as_uri(), "checkout")
    return tmp_path / "checkout"


def test_what_was_merged_is_locked_and_committed_alone(checkout: Path, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    program(programs, "harness", f'exec "{sys.executable}" -m harness.cli "$@"')
    program(programs, "gh", "exit 0")
    environ = {"PATH": f"{programs}:{Path(shutil.which('git') or '').parent}:/usr/bin:/bin"}
    done = bash(script("resolve", "Lock the combinations that were edited"), checkout, {**environ, "BEFORE": "HEAD^"})
    assert done.returncode == 0, done.stdout
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["one", "one+more"]
    shutil.copytree(checkout / "matrices" / "locks", tmp_path / "locks")
    git(checkout, "checkout", "--quiet", "--", ".")
    (checkout / "pins.json").unlink()
    (checkout / "matrices" / "other.in").write_text("not this", encoding="utf-8")
    environ |= {"RUNNER_TEMP": str(tmp_path), "GITHUB_REF_NAME": "main"}
    done = bash(script("commit", "Commit the locks"), checkout, environ)
    assert done.returncode == 0, done.stdout
    origin = tmp_path / "origin"
    changed = git(origin, "show", "--name-only", "--format=%s", "main").split("\n\n")
    assert changed[0] == "Locks of the pins that moved"
    assert changed[1].split() == ["matrices/locks/one+more.txt", "matrices/locks/one.txt"]
    assert pins_of(git(origin, "show", "main:matrices/locks/one.txt"))["torch"] == "2.0"
    assert bash(script("commit", "Commit the locks"), checkout, environ).returncode == 0, "nothing is left to commit"


def test_the_job_that_may_write_resolves_nothing() -> None:
    assert JOBS["resolve"]["permissions"] == {"contents": "read"}
    assert JOBS["commit"]["permissions"] == {"contents": "write"}
    assert "harness" not in script("commit", "Commit the locks")
