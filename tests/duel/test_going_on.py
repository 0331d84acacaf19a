"""What a duel that goes on takes up of what it left, what it says of that, and what a machine learns from it."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.bench.builds import Built
from harness.bench.waiting import Waiting
from harness.duel.contesting import DUEL_FILE, Duel, Journal, Rules, contest
from harness.duel.machines import MachineFile
from harness.duel.pairing import Pair
from harness.duel.preparing import Key, ReadyCell, Side
from tests.duel.sides import BUSY, task_of

SPENT = Rules(budget_s=1e-6)
"""No pair is taken any more: what there is decides."""
KEY = ("linear", "by-same")


def side_of(root: Path, name: str, *, strategies: Sequence[str] = ("same",)) -> Side:
    """A side whose cells are never served."""
    plan = task_of(root, Path("/nowhere/python"), name, dict.fromkeys(strategies, BUSY)).plan
    waiting = Waiting(columns={}, details={}, artifact={}, converted=None)
    cells = {
        (cell.model, cell.strategy): ReadyCell(
            cell=cell,
            python=Path("/nowhere/python"),
            plan=plan,
            registry=plan.registry(),
            built=Built(root),
            waiting=waiting,
        )
        for cell in plan.cells
    }
    return Side(name=name, cells=cells, identity=f"identity of {name}", converted=f"conversion of {name}")


def pairs_of(differences: Sequence[float], *, key: Key = KEY) -> list[Pair]:
    return [
        Pair(model=key[0], strategy=key[1], started="2026-11-22T00:00:00Z", seconds=1.0, difference=each)
        for each in differences
    ]


def noisy(effect: float, pairs: int, *, noise: float = 0.001, seed: int = 0) -> list[float]:
    chance = random.Random(seed)
    return [math.log1p(effect) + chance.gauss(0.0, noise) for _ in range(pairs)]


def journal_of(root: Path, sides: tuple[Side, Side]) -> Journal:
    return Journal(root, sides, SPENT, MachineFile(root, "cpu"))


def left(root: Path, sides: tuple[Side, Side], pairs: Sequence[Pair]) -> Journal:
    """What a duel leaves that was cut after these pairs."""
    journal = journal_of(root, sides)
    journal.folder.mkdir(parents=True, exist_ok=True)
    journal.take_up(lambda _: None)
    for pair in pairs:
        journal.add(pair)
    journal.state("cut")
    return journal


def gone_on(root: Path, sides: tuple[Side, Side], told: list[str] | None = None) -> Duel:
    """What is said of the pairs that are there; what a person is told is added to `told`."""
    tell = (told if told is not None else []).append
    return contest(root, sides, list(sides[0].cells), rules=SPENT, tell=tell, busy=lambda _: None)


def test_pairs_are_gone_on_with_where_nothing_changed(tmp_path: Path) -> None:
    sides = side_of(tmp_path, "one"), side_of(tmp_path, "two")
    left(tmp_path, sides, pairs_of(noisy(0.0, 3)))
    told: list[str] = []
    assert gone_on(tmp_path, sides, told).pairs == 3
    assert told == ["going on with 3 pairs that were taken before"]


def test_pairs_of_artifacts_that_were_converted_anew_are_not_gone_on_with(tmp_path: Path) -> None:
    sides = side_of(tmp_path, "one"), side_of(tmp_path, "two")
    left(tmp_path, sides, pairs_of(noisy(0.0, 3)))
    told: list[str] = []
    assert gone_on(tmp_path, (sides[0], replace(sides[1], converted="another")), told).pairs == 0
    assert told == ["beginning anew: the 3 pairs that were taken before are of another machine or conversion"]


def test_pairs_of_another_machine_are_not_gone_on_with(tmp_path: Path) -> None:
    sides = side_of(tmp_path, "one"), side_of(tmp_path, "two")
    journal = left(tmp_path, sides, pairs_of(noisy(0.0, 3)))
    stated = json.loads((journal.folder / DUEL_FILE).read_text(encoding="utf-8"))
    assert stated["machine"] == [MachineFile(tmp_path, "cpu").name, ""]
    stated["machine"][0] = "amd-epyc-64-cores-256-gib"
    (journal.folder / DUEL_FILE).write_text(json.dumps(stated), encoding="utf-8")
    assert gone_on(tmp_path, sides).pairs == 0
