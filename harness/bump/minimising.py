"""The smallest set of moves that is enough, by delta debugging over what the resolver can part.

`minimal` is ddmin of Zeller and Hildebrandt (Simplifying and Isolating Failure-Inducing Input, IEEE TSE 28(2), 2002)
with three answers: a set breaks as sought, works, or tells nothing (no solution, another failure). Its answer is
1-minimal: no single part of it can be taken away without losing the break.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

Moved = frozenset[str]
"""Names of the packages that are the candidate's; all others are the base's."""


def units(names: Sequence[str], resolves: Callable[[Moved], bool]) -> tuple[Moved, ...]:
    """The parts of `names` that can move at all: each name with those that it cannot move without.

    The set of all names has a solution. A name that has none alone is paired with each other one, and where no pair
    has a solution either, the whole set is thinned out around it. Names that only move together come to one unit;
    where only one of two needs the other there are two, of which one holds both.
    """
    everything = frozenset(names)
    alone = {name: resolves(frozenset({name})) for name in names} if len(names) > 1 else dict.fromkeys(names, True)
    # What does not move alone is most likely to need what does not move alone either.
    partners = sorted(names, key=lambda name: alone[name])
    found = dict.fromkeys(
        frozenset({name}) if alone[name] else _closure(name, partners, everything, resolves) for name in names
    )
    return tuple(found)


def _closure(name: str, partners: Sequence[str], everything: Moved, resolves: Callable[[Moved], bool]) -> Moved:
    """A smallest set with a solution that `name` is in."""
    for other in partners:
        pair = frozenset({name, other})
        if other != name and (pair == everything or resolves(pair)):
            return pair
    kept = everything
    for other in partners[::-1]:
        if other != name and resolves(kept - {other}):
            kept -= {other}
    return kept


class Minimiser:
    """`minimal` as it goes on: `smallest` is the smallest set known to break, whenever it is interrupted."""

    def __init__(self, breaks: Callable[[Moved], bool], start: Moved) -> None:
        """`breaks` tries a set; `start` is known to break."""
        self.breaks = breaks
        self.smallest = start

    def minimal(self, parts: Sequence[Moved]) -> Moved:
        """The union of the fewest `parts` that breaks, and then the fewest of its names, by taking away one at a time.

        The union of all `parts` is known to break. Whatever `breaks` raises goes on to the caller.
        """
        left = list(parts)
        grain = 2
        while len(left) > 1:
            pieces = _split(left, grain)
            found = next((piece for piece in pieces if self._tried(_union(piece))), None)
            if found is not None:
                left, grain = list(found), 2
                continue
            rests = [[part for part in left if part not in piece] for piece in pieces] if grain > 2 else []  # noqa: PLR2004
            found = next((rest for rest in rests if self._tried(_union(rest))), None)
            if found is not None:
                left, grain = list(found), max(grain - 1, 2)
                continue
            if grain >= len(left):
                break
            grain = min(2 * grain, len(left))
        return self._thinned(_union(left))

    def _thinned(self, names: Moved) -> Moved:
        """`names` without those that can be taken away: parts that overlap hold more than is needed."""
        for name in sorted(names):
            if len(names) > 1 and self._tried(names - {name}):
                return self._thinned(names - {name})
        return names

    def _tried(self, names: Moved) -> bool:
        if not names:
            return False
        broken = self.breaks(names)
        if broken and len(names) < len(self.smallest):
            self.smallest = names
        return broken


def _split(parts: Sequence[Moved], count: int) -> list[Sequence[Moved]]:
    """`parts` in `count` pieces of much the same size, in order."""
    ends = [round(len(parts) * number / count) for number in range(count + 1)]
    return [parts[start:end] for start, end in itertools.pairwise(ends) if end > start]


def _union(parts: Iterable[Moved]) -> Moved:
    return frozenset().union(*parts)
