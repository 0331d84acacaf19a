"""A duel under way: pairs of every cell in turn, looked at as they come, until all is decided or the budget is spent.

Every pair is kept as it comes, below `.harness/duels`, so that a duel that was interrupted, or that its budget cut
short, goes on where it was. What is decided rests on `harness.duel.deciding`, which holds wherever one stops.
"""

from __future__ import annotations

import contextlib
import json
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from harness.bench.disk import remove_tree
from harness.bench.errors import UsageError
from harness.bench.group import end_leftovers
from harness.bench.hold import hold
from harness.bench.identity import short
from harness.bench.record import now, write_json
from harness.duel.deciding import CellDecision, Contest, Decision, decide
from harness.duel.grounds import SCRATCH, Ground, Here, OutOfTimeError, TakesPairs
from harness.duel.machines import MachineFile, Setting
from harness.duel.pairing import Pair, Turns, unsteady
from harness.duel.preparing import Key, Side
from harness.duel.sequential import Design
from harness.duel.thresholds import AlarmRate, alarm_rate
from harness.matrix.locks import write_whole
from harness.matrix.places import own_folder

DUEL_FILE = "duel.json"
PAIRS_FILE = "pairs.jsonl"

_VERSION = 1
_PAIR_S = 3.0
"""What a pair is taken to cost before there was any."""
_TELL_S = 60.0
"""How often it is told how far it is, where nothing was decided meanwhile."""

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How a duel is fought and decided. `limits` are the shares by which cells may be slower, of those that have one.

    After `budget_s` seconds no pair is begun that would not bring its cell to the next look in time.
    """

    design: Design = field(default_factory=Design)
    turns: Turns = field(default_factory=Turns)
    limits: Mapping[Key, float] = field(default_factory=dict)
    budget_s: float = 1200.0


@dataclass(frozen=True, kw_only=True)
class Duel:
    """What a duel came to.

    `decisions` are of each cell that took part. `absent` says why others did not, `fell_out` of which process and why
    a cell fell out, and `cut` names the cells that the budget left undecided. `thresholds` are those of this machine
    that were measured before; `learnt` those of the cells that came to their end in this duel, of a combination against
    itself, and `alarms` their false alarms. `unsteady` are the cells that were not steady when they were timed, in most
    pairs. `seconds` are those of all pairs, and `shared` is how many of them were taken while others used the GPU, or
    may have. `folder` has every pair. `nodes` are those of a cluster that pairs were taken on, each pair on one; none
    where this machine took them.
    """

    sides: tuple[str, str]
    device: str
    threads: int
    machine: Mapping[str, Any]
    rules: Rules
    decisions: Mapping[Key, CellDecision]
    absent: Mapping[Key, str]
    fell_out: Mapping[Key, str]
    cut: tuple[Key, ...]
    thresholds: Mapping[Key, float]
    learnt: Mapping[Key, float]
    alarms: AlarmRate | None
    pairs: int
    shared: int
    seconds: float
    folder: Path
    unsteady: tuple[Key, ...] = ()
    nodes: tuple[str, ...] = ()

    def of(self, *decisions: Decision) -> list[Key]:
        """The cells of these decisions."""
        return [key for key, cell in self.decisions.items() if cell.decision in decisions]


class Journal:
    """The folder of a duel: what it is of, and its pairs. It is to be held by whoever writes to it."""

    def __init__(self, root: Path, sides: tuple[Side, Side], rules: Rules, kept: MachineFile) -> None:
        of = [[side.name, side.identity] for side in sides]
        settings = {"design": asdict(rules.design), "turns": asdict(rules.turns)}
        self.name = short(json.dumps([of, settings], sort_keys=True))[:12]
        self.folder = root / ".harness" / "duels" / f"{sides[0].name}--{sides[1].name}" / self.name
        self.scratch = self.folder / SCRATCH
        self._kept = kept
        self._converted = [side.converted for side in sides]
        self._stated = {
            "version": _VERSION,
            "sides": of,
            **settings,
            "machine": kept.stated,
            "converted": self._converted,
        }

    def take_up(self, tell: Tell) -> list[Pair]:
        """The pairs of a duel that was interrupted or cut short, or none, for one that begins anew.

        Pairs of another machine, or of artifacts that were since converted anew, are not gone on with. Those in which a
        side failed are among them: what fell out stays so. What a dead one left running or in scratch is removed.
        """
        end_leftovers(str(self.folder))
        remove_tree(self.scratch)
        stated, pairs, unreadable = self._read()
        if stated is None or stated["state"] == "ended":
            pairs = []
            self._stated["started"] = now()
        elif stated.get("converted") != self._converted or not self._kept.is_alike(stated.get("machine")):
            tell(f"beginning anew: the {len(pairs)} pairs that were taken before are of another machine or conversion")
            pairs = []
            self._stated["started"] = now()
        else:
            self._stated["started"] = stated["started"]
            if pairs:
                tell(f"going on with {sum(not pair.failed for pair in pairs)} pairs that were taken before")
            if unreadable:
                lines = "1 line" if unreadable == 1 else f"{unreadable} lines"
                tell(f"left out {lines} of {self.folder / PAIRS_FILE} that cannot be read: these pairs are taken again")
        # What a kill cut short goes from the file: it is taken once more.
        write_whole(self.folder / PAIRS_FILE, "".join(map(_line_of, pairs)).encode())
        self.state("running")
        return pairs

    @property
    def id(self) -> str:
        """Tells this duel from others of the same sides."""
        return f"{self.name} {self._stated['started']}"

    def state(self, state: str) -> None:
        """Write down how far it is: running, cut (by its budget) or ended."""
        write_json(self.folder / DUEL_FILE, {**self._stated, "state": state})

    def add(self, pair: Pair) -> None:
        """Keep a pair, in one write."""
        with (self.folder / PAIRS_FILE).open("ab") as file:
            file.write(_line_of(pair).encode())

    def _read(self) -> tuple[dict[str, Any] | None, list[Pair], int]:
        """What is stated, the pairs, and how many lines are none."""
        try:
            stated: dict[str, Any] = json.loads((self.folder / DUEL_FILE).read_text(encoding="utf-8"))
            lines = (self.folder / PAIRS_FILE).read_bytes().splitlines(keepends=True)
        except (OSError, ValueError):
            return None, [], 0
        if stated.get("version") != _VERSION:
            return None, [], 0
        whole = [line for line in lines if line.endswith(b"\n")]  # a kill may have cut the last one short
        pairs = [pair for pair in map(_pair_of, whole) if pair is not None]
        return stated, pairs, len(whole) - len(pairs)


def _line_of(pair: Pair) -> str:
    return json.dumps(asdict(pair)) + "\n"


def _pair_of(line: bytes) -> Pair | None:
    """The pair of a line; None where it is none, or says no time that could be weighed."""
    try:
        pair = Pair(**json.loads(line))
        known = [pair.seconds] if pair.difference is None else [pair.seconds, pair.difference]
        consistent = pair.failed in ("a", "b") if pair.difference is None else not pair.failed
        return pair if consistent and all(map(math.isfinite, known)) else None
    except (ValueError, TypeError):
        return None


@contextlib.contextmanager
def alone(root: Path, tell: Tell) -> Iterator[None]:
    """Have this repository's duels to oneself until the end of the context: two at once would time each other."""
    own_folder(root)
    with hold(root / ".harness" / "duels", "the duels of this repository", tell):
        yield


def contest(
    root: Path,
    sides: tuple[Side, Side],
    keys: Iterable[Key],
    *,
    rules: Rules,
    spent_s: float = 0.0,
    tell: Tell,
    busy: Tell,
    chance: random.Random | None = None,
    check: Callable[[], None] | None = None,
    ground: Ground | None = None,
) -> Duel:
    """Duel the cells `keys`, which are ready on both sides, and return what it came to; to be called `alone`.

    `spent_s` seconds of the budget are over before it begins. `tell` is told what a person should know, `busy` how far
    it is. `check` is called after the last pair, and raises what makes all pairs worthless, of which nothing is learnt.
    Pairs are taken on the `ground`: without, on this machine.
    Raises `UsageError` where devices or threads of the sides differ, and `InfrastructureError` where that stops it; the
    next call goes on.
    """
    ground = ground or Here()
    under_way = _UnderWay(root, sides, tuple(keys), rules, ground.conditions)
    journal = Journal(root, sides, rules, under_way.kept)
    with hold(journal.folder, f"the duel in {journal.folder}", tell):
        under_way.go_on(journal.take_up(tell), duel=journal.id)
        try:
            with ground.pairing(sides, under_way.keys, journal.folder, rules.turns, tell) as pairing:
                for pair in under_way.fight(pairing, chance or random.Random(), busy, spent_s=spent_s):
                    journal.add(pair)
        finally:
            end_leftovers(str(journal.folder))
            remove_tree(journal.scratch)
        if check is not None:
            check()
        found = under_way.found(journal)
        journal.state("cut" if found.cut else "ended")
        return found


class _UnderWay:
    """The pairs of a duel so far, and what they decide."""

    def __init__(
        self,
        root: Path,
        sides: tuple[Side, Side],
        keys: tuple[Key, ...],
        rules: Rules,
        conditions: Mapping[str, Any] | None = None,
    ) -> None:
        self._sides, self._rules = sides, rules
        self._pairs: list[Pair] = []
        self.keys = keys
        self._keys = {"/".join(key): key for key in keys}
        self._device, self._threads = _conditions(sides, keys)
        self.kept = MachineFile(root, self._device, conditions)
        self._settings = {key: [self._setting(side, key) for side in sides] for key in keys}
        self._thresholds: dict[Key, float] = {}
        self._fell_out: dict[str, str] = {}
        self._ended = ""

    def _setting(self, side: Side, key: Key) -> Setting:
        return Setting(
            combination=side.name,
            device=self._device,
            threads=self._threads,
            made_of=side.cells[key].made_of,
            gpu=self.kept.gpu,
        )

    def go_on(self, pairs: Iterable[Pair], *, duel: str) -> None:
        """Go on with the pairs that `duel` took before, held against what other duels taught of this machine."""
        self._thresholds = self.kept.thresholds(self._settings, but=duel)
        for pair in pairs:
            self._add(pair)

    def _add(self, pair: Pair) -> None:
        self._pairs.append(pair)
        name = "/".join(pair.key)
        if pair.failed and name in self._keys:
            side = self._sides["ab".index(pair.failed)].name
            self._fell_out[name] = f"side {pair.failed.upper()} ({side}) {pair.reason}"

    def _decided(self) -> Contest:
        return decide(
            self._differences(),
            thresholds={name: self._thresholds[key] for name, key in self._keys.items() if key in self._thresholds},
            limits={name: self._rules.limits[key] for name, key in self._keys.items() if key in self._rules.limits},
            design=self._rules.design,
            ended=self._ended,
        )

    def _differences(self) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {name: [] for name in self._keys}
        for pair in self._pairs:
            name = "/".join(pair.key)
            if pair.difference is not None and name in found:
                found[name].append(pair.difference)
        return found

    def fight(self, pairing: TakesPairs, chance: random.Random, busy: Tell, *, spent_s: float) -> Iterator[Pair]:
        """Take pair after pair, one of each cell before the next of any, and yield each as it is taken."""
        deadline = time.monotonic() + self._rules.budget_s - spent_s
        told, told_at = -1, 0.0
        while True:
            standing = self._decided()
            left = [name for name in standing.going_on if name not in self._fell_out]
            if not left:
                return
            decided = len(self._keys) - len(left)
            if decided != told or time.monotonic() - told_at > _TELL_S:
                busy(f"{len(self._pairs)} pairs taken, {decided} of {len(self._keys)} cells decided")
                told, told_at = decided, time.monotonic()
            going_on = replace(standing, going_on=tuple(left))
            chosen = going_on.affordable(left=deadline - time.monotonic(), cost=self._costs())
            if not chosen:
                converting = f" (preparing and converting took {spent_s / 60:.1f})" if spent_s else ""
                self._ended = f"the budget of {self._rules.budget_s / 60:.3g} minutes was spent{converting}"
                return
            with contextlib.suppress(OutOfTimeError):  # which ends it as above
                for name in chosen:
                    key = self._keys[name]
                    sides = self._sides[0].cells[key], self._sides[1].cells[key]
                    pair = pairing.take(sides, chance=chance, until=deadline)
                    self._add(pair)
                    yield pair

    def _costs(self) -> dict[str, float]:
        """What a pair of each cell takes, in seconds."""
        spent: dict[str, list[float]] = {}
        for pair in self._pairs:
            spent.setdefault("/".join(pair.key), []).append(pair.seconds)
        usual = fmean(pair.seconds for pair in self._pairs) if self._pairs else _PAIR_S
        return {name: fmean(spent.get(name, [usual])) for name in self._keys}

    def found(self, journal: Journal) -> Duel:
        """What it came to; of a combination against itself, what is learnt of this machine is kept."""
        standing = self._decided()
        decisions = {self._keys[name]: self._told(name, cell) for name, cell in standing.cells.items()}
        against_itself = self._sides[0].name == self._sides[1].name
        learnt: dict[Key, float] = {}
        rate: AlarmRate | None = None
        if against_itself:
            # Of a cell that was cut off, or died, the pairs so far show no more than that they are few.
            whole = [name for name in self._keys if name not in standing.cut and name not in self._fell_out]
            differences = self._differences()
            shown = {key: (self._settings[key][0], differences[name]) for name in whole for key in [self._keys[name]]}
            self.kept.learn(journal.id, shown)
            learnt = self.kept.thresholds({key: self._settings[key] for key in shown})
            alarms = sum(decisions[key].decision in (Decision.SLOWER, Decision.FASTER) for key in shown)
            rate = alarm_rate(alarms, len(shown))
        return Duel(
            sides=(self._sides[0].name, self._sides[1].name),
            device=self._device,
            threads=self._threads,
            machine={"name": self.kept.name, **self.kept.stated},
            rules=self._rules,
            decisions=decisions,
            absent=_absent(self._sides),
            fell_out={self._keys[name]: reason for name, reason in self._fell_out.items()},
            cut=tuple(self._keys[name] for name in standing.cut if name not in self._fell_out),
            thresholds=self._thresholds,
            learnt=learnt,
            alarms=rate,
            pairs=sum(pair.difference is not None for pair in self._pairs),
            shared=sum(pair.shared for pair in self._pairs if pair.difference is not None),
            seconds=sum(pair.seconds for pair in self._pairs),
            folder=journal.folder,
            unsteady=tuple(key for key in unsteady(self._pairs) if key in decisions),
            nodes=tuple(dict.fromkeys(pair.node for pair in self._pairs if pair.node)),
        )

    def _told(self, name: str, cell: CellDecision) -> CellDecision:
        if name not in self._fell_out:
            return cell
        # Others may have made it slower since, by the step over all cells: a cell that dies is no cell to be timed.
        return replace(cell, decision=Decision.INCONCLUSIVE, next_look=None, reason=self._fell_out[name])


def _conditions(sides: tuple[Side, Side], keys: Sequence[Key]) -> tuple[str, int]:
    """The device and the threads that all cells of both sides have: otherwise it is these that would be timed."""
    found = {(each.cell.device, each.policy.threads) for side in sides for key in keys for each in [side.cells[key]]}
    if len(found) > 1:
        told = ", ".join(f"{device} with threads = {threads}" for device, threads in sorted(found))
        msg = f"a duel times both sides on one device with equal threads, and these have {told}: give both the same."
        raise UsageError(msg)
    return found.pop()


def _absent(sides: tuple[Side, Side]) -> dict[Key, str]:
    """Why cells do not take part, by the first side that cannot."""
    found: dict[Key, str] = {}
    for side in sides:
        for key, reason in side.absent.items():
            found.setdefault(key, f"{side.name}: {reason}")
    return found
