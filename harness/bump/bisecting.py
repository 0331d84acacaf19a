"""Which released versions of a package break: the first between base and candidate, and the first later that works."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from harness.bump.schema import Answer

_IN_ORDER = 3
"""How many of the next versions are tried one after the other: most breaks are mended in the next release."""


@dataclass(frozen=True, kw_only=True)
class Border:
    """The neighbours between which the answer changes; `between` lie there too, and say neither."""

    last_working: str
    first_broken: str
    between: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """The first later version that works, None where none did, and the last one before it that does not."""

    works: str | None
    before: str
    between: tuple[str, ...] = ()
    untried: tuple[str, ...] = ()


def way_from(versions: Sequence[str], *, before: str, after: str) -> list[str]:
    """The released versions from `before` to `after`, both of them with it, in the order in which one comes by them."""
    start, end = _key(before), _key(after)
    low, high = min(start, end), max(start, end)
    inside = {version for version in versions if low < _key(version) < high}
    return [before, *sorted(inside, key=_key, reverse=start > end), after]


def is_downgrade(before: str, after: str) -> bool:
    """Whether the way from `before` to `after` leads to older versions."""
    return _key(after) < _key(before)


def later_than(versions: Sequence[str], version: str) -> list[str]:
    """The released versions after `version`, ascending."""
    return sorted({each for each in versions if _key(each) > _key(version)}, key=_key)


def _key(version: str) -> tuple[bool, Version | str]:
    """An order of versions; what is none comes last."""
    try:
        return False, Version(version)
    except InvalidVersion:
        return True, version


def border(way: Sequence[str], ask: Callable[[str], Answer]) -> Border:
    """Bisect `way`, whose first version works and whose last one breaks.

    A version that says neither (no solution, another failure) is stepped over, and the nearest one is taken.
    """
    low, high = 0, len(way) - 1
    silent: set[int] = set()
    while open_between := [number for number in range(low + 1, high) if number not in silent]:
        middle = min(open_between, key=lambda number: abs(2 * number - low - high))
        match ask(way[middle]):
            case Answer.WORKS | Answer.AS_BEFORE:
                low = middle
            case Answer.BREAKS:
                high = middle
            case _:
                silent.add(middle)
    between = tuple(way[number] for number in range(low + 1, high))
    return Border(last_working=way[low], first_broken=way[high], between=between)


def recovery(broken: str, later: Sequence[str], ask: Callable[[str], Answer]) -> Recovery:
    """The first of the `later` versions that works, where `broken` does not.

    The next ones are tried in order, then ever larger steps up to the newest; where one works, what lies between it
    and the last one that does not is bisected. That a mended version stays mended is assumed in between, and nothing
    is said of what was not tried.
    """
    at = -1
    tried: set[int] = set()
    silent: set[int] = set()
    for number in _strides(len(later)):
        tried.add(number)
        answer = ask(later[number])
        if answer.no_worse:
            return _bisected(broken, later, at, number, silent, ask)
        if answer is Answer.BREAKS:
            at = number
        else:
            silent.add(number)
    last = later[at] if at >= 0 else broken
    untried = tuple(version for number, version in enumerate(later) if number not in tried)
    return Recovery(works=None, before=last, untried=untried)


def _bisected(
    broken: str, later: Sequence[str], low: int, high: int, silent: set[int], ask: Callable[[str], Answer]
) -> Recovery:
    """What `recovery` says once a version works: from there on it is a border, with what was silent stepped over."""
    way = [broken if low < 0 else later[low], *later[low + 1 : high + 1]]
    known = {later[number]: Answer.OTHERWISE for number in silent}
    found = border(way[::-1], lambda version: known.get(version) or ask(version))
    return Recovery(works=found.last_working, before=found.first_broken, between=found.between[::-1])


def _strides(count: int) -> list[int]:
    """Positions to try: the first ones in order, then twice as far each time, and the last."""
    found, position, step = list(range(min(_IN_ORDER, count))), _IN_ORDER - 1, 2
    while (position := position + step) < count:
        found.append(position)
        step *= 2
    return list(dict.fromkeys([*found, *([count - 1] if count else [])]))
