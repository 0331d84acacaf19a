"""The step of `comment/action.yml`, against a server that answers as GitHub does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.github.comment import MOST_CHARACTERS, MOST_PINS, MOST_VERDICTS, Origin, comment_of, marker_of
from tests.github.server import BOT, DOWNLOAD, RUN, STEP, Server, Step, serving
from tests.report.hostile import EVERYTHING, HARMFUL

OURS = Origin("me/models", "", "bump", "c0ffee", RUN)
FORK = Origin("me/models", "you/models", "bump", "c0ffee", RUN)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as known:
        yield known


@pytest.fixture
def step(server: Server, tmp_path: Path) -> Step:
    (tmp_path / "verdicts").mkdir()
    return Step(tmp_path, server.address)


def test_the_verdicts_lie_where_they_are_looked_for() -> None:
    assert DOWNLOAD["with"]["path"] == "${{ runner.temp }}/verdicts"
    assert DOWNLOAD["with"]["run-id"] == "${{ github.event.workflow_run.id }}"
    assert DOWNLOAD["with"]["pattern"] == "{gate-*,pins}"
    assert {*STEP["env"]} == {"GITHUB_TOKEN", "COMMENTER"}


def test_a_verdict_becomes_a_comment_and_the_next_one_takes_its_place(server: Server, step: Step) -> None:
    server.opened(12)
    server.said(12, "somebody", "a remark")
    step.left("gate-torch2.1", "<!-- conversion-harness: whatever -->\n### do not merge: 2 cells\n\nwhy\n")
    done = step()
    assert (done.returncode, done.stdout) == (0, "torch2.1: made on #12\n"), done.stdout
    (_, first) = server.comments[12]
    lines = first["body"].splitlines()
    assert lines[:2] == ["<!-- conversion-harness: gate torch2.1 -->", "### do not merge: 2 cells"]
    assert first["body"].count("<!--") == 1, "its own marker alone"
    assert lines[-1] == f"<sub>Of c0ffee, by [this run]({RUN}).</sub>"
    (step.place / "verdicts" / "gate-torch2.1" / "comment.md").write_text("### may merge\n")
    step.left("gate-torch2.9", "### may merge, too\n")
    assert step().stdout == "torch2.1: brought up to date on #12\ntorch2.9: made on #12\n"
    assert [(method, path) for method, path, _ in server.changed[1:]] == [
        ("PATCH", f"/repos/me/models/issues/comments/{first['id']}"),
        ("POST", "/repos/me/models/issues/12/comments"),
    ]
    assert len(server.comments[12]) == 3
    assert "### may merge\n" in server.comments[12][1]["body"]


def test_the_pull_request_is_asked_for_and_not_believed(server: Server, step: Step) -> None:
    """Others have that branch's name, another commit, another owner, or another target."""
    server.opened(3, sha="another")
    server.opened(4, head="you/models")
    server.opened(5, base="you/models")
    server.opened(12)
    step.left("gate-torch2.1", "### may merge\n")
    (step.place / "verdicts" / "gate-torch2.1" / "number").write_text("3")
    assert step().returncode == 0
    assert [path for _, path, _ in server.changed] == ["/repos/me/models/issues/12/comments"]
    assert server.asked[0]["head"] == ["me:bump"]
    assert server.asked[0]["state"] == ["open"]


@pytest.mark.parametrize("numbers", [(), (12, 13)])
def test_without_one_pull_request_of_that_commit_nothing_is_said(
    server: Server, step: Step, numbers: tuple[int, ...]
) -> None:
    for number in numbers:
        server.opened(number)
    step.left("gate-torch2.1", "### may merge\n")
    done = step()
    assert (done.returncode, server.changed) == (0, [])
    assert done.stdout.startswith("One open pull request has the commit of a verdict as its newest, and here it is: ")


def test_a_comment_of_somebody_else_is_left_alone(server: Server, step: Step) -> None:
    server.opened(12)
    server.said(12, "somebody", marker_of("torch2.1"))
    server.comments[12].append({"id": 1, "user": None, "body": marker_of("torch2.1")})
    step.left("gate-torch2.1", "### may merge\n")
    assert step().returncode == 0
    assert [method for method, _, _ in server.changed] == ["POST"]


def test_the_comment_is_found_on_later_pages(server: Server, step: Step) -> None:
    server.opened(12)
    for number in range(150):
        server.said(12, "somebody", f"remark {number}")
    server.said(12, BOT, f"{marker_of('torch2.1')}\nold\n")
    step.left("gate-torch2.1", "### may merge\n")
    assert step().stdout == "torch2.1: brought up to date on #12\n"


def test_what_is_no_verdict_is_passed_over(server: Server, step: Step) -> None:
    server.opened(12)
    step.left("gate-a b", "not this")
    step.left("gate-" + "a" * 101, "not this")
    step.left("tables-torch2.1", "not this")
    step.left("gate-large", "x" * (1 << 20) + "x")
    secret = step.place / "secret"
    secret.write_text("not this")
    (step.place / "verdicts" / "gate-link").mkdir()
    (step.place / "verdicts" / "gate-link" / "comment.md").symlink_to(secret)
    done = step()
    assert (done.returncode, server.changed) == (0, [])
    assert done.stdout.endswith("The run left no verdict: there is nothing to tell.\n")


def test_a_comment_without_a_verdict_of_the_newest_commit_says_so(server: Server, step: Step) -> None:
    server.opened(12)
    for name in ("torch2.0", "torch2.1", "torch2.9"):
        server.said(12, BOT, f"{marker_of(name)}\n### Merge: nothing is worse\n")
    server.said(12, "somebody", f"{marker_of('torch2.0')}\nquoted\n")
    step.left("gate-torch2.9", "### Do not merge\n")
    step.listed('[{"name": "torch2.9"}, {"name": "torch2.1"}, {"name": "--"}, {"name": "a b"}, {"name": 7}]')
    assert step().stdout.splitlines() == [
        "torch2.9: brought up to date on #12",
        "torch2.1: brought up to date on #12",
        "torch2.0: brought up to date on #12",
    ]
    told = [each["body"].splitlines()[1] for each in server.comments[12]]
    assert told == [
        "### The pins of `torch2.0` do not differ any more",
        "### Cannot tell: the gate of `torch2.1` ended without a verdict",
        "### Do not merge",
        "quoted",
    ]


def pins(number: int) -> str:
    return json.dumps([{"name": f"pins{each:05}"} for each in range(number)])


def test_a_run_adds_no_more_comments_than_it_may_have_verdicts(server: Server, step: Step) -> None:
    server.opened(12)
    server.said(12, BOT, f"{marker_of('pins00200')}\n### Merge\n")
    step.left("gate-pins00100", "### Merge\n")
    step.listed(pins(MOST_PINS))
    assert step().returncode == 0
    assert [method for method, _, _ in server.changed].count("POST") == MOST_VERDICTS
    assert "ended without a verdict" in server.comments[12][0]["body"]


def test_a_list_of_more_pins_than_a_gate_can_judge_outdates_nothing(server: Server, step: Step) -> None:
    server.opened(12)
    server.said(12, BOT, f"{marker_of('torch2.0')}\n### Merge\n")
    step.listed(pins(40_000 // 2))
    assert (step().returncode, server.changed) == (0, [])


def test_a_verdict_of_too_many_is_not_said_to_be_lost(server: Server, step: Step) -> None:
    server.opened(12)
    server.said(12, BOT, f"{marker_of('pins00024')}\n### Merge\n")
    step.listed(pins(25))
    for number in range(25):
        step.left(f"gate-pins{number:05}", "### Do not merge\n")
    step.left("gate- no name", "not this")
    assert step().returncode == 0
    first, *posted = [each["body"] for each in server.comments[12]]
    assert first.startswith(f"{marker_of('pins00024')}\n### The verdict on `pins00024` is in the summary of the run\n")
    assert len(posted) == MOST_VERDICTS
    assert all("### Do not merge" in each for each in posted)


@pytest.mark.parametrize("listed", ["", "{", "7", '["a"]', "[{}]", "[" * 100_000, " " * (1 << 20) + "[]", None])
def test_a_list_of_pins_that_cannot_be_read_outdates_nothing(server: Server, step: Step, listed: str | None) -> None:
    server.opened(12)
    server.said(12, BOT, f"{marker_of('torch2.0')}\n### Merge\n")
    if listed is not None:
        step.listed(listed)
    assert (step().returncode, server.changed) == (0, [])


@pytest.mark.parametrize("code", [403, 500])
def test_what_github_refuses_fails_the_step(server: Server, step: Step, code: int) -> None:
    server.refuses = code
    step.left("gate-torch2.1", "### may merge\n")
    done = step()
    assert done.returncode == 1
    asked = "repos/me/models/pulls?state=open&head=me%3Abump&per_page=100&page=1"
    assert done.stdout.startswith(f"::error::GET {asked}: {code}")
    assert ("pull-requests: write" in done.stdout) == (code == 403)
    assert "secret" not in done.stdout


def html(text: str) -> str:
    return str(cmarkgfm.github_flavored_markdown_to_html(text, options=Options.CMARK_OPT_UNSAFE))


@pytest.mark.parametrize("harmful", [*HARMFUL, EVERYTHING * 100], ids=range(len(HARMFUL) + 1))
def test_a_fork_can_say_what_it_likes(harmful: str) -> None:
    text = harmful.encode("utf-8", "replace").decode()  # as a file of it is read
    body = comment_of("torch2.1", text, FORK)
    shown = html(body)
    assert len(body) <= MOST_CHARACTERS
    assert "\0" not in body
    assert "<p>From the fork <code>you/models</code>: its own code made what follows.</p>" in shown
    said = body.split("\n", 3)[3].rpartition("<sub>")[0]
    assert not re.search(r"[@#]\w", said), "nobody is notified"
    assert not re.search(r"://|www\.|GH-\d|[0-9a-f]{7}", said, re.IGNORECASE), "nothing is linked"
    assert not re.search(r"<(a|img|script|svg|textarea)\b", html(said)), "nor shown"
    assert body.count("<!--") == 1, "nothing is hidden but the marker"


LINKED = (
    "a &commat;b",
    "a &#64;b",
    "a &#x40;b",
    "fixes #12",
    "me/models#12",
    "@me",
    "https://github.com/o/r/issues/1",
    "https:\\/\\/github.com/o/r/issues/1",
    "ftp://evil.invalid",
    "WWW.evil.invalid",
    "GH-12",
    "gh\\-12",
    "GHSA-jfh8-c2jp-5v3q",
    "c0ffee0",
    "c0ffee" * 6 + "C0FF",
    "[text](//evil.invalid)",
    "![image](https://evil.invalid/x.png)",
    "[text][x]\n\n[x]: //evil.invalid",
    "<//evil.invalid>",
    "<img src=//evil.invalid/x.png>",
    "<A href='//evil.invalid'>x</a>",
)
NOTICED = r"""@b|@me|\#12|<(a|img)\b|://|www\.|gh-\d|ghsa-|[0-9a-f]{7}"""


@pytest.mark.parametrize("said", LINKED)
def test_a_fork_notifies_nobody_and_links_nothing(said: str) -> None:
    body = comment_of("a", said, FORK)
    shown = html(body.split("\n", 3)[3].rpartition("<sub>")[0])
    assert not re.search(NOTICED, shown.replace("&#", ""), re.IGNORECASE)
    assert said in comment_of("a", said, OURS)


def test_what_a_verdict_of_a_fork_folds_is_folded_all_the_same() -> None:
    said = "<details><summary>why</summary>\n\ntorch<2.1 and `six>=1`\n\n</details>"
    assert said in comment_of("a", said, FORK)


def test_what_is_too_long_is_cut_and_closed() -> None:
    text = "### do not merge\n\n<details>\n\n````text\n" + "``` x\n" * 20_000 + "````\n</details>\n"
    body = comment_of("torch2.1", text, OURS)
    assert len(body) <= MOST_CHARACTERS
    assert body.count("\n````\n") == body.count("\n</details>") == 1
    assert "the rest is in the summary of the run.\n\n<sub>" in body
    assert "<p><sub>Of c0ffee" in html(body)


@settings(max_examples=30)
@given(st.text(max_size=200), st.integers(0, 3))
def test_a_comment_is_never_too_long_and_always_has_its_marker(text: str, copies: int) -> None:
    for origin in (OURS, FORK):
        body = comment_of("a", (text + "\n") * (copies * 40_000 // (len(text) + 1) + 1), origin)
        assert len(body) <= MOST_CHARACTERS
        assert body.startswith(marker_of("a") + "\n")
        assert body.endswith(".</sub>\n")
