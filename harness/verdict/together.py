"""Cells that share what may have moved: all of one runtime, or all of one strategy under it.

What every cell of a group does is not the models' doing, and is said once. A group that tells so has a few cells, and
more than one model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.verdict.seen import Row

FEWEST_CELLS = 3
FEWEST_MODELS = 2
"""A group of fewer says nothing of what its cells share."""

EXCEPTIONS = 10
"""Of so many cells one may do otherwise."""

Pair = tuple[Row, Row]
"""One cell that passed on both sides."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """A runtime by what executed the artifacts, and one strategy of it; all of its strategies where that is empty."""

    runtime: str
    strategy: str = ""

    @property
    def words(self) -> str:
        """`torch-cpu`, or `onnx-simplified on CPUExecutionProvider, tools`."""
        return f"{self.strategy} on {self.runtime}" if self.strategy else self.runtime


def runtime_of(pair: Pair) -> str:
    """What executed a cell on both sides, with the extension whose environment it ran in; empty where not known."""
    before, after = pair[0].provider or "", pair[1].provider or ""
    executed = before if before == after else f"{before or 'unknown'} -> {after or 'unknown'}"
    return f"{executed}, {pair[0].extension}" if executed and pair[0].extension else executed


def strategy_of(pair: Pair) -> str:
    """The strategy of a cell without its parameter."""
    return pair[0].strategy.partition(":")[0]


def tells(cells: Sequence[Pair]) -> bool:
    """Whether cells are enough, and of enough models, to tell what they share."""
    return len(cells) >= FEWEST_CELLS and len({before.model for before, _ in cells}) >= FEWEST_MODELS


def runtimes(pairs: Iterable[Pair]) -> dict[Group, list[Pair]]:
    """The cells of each runtime that is known, in the order given."""
    found: dict[Group, list[Pair]] = {}
    for pair in pairs:
        if runtime := runtime_of(pair):
            found.setdefault(Group(runtime=runtime), []).append(pair)
    return found


def strategies(group: Group, pairs: Iterable[Pair]) -> dict[Group, list[Pair]]:
    """The cells of a runtime by strategy; nothing where it has one alone."""
    found: dict[Group, list[Pair]] = {}
    for pair in pairs:
        found.setdefault(Group(runtime=group.runtime, strategy=strategy_of(pair)), []).append(pair)
    return found if len(found) > 1 else {}
