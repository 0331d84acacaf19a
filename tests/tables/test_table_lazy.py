"""What is made when it is asked for, against the tuple that it stands for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.tables.lazy import Lazy, at


def test_it_is_the_tuple_and_makes_what_is_asked_for_alone() -> None:
    asked: list[list[int]] = []

    def make(places: Sequence[int]) -> tuple[str, ...]:
        asked.append(list(places))
        return tuple("abcd"[place] for place in places)

    lazy = Lazy(4, make)
    whole = tuple("abcd")
    assert len(lazy) == 4
    assert (lazy[1], lazy[-1], lazy[1:3], lazy[::-1]) == ("b", "d", ("b", "c"), ("d", "c", "b", "a"))
    assert at(lazy, [3, 0]) == at(whole, [3, 0]) == ("d", "a")
    assert asked == [[1], [3], [1, 2], [3, 2, 1, 0], [3, 0]]
    with pytest.raises(IndexError):
        lazy[4]
    asked.clear()
    assert tuple(lazy) == whole
    assert lazy == whole
    assert whole == lazy
    assert lazy != whole[1:]
    assert repr(lazy) == repr(whole)
    assert lazy[2] == "c"
    assert asked == [[0, 1, 2, 3]], "gone through once, and kept"
