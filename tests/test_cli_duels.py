"""What a verdict takes from a duel: of which cells it is, what stands in its way, and what it fails on."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from harness.bench.errors import NoEvidenceError, RunInterruptedError
from harness.bench.hold import held_if_free
from harness.bench.plan import Policy
from harness.bench.record import Record
from harness.cli import duels
from harness.cli.context import new_console
from harness.cli.duels import Duellists, _changed, fought, told_by_duel
from harness.cli.replanning import duellists_of, plan_by_table
from harness.duel.contesting import Duel, Rules, alone, contest
from harness.duel.deciding import Decision
from harness.duel.preparing import Key, ReadyCell, Side
from harness.matrix import combination as combinations
from harness.matrix.environment import holding_folder
from harness.matrix.locks import read_lock
from harness.report.live import RunDisplay
from harness.tables.assembly import merge
from harness.tables.consistency import lock_digest
from harness.tables.schema import Extended, Table
from harness.tables.writing import write_table
from harness.verdict.comparison import Comparison, compare
from harness.verdict.duelled import Duelled
from harness.verdict.gate import judge
from harness.verdict.policy import GatePolicy, GateRule, Limits
from tests.attempts.conftest import make_ambient
from tests.duel.sides import BUSY, ready, slowed, task_of
from tests.tables.samples import failed, passed, table

ROOT = Path(__file__).resolve().parents[1]


def of(*records: Record, lock: str = "", started: str = "2026-02-01T12:00:00Z") -> Table:
    made = table(*records, started=started)
    return replace(made, run=replace(made.run, lock_digest=lock))


def compared(*records: Record) -> Comparison:
    return compare(of(*records, lock="one"), of(*records, lock="two", started="2026-02-02T12:00:00Z"))


def told(
    comparison: Comparison, policy: GatePolicy, *, raises: type[Exception] | None = None
) -> tuple[Duelled, list[set[Key]]]:
    """What a duel comes to that has nothing to time, or cannot be; and the cells that it was to be of."""
    asked: list[set[Key]] = []

    def duellists(meant: set[Key], _: RunDisplay) -> Duellists:
        asked.append(meant)
        if raises is not None:
            msg = "its lock cannot be had.\nMend it."
            raise raises(msg)
        return Duellists(groups=([], []), untimed=dict.fromkeys(meant, "no such environment"))

    return told_by_duel(ROOT, comparison, duellists, policy=policy, budget_s=60, quietly=True), asked


CELLS = (passed("a", "native"), passed("a", "onnx"), passed("b", "onnx"))


def test_all_cells_that_pass_on_both_sides_are_timed_where_no_limit_is_named() -> None:
    broken = compare(of(*CELLS, lock="one"), of(*CELLS[:2], failed("b", "onnx"), lock="two"))
    found, asked = told(broken, GatePolicy())
    assert asked == [{("a", "native"), ("a", "onnx")}]
    assert set(found.untimed) == asked[0]


def test_only_cells_with_a_limit_are_timed_where_one_is_named() -> None:
    policy = GatePolicy(rules=(GateRule(strategies=("onnx*",), limits=Limits(latency_percent=5.0)),))
    assert told(compared(*CELLS), policy)[1] == [{("a", "onnx"), ("b", "onnx")}]
    nobody = GatePolicy(rules=(GateRule(models=("c",), limits=Limits(latency_percent=5.0)),))
    found, asked = told(compared(*CELLS), nobody)
    assert (asked, found.none) == ([], "")
    assert found.notes == ("[gate] names latency_percent for no cell that passes on both sides.",)


def test_what_stands_in_the_way_of_a_duel_is_told_and_the_verdict_is_left_open() -> None:
    found, _ = told(compared(*CELLS), GatePolicy(), raises=NoEvidenceError)
    assert found.none == "its lock cannot be had. Mend it"
    assert judge(compared(*CELLS), duelled=found).exit_code == 3
    with pytest.raises(RunInterruptedError):
        told(compared(*CELLS), GatePolicy(), raises=RunInterruptedError)


def test_tables_of_one_environment_need_no_duel_and_those_without_a_passing_cell_can_have_none() -> None:
    same = compare(of(*CELLS, lock="one"), of(*CELLS, lock="one", started="2026-02-02T12:00:00Z"))
    found, asked = told(same, GatePolicy())
    assert (asked, found.none) == ([], "")
    assert "one environment" in found.notes[0]
    broken = compare(of(failed("a", "onnx"), lock="one"), of(failed("a", "onnx"), lock="two"))
    assert told(broken, GatePolicy())[0].none == "no cell passes on both sides"


def test_tables_of_different_numbers_of_threads_are_not_duelled_and_nothing_is_made_ready_for_it() -> None:
    before, after = of(*CELLS, lock="one"), of(*CELLS, lock="two", started="2026-02-02T12:00:00Z")
    after = replace(after, run=replace(after.run, threads=before.run.threads + 1))
    found, asked = told(compare(before, after), GatePolicy(latency_must_be_told=True))
    assert asked == []
    assert found.none == "the tables were made with different numbers of threads, 2 and 3"
    assert found.remedy == "run the candidate again with --threads 2, and gate again."
    assert judge(compare(before, after), duelled=found).exit_code == 3


def test_only_the_cells_whose_own_environment_is_the_same_on_both_sides_are_left_out() -> None:
    cells = (passed("a", "native"), passed("a", "onnx", extension="tools"), passed("b", "onnx", extension="jax"))

    def extended(started: str, **digests: str) -> Table:
        made = of(*cells, lock="own", started=started)
        extensions = {name: Extended(lock_digest=digest, packages={}) for name, digest in digests.items()}
        return replace(made, run=replace(made.run, extensions=extensions))

    before = extended("2026-02-01T12:00:00Z", tools="one", jax="same")
    after = extended("2026-02-02T12:00:00Z", tools="two", jax="same")
    assert told(compare(before, after), GatePolicy())[1] == [{("a", "onnx")}]
    of_jax = GatePolicy(rules=(GateRule(models=("b",), limits=Limits(latency_percent=5.0)),))
    found, asked = told(compare(before, after), of_jax)
    assert (asked, found.none) == ([], "")
    assert "one environment" in found.notes[0]


def test_code_that_has_changed_since_its_table_is_named_the_models_and_the_strategys(tmp_path: Path) -> None:
    key = "linear", "by-same"
    ours = passed(*key, model_digest="m1", strategy_digest="s1")
    made = replace(ready(tmp_path, "before"), model_digest="m1", strategy_digest="s1")

    def named(before: ReadyCell, after: ReadyCell) -> list[str]:
        sides = [Side(name=name, cells={key: cell}, identity="") for name, cell in (("A", before), ("B", after))]
        return _changed(sides, compared(ours))

    assert named(made, made) == []
    assert named(made, replace(made, strategy_digest="s2")) == ["linear/by-same"]
    assert named(replace(made, model_digest="m2"), made) == ["linear/by-same"]
    assert named(made, replace(made, model_digest=None, strategy_digest=None)) == []


LOCK = "# uv pip compile --python-version 3.11 --generate-hashes\nsix==1.16.0 \\\n    --hash=sha256:00\n"


@pytest.mark.parametrize(("own", "of_tools"), [(3, 1), (1, 3), (5, 5)])
def test_the_cells_of_a_table_are_planned_by_the_policy_that_they_were_run_by(own: int, of_tools: int) -> None:
    """Beyond the quick tier the launches of extensions are by default others than the combination's."""
    native, converted = passed("lstm", "native"), passed("lstm", "onnx2tf", extension="tools")
    run = merge(
        [
            table(native, tier="core", policy=asdict(Policy(launches=own))),
            table(converted, tier="core", extension="tools", policy=asdict(Policy(launches=of_tools, timeout_s=9.0))),
        ]
    ).run
    plans = [plan_by_table(ROOT, run, [record]) for record in (native, converted)]
    assert [(plan.extension, plan.policy.launches, plan.policy.timeout_s) for plan in plans] == [
        ("", own, Policy().timeout_s),
        ("tools", of_tools, 9.0),
    ]


def test_each_table_is_duelled_in_the_environment_of_its_own_lock(tmp_path: Path) -> None:
    (tmp_path / "matrices" / "locks").mkdir(parents=True)
    for part in ("torch2.0.in", "locks/torch2.0.txt"):
        (tmp_path / "matrices" / part).write_bytes((ROOT / "matrices" / part).read_bytes())
    now = read_lock(tmp_path, combinations.read(tmp_path, "torch2.0"))
    cells = (passed("lstm", "native"), passed("lstm", "onnx-torchscript"))

    def written(text: str, digest: str, started: str, **policy: float) -> Table:
        made = table(*(replace(cell, combination="torch2.0") for cell in cells), started=started)
        run = replace(made.run, combination="torch2.0", lock_digest=digest, device="cpu", python="3.11.7")
        made = replace(made, run=replace(run, policy={**run.policy, **policy}), locks={"": text})
        return replace(made, folder=write_table(tmp_path / "results", made))

    other = written(LOCK, lock_digest(LOCK), "2026-02-01T12:00:00Z", measure_s=0.25, timeout_s=400.0)
    newest = written(now.text, now.digest, "2026-02-02T12:00:00Z", measure_s=0.75, timeout_s=200.0)
    found = duellists_of(tmp_path, (other, newest), {("lstm", "onnx-torchscript")}, print)
    ((before,), (after,)) = found.groups
    assert (before.name, after.name) == (f"torch2.0-{other.run.lock_digest[:8]}", "torch2.0")
    assert before.lock is not None
    assert after.lock is not None
    assert (before.lock.text, after.lock.text) == (LOCK, now.text)
    for task in (before, after):
        assert [(cell.model, cell.strategy) for cell in task.plan.cells] == [("lstm", "onnx-torchscript")]
        assert {cell.combination for cell in task.plan.cells} == {task.plan.combination}
        assert (task.plan.policy.measure_s, task.plan.policy.timeout_s) == (0.75, 400.0), "the larger of both sides"
    assert found.untimed == {}
    threaded = written(LOCK, lock_digest(LOCK), "2026-02-03T12:00:00Z", threads=7)
    with pytest.raises(NoEvidenceError, match="different numbers of threads, 1 and 7"):
        duellists_of(tmp_path, (threaded, newest), {("lstm", "onnx-torchscript")}, print)


def test_both_environments_are_held_from_before_the_first_conversion_and_waiting_for_others_costs_no_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = make_ambient(tmp_path / "interpreter")
    tasks = [task_of(tmp_path, python, name, {"same": BUSY}) for name in ("before", "after")]
    free: list[bool] = []
    spent: list[float] = []

    class Display(RunDisplay):
        def started(self, model: str, strategy: str) -> None:
            super().started(model, strategy)
            for task in tasks:
                with held_if_free(holding_folder(tmp_path, task.name)) as is_free:
                    free.append(is_free)

    def noting(*given: Any, spent_s: float, **named: Any) -> Duel:
        spent.append(spent_s)
        return contest(*given, spent_s=spent_s, **named)

    monkeypatch.setattr(duels, "contest", noting)
    waited_s, has_it = 2.0, threading.Event()

    def duel_elsewhere() -> None:
        with alone(tmp_path, print):
            has_it.set()
            time.sleep(waited_s)

    threading.Thread(target=duel_elsewhere).start()
    assert has_it.wait(10)
    began = time.monotonic()
    with Display(new_console(stderr=True)) as display:
        duel = fought(tmp_path, [[task] for task in tasks], rules=Rules(budget_s=0.01), display=display).duel
    assert free == [False] * 4, "two cells, and two environments at each"
    assert 0 < spent[0] < time.monotonic() - began - waited_s / 2
    assert duel.cut == (("linear", "by-same"),)


@pytest.mark.alone
def test_a_verdict_fails_on_what_a_duel_confirms(tmp_path: Path) -> None:
    python = make_ambient(tmp_path / "interpreter")
    tasks = [
        task_of(tmp_path, python, "before", {"same": BUSY, "moved": BUSY}),
        task_of(tmp_path, python, "after", {"same": BUSY, "moved": slowed(0.3)}),
    ]
    comparison = compared(passed("linear", "by-same"), passed("linear", "by-moved"))
    policy = GatePolicy(limits=Limits(latency_percent=10.0), latency_must_be_told=True)
    found = told_by_duel(
        tmp_path,
        comparison,
        lambda _meant, _display: Duellists(groups=[[task] for task in tasks], untimed={}),
        policy=policy,
        budget_s=240,
        quietly=True,
    )
    assert found.none == ""
    decided = {strategy: cell.decision for (_, strategy), cell in found.cells.items()}
    assert decided == {"by-same": Decision.EQUAL, "by-moved": Decision.SLOWER}
    assert found.cells["linear", "by-same"].equal_within == pytest.approx(0.1)
    assert (found.sides, found.cut, found.fell_out) == (("before", "after"), frozenset(), frozenset())
    assert found.unmeasured == found.told == set(found.cells)
    verdict = judge(comparison, policy=policy, duelled=found)
    assert verdict.exit_code == 1
    assert [each.name for each in verdict.slower] == ["linear/by-moved"]
    assert not list((tmp_path / ".harness" / "attempts").glob("*/*/waiting"))
