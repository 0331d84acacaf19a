"""A run whose cells run alone on a node, where one of them changes the environment."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.attempts import execution
from harness.attempts.tasks import Task
from harness.bench.attempt import Attempt
from harness.bench.identity import identity
from harness.bench.plan import Cell, Plan
from harness.executors.units import ChangedThereError, Unit, Work
from harness.matrix.wholeness import Change
from harness.tables.ingredients import Surroundings
from tests.attempts.conftest import Observer
from tests.attempts.test_execution import fail, plan_of


class Node:
    """Stands for a node on which each cell takes a second, and one of them changes the environment in the middle."""

    jobs = 1
    conditions: Mapping[str, Any] = {}

    def __init__(self, plan: Plan, guilty: Cell) -> None:
        self._plan = plan
        self._guilty = guilty
        self.ordered: list[int] = []

    def surroundings(self, unit: Unit, work: Work, here: Surroundings) -> Sequence[Surroundings]:
        """Not asked."""
        raise NotImplementedError

    def run(self, units: Sequence[Unit], work: Work, look: Callable[[], bool]) -> None:
        """Not asked."""
        raise NotImplementedError

    def alone(self, unit: Unit, work: Work, look: Callable[[], None], *, only_waiting: bool = False) -> int:
        """Run what has no record. Of what ran in an environment that changed nothing is left."""
        attempt = Attempt(unit.folder)
        cells = [cell for cell in self._plan.cells if not attempt.record_of(cell).exists()]
        self.ordered.append(len(cells))
        if self._guilty in cells:
            at = cells.index(self._guilty) + 0.5
            spans = {(cell.model, cell.strategy): [(float(n), n + 1.0)] for n, cell in enumerate(cells)}
            msg = "node one: small changed there. What it timed does not count."
            raise ChangedThereError(msg, [Change("a.py", "edited", "", at)], spans)
        for cell in cells:
            fail(attempt, self._plan, cell)
        look()
        return 0


def _on_a_node(root: Path, folder: Path, interpreter: Path | None = None) -> tuple[Node, Attempt, list[str]]:
    """Have the cells of a plan run alone on a node, where the first of them changes the environment."""
    plan, observer = plan_of(root), Observer()
    attempt, node = Attempt(folder), Node(plan, plan.cells[0])
    attempt.begin(plan, identity(plan, plan.registry(), inside={"packages": {}, "python": ""}, lock=""), {})
    task = Task(plan=plan, interpreter=interpreter)
    made = execution._Execution(root, task, attempt, plan.registry(), observer, fresh=False, executor=node)
    with pytest.raises(ChangedThereError) if interpreter else contextlib.nullcontext():
        made._alone(Work(root=root, name="small", python=Path(sys.executable), python_version="", lock=""))
    return node, attempt, observer.told


def test_a_cell_that_changes_the_environment_of_a_node_is_found_out_and_the_others_run(
    root: Path, tmp_path: Path
) -> None:
    node, attempt, told = _on_a_node(root, tmp_path / "attempt")
    errors = [json.loads(attempt.record_of(cell).read_text())["row"]["error_type"] for cell in plan_of(root).cells]
    assert errors == ["EnvironmentChanged", "KeyError"]
    assert node.ordered == [2, 2, 1], "it is suspected, found out, and not run again"
    assert told.count("node one: small changed there. What it timed does not count.") == 2


def test_where_nobody_mends_an_environment_on_a_node_the_run_stops_and_its_suspect_is_kept(
    root: Path, tmp_path: Path
) -> None:
    node, attempt, _ = _on_a_node(root, tmp_path / "attempt", Path(sys.executable))
    assert node.ordered == [2]
    assert (attempt.read() or {})["suspects"] == [plan_of(root).cells[0].slug]
