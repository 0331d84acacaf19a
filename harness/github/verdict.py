"""What `action.yml` runs: one command of the harness, with its verdict as outputs of a step and as files.

What tools and models print stands in the log of a step, where a line can be a command to the runner: none of it is.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from harness.bench.errors import HarnessError, UsageError, unknown
from harness.bench.places import find_root
from harness.matrix.since import change_since
from harness.report.escaping import fenced
from harness.report.wording import plain

COMMANDS = ("gate", "compare", "bump", "pins")
DECISIONS = {0: "may merge", 1: "do not merge"}
"""By exit code, where there is a verdict; whatever else it is, nothing could be told."""

COMMENT, DOCUMENT, ANNOTATIONS = "comment.md", "verdict.json", "annotations.txt"
_ANNOTATION = re.compile(r"::(?:error|warning|notice) [^\n]*")
COULD_NOT_TELL = 3
_NO_VERDICT = (
    "harness: it ended with exit code 0 and without a verdict, which fails this step. Leave out of the input "
    "`arguments` what has it print something else, such as `--help`, and name both sides, or `since`."
)
_TOLD = 30
"""Lines of the log that a comment has where there is no verdict."""

_LENGTH = 500
"""Characters that each of these may have."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """The inputs of the action, as `action.yml` describes them; empty where nothing was given."""

    command: str
    base: str = ""
    candidate: str = ""
    since: str = ""
    pins: str = ""
    python: str = ""
    tier: str = ""
    arguments: str = ""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Given:
        """The inputs as a step passes them: `ACTION_BASE` and the like."""
        return cls(**{name: environ.get(f"ACTION_{name.upper()}", "").strip() for name in cls.__dataclass_fields__})


def arguments_of(given: Given, root: Path) -> list[str]:
    """The command that the inputs ask for, as `harness` takes it. Raises `UsageError` where they ask for none."""
    if given.command not in COMMANDS:
        raise UsageError(unknown("command", given.command, COMMANDS))
    further = [*(["--tier", given.tier] if given.tier else []), *_words(given.arguments, "arguments")]
    python = ["--python-version", given.python] if given.python else []
    if given.command == "pins":
        return ["pins", "--since", _needed(given.since, "since"), "--json", *_words(given.arguments, "arguments")]
    if given.command == "bump":
        moves = _words(_needed(given.candidate, "candidate"), "candidate")
        return ["bump", _needed(given.base, "base"), *moves, *python, *further]
    base, candidate = _sides(given, root)
    if given.command == "gate" and _is_file(root, base) and _is_file(root, candidate):
        sides = ["--base-requirements", base, "--candidate-requirements", candidate, *python]
    else:
        sides = [base, candidate]
    return [given.command, *sides, *further]


def _sides(given: Given, root: Path) -> tuple[str, str]:
    """What is held against each other: as it was given, or the pins that a change touches."""
    if not given.since:
        return _needed(given.base, "base"), _needed(given.candidate, "candidate")
    if given.base or given.candidate or given.command != "gate":
        msg = "`since` finds both sides of a gate by itself. Leave out `base` and `candidate`, or `since`."
        raise UsageError(msg)
    touched = {each.name: each for each in change_since(root, given.since).touched}
    name = given.pins or (next(iter(touched)) if len(touched) == 1 else "")
    if name not in touched:
        told = ", ".join(touched) or "none"
        msg = f"`pins`: {name or 'nothing'} was named, and those that differ since {given.since} are: {told}. Name one."
        raise UsageError(msg)
    return touched[name].base, touched[name].candidate


def _needed(value: str, name: str) -> str:
    if not value or value.startswith("-"):
        msg = f"the input `{name}` is {value or 'empty'!r}, and this command needs it. See action.yml."
        raise UsageError(msg)
    return value


def _words(value: str, name: str) -> list[str]:
    """A value as a shell takes it apart."""
    try:
        return shlex.split(value)
    except ValueError as error:
        msg = f"the input `{name}` is {value!r}, which no shell could take apart ({error}). Close what is open in it."
        raise UsageError(msg) from None


def _is_file(root: Path, value: str) -> bool:
    """Whether it is requirements, of a project perhaps with extras or a group behind the file's name."""
    return (root / value).is_file() or (root / re.sub(r"(\[[^\]]*\])?(:[\w.-]+)?$", "", value)).is_file()


@contextmanager
def _no_commands() -> Iterator[None]:
    """While this lasts, the runner takes no line of the log for a command."""
    word = str(uuid.uuid4())
    click.echo(f"::stop-commands::{word}")
    try:
        yield
    finally:
        # What was printed last need not have ended its line.
        click.echo(f"\n::{word}::")


def run(arguments: list[str], *, cwd: Path, output: Path | None = None) -> tuple[int, list[str]]:
    """Run `harness` with these; its exit code, and the last lines of its log, without what went into `output`."""
    last = deque[str](maxlen=_TOLD)
    command = [sys.executable, "-P", "-m", "harness.cli", *arguments]
    with ExitStack() as stack:
        stack.enter_context(_no_commands())
        click.echo(shlex.join(["harness", *arguments]))
        file = stack.enter_context(output.open("wb")) if output else subprocess.PIPE
        beside = subprocess.PIPE if output else subprocess.STDOUT
        process = stack.enter_context(subprocess.Popen(command, cwd=cwd, stdout=file, stderr=beside))
        log = process.stderr if output else process.stdout
        assert log is not None
        for line in log:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
            last.append(line.decode("utf-8", "replace").rstrip())
    return process.returncode, list(last)


def decision_of(command: str, code: int, *, judged: bool) -> str:
    """What a command decided; Python ends with 1 as well where the harness breaks down before it has judged."""
    if command == "compare":
        return ""
    return DECISIONS.get(code, "cannot tell") if judged else "cannot tell"


def without_a_verdict(code: int, last: list[str]) -> str:
    """The comment of a command that ended before it had one."""
    lines = [f"### Cannot tell: the harness ended with exit code {code} before it had a verdict"]
    lines.append(fenced([plain(line, length=_LENGTH) for line in last]))
    return "\n\n".join([*lines[: 2 if last else 1], ""])


def main() -> int:
    """Do what the inputs ask for; the exit code is that of the harness, and never 0 where a verdict is missing."""
    given, root = Given.of(os.environ), find_root(Path.cwd())
    folder = Path(tempfile.mkdtemp(prefix="verdict-", dir=os.environ.get("RUNNER_TEMP")))
    try:
        arguments = arguments_of(given, root)
    except HarnessError as error:
        with _no_commands():
            click.echo(f"harness: {error}")
        _tell(outputs={"decision": "cannot tell", "exit-code": str(error.exit_code)})
        return error.exit_code
    if given.command == "pins":
        listed = folder / "pins.json"
        code, _ = run(arguments, cwd=root, output=listed)
        told = {"pins": listed.read_text(encoding="utf-8").strip(), "exit-code": str(code), "folder": str(folder)}
        _tell(outputs=told)
        return code
    comment, document, annotations = (folder / name for name in (COMMENT, DOCUMENT, ANNOTATIONS))
    wanted = [f"comment={comment}", f"json={document}", f"annotations={annotations}"]
    wanted += [f"summary={path}"] if (path := os.environ.get("GITHUB_STEP_SUMMARY")) else []
    code, last = run([*arguments, *(f"--to={each}" for each in wanted)], cwd=root)
    judged = comment.exists()
    if not judged:
        if code == 0:
            code, last = COULD_NOT_TELL, [*last, _NO_VERDICT]
            click.echo(f"::error title=No verdict::{_NO_VERDICT}")
        comment.write_text(without_a_verdict(code, last), encoding="utf-8")
        _tell(summary=comment.read_text(encoding="utf-8"))
    elif annotations.exists():
        for each in filter(_ANNOTATION.fullmatch, annotations.read_text(encoding="utf-8").split("\n")):
            click.echo(each)
    decision = decision_of(given.command, code, judged=judged)
    outputs = {"decision": decision, "exit-code": str(code), "comment": str(comment), "folder": str(folder)}
    _tell(outputs={**outputs, "json": str(document) if document.exists() else ""})
    return code


def _tell(*, outputs: Mapping[str, str] | None = None, summary: str = "") -> None:
    """Append to the files by which a step tells GitHub something; each output is one line."""
    for variable, text in (
        ("GITHUB_OUTPUT", "".join(f"{name}={value}\n" for name, value in (outputs or {}).items())),
        ("GITHUB_STEP_SUMMARY", summary),
    ):
        if (path := os.environ.get(variable)) and text:
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(text)


if __name__ == "__main__":
    sys.exit(main())
