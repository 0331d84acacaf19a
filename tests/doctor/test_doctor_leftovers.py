"""What killed runs leave: found without touching it, mended when asked, and left alone while somebody has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import cli
from harness.bench.attempt import Attempt
from harness.bench.disk import remove_tree
from harness.bench.group import MARKER
from harness.bench.plan import Cell, Plan
from harness.doctor import examining, holds, leftovers
from harness.doctor.finding import Finding, Severity
from tests.attempts.conftest import leave_waiting
from tests.bench.children import alive, until

ROOT = Path(__file__).resolve().parents[2]

HOLDER = """
import sys, time
from pathlib import Path
from harness.bench.hold import hold
with hold(Path(sys.argv[1]), "it", print):
    print("held", flush=True)
    time.sleep(600)
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Python code in a process that ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def call(code: str, *arguments: Path, **environ: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield call
    for process in started:
        process.kill()
        process.communicate()


def _held(start: Start, folder: Path) -> subprocess.Popen[str]:
    process = start(HOLDER, folder)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.fixture
def attempt(root: Path) -> Attempt:
    """One that was under way."""
    made = Attempt(root / ".harness" / "attempts" / "small" / "cpu-quick-0123")
    made.clear_scratch()
    plan = Plan("small", "cpu", "quick", (Cell("small", "lstm", "native", "cpu"),))
    made.begin(plan, {"lock": "0123"}, {})
    made.clear_scratch()
    (made.scratch / "weights").write_bytes(b"x" * 3 * 2**20)
    return made


def _told(findings: list[Finding], what: str) -> list[str]:
    return [finding.found for finding in findings if finding.what == what and finding.severity is Severity.WARNING]


def test_nothing_is_left(root: Path) -> None:
    (finding,) = leftovers.leftovers(root)
    assert finding.found == "none left anything"


def test_a_hold_is_seen_while_it_lasts_and_not_after_it(root: Path, start: Start) -> None:
    folder = root / ".harness" / "environments" / "small"
    assert not holds.is_held(folder)
    process = _held(start, folder)
    assert holds.holder_of(folder).startswith(f"process {process.pid} since ")
    assert _told(leftovers.leftovers(root), "hold") == []
    process.kill()
    process.wait()
    assert not holds.is_held(folder)
    (told,) = _told(leftovers.leftovers(root), "hold")
    assert told.startswith(f".harness/environments/small names a holder that has gone: process {process.pid} since")


def test_what_a_killed_run_left_is_told_and_then_mended(
    root: Path, attempt: Attempt, start: Start, files: Callable[[], dict[str, tuple[int, bytes]]]
) -> None:
    holder = _held(start, attempt.folder)
    child = start("import time; time.sleep(600)", **{MARKER: str(attempt.folder)})
    other = start("import time; time.sleep(600)", **{MARKER: f"{root}-other"})
    unit = start("import time; time.sleep(600)", **{MARKER: str(attempt.folder / "units" / "0001")})
    before = files()
    working = leftovers.leftovers(root)
    assert {finding.severity for finding in working} == {Severity.FINE}
    assert any(f"is held by process {holder.pid}" in finding.found for finding in working)

    holder.kill()
    holder.wait()
    (attempt.folder / f".attempt.json.{holder.pid}").write_text("{", encoding="utf-8")
    (attempt.folder / f".attempt.json.{os.getpid()}").write_text("{", encoding="utf-8")
    before = files()
    found = leftovers.leftovers(root)
    assert _told(found, "processes") == [f"1 of a killed run are still at work: {each.pid}" for each in (child, unit)]
    assert _told(found, "scratch") == [
        ".harness/attempts/small/cpu-quick-0123/scratch has 3 MiB of a run that was killed"
    ]
    assert len(_told(found, "hold")) == 1
    assert _told(found, "half a file") == [
        f".harness/attempts/small/cpu-quick-0123/.attempt.json.{holder.pid}, of a process that died while it wrote"
    ]
    assert {finding.remedy for finding in found if finding.severity is Severity.WARNING} == {"harness doctor --fix"}
    assert files() == before

    done = examining.mend(found)
    assert len(done) == 5
    assert done[0] == "ended 1 processes"
    assert until(lambda: not alive(child.pid))
    assert alive(other.pid)
    assert {finding.severity for finding in leftovers.leftovers(root)} == {Severity.FINE}
    assert attempt.file.exists()


@pytest.mark.parametrize("marked", [".tox/small-tools", ".harness/environments/small+tools/env"])
def test_an_installation_that_was_killed_is_told_unless_somebody_is_at_it(
    root: Path, start: Start, marked: str
) -> None:
    child = start("import time; time.sleep(600)", **{MARKER: str(root / marked)})
    holder = _held(start, root / ".harness" / "environments" / "small+tools")
    assert _told(leftovers.leftovers(root), "processes") == []
    holder.kill()
    holder.wait()
    found = leftovers.leftovers(root)
    assert _told(found, "processes") == [f"1 of a killed run are still at work: {child.pid}"]
    assert "ended 1 processes" in examining.mend(found)


def test_what_somebody_took_up_meanwhile_is_left_as_it_is(root: Path, attempt: Attempt, start: Start) -> None:
    found = leftovers.leftovers(root)
    _held(start, attempt.folder)
    assert examining.mend(found) == [f"{attempt.folder} is held again; left as it is"]
    assert (attempt.scratch / "weights").exists()


def test_a_run_that_is_not_at_its_end_is_told_with_its_command(root: Path, attempt: Attempt, start: Start) -> None:
    runs = root / ".harness" / "runs"
    runs.mkdir()
    of = [["small", "", "cpu", "quick", False], ["small", "tools", "cpu", "quick", False]]
    process = start("import time; time.sleep(600)")
    stated = {
        "run": uuid.uuid4().hex,
        "since": "2026-11-21T10:00:00Z",
        "of": of,
        "pid": process.pid,
        "command": "/somewhere/bin/harness run small --tier quick",
    }
    (runs / "0123.json").write_text(json.dumps(stated), encoding="utf-8")
    (finding,) = [finding for finding in leftovers.leftovers(root) if finding.what == "run"]
    assert finding.severity is Severity.WARNING
    assert finding.found == "of small, small+tools, since 2026-11-21T10:00:00Z: it has not come to its end"
    assert finding.remedy == "harness run small --tier quick"
    _held(start, attempt.folder)
    (finding,) = [finding for finding in leftovers.leftovers(root) if finding.what == "run"]
    assert (finding.severity, finding.found.endswith(f"under way (process {process.pid})")) == (Severity.FINE, True)


def test_what_waits_is_told_and_removed_where_nobody_goes_on_with_it(
    root: Path, attempt: Attempt, start: Start, files: Callable[[], dict[str, tuple[int, bytes]]]
) -> None:
    remove_tree(attempt.scratch)
    leave_waiting(attempt, Cell("small", "lstm", "native", "cpu"))
    place = ".harness/attempts/small/cpu-quick-0123"
    (finding,) = [finding for finding in leftovers.leftovers(root) if finding.what == "waiting"]
    assert finding.severity is Severity.FINE
    assert finding.found == f"1 cells in {place}, 1 MiB; the same command goes on with them"

    attempt.void("files were edited")
    before = files()
    found = leftovers.leftovers(root)
    told = f"{place} has 1 MiB of cells that wait, and nobody goes on with it: files were edited while its cells ran"
    assert _told(found, "waiting") == [told]
    assert files() == before
    holder = _held(start, attempt.folder)
    assert examining.mend(found) == [f"{attempt.folder} is held again; left as it is"]
    assert not [finding for finding in leftovers.leftovers(root) if finding.what == "waiting"]
    holder.kill()
    holder.wait()
    assert examining.mend(found) == [f"removed what waited in {place}"]
    assert not attempt.has_waiting()
    assert attempt.file.exists()


def _doctor(root: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli.cli, ["--root", str(root), "doctor", *arguments], prog_name="harness")
    return result.exit_code, result.stdout


def test_the_command_tells_all_changes_nothing_and_mends_when_asked(
    root: Path, attempt: Attempt, files: Callable[[], dict[str, tuple[int, bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    before = files()
    code, text = _doctor(root)
    assert code == 3
    assert files() == before
    assert [title for title in examining.CHECKS if f"{title}\n" in text] == list(examining.CHECKS)
    assert "  fault    package index: asking for a small package: the package index could not be reached" in text
    assert (
        "  warning  scratch: .harness/attempts/small/cpu-quick-0123/scratch has 3 MiB of a run that was killed" in text
    )
    assert f"{'':11}→ harness doctor --fix\n" in text
    assert "1 would stop a run." in text

    code, text = _doctor(root, "--json", "--fix")
    told = json.loads(text)
    assert code == 3
    assert told["mended"] == ["removed .harness/attempts/small/cpu-quick-0123/scratch"]
    assert {each["check"] for each in told["findings"]} == set(examining.CHECKS)
    assert [each["found"] for each in told["findings"] if each["severity"] == "fault"] == [
        each["found"] for each in told["findings"] if each["what"] == "package index"
    ]
    assert not attempt.scratch.exists()
    assert attempt.file.exists()


def test_what_cannot_be_looked_at_costs_no_other_check(root: Path) -> None:
    def refuses(_: Path) -> list[Finding]:
        raise PermissionError(13, "Permission denied", "/proc/locks")

    found = examining.examine(root, {"Runs": refuses, "Limits": examining.CHECKS["Limits"]})
    (finding,) = found["Runs"]
    assert finding.severity is Severity.WARNING
    assert "this could not be looked at: [Errno 13]" in finding.found
    assert found["Limits"]
