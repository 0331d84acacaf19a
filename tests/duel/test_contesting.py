"""Duels that really run, of stand-ins: what is slower is found, what is not is left alone, and what dies is told."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from harness.attempts.tasks import Task
from harness.bench.disk import remove_tree
from harness.bench.group import MARKER
from harness.duel.contesting import DUEL_FILE, PAIRS_FILE, Duel, Rules
from harness.duel.deciding import Decision
from harness.duel.machines import MachineFile
from harness.duel.pairing import Turns
from harness.duel.preparing import Side, prepare
from harness.duel.sequential import Design
from harness.report.duel import as_text, to_json
from tests.attempts.conftest import ROOT, Observer, make_ambient
from tests.duel.sides import BUSY, fight, slowed, task_of

pytestmark = pytest.mark.alone

RULES = Rules(design=Design(looks=(6, 12)), turns=Turns(blocks=8, turn_s=0.004), budget_s=120.0)
DIES = BUSY + "\n            if self.calls > 250: os.abort()"
GROWS = "until = began + 100e-6 * 1.02 ** min(self.calls, 250)\n            while time.perf_counter() < until: pass"
LIES = BUSY + "\n            if self.calls > 100: y = y * 2"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_ambient(tmp_path_factory.mktemp("interpreter"))


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory, python: Path) -> tuple[Path, Duel]:
    """A duel of four cells of which one moved by 20 %, one dies and one begins to answer wrongly; and its root."""
    root = tmp_path_factory.mktemp("moved")
    before = {"same": BUSY, "moved": BUSY, "dying": BUSY, "lying": BUSY}
    after = {"same": BUSY, "moved": slowed(0.2), "dying": DIES, "lying": LIES}
    tasks = [task_of(root, python, "before", before), task_of(root, python, "after", after)]
    return root, fight(root, tasks, RULES, Observer())


def test_what_is_slower_by_a_fifth_is_told_slower_and_what_is_alike_equal(moved: tuple[Path, Duel]) -> None:
    told = {strategy: cell for (_, strategy), cell in moved[1].decisions.items()}
    assert told["by-moved"].decision is Decision.SLOWER
    assert told["by-moved"].effect == pytest.approx(0.2, abs=0.05)
    assert told["by-same"].decision is Decision.EQUAL
    assert moved[1].alarms is None


@pytest.mark.parametrize(
    ("name", "words"),
    [("by-dying", "crashed at measure"), ("by-lying", "while measuring: output: values differ")],
)
def test_a_cell_that_falls_out_is_inconclusive_with_the_side_and_the_reason(
    moved: tuple[Path, Duel], name: str, words: str
) -> None:
    cell = moved[1].decisions["linear", name]
    assert cell.decision is Decision.INCONCLUSIVE
    assert cell.reason.startswith("side B (after) ")
    assert words in cell.reason
    assert moved[1].fell_out["linear", name] == cell.reason


def test_every_pair_is_kept_and_nothing_else_is_left(moved: tuple[Path, Duel]) -> None:
    root, duel = moved
    assert json.loads((duel.folder / DUEL_FILE).read_text(encoding="utf-8"))["state"] == "ended"
    pairs = [json.loads(line) for line in (duel.folder / PAIRS_FILE).read_text(encoding="utf-8").splitlines()]
    whole = [pair for pair in pairs if pair["difference"] is not None]
    assert len(whole) == duel.pairs == sum(cell.pairs for cell in duel.decisions.values())
    for pair in whole:
        assert len(pair["turns_a_s"]) == len(pair["turns_b_s"]) == len(pair["first"]) == RULES.turns.blocks
        assert {each["provider"] for each in pair["processes"]} == {"numpy"}
    assert {letter for pair in whole for letter in pair["first"]} == {"a", "b"}
    assert not (duel.folder / "scratch").exists()
    assert not list((root / ".harness" / "attempts").glob("*/*/waiting"))
    assert not _marked(duel.folder)


def test_a_report_has_a_line_for_each_cell_the_slower_ones_first(moved: tuple[Path, Duel]) -> None:
    duel = moved[1]
    lines = as_text(duel).splitlines()
    assert lines[0] == (
        "before (A) against after (B) on the CPU with 1 thread: 4 cells, 8 turns of 4 ms a side and pair"
    )
    cells = [line.split()[0] for line in lines if line.startswith("linear/")]
    assert (cells[0], cells[-1]) == ("linear/by-moved", "linear/by-same")
    assert any(line.startswith("1 slower, 0 faster, 1 equal, 2 inconclusive.") for line in map(str.strip, lines))
    told = json.loads(json.dumps(to_json(duel)))
    assert [cell["decision"] for cell in told["cells"]] == ["slower", "inconclusive", "inconclusive", "equal"]


def test_against_itself_a_combination_has_no_alarm_and_each_cell_a_threshold_that_later_duels_use(
    tmp_path: Path, python: Path
) -> None:
    task = task_of(tmp_path, python, "alone", {"same": BUSY, "other": BUSY})
    duel = fight(tmp_path, [task, task], RULES, Observer())
    assert duel.alarms is not None
    assert (duel.alarms.alarms, duel.alarms.cells) == (0, 2)
    assert duel.learnt.keys() == duel.decisions.keys()
    assert all(0.01 <= share < 0.5 for share in duel.learnt.values())
    assert "False alarms: 0 of 2 cells" in as_text(duel)
    stated = json.loads(MachineFile(tmp_path, "cpu").path.read_text(encoding="utf-8"))["aa"]
    known = {(each["combination"], each["device"], each["threads"], each["gpu"]) for each in stated}
    assert (len(stated), known) == (2, {("alone", "cpu", 1, "")})
    assert fight(tmp_path, [task, task], replace(RULES, budget_s=0.1), Observer()).thresholds == duel.learnt
    assert MachineFile(tmp_path, "cpu").machine["cores"] == len(os.sched_getaffinity(0))


def test_a_side_that_never_comes_to_take_equally_long_is_named(tmp_path: Path, python: Path) -> None:
    task = task_of(tmp_path, python, "growing", {"same": BUSY, "growing": GROWS})
    rules = replace(RULES, design=Design(looks=(6,)))
    duel = fight(tmp_path, [task, task], rules, Observer())
    assert ("linear", "by-growing") in duel.unsteady
    assert "equally long before they were timed: linear/by-growing" in as_text(duel)
    assert to_json(duel)["unsteady"] == ["/".join(key) for key in duel.unsteady]


SCRIPT = """
import sys
from pathlib import Path
from tests.attempts.conftest import Observer
from tests.duel.sides import fight
from tests.duel.test_contesting import RULES, two_tasks
root, python = map(Path, sys.argv[1:])
fight(root, two_tasks(root, python), RULES, Observer())
"""


def two_tasks(root: Path, python: Path) -> list[Task]:
    return [task_of(root, python, name, {"same": BUSY}) for name in ("one", "two")]


def _marked(folder: Path) -> list[int]:
    """The processes of a duel that are alive."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"{MARKER}={folder}".encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def test_a_duel_that_was_killed_leaves_no_process_and_goes_on_with_the_pairs_that_it_took(
    tmp_path: Path, python: Path
) -> None:
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path), str(python)], cwd=ROOT)
    deadline = time.monotonic() + 60
    while not (pairs := [*tmp_path.glob(f".harness/duels/*/*/{PAIRS_FILE}")]) or _lines(pairs[0]) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    taken = _lines(pairs[0])
    while _marked(pairs[0].parent):
        assert time.monotonic() < deadline, "processes outlive the one that started them"
        time.sleep(0.05)
    with pairs[0].open("a", encoding="utf-8") as file:
        file.write('{"model": "cut sh')
    observer = Observer()
    duel = fight(tmp_path, two_tasks(tmp_path, python), RULES, observer)
    assert f"going on with {taken} pairs that were taken before" in observer.told
    assert not [line for line in observer.told if line.startswith("started")], "nothing is converted again"
    assert duel.pairs == _lines(pairs[0]) == next(iter(duel.decisions.values())).pairs


def test_what_is_converted_anew_is_told_from_what_was_there(tmp_path: Path, python: Path) -> None:
    task, *_ = two_tasks(tmp_path, python)

    def made() -> Side:
        with contextlib.ExitStack() as holds:
            return prepare(tmp_path, [task], Observer(), holds, side="a")

    first, again = made(), made()
    assert (first.identity, first.converted) == (again.identity, again.converted)
    remove_tree(first.attempts[0].folder)
    anew = made()
    assert (anew.identity, anew.converted == first.converted) == (first.identity, False)


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def test_what_the_budget_cuts_off_is_said_and_the_next_call_goes_on(tmp_path: Path, python: Path) -> None:
    tasks = two_tasks(tmp_path, python)
    cut = fight(tmp_path, tasks, replace(RULES, budget_s=0.5), Observer())
    (cell,) = cut.decisions.values()
    assert cell.decision is Decision.INCONCLUSIVE
    assert cell.reason == "the budget of 0.00833 minutes was spent after 0 of 12 pairs"
    assert cut.cut == tuple(cut.decisions)
    assert "The budget cut off 1 cell: linear/by-same. The same command goes on" in as_text(cut)
    observer = Observer()
    whole = fight(tmp_path, tasks, RULES, observer)
    assert not whole.cut
    assert not [line for line in observer.told if line.startswith("started")]
