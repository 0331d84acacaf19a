"""What a duel that goes on takes up of what it left, what it says of that, and what a machine learns from it."""

from __future__ import annotations

import contextlib
import json
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.bench.builds import Built
from harness.bench.errors import UsageError
from harness.bench.record import write_json
from harness.bench.waiting import Waiting
from harness.duel.contesting import DUEL_FILE, PAIRS_FILE, Duel, Journal, Rules, contest
from harness.duel.deciding import Decision
from harness.duel.grounds import OutOfTimeError
from harness.duel.machines import MachineFile
from harness.duel.pairing import Pair
from harness.duel.preparing import Key, ReadyCell, Side
from harness.duel.thresholds import LEAST, UNMEASURED
from harness.report.duel import as_text
from tests.duel.sides import BUSY, task_of

SPENT = Rules(budget_s=1e-6)
"""No pair is taken any more: what there is decides."""
KEY, OTHER = ("linear", "by-same"), ("other", "by-same")


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> ReadyCell:
    """A cell that is never served."""
    root, python = tmp_path_factory.mktemp("ready"), Path("/nowhere/python")
    plan = task_of(root, python, "any", {"same": BUSY}).plan
    waiting = Waiting(columns={}, details={}, artifact={}, converted=None)
    (cell,) = plan.cells
    return ReadyCell(cell=cell, python=python, plan=plan, registry=plan.registry(), built=Built(root), waiting=waiting)


@pytest.fixture(scope="module")
def sides(ready: ReadyCell) -> tuple[Side, Side]:
    return side_of("one", ready), side_of("two", ready)


def side_of(name: str, ready: ReadyCell, *, keys: Sequence[Key] = (KEY,)) -> Side:
    cells = {key: replace(ready, cell=replace(ready.cell, model=key[0], strategy=key[1])) for key in keys}
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
    # Begun long ago: a duel is known by when it began, in seconds.
    stated = json.loads((journal.folder / DUEL_FILE).read_text(encoding="utf-8"))
    write_json(journal.folder / DUEL_FILE, {**stated, "started": "2026-01-01T00:00:00Z"})
    return journal


def gone_on(root: Path, sides: tuple[Side, Side], told: list[str] | None = None) -> Duel:
    """What is said of the pairs that are there; what a person is told is added to `told`."""
    tell = (told if told is not None else []).append
    return contest(root, sides, list(sides[0].cells), rules=SPENT, tell=tell, busy=lambda _: None)


def test_pairs_are_gone_on_with_where_nothing_changed(tmp_path: Path, sides: tuple[Side, Side]) -> None:
    left(tmp_path, sides, pairs_of(noisy(0.0, 3)))
    told: list[str] = []
    assert gone_on(tmp_path, sides, told).pairs == 3
    assert told == ["going on with 3 pairs that were taken before"]


def test_pairs_of_artifacts_that_were_converted_anew_are_not_gone_on_with(
    tmp_path: Path, sides: tuple[Side, Side]
) -> None:
    left(tmp_path, sides, pairs_of(noisy(0.0, 3)))
    told: list[str] = []
    assert gone_on(tmp_path, (sides[0], replace(sides[1], converted="another")), told).pairs == 0
    assert told == ["beginning anew: the 3 pairs that were taken before are of another machine or conversion"]


def test_pairs_of_another_machine_are_not_gone_on_with(tmp_path: Path, sides: tuple[Side, Side]) -> None:
    journal = left(tmp_path, sides, pairs_of(noisy(0.0, 3)))
    stated = json.loads((journal.folder / DUEL_FILE).read_text(encoding="utf-8"))
    assert stated["machine"] == MachineFile(tmp_path, "cpu").stated
    for other, pairs in (({"memory_mb": stated["machine"]["memory_mb"] * 0.995}, 3), ({"cpu": "another"}, 0)):
        write_json(journal.folder / DUEL_FILE, {**stated, "machine": {**stated["machine"], **other}})
        assert gone_on(tmp_path, sides).pairs == pairs


def test_pairs_of_several_nodes_are_of_one_duel_that_names_them(tmp_path: Path, sides: tuple[Side, Side]) -> None:
    pairs = [
        replace(each, node=node)
        for each, node in zip(pairs_of(noisy(0.0, 3)), ("n1 (a)", "n2 (b)", "n1 (a)"), strict=True)
    ]
    left(tmp_path, sides, pairs)
    duel = gone_on(tmp_path, sides)
    assert (duel.pairs, duel.nodes) == (3, ("n1 (a)", "n2 (b)"))
    text = as_text(duel)
    assert "GiB, on nodes n1 (a), n2 (b), each pair on one of them\n" in text
    assert "(`harness duel one one` with the same --machine measures it)" in text


class Lost:
    """A ground whose one node is lost, and none comes in its place before the time is over."""

    conditions: Mapping[str, Any] = {}

    def __init__(self) -> None:
        self.clock = 0.0

    @contextlib.contextmanager
    def pairing(self, *_: Any) -> Iterator[Lost]:
        yield self

    def take(self, sides: tuple[ReadyCell, ReadyCell], *, chance: random.Random, until: float = math.inf) -> Pair:
        del sides, chance
        self.clock = until + 1.0
        raise OutOfTimeError


def test_the_budget_ends_a_duel_that_waits_for_a_node(
    tmp_path: Path, sides: tuple[Side, Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    left(tmp_path, sides, pairs_of(noisy(0.0, 3)))
    ground = Lost()
    monkeypatch.setattr("harness.duel.contesting.time", SimpleNamespace(monotonic=lambda: ground.clock))
    rules = replace(SPENT, budget_s=600.0)
    ignored: list[str] = []
    keys = list(sides[0].cells)
    duel = contest(tmp_path, sides, keys, rules=rules, tell=ignored.append, busy=ignored.append, ground=ground)
    assert ground.clock == 601.0
    assert (duel.pairs, duel.cut) == (3, tuple(keys))


def test_what_is_known_of_a_machine_is_of_the_one_that_tells_its_conditions(tmp_path: Path) -> None:
    told = {"cpu": "AMD EPYC", "cores": 16, "memory_mb": 64 * 1024, "os": "Linux"}
    there = MachineFile(tmp_path, "cuda", {"machine": told, "gpu": {"name": "NVIDIA H200"}})
    assert (there.name, there.gpu) == ("amd-epyc-16-cores-64-gib", "NVIDIA H200")
    assert there.path.name != MachineFile(tmp_path, "cpu").path.name


def test_machines_of_one_make_whose_memory_rounds_apart_are_known_as_one(tmp_path: Path) -> None:
    def of(memory_mb: int) -> MachineFile:
        told = {"cpu": "AMD EPYC", "cores": 16, "memory_mb": memory_mb, "os": "Linux"}
        return MachineFile(tmp_path, "cpu", {"machine": told, "gpu": None})

    learnt = of(64 * 1024 - 500)
    learnt.learn("duel", {})
    assert of(64 * 1024 - 530).path == learnt.path, "63 GiB, by itself"
    assert of(63 * 1024 - 600).path != learnt.path


@pytest.mark.parametrize(
    "line",
    ['{"model": "linear", "strat\0\0\0', "[]", "7", '{"model": "linear"}', '{"unknown": 1}', "\xff"],
)
def test_a_line_that_no_pair_can_be_read_from_is_left_out_and_said_so(
    tmp_path: Path, sides: tuple[Side, Side], line: str
) -> None:
    journal = left(tmp_path, sides, pairs_of(noisy(0.0, 3)))
    file = journal.folder / PAIRS_FILE
    whole = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(whole[0] + line.encode("latin-1") + b"\n" + b"".join(whole[1:]))
    told: list[str] = []
    assert gone_on(tmp_path, sides, told).pairs == 3
    assert told[1] == f"left out 1 line of {file} that cannot be read: these pairs are taken again"
    assert file.read_bytes() == b"".join(whole)


@pytest.mark.parametrize("difference", ['"0.1"', "NaN", "Infinity", "[0.1]"])
def test_a_difference_that_cannot_be_weighed_is_no_pair(
    tmp_path: Path, sides: tuple[Side, Side], difference: str
) -> None:
    journal = left(tmp_path, sides, pairs_of([0.125, 0.25]))
    file = journal.folder / PAIRS_FILE
    file.write_text(file.read_text(encoding="utf-8").replace("0.125", difference), encoding="utf-8")
    assert gone_on(tmp_path, sides).pairs == 1


def test_what_fell_out_stays_so_in_a_duel_that_goes_on_and_in_the_next_one_it_is_tried_again(
    tmp_path: Path, sides: tuple[Side, Side]
) -> None:
    crashed = Pair(model=KEY[0], strategy=KEY[1], started="", seconds=1.0, failed="b", reason="crashed at measure: x")
    journal = left(tmp_path, sides, [*pairs_of(noisy(0.2, 5)), crashed, *pairs_of(noisy(0.2, 1))])
    told: list[str] = []
    duel = gone_on(tmp_path, sides, told)
    assert told == ["going on with 6 pairs that were taken before"]
    assert duel.decisions[KEY].q_slower <= 0.05
    assert duel.decisions[KEY].decision is Decision.INCONCLUSIVE
    assert duel.decisions[KEY].reason == duel.fell_out[KEY] == "side B (two) crashed at measure: x"
    assert not duel.cut
    assert json.loads((journal.folder / DUEL_FILE).read_text(encoding="utf-8"))["state"] == "ended"
    again = gone_on(tmp_path, sides)
    assert (again.pairs, again.fell_out) == (0, {})
    assert again.cut == (KEY,)


@pytest.fixture(scope="module")
def itself(ready: ReadyCell) -> tuple[Side, Side]:
    """The sides of a combination against itself, of two cells."""
    keys = [KEY, OTHER]
    return side_of("one", ready, keys=keys), side_of("one", ready, keys=keys)


def test_a_duel_against_itself_that_goes_on_takes_back_none_of_its_alarms(
    tmp_path: Path, itself: tuple[Side, Side]
) -> None:
    left(tmp_path, itself, pairs_of(noisy(0.05, 12)))
    for _ in range(2):
        duel = gone_on(tmp_path, itself)
        assert duel.cut == (OTHER,)
        assert duel.decisions[KEY].decision is Decision.SLOWER
        assert duel.decisions[KEY].slower_than == UNMEASURED
        assert duel.alarms is not None
        assert (duel.alarms.alarms, duel.alarms.cells) == (1, 1)
        assert duel.learnt == {KEY: pytest.approx(0.05, abs=0.005)}
    assert "False alarms: 1 of 1 cells" in as_text(duel)
    assert "1 cell that did not come to the end: not counted." in as_text(duel)
    (again,) = [file for file in duel.folder.parent.iterdir() if file.is_dir()]
    stated = json.loads((again / DUEL_FILE).read_text(encoding="utf-8"))
    write_json(again / DUEL_FILE, {**stated, "state": "ended"})
    assert gone_on(tmp_path, itself).thresholds == duel.learnt, "the next duel knows it"


SLOWED = [0.0, 0.002, -0.003, 0.001, math.log(1.8)]


@pytest.mark.parametrize("differences", [SLOWED, [*SLOWED, 0.001]])
def test_one_slowed_pair_of_a_cell_that_was_cut_off_teaches_nothing(
    tmp_path: Path, itself: tuple[Side, Side], differences: list[float]
) -> None:
    left(tmp_path, itself, [*pairs_of(differences), *pairs_of(noisy(0.0, 6), key=OTHER)])
    duel = gone_on(tmp_path, itself)
    assert duel.cut == (KEY,)
    assert duel.learnt == {OTHER: LEAST}
    assert duel.alarms is not None
    assert duel.alarms.cells == 1


def test_a_cell_that_died_teaches_nothing(tmp_path: Path, itself: tuple[Side, Side]) -> None:
    crashed = Pair(model=KEY[0], strategy=KEY[1], started="", seconds=1.0, failed="a", reason="crashed")
    left(tmp_path, itself, [*pairs_of(noisy(0.3, 6)), crashed])
    assert gone_on(tmp_path, itself).learnt == {}


def with_other_lock(side: Side, folder: Path) -> Side:
    (folder / "lock.txt").write_text("onnx==1.16.0\n", encoding="utf-8")
    cells = {
        key: replace(each, plan=replace(each.plan, lock=str(folder / "lock.txt"))) for key, each in side.cells.items()
    }
    return replace(side, cells=cells)


def with_other_model(side: Side, folder: Path) -> Side:
    return replace(side, cells={key: replace(each, model_digest="edited") for key, each in side.cells.items()})


def with_other_strategy(side: Side, folder: Path) -> Side:
    plan = task_of(folder, Path("/nowhere/python"), "any", {"same": f"{BUSY}; 1"}).plan
    return replace(side, cells={key: replace(each, registry=plan.registry()) for key, each in side.cells.items()})


@pytest.mark.parametrize("other", [with_other_lock, with_other_model, with_other_strategy])
def test_a_threshold_is_of_the_lock_the_model_and_the_strategy_that_it_was_measured_of(
    tmp_path: Path, ready: ReadyCell, other: Callable[[Side, Path], Side]
) -> None:
    itself = side_of("one", ready), side_of("one", ready)
    left(tmp_path, itself, pairs_of(noisy(0.04, 6)))
    learnt = gone_on(tmp_path, itself).learnt
    assert learnt == {KEY: pytest.approx(0.04, abs=0.005)}
    against = side_of("two", ready)
    assert gone_on(tmp_path, (itself[0], against)).thresholds == learnt
    assert gone_on(tmp_path, (other(itself[0], tmp_path), against)).thresholds == {}


@pytest.mark.parametrize("what", ["device", "threads"])
def test_sides_of_other_devices_or_threads_are_refused(tmp_path: Path, ready: ReadyCell, what: str) -> None:
    one, two = side_of("one", ready), side_of("two", ready)
    cell = two.cells[KEY]
    if what == "device":
        cell = replace(cell, cell=replace(cell.cell, device="cuda"))
    else:
        cell = replace(cell, plan=replace(cell.plan, policy=replace(cell.policy, threads=2)))
    with pytest.raises(UsageError, match=r"cpu with threads = 1, (cuda with threads = 1|cpu with threads = 2):"):
        gone_on(tmp_path, (one, replace(two, cells={KEY: cell})))
