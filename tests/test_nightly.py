"""The workflow of a night: what its scripts do, run as they stand, and that nothing in them can be told what to do."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from harness.cli import cli

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
NIGHTLY: Any = yaml.safe_load((ROOT / ".github" / "workflows" / "nightly.yml").read_text(encoding="utf-8"))

GH = """#!/usr/bin/env bash
printf '%s\\n' "$*" >> "$GH_LOG"
[ "$1 $2" = "issue list" ] && printf '%s' "$GH_OPEN"
exit 0
"""
"""Stands in for GitHub's command: it keeps what it was asked, and knows one open issue or none."""


def script(job: str, starts: str) -> str:
    """The script of the step whose name, or whose first line, starts so."""
    steps = [step for step in NIGHTLY["jobs"][job]["steps"] if "run" in step]
    (found,) = [step["run"] for step in steps if step.get("name", step["run"]).startswith(starts)]
    return str(found)


def shell(text: str, folder: Path, **variables: str | Path) -> None:
    """Run a script as a runner does."""
    environ = {name: os.environ[name] for name in ("PATH",)} | {k: str(v) for k, v in variables.items()}
    environ |= {"HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["bash", "-e", "-o", "pipefail", "-c", text], cwd=folder, env=environ, check=True, timeout=30)


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.invalid", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True, timeout=30)
    return done.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone with an older table, as a runner has it, and where it was cloned from."""
    git(tmp_path, "init", "--quiet", "--bare", "origin.git")
    git(tmp_path, "clone", "--quiet", str(tmp_path / "origin.git"), "checkout")
    folder = tmp_path / "checkout"
    table(folder, "20260201T031700Z")
    (folder / ".gitignore").write_text(".harness/\n", encoding="utf-8")
    git(folder, "checkout", "--quiet", "-B", "main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "before")
    git(folder, "push", "--quiet", "origin", "main")
    return folder


def table(folder: Path, started: str) -> Path:
    made = folder / "results" / "torch2.0" / "cpu-quick" / started / "run.json"
    made.parent.mkdir(parents=True)
    made.write_text(started, encoding="utf-8")
    return made.relative_to(folder)


def gh(folder: Path) -> dict[str, str]:
    """The variables with which GitHub's command is the one that stands in for it."""
    place = folder.parent / "bin"
    place.mkdir()
    (place / "gh").write_text(GH, encoding="utf-8")
    (place / "gh").chmod(0o755)
    return {"PATH": f"{place}:{os.environ['PATH']}", "GH_LOG": str(folder.parent / "gh.log"), "GH_OPEN": ""}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_no_rights_that_it_does_not_name_and_no_action_that_can_move(path: Path) -> None:
    workflow: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] in ({}, {"contents": "read"})
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            assert "${{" not in step.get("run", ""), "what is put into a script can be one"
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}|\./\w*", step.get("uses", "./")), "of this repository, or pinned"
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False


def test_the_commands_that_it_calls_exist() -> None:
    called = [
        line
        for job in NIGHTLY["jobs"].values()
        for step in job["steps"]
        for line in re.findall(r"harness \w+[^\n|)]*", step.get("run", ""))
    ]
    assert {shlex.split(line)[1] for line in called} == {"plan", "run", "join", "expect"}
    for line in called:
        _, command, *words = shlex.split(line)
        described = CliRunner().invoke(cli, [command, "--help"]).output
        for option in (word for word in words if word.startswith("--")):
            assert re.search(rf"{option}\b", described), f"{line}: no {option}"


def test_a_plan_that_fails_fails_its_step(checkout: Path, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "harness"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho '[\"torch2.0\"]'\nexit $CODE\n", encoding="utf-8")
    program.chmod(0o755)
    output = tmp_path / "output"
    variables = {"PATH": f"{program.parent}:{os.environ['PATH']}", "GITHUB_OUTPUT": str(output)}
    with pytest.raises(subprocess.CalledProcessError):
        shell(script("split", "combinations="), checkout, **variables, CODE="2")
    assert not output.exists()
    shell(script("split", "combinations="), checkout, **variables, CODE="0")
    assert output.read_text(encoding="utf-8") == 'combinations=["torch2.0"]\n'


def test_only_what_the_night_made_is_put_aside(checkout: Path) -> None:
    new = table(checkout, "20260202T031700Z")
    (checkout / ".harness").mkdir()
    (checkout / ".harness" / "details").write_text("not this", encoding="utf-8")
    shell(script("run", "Put aside"), checkout)
    assert [path for path in (checkout / "made").rglob("*") if path.is_file()] == [checkout / "made" / new]


def test_the_tables_are_committed_on_what_others_pushed_meanwhile(checkout: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "origin.git", "other")
    (tmp_path / "other" / "README").write_text("meanwhile", encoding="utf-8")
    git(tmp_path / "other", "add", ".")
    git(tmp_path / "other", "commit", "--quiet", "-m", "meanwhile")
    git(tmp_path / "other", "push", "--quiet", "origin", "HEAD:main")
    new = table(checkout, "20260202T031700Z")
    (checkout / "made").mkdir()
    (checkout / "made" / "issue.md").write_text("not this", encoding="utf-8")
    variables = {**gh(checkout), "GITHUB_REF_NAME": "main"}
    shell(script("join", "Commit"), checkout, **variables)
    origin = tmp_path / "origin.git"
    assert git(origin, "log", "--format=%s", "main").split("\n")[:3] == ["Tables of the night", "meanwhile", "before"]
    assert git(origin, "show", "--name-only", "--format=", "main").split() == [str(new)]
    shell(script("join", "Commit"), checkout, **variables)
    assert git(origin, "rev-list", "--count", "main").strip() == "3"


@pytest.mark.parametrize(("found", "open_issue", "asked"), [("", "", ""), ("x", "", "create"), ("x", "12", "comment")])
def test_there_is_one_issue_and_only_for_what_is_to_be_looked_at(
    checkout: Path, tmp_path: Path, found: str, open_issue: str, asked: str
) -> None:
    issue = tmp_path / "issue.md"
    issue.write_text(found, encoding="utf-8")
    variables = {**gh(checkout), "GH_OPEN": open_issue, "ISSUE": str(issue)}
    variables |= {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "a/b", "GITHUB_RUN_ID": "7"}
    variables |= {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    shell(script("join", "Open the issue"), checkout, **variables)
    log = tmp_path / "gh.log"
    told = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    if not asked:
        assert not told
        return
    assert [line.split()[:2] for line in told] == [["label", "create"], ["issue", "list"], ["issue", asked]]
    assert told[-1].startswith(f"issue comment {open_issue} " if open_issue else "issue create ")
    assert f"--body-file {issue}" in told[-1]
    assert issue.read_text(encoding="utf-8") == "x\nRun: https://github.com/a/b/actions/runs/7\n"


@pytest.mark.parametrize("starts", ["Join", "Hold"])
def test_nothing_that_models_wrote_is_a_command_to_the_runner(checkout: Path, tmp_path: Path, starts: str) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "harness").write_text("#!/bin/sh\necho '  ::add-mask::e'\nexit 3\n", encoding="utf-8")
    (tmp_path / "bin" / "harness").chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    command = ["bash", "-e", "-o", "pipefail", "-c", script("join", starts)]
    environ = {"PATH": path, "ISSUE": str(tmp_path / "x")}
    done = subprocess.run(command, cwd=checkout, env=environ, capture_output=True, text=True, check=False, timeout=30)
    first, said, last = done.stdout.splitlines()
    word = re.fullmatch(r"::stop-commands::([0-9a-f-]{36})", first)
    assert word
    assert (said, last, done.returncode) == ("  ::add-mask::e", f"::{word[1]}::", 3)


def test_a_night_in_which_nothing_could_be_joined_has_no_issue_file(checkout: Path, tmp_path: Path) -> None:
    shell(script("join", "Open the issue"), checkout, ISSUE=tmp_path / "nothing.md")
