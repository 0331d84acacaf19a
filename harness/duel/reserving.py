"""Pairs on a node of a cluster that a duel has to itself: what travels there, and what is asked of it.

Both sides of a pair run there; what pairs decide is told on the machine that gave the command. Where the node is lost,
the pair that was under way is taken again on another of its class, which is the same kind of machine.
"""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness.bench.attempt import Attempt
from harness.bench.builds import build_folder
from harness.bench.plan import Plan
from harness.duel.grounds import OutOfTimeError, TakesPairs
from harness.duel.pairing import Pair, Turns
from harness.duel.preparing import SIDES, Key, ReadyCell, Side
from harness.executors.asking import Asking, NoNodeInTimeError
from harness.executors.cluster import RayCluster, refuse_local
from harness.executors.orders import Order, Part, Post, parts_of, pieces_of
from harness.executors.parcel import Parcel, parcel_of
from harness.executors.units import Unit, Work
from harness.matrix.combination import extended
from harness.matrix.environment import clean_environ

MODULE = "harness.duel.on_node"


@dataclass(frozen=True)
class Share:
    """The cells of a side that one environment serves, all of one attempt and plan, which lies in `folder` there."""

    folder: str
    cells: tuple[ReadyCell, ...]

    @property
    def plan(self) -> Plan:
        """Their plan, of these cells alone."""
        return replace(self.cells[0].plan, cells=tuple(each.cell for each in self.cells))

    @property
    def attempt(self) -> Attempt:
        """Where they wait."""
        folder = self.cells[0].attempt
        assert folder is not None, f"{self.folder} waits nowhere"
        return Attempt(folder)

    @property
    def work(self) -> Work:
        """The environment."""
        plan = self.cells[0].plan
        lock = Path(plan.lock).read_text(encoding="utf-8") if plan.lock else ""
        name = extended(plan.combination, plan.extension)
        return Work(root=Path(), name=name, python=self.cells[0].python, python_version="", lock=lock)

    def order(self, parcel: Parcel) -> Order:
        """What a node is told of them."""
        unit = Unit(name=self.folder, plan=self.plan, folder=self.attempt.folder, seconds=0.0)
        work = self.work
        return Order.of(unit, unit.plan.cells, work, parcel, environ=clean_environ(pinned=bool(work.lock)))

    def parts(self) -> Iterator[Part]:
        """Their files, as they are to lie there: artifacts, records, and the inputs and native outputs of models."""
        attempt = self.attempt
        folders = [attempt.waiting / each.cell.slug for each in self.cells]
        folders += [build_folder(attempt.built, model) for model in {each.cell.model for each in self.cells}]
        for folder in folders:
            for part in parts_of(attempt.folder, folder.relative_to(attempt.folder).as_posix()):
                yield replace(part, path=f"{self.folder}/{part.path}")
        for each in self.cells:
            record = attempt.record_of(each.cell)
            yield from pieces_of(record, f"{self.folder}/{record.relative_to(attempt.folder).as_posix()}")


def shares_of(sides: tuple[Side, Side], keys: Sequence[Key]) -> list[Share]:
    """The cells `keys` of both sides, by side and attempt; a share's folder begins with the letter of its side."""
    found: dict[tuple[str, Path | None], list[ReadyCell]] = {}
    for letter, side in zip(SIDES, sides, strict=True):
        for key in keys:
            found.setdefault((letter, side.cells[key].attempt), []).append(side.cells[key])
    return [Share(f"{letter}{number}", tuple(cells)) for number, ((letter, _), cells) in enumerate(found.items())]


def post_of(shares: Sequence[Share], parcel: Parcel, turns: Turns) -> Post:
    """The process that takes pairs of these cells (`harness.duel.on_node`). Raises as `refuse_local` does."""
    for share in shares:
        refuse_local(share.work)
    return Post(
        module=MODULE, orders={share.folder: share.order(parcel) for share in shares}, told={"turns": asdict(turns)}
    )


class ReservedNode:
    """Whichever node of the cluster's machine class is free to be had alone."""

    def __init__(self, cluster: RayCluster) -> None:
        self._cluster = cluster

    @property
    def conditions(self) -> Mapping[str, Any]:
        """What nodes of the class say of themselves."""
        return self._cluster.conditions

    @contextlib.contextmanager
    def pairing(
        self, sides: tuple[Side, Side], keys: Sequence[Key], folder: Path, turns: Turns, tell: Callable[[str], None]
    ) -> Iterator[TakesPairs]:
        """As `harness.duel.grounds.Ground` says. Raises as `Asking.ask` does."""
        del folder
        shares = shares_of(sides, keys)
        parcel = parcel_of([share.plan for share in shares])
        post = post_of(shares, parcel, turns)
        parts = (part for share in shares for part in share.parts())
        with self._cluster.travelled(parcel) as ray, Asking(self._cluster, ray, post, parts, tell) as asking:
            yield _There(asking)


class _There:
    """Takes pairs by asking for them."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def take(self, sides: tuple[ReadyCell, ReadyCell], *, chance: random.Random, until: float = math.inf) -> Pair:
        """As `TakesPairs` says; `seconds` has in it what it took to see that environments are what they were."""
        cell = sides[0].cell
        question = {"model": cell.model, "strategy": cell.strategy, "seed": chance.getrandbits(64)}
        try:
            told = self._asking.ask(question, until=until)
        except NoNodeInTimeError:
            raise OutOfTimeError from None
        return Pair(**{**told["pair"], "node": self._asking.node})
