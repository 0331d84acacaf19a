"""The smallest set that is enough: it breaks, and nothing can be taken away from it, whatever breaks and is tied."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest

from harness.bump.minimising import Minimiser, Moved, units

NAMES = ("a", "b", "c", "d", "e", "f")


def searched(guilty: Moved, resolves: Callable[[Moved], bool]) -> tuple[Moved, int]:
    """What is found where all of `guilty` together break, and how many sets had to be installed for it."""
    installed: set[Moved] = {frozenset(NAMES)}

    def breaks(names: Moved) -> bool:
        if not resolves(names):
            return False
        installed.add(names)
        return guilty <= names

    found = Minimiser(breaks, frozenset(NAMES)).minimal(units(NAMES, resolves))
    return found, len(installed)


def test_one_of_six_is_found_in_few_environments() -> None:
    for guilty in NAMES:
        found, installed = searched(frozenset(guilty), lambda _names: True)
        assert found == {guilty}
        assert installed <= 7


@pytest.mark.parametrize("mutual", [True, False])
def test_one_of_six_beside_a_tie_is_found_in_ten_environments(mutual: bool) -> None:
    """That is with the candidate's own, and without the base's."""
    for guilty, (first, second) in itertools.product(NAMES, itertools.permutations(NAMES, 2)):

        def resolves(names: Moved, first: str = first, second: str = second) -> bool:
            return (first in names) == (second in names) if mutual else first not in names or second in names

        found, installed = searched(frozenset(guilty), resolves)
        tied = guilty in {first, second} if mutual else guilty == first
        assert found == ({first, second} if tied else {guilty})
        assert installed <= 10


def test_two_that_break_only_together_are_both_named() -> None:
    for pair in itertools.combinations(NAMES, 2):
        assert searched(frozenset(pair), lambda _names: True)[0] == frozenset(pair)


def test_nothing_can_be_taken_away_from_what_is_found() -> None:
    """Breaks of several sets, monotone or not, beside random requirements of one package on another."""
    chance = random.Random(20261121)
    for _ in range(3000):
        needs = {name: frozenset(chance.sample(NAMES, chance.randint(0, 2))) for name in NAMES if chance.random() < 0.4}
        enough = [frozenset(chance.sample(NAMES, chance.randint(1, 3))) for _ in range(chance.randint(1, 3))]
        hidden = {frozenset(chance.sample(NAMES, chance.randint(1, 5))) for _ in range(chance.randint(0, 4))}

        def resolves(names: Moved) -> bool:
            return all(needs.get(name, frozenset()) <= names for name in names)  # noqa: B023

        def breaks(names: Moved) -> bool:
            return resolves(names) and names not in hidden and any(each <= names for each in enough)  # noqa: B023

        minimiser = Minimiser(breaks, frozenset(NAMES))
        found = minimiser.minimal(units(NAMES, resolves))
        assert breaks(found)
        assert not any(breaks(found - {name}) for name in found if len(found) > 1)
        assert minimiser.smallest == found or len(minimiser.smallest) <= len(found)


def test_what_is_known_when_it_ends_early_is_the_smallest_set_so_far() -> None:
    asked = 0

    def breaks(names: Moved) -> bool:
        nonlocal asked
        asked += 1
        if asked > 2:
            raise TimeoutError
        return "a" in names

    minimiser = Minimiser(breaks, frozenset(NAMES))
    with pytest.raises(TimeoutError):
        minimiser.minimal([frozenset({name}) for name in NAMES])
    assert minimiser.smallest == {"a", "b"}


def test_units_are_what_can_move_at_all() -> None:
    def resolves(names: Moved) -> bool:
        return ("a" in names) == ("b" in names) and ("c" not in names or "d" in names)

    assert set(units(NAMES, resolves)) == {
        frozenset("ab"),
        frozenset("cd"),
        frozenset("d"),
        frozenset("e"),
        frozenset("f"),
    }


def test_three_that_move_only_together_are_one_unit() -> None:
    def resolves(names: Moved) -> bool:
        return len(names & set("abc")) in (0, 3)

    assert set(units(NAMES, resolves)) == {frozenset("abc"), frozenset("d"), frozenset("e"), frozenset("f")}


def test_a_pair_costs_the_resolver_little() -> None:
    asked: list[Moved] = []

    def resolves(names: Moved) -> bool:
        asked.append(names)
        return len(names) == 2

    assert units(["torch", "torchvision"], resolves) == (frozenset({"torch", "torchvision"}),)
    assert len(asked) == 2
