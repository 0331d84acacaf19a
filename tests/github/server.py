"""A server that answers as GitHub does, and the step of `comment/action.yml` that asks it."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.github.runner import ROOT, bash, read

ACTION = read("comment/action.yml")
DOWNLOAD, STEP = ACTION["runs"]["steps"]
BOT = "github-actions[bot]"
RUN = "https://github.com/me/models/actions/runs/7"


@dataclass
class Server:
    """What GitHub knows: pull requests, and the comments on each. `changed` are the requests that changed something."""

    pulls: list[dict[str, Any]] = field(default_factory=list)
    comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    changed: list[tuple[str, str, str]] = field(default_factory=list)
    asked: list[dict[str, list[str]]] = field(default_factory=list)
    refuses: int = 0
    address: str = ""

    def opened(self, number: int, *, sha: str = "c0ffee", head: str = "me/models", base: str = "me/models") -> None:
        self.pulls.append(
            {
                "number": number,
                "head": {"sha": sha, "ref": "bump", "repo": {"full_name": head}},
                "base": {"repo": {"full_name": base}},
            }
        )

    def said(self, number: int, login: str, body: str) -> None:
        comments = self.comments.setdefault(number, [])
        comments.append({"id": 1000 * number + len(comments), "user": {"login": login}, "body": body})

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: dict[str, str]) -> Any:
        if method == "GET":
            self.asked.append(query)
            entries = self.pulls if path.endswith("/pulls") else self.comments.get(int(path.split("/")[-2]), [])
            start = 100 * (int(query["page"][0]) - 1)
            return entries[start : start + 100]
        self.changed.append((method, path, body["body"]))
        if method == "POST":
            self.said(int(path.split("/")[-2]), BOT, body["body"])
        else:
            for comment in (each for comments in self.comments.values() for each in comments):
                if comment["id"] == int(path.rpartition("/")[2]):
                    comment["body"] = body["body"]
        return {}


@contextmanager
def serving() -> Iterator[Server]:
    """A server for as long as this lasts."""
    known = Server()

    class Handler(BaseHTTPRequestHandler):
        def handle_one(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length) or b"{}")
            parts = urlsplit(self.path)
            allowed = self.headers["Authorization"] == "Bearer secret" and not known.refuses
            self.send_response(200 if allowed else known.refuses or 401)
            self.end_headers()
            if allowed:
                answered = known.answer(self.command, parts.path, parse_qs(parts.query), body)
                self.wfile.write(json.dumps(answered).encode())

        do_GET = do_POST = do_PATCH = handle_one  # noqa: N815

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        known.address = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield known
        finally:
            http.shutdown()
            thread.join()


@dataclass(frozen=True)
class Step:
    """The step of the action, with verdicts that a run left, as the artifacts of it lie on a runner."""

    place: Path
    address: str

    def left(self, name: str, text: str | bytes) -> None:
        path = self.place / "verdicts" / name / "comment.md"
        path.parent.mkdir(parents=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def listed(self, text: str) -> None:
        """Which pins differ, as the run left it."""
        path = self.place / "verdicts" / "pins" / "pins.json"
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")

    def __call__(self, *, fork: str = "", token: str = "secret") -> subprocess.CompletedProcess[str]:
        run: dict[str, object] = {"head_sha": "c0ffee", "head_branch": "bump", "html_url": RUN, "id": 7}
        run["head_repository"] = {"full_name": fork or "me/models"}
        event = self.place / "event.json"
        event.write_text(json.dumps({"workflow_run": run, "repository": {"full_name": "me/models"}}))
        environ = {"GITHUB_ACTION_PATH": str(ROOT / "comment"), "RUNNER_TEMP": str(self.place)}
        environ |= {"GITHUB_EVENT_PATH": str(event), "GITHUB_API_URL": self.address, "GITHUB_TOKEN": token}
        environ |= {"COMMENTER": ACTION["inputs"]["login"]["default"]}
        return bash(STEP["run"], self.place, environ)
