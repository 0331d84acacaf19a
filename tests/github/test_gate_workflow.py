"""The workflows of the gate from a bot's pull request to its comment: the steps that they have, as they stand.

Neither side of a pull request here has a solution, so that nothing is installed; what a gate finds otherwise is tested
elsewhere.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.github.comment import marker_of
from harness.matrix.since import change_since
from tests.github.checkouts import commit, edit, git, repository
from tests.github.runner import Done, read, verdict
from tests.github.server import BOT, Step, serving

GATE, COMMENT = (read(f".github/workflows/{name}.yml") for name in ("gate", "gate-comment"))


def renovate(root: Path) -> None:
    """Renovate's way: one commit that replaces the version wherever the package is pinned, and nothing else."""
    for name in ("one", "two"):
        edit(root / "matrices" / f"{name}.in", "torch==1.0", "torch==2.0")
    commit(root, "Update dependency torch to v2")


def dependabot(root: Path) -> None:
    """Dependabot's: a package of one folder."""
    edit(root / "matrices" / "two.in", "torch==1.0", "torch==2.0")
    commit(root, "Bump torch from 1.0 to 2.0 in /matrices")


BOTS = {
    "renovate/conversion-pins": (renovate, ["one", "two"]),
    "dependabot/pip/matrices/torch-2.0": (dependabot, ["two"]),
}


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    root = repository(tmp_path / "origin")
    for name in ("one", "two"):
        edit(root / "matrices" / f"{name}.in", "six==1.0", "six==1.0\nsix==2.0")
    commit(root, "without a solution")
    return root


def checked_out(origin: Path, branch: str, folder: Path) -> Path:
    """The checkout of a pull request by that branch, as the workflow's first step makes it."""
    (checkout,) = [step for step in steps("gate") if "checkout" in step.get("uses", "")]
    depth = checkout["with"]["fetch-depth"]
    git(origin, "checkout", "--quiet", "--detach", "main")
    git(origin, "merge", "--quiet", "--no-ff", "-m", f"Merge {branch}", branch)
    git(origin, "update-ref", "refs/pull/12/merge", "HEAD")
    folder.mkdir()
    git(folder, "init", "--quiet")
    git(folder, "fetch", "--quiet", f"--depth={depth}", origin.as_uri(), "refs/pull/12/merge")
    git(folder, "checkout", "--quiet", "--detach", "FETCH_HEAD")
    return folder


def steps(job: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = GATE["jobs"][job]["steps"]
    return found


def action_of(job: str, checkout: Path, name: str = "") -> Done:
    """The step of a job that is this repository's action, for the pins of that name in the matrix."""
    (step,) = [step for step in steps(job) if step.get("uses") == "./"]
    given = {key: str(value).replace("${{ matrix.pins.name }}", name) for key, value in step["with"].items()}
    assert not any("${{" in value for value in given.values())
    return verdict(checkout, **given)


def made_by(origin: Path, branch: str) -> list[str]:
    """What a bot's branch touches, after others went on with the target."""
    change, names = BOTS[branch]
    git(origin, "checkout", "--quiet", "-b", branch)
    change(origin)
    git(origin, "checkout", "--quiet", "main")
    (origin / "README").write_text("meanwhile", encoding="utf-8")
    commit(origin, "meanwhile")
    return names


@pytest.mark.parametrize("branch", BOTS)
def test_a_bots_pull_request_gets_a_comment_for_each_set_of_pins(origin: Path, tmp_path: Path, branch: str) -> None:
    names = made_by(origin, branch)
    checkout = checked_out(origin, branch, tmp_path / "checkout")
    assert [each.name for each in change_since(checkout, "HEAD^1").touched] == names
    found = action_of("pins", checkout)
    assert found.code == 0, found.log
    assert all(f'"name": "{name}"' in found.outputs["pins"] for name in names)
    with serving() as server:
        server.opened(12)
        step = Step(tmp_path, server.address)
        for name in names:
            judged = action_of("gate", checkout, name)
            assert (judged.code, judged.outputs["decision"]) == (3, "cannot tell"), judged.log
            shutil.copytree(judged.outputs["folder"], tmp_path / "verdicts" / f"gate-{name}")
        done = step()
        assert done.stdout.splitlines() == [f"{name}: made on #12" for name in names], done.stdout
        for name, comment in zip(names, server.comments[12], strict=True):
            assert comment["body"].startswith(marker_of(name))
            assert "1.0 → 2.0" in comment["body"]
    assert git(checkout, "status", "--porcelain").strip() in ("", "?? made/"), "tables are all that a gate leaves"


def test_where_no_pins_differ_no_gate_runs(origin: Path, tmp_path: Path) -> None:
    git(origin, "checkout", "--quiet", "-b", "remark")
    edit(origin / "matrices" / "two.in", "# python: 3.11", "# python: 3.11\n# a remark")
    commit(origin, "a remark")
    git(origin, "checkout", "--quiet", "main")
    checkout = checked_out(origin, "remark", tmp_path / "checkout")
    assert action_of("pins", checkout).outputs["pins"] == "[]"
    assert GATE["jobs"]["gate"]["if"] == "needs.pins.outputs.pins != '[]'"


def test_only_the_comment_may_write_and_it_runs_nothing_of_the_pull_request() -> None:
    """The gate may read, from forks and for Dependabot as well; the other one takes this branch's own checkout."""
    assert [job["permissions"] for job in GATE["jobs"].values()] == [{"contents": "read"}] * 2
    assert list(GATE[True]) == ["pull_request"], "`on` is a boolean to YAML 1.1"
    (job,) = COMMENT["jobs"].values()
    assert list(COMMENT[True]) == ["workflow_run"]
    assert COMMENT[True]["workflow_run"]["workflows"] == [GATE["name"]]
    assert job["permissions"] == {"actions": "read", "contents": "read", "pull-requests": "write"}
    checkout, action = job["steps"]
    assert checkout["with"] == {"persist-credentials": False}, "no ref: that of the default branch"
    assert action == {"uses": "./comment"}
    uploads = [step["with"]["name"] for step in steps("gate") if "upload" in step.get("uses", "")]
    assert uploads == ["gate-${{ matrix.pins.name }}", "tables-${{ matrix.pins.name }}"]


def test_a_gate_that_runs_out_of_time_is_told() -> None:
    """GitHub calls a job `cancelled` that was longer than it may be, and no later step of it runs."""
    (job,) = COMMENT["jobs"].values()
    assert job["if"] == "github.event.workflow_run.event == 'pull_request'"
    (step,) = [step for step in steps("gate") if step.get("uses") == "./"]
    assert step["timeout-minutes"] < GATE["jobs"]["gate"]["timeout-minutes"]


def test_pins_that_are_taken_back_have_their_comment_say_so(origin: Path, tmp_path: Path) -> None:
    """The push that does so touches no pins: the gate runs all the same, and judges nothing."""
    assert GATE[True]["pull_request"] is None, "no `paths`"
    names = made_by(origin, "renovate/conversion-pins")
    git(origin, "checkout", "--quiet", "renovate/conversion-pins")
    for name in names:
        edit(origin / "matrices" / f"{name}.in", "torch==2.0", "torch==1.0")
    commit(origin, "not yet")
    git(origin, "checkout", "--quiet", "main")
    checkout = checked_out(origin, "renovate/conversion-pins", tmp_path / "checkout")
    found = action_of("pins", checkout)
    assert found.outputs["pins"] == "[]"
    (upload,) = [step for step in steps("pins") if "upload" in step.get("uses", "")]
    assert upload["with"] == {"name": "pins", "path": "${{ steps.pins.outputs.folder }}"}
    shutil.copytree(found.outputs["folder"], tmp_path / "verdicts" / "pins")
    with serving() as server:
        server.opened(12)
        server.said(12, BOT, f"{marker_of('one')}\n### Do not merge: 2 cells\n")
        done = Step(tmp_path, server.address)()
        assert done.stdout == "one: brought up to date on #12\n"
        ((_, _, body),) = server.changed
        assert body.startswith(f"{marker_of('one')}\n### The pins of `one` do not differ any more\n")
        assert "Do not merge" not in body
