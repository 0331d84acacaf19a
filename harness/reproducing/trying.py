"""Runs a script as anybody would, by `uv run`, and tells whether it ends as the cell did."""

from __future__ import annotations

import re
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.bench.group import end_leftovers
from harness.bench.logs import tail
from harness.bench.record import Record
from harness.bench.roots import ENDED
from harness.bench.stages import Outcome
from harness.bench.text import printable
from harness.matrix import tooling
from harness.reproducing.pinning import public_environ
from harness.reproducing.script import PASSES, reached, told_of

FILE = "repro.py"
"""What a script is called while it is tried."""

_LOG_BYTES = 2**20
_TIMEOUT_S = 600.0
_SIGNALLED = 128

# What differs between two runs of one failure: where files lie, numbers, addresses, how lines are broken.
_FOLDERS = re.compile(r"(?:<[\w-]+>|~|\.)?(?:/[\w.@+-]+)*/(?=[\w.<@-])")
_FRAME = re.compile(r'File "[^"\n]*", line \d+')
_NUMBERS = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)*(?:e[+-]?\d+)?")
_FIGURE = re.compile(r"relative error (\d\S*)")
_EXIT = re.compile(r"SystemExit\((\d+)\)")
_OWN_FRAME = re.compile(rf'File "[^"\n]*{FILE}", line \d+, in <module>')
"""Where the traceback begins of what nobody caught: a tool that ends the process leaves none."""

_TRACEBACK = re.compile(r"^Traceback \(most recent call last\):$", re.MULTILINE)
_OWN_TRACEBACK = re.compile(rf"{_TRACEBACK.pattern}\n\s+{_OWN_FRAME.pattern}", re.MULTILINE)
_ERROR = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:Error|Exception|Interrupt)(?::|$)", re.MULTILINE)
_UNINDENTED = re.compile(r"^\S.*", re.MULTILINE | re.DOTALL)
_CHAINED = (
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
)
_POSITIONS = re.compile(r"\(\d+ positions differ\)")
_NEAR = 0.05


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a run of a script ended. `code` is None where it did not come to an end; `log` is what it printed."""

    code: int | None
    log: str

    @property
    def passed(self) -> bool:
        """Whether it said that all is well."""
        return self.code == 0 and PASSES in self.log.splitlines()[-1:]

    @property
    def last(self) -> str:
        """Its last line, for a person."""
        lines = [line for line in printable(self.log).splitlines() if line.strip()]
        return lines[-1] if lines else f"exit code {self.code}"


def run(text: str, *, mirror: bool = False, timeout_s: float = _TIMEOUT_S) -> Ended:
    """Run a script in a folder of its own, with nothing of this process's environment that could change it.

    `mirror` says that PyPI is reached through this machine's default index.
    """
    with tempfile.TemporaryDirectory(prefix="harness-reproduce-", ignore_cleanup_errors=True) as place:
        folder = Path(place).resolve()
        file, log = folder / FILE, folder / "log.txt"
        file.write_text(text, encoding="utf-8")
        environ = {**public_environ(mirror=mirror), "TMPDIR": str(folder)}
        command = [tooling.uv(), "run", "--quiet", "--no-project", "--script", str(file)]
        code: int | None = None
        try:
            code = tooling.run(command, cwd=folder, environ=environ, log=log, marker=str(folder), timeout_s=timeout_s)
        except TimeoutError:
            pass
        finally:
            end_leftovers(str(folder))
        return Ended(code=code, log=tail(log, _LOG_BYTES))


def ends_as(record: Record, ended: Ended) -> bool:
    """Whether a script ended as its cell did: by the same error, the same difference, the same signal."""
    if record.outcome is Outcome.TIMED_OUT:
        return ended.code is None and reached(record) in ended.log.splitlines()
    if not ended.code:
        return False
    if record.outcome is Outcome.CRASHED:
        number = abs(ended.code) - (_SIGNALLED if ended.code > _SIGNALLED else 0)
        known = {each.value for each in signal.Signals}
        return number in known and signal.Signals(number).name == record.error_type
    log, told = printable(ended.log), told_of(record)
    if record.outcome is Outcome.MISMATCHED:
        return _plain(_difference(told)) in _plain(log) and _same_figure(told, log)
    if record.error_type == "SystemExit":
        return _exits_as(told, ended.code, log)
    return any(_raises_as(record.error_type or "", told, raised) for raised in _raised(log))


def _raised(log: str) -> list[str]:
    """What was raised last and nobody caught, and what that came of: each type and message, without its frames.

    Where a tool ended the process without one, it is what the tool printed last of an error, or all that it did.
    """
    if not (found := [*_OWN_TRACEBACK.finditer(log)]):
        printed = [*_TRACEBACK.finditer(log)] or [*_ERROR.finditer(log)]
        return [log[printed[-1].start() :]] if printed else [log]
    blocks, before = [log[found[-1].start() :]], log[: found[-1].start()].rstrip()
    while before.endswith(_CHAINED):
        before = before[: before.rindex("\n") if "\n" in before else 0].rstrip()
        found = [*_TRACEBACK.finditer(before)]
        begin = found[-1].start() if found else 0
        blocks.append(before[begin:])
        before = before[:begin].rstrip()
    # The line of the header is followed by frames, which are indented, and these by what was raised.
    return [told[0] if (told := _UNINDENTED.search(each.partition("\n")[2])) else each for each in blocks]


def _raises_as(kind: str, told: str, raised: str) -> bool:
    """Whether a message is a cell's, which may have been cut, and may have a word of the harness after it."""
    if not re.search(rf"(?<!\w){re.escape(kind)}(?!\w)", raised):
        return False
    if told.startswith(f"{kind} without a message"):
        return re.fullmatch(rf"(?:[\w<>]+\.)*{re.escape(kind)}", raised.partition("\n")[0].rstrip(": ")) is not None
    # TensorFlow puts the lines of whoever called it into a message, which are not the script's.
    parts = [part for part in told.split(" … ") if part and "<harness>/harness/" not in part]
    if parts and all(_plain(part) in _plain(raised) for part in parts):
        return True
    said = _plain(raised.partition(": ")[2])
    whole = _plain(told)
    return bool(said) and whole.startswith(said) and re.match(r"\.? ", whole[len(said) :]) is not None


def _exits_as(told: str, code: int, log: str) -> bool:
    """Whether a tool ended the process as it did: by the same exit code, and having said the same."""
    said, _, how = told.partition(ENDED)
    number = _EXIT.search(how)
    raised = _OWN_FRAME.search(log) is not None
    return not raised and (number is None or int(number[1]) == code) and _plain(said.rstrip(" (")) in _plain(log)


def _difference(told: str) -> str:
    """A difference as scripts tell it: without the output's name, which tables of older schemas had otherwise."""
    what = told.partition(", most at")[0]
    if counted := _POSITIONS.search(what):
        return counted[0]
    return what.partition(": ")[2] or what.partition(" (")[0]


def _plain(text: str) -> str:
    return " ".join(_NUMBERS.sub("#", _FOLDERS.sub("", _FRAME.sub("File", text))).split())


def _same_figure(told: str, log: str) -> bool:
    """Whether two relative errors are all but equal, where there are any."""
    before, after = _FIGURE.search(told), _FIGURE.findall(log)
    if before is None or not after:
        return before is None and not after
    one, other = float(before[1]), float(after[-1])
    return abs(one - other) <= _NEAR * max(one, other)
