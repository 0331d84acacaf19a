"""What `comment/action.yml` runs: the verdicts of a run become comments on the pull request that it was of.

That run was of the pull request's code, and may have been told anything by it. So which pull request it is of is asked
of GitHub, by what GitHub itself says of the run; a verdict is a text, and no more. Nothing is installed for this, which
has a token that may write: it is run by its path, and needs the standard library alone.
"""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_CHARACTERS = 65_536
"""That a comment may have."""

MOST_VERDICTS = 20
"""Comments that one run may add to a pull request."""

MOST_PINS = 256
"""Jobs that a matrix may have: no gate could have judged more."""

_MOST_BYTES = 1 << 20
_PAGE = 100
_NAME = re.compile(r"gate-(\w[\w.+-]{0,99})", re.ASCII)
_OURS = re.compile(r"<!-- conversion-harness: gate (\w[\w.+-]{0,99}) -->\n", re.ASCII)
_MARKER = re.compile(r"\A<!-- conversion-harness:[^\n]*-->\n")
_ALIVE = re.compile(
    r"""
    [@#](?=\w)                               # mentions and references
    | &(?!(?:amp|lt|gt|quot|nbsp);)          # an entity can stand for any of these
    | (?:[a-z](?=\\?-\d) | GHSA(?=\\?-))     # references by prefix, such as GH-1 and CVE-2024-1
    | [0-9a-f]{6}(?=[0-9a-f])                # commits have seven digits and more
    | :(?=\\?/\\?/) | www(?=\\?\.)           # bare addresses
    | \](?=[(\[:])                           # links, images, and what they are defined by
    | <(?=[a-z/])(?!/?(?:details|summary)>)  # HTML but for that of a verdict, and addresses between brackets
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""The beginnings of what GitHub makes a link or an image of, or notifies somebody of. What stands behind a word joiner
is no part of it, in code as well."""

_PINS = "pins/pins.json"
"""Where a run leaves which pins differ, as `harness pins --json` lists them."""

_GONE = """### The pins of `{name}` do not differ any more

This pull request leaves them as its target has them: there is nothing to judge, and what stood here is out of date.
"""
_UNREAD = """### The verdict on `{name}` is in the summary of the run

More sets of pins differ than a run may have comments for. What stood here was of an earlier commit.
"""
_LOST = """### Cannot tell: the gate of `{name}` ended without a verdict

The run says why. What may have stood here was of an earlier commit.
"""
_CUT = "\n\nThis was too long for a comment: the rest is in the summary of the run."


class GitHubError(Exception):
    """GitHub refused, or could not be reached."""


@dataclass(frozen=True)
class Origin:
    """The run that a verdict is from, by what GitHub says of it."""

    repository: str
    fork: str
    branch: str
    commit: str
    address: str

    @classmethod
    def of(cls, event: dict[str, Any]) -> Origin:
        """The origin by the event of a run that has completed; `fork` is empty where it is of the repository itself."""
        run, repository = event["workflow_run"], str(event["repository"]["full_name"])
        head = str((run["head_repository"] or {}).get("full_name", ""))
        fork = "" if head == repository else head or "unknown"
        return cls(repository, fork, str(run["head_branch"]), str(run["head_sha"]), str(run["html_url"]))


@dataclass(frozen=True)
class GitHub:
    """GitHub's interface, with the token of a job."""

    address: str
    token: str

    def asked(self, path: str, *, method: str = "GET", body: dict[str, Any] | None = None) -> Any:
        """The answer, read. Raises `GitHubError`."""
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/vnd.github+json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.address}/{path}", data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            hint = ". The job needs `permissions: pull-requests: write`" if error.code in (401, 403, 404) else ""
            message = f"{method} {path}: {error.code} {error.reason}{hint}."
            raise GitHubError(message) from None
        except (OSError, ValueError) as error:
            message = f"{method} {path}: {error}. Run the job again."
            raise GitHubError(message) from None

    def pages(self, path: str, **query: str) -> Iterator[Any]:
        """All entries of a list."""
        number = 1
        while True:
            asked = urllib.parse.urlencode({**query, "per_page": _PAGE, "page": number})
            entries = self.asked(f"{path}?{asked}")
            yield from entries
            if len(entries) < _PAGE:
                return
            number += 1


def pull_requests(github: GitHub, origin: Origin) -> list[int]:
    """The open pull requests whose newest commit is that of the run; none where something was pushed since."""
    head = origin.fork or origin.repository
    owner = head.partition("/")[0]
    found = github.pages(f"repos/{origin.repository}/pulls", state="open", head=f"{owner}:{origin.branch}")
    return [
        int(each["number"])
        for each in found
        if each["head"]["sha"] == origin.commit
        and (each["head"]["repo"] or {}).get("full_name") == head
        and each["base"]["repo"]["full_name"] == origin.repository
    ]


@dataclass(frozen=True)
class Left:
    """What a run left: its verdicts by the name of what was judged, and the names of those that were too many to read.

    `pins` are the names of the pins that differ; None where it left none that can be read.
    """

    verdicts: dict[str, str]
    unread: frozenset[str] = frozenset()
    pins: frozenset[str] | None = None

    @classmethod
    def read(cls, folder: Path) -> Left:
        """What lies in `folder`, but for what is none of it."""
        paths = verdicts_in(folder)
        texts = [(name, path.read_text(encoding="utf-8", errors="replace")) for name, path in paths[:MOST_VERDICTS]]
        return cls(dict(texts), frozenset(name for name, _ in paths[MOST_VERDICTS:]), pins_in(folder))


def verdicts_in(folder: Path) -> list[tuple[str, Path]]:
    """The comments that a run left, with the name of what was judged; whatever else lies there is passed over."""
    found = []
    for path in sorted(folder.glob("*/comment.md")):
        name = _NAME.fullmatch(path.parent.name)
        if name is None or path.is_symlink() or not path.is_file() or path.stat().st_size > _MOST_BYTES:
            print(f"Passed over: {path.parent.name!r}")
            continue
        found.append((name[1], path))
    return found


def pins_in(folder: Path) -> frozenset[str] | None:
    """The names of the pins that differ, as a run left them; None where it left none that can be read, or too many."""
    path = folder / _PINS
    if path.parent.is_symlink() or path.is_symlink() or not path.is_file() or path.stat().st_size > _MOST_BYTES:
        return None
    try:
        names = [each["name"] for each in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if len(names) > MOST_PINS:
        return None
    return frozenset(name for name in names if isinstance(name, str) and _NAME.fullmatch(f"gate-{name}"))


def outdated(comments: list[Any], left: Left, *, login: str) -> dict[str, str]:
    """What to say of pins that no verdict is posted of: of those that differ, and of others that have a comment.

    Comments are added up to `MOST_VERDICTS`, with those for verdicts. Where it is not known which pins differ, only
    what is known to be judged anew is told.
    """
    commented = {found[1] for each in _own(comments, login) if (found := _OURS.match(each["body"]))}
    said = dict.fromkeys(sorted(commented & left.unread), _UNREAD)
    if left.pins is not None:
        lost = left.pins - {*left.verdicts} - left.unread
        room = MOST_VERDICTS - len(left.verdicts)
        said |= dict.fromkeys([*sorted(lost & commented), *sorted(lost - commented)[:room]], _LOST)
        said |= dict.fromkeys(sorted(commented - left.pins - {*left.verdicts} - left.unread), _GONE)
    return {name: text.format(name=name) for name, text in said.items()}


def _own(comments: list[Any], login: str) -> Iterator[Any]:
    return (each for each in comments if each["user"] and each["user"]["login"] == login)


def marker_of(name: str) -> str:
    """The first line of the comment on `name`, by which it is found again."""
    return f"<!-- conversion-harness: gate {name} -->"


def comment_of(name: str, verdict: str, origin: Origin) -> str:
    """The whole comment: what was said, and by which run."""
    said = _MARKER.sub("", verdict).replace("\0", "\ufffd").strip()
    # A comment or an instruction that is not closed would hide what follows.
    said = re.sub(r"<(?=[!?])", "&lt;", said)
    above = ""
    if origin.fork:
        said = _ALIVE.sub("\\g<0>\u2060", said)
        above = f"> From the fork `{origin.fork}`: its own code made what follows.\n\n"
    below = f"\n\n<sub>Of {origin.commit}, by [this run]({origin.address}).</sub>\n"
    before = f"{marker_of(name)}\n{above}"
    room = MOST_CHARACTERS - len(before) - len(below)
    return f"{before}{said if len(said) <= room else _cut(said, room)}{below}"


def _cut(text: str, room: int) -> str:
    """The first lines of a text, with what they leave open closed."""
    closing = room - len(_CUT) - 200
    kept = text[:closing].rpartition("\n")[0]
    fence = ""
    for line in kept.splitlines():
        if run := re.match(r"\s*(`{3,})", line):
            fence = "" if fence and len(run[1]) >= len(fence) else fence or run[1]
    folds = max(0, min(8, kept.count("<details") - kept.count("</details>")))
    return kept + (f"\n{fence}" if fence else "") + "\n</details>" * folds + _CUT


def post(github: GitHub, origin: Origin, number: int, left: Left, *, login: str) -> None:
    """Make each comment, or bring that which is there up to date; only comments by `login` are touched.

    What has no verdict of the run is said to be out of date.
    """
    comments = list(github.pages(f"repos/{origin.repository}/issues/{number}/comments"))
    for name, verdict in {**left.verdicts, **outdated(comments, left, login=login)}.items():
        body = comment_of(name, verdict, origin)
        own = _own(comments, login)
        there = next((each for each in own if each["body"].startswith(marker_of(name))), None)
        place = f"repos/{origin.repository}/issues"
        if there is None:
            github.asked(f"{place}/{number}/comments", method="POST", body={"body": body})
        else:
            github.asked(f"{place}/comments/{int(there['id'])}", method="PATCH", body={"body": body})
        print(f"{name}: {'made' if there is None else 'brought up to date'} on #{number}")


def main() -> int:
    """Post what lies in the folder that is named; 1 where GitHub refused."""
    event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
    github = GitHub(os.environ["GITHUB_API_URL"], os.environ["GITHUB_TOKEN"])
    folder, origin = Path(sys.argv[1]), Origin.of(event)
    left = Left.read(folder)
    if not left.verdicts and left.pins is None:
        print("The run left no verdict: there is nothing to tell.")
        return 0
    try:
        numbers = pull_requests(github, origin)
        if len(numbers) != 1:
            told = ", ".join(f"#{number}" for number in numbers) or "none"
            print(f"One open pull request has the commit of a verdict as its newest, and here it is: {told}.")
            return 0
        post(github, origin, numbers[0], left, login=os.environ["COMMENTER"])
    except GitHubError as error:
        print(f"::error::{str(error).splitlines()[0]}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
