"""Dataflow graphs, and where in one of them values begin to be wrong. Pure: values are numbers or names alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

V = TypeVar("V", bound=Hashable)


@dataclass(frozen=True)
class Operation(Generic[V]):
    """One operator call: the values that it reads, and those that it makes. Each value is made by one at most."""

    inputs: tuple[V, ...]
    outputs: tuple[V, ...]


class Flow(Generic[V]):
    """Operators in the order in which they ran. A value that none of them makes is given: an input, a weight."""

    def __init__(self, operations: Sequence[Operation[V]]) -> None:
        self.operations = tuple(operations)
        self._makers = {value: index for index, each in enumerate(self.operations) for value in each.outputs}

    def maker(self, value: V) -> int | None:
        """The operation that makes a value; None for a given one."""
        return self._makers.get(value)

    def region(self, wrong: Collection[V], right: Callable[[V], bool]) -> list[int]:
        """The operations that lead to the values in `wrong`, back to values that are right; in order.

        Whoever is asked for is wrong: `right` is asked of what they are made of alone.
        """
        found: set[int] = set()
        ahead = [index for value in wrong if (index := self.maker(value)) is not None]
        while ahead:
            index = ahead.pop()
            if index in found:
                continue
            found.add(index)
            ahead += [maker for maker in self._wrong_makers(index, right) if maker not in found]
        return sorted(found)

    def origins(self, wrong: Collection[V], right: Callable[[V], bool]) -> list[int]:
        """The operations of the region that read nothing wrong, in order: where it begins."""
        return [index for index in self.region(wrong, right) if not self._wrong_makers(index, right)]

    def _wrong_makers(self, index: int, right: Callable[[V], bool]) -> list[int]:
        """Those that make what an operation reads, where it is not right. An operation may write to what it reads."""
        makers = ((value, self.maker(value)) for value in self.operations[index].inputs)
        return [maker for value, maker in makers if maker is not None and maker != index and not right(value)]
