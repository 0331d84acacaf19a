"""Where the pairs of a duel are taken: on this machine, or elsewhere (`harness.duel.reserving`)."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from harness.duel.pairing import Pair, Pairing, Turns
from harness.duel.preparing import Key, ReadyCell, Side

SCRATCH = "scratch"


class OutOfTimeError(Exception):
    """No pair could be begun by the time that was given."""


class TakesPairs(Protocol):
    """Takes pairs, one at a time."""

    def take(self, sides: tuple[ReadyCell, ReadyCell], *, chance: random.Random, until: float = math.inf) -> Pair:
        """A pair of one cell.

        Raises `InfrastructureError` where that is no result of the cell, and `OutOfTimeError` where it could not begin
        `until`, in seconds of the monotonic clock.
        """


class Ground(Protocol):
    """One machine, or several that are alike, on which pairs are taken."""

    @property
    def conditions(self) -> Mapping[str, Any]:
        """What its machine says of itself, as a run's record has it: `machine`, `gpu` and so on; empty of this one."""

    def pairing(
        self, sides: tuple[Side, Side], keys: Sequence[Key], folder: Path, turns: Turns, tell: Callable[[str], None]
    ) -> AbstractContextManager[TakesPairs]:
        """What takes pairs of the cells `keys` of both sides; `folder` is the duel's."""


class Here:
    """This machine."""

    conditions: Mapping[str, Any] = {}

    def pairing(
        self, sides: tuple[Side, Side], keys: Sequence[Key], folder: Path, turns: Turns, tell: Callable[[str], None]
    ) -> AbstractContextManager[TakesPairs]:
        """As `Ground` says."""
        del sides, keys, tell
        return Pairing(folder / SCRATCH, marker=str(folder), turns=turns)
