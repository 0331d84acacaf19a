"""PyTorch eager and an artifact beside each other: which value of the one is which of the other, and which is wrong."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from harness.bench.dataflow import Flow
from harness.bench.likeness import Values
from harness.bench.onnx_values import Graph
from harness.bench.tracing import VIEWS, Trace

V = TypeVar("V", int, str)

_LIKES = "empty_like full_like new_empty new_full new_ones new_zeros ones_like zeros_like"
_SHAPED = frozenset(f"aten.{name}" for name in _LIKES.split())
"""Operators that read of a tensor no more than its shape."""

UNLIKE = 1.0
"""The relative error of zeros: what is further away than that is no counterpart."""


@dataclass(frozen=True)
class Region:
    """The wrong part of both sides: calls in order, those of them that read nothing wrong, and nodes with their values.

    `ends` are the wrong outputs, as values of PyTorch's.
    """

    calls: tuple[int, ...]
    origins: tuple[int, ...]
    nodes: tuple[int, ...]
    names: frozenset[str]
    ends: frozenset[int]


@dataclass(frozen=True)
class Counterpart:
    """A value of the artifact's in the place of one of PyTorch's, in its shape, and how far from it."""

    name: str
    array: Any
    relative_error: float


class Sides:
    """A trace and the values of a graph, equal within `tolerance`."""

    def __init__(self, trace: Trace, graph: Graph, values: Mapping[str, Any], tolerance: float) -> None:
        self.trace = trace
        self.graph = graph
        self.values = values
        self._theirs = Values(values, tolerance)
        self._ours = Values(trace.values, tolerance)
        self.reproduced = functools.cache(self._reproduced)
        self._known = functools.cache(self._is_known)
        self.before = functools.cache(self._before)
        self.behind = functools.cache(self._behind)
        self._of_inputs, self._of_weights = _origins(trace)

    def region(self, ends: Collection[int], names: Collection[str]) -> Region:
        """What is wrong, where the outputs `ends` of PyTorch and `names` of the artifact are."""
        flow, nodes = self.trace.flow, self.nodes(names)
        return Region(
            calls=tuple(flow.region(ends, self.reproduced)),
            origins=tuple(flow.origins(ends, self.reproduced)),
            nodes=tuple(nodes),
            names=frozenset(name for node in nodes for name in self.graph.flow.operations[node].outputs),
            ends=frozenset(ends),
        )

    def nodes(self, names: Collection[str]) -> list[int]:
        """The nodes that lead to values of the artifact, back to those that PyTorch has too."""
        return self.graph.flow.region(names, self._known)

    def calls(self, values: Collection[int], region: Region) -> list[int]:
        """The calls of the region that lead to values of PyTorch's."""
        inside, flow = set(region.calls), self.trace.flow
        return flow.region(values, lambda value: flow.maker(value) not in inside)

    def made(self, call: int) -> tuple[int, Any] | None:
        """The first value that a call makes, if it is an array."""
        makes = self.trace.flow.operations[call].outputs
        array = self.trace.values.get(makes[0]) if makes else None
        return None if array is None else (makes[0], array)

    def counterpart(self, array: Any, names: Collection[str]) -> Counterpart | None:
        """Of some values of the artifact's the one that is most like; None where none is."""
        found = self._theirs.nearest(array, names)
        return Counterpart(*found) if found is not None and found[2] <= UNLIKE else None

    def stood_for(self, counterpart: Counterpart, region: Region) -> int | None:
        """The call of the region that an artifact's value is most like the value of: the last of what was fused."""
        makers = {made[0]: call for call in region.calls if (made := self.made(call)) is not None}
        nearest = self._ours.nearest(self.values[counterpart.name], makers)
        return None if nearest is None else makers[nearest[0]]

    def relaid(self, call: int) -> Iterator[int]:
        """Calls before this one that only lay out anew what the artifact has, in a layout that it has not; in order."""
        found: dict[int, None] = {}
        ahead = list(self.trace.flow.operations[call].inputs)
        while ahead:
            value = ahead.pop()
            maker = self.trace.flow.maker(value)
            if maker is None or maker in found or self.trace.calls[maker].name not in VIEWS:
                continue
            array = self.trace.values.get(value)
            if array is not None and self._depends(value) and self._theirs.equal(array, relaid=False) is None:
                found[maker] = None
            ahead += self.trace.flow.operations[maker].inputs
        yield from sorted(found)

    def strangers(self, call: int) -> bool:
        """Whether a call reads what neither an operator made nor the model or its inputs hold, nor the artifact."""
        return any(
            value in self.trace.strangers
            and (array := self.trace.values.get(value)) is not None
            and self._theirs.equal(array) is None
            for value in self._sources(self.trace.flow.operations[call].inputs)
        )

    def _sources(self, values: Sequence[int]) -> Iterator[int]:
        """What values are views of, themselves where they are of nothing."""
        ahead = list(values)
        while ahead:
            value = ahead.pop()
            maker = self.trace.flow.maker(value)
            if maker is None or self.trace.calls[maker].name not in VIEWS:
                yield value
            else:
                ahead += [each for each in self.trace.flow.operations[maker].inputs if each < value]

    def _depends(self, value: int) -> bool:
        """Whether a value is not of weights alone."""
        return any(source not in self.trace.weights for source in self._sources([value]))

    def _reproduced(self, value: int) -> bool:
        """Whether the artifact has a value of PyTorch's, or all that it is a mere view of."""
        maker = self.trace.flow.maker(value)
        if maker is None:
            return True
        array = self.trace.values.get(value)
        if array is not None and (array.size == 0 or self._found(value, array)):
            return True
        if array is not None and self.trace.calls[maker].name not in VIEWS:
            return False
        # An operator may write to what it reads: only what was there before counts.
        reads = self.trace.flow.operations[maker].inputs
        return all(self.reproduced(each) for each in reads if each < value)

    def _is_known(self, name: str) -> bool:
        """Whether PyTorch has a value of the artifact's."""
        array = self.values.get(name)
        return name in self.graph.given or (
            array is not None and (array.size == 0 or any(self._is(each, name) for each in self._ours.every(array)))
        )

    def _found(self, value: int, array: Any) -> bool:
        """Whether the artifact has a value of PyTorch's."""
        if value not in self._of_inputs:
            return self._theirs.equal(array) is not None
        return any(self._is(value, name) for name in self._theirs.every(array))

    def _is(self, value: int, name: str) -> bool:
        """Whether equal values are one: what is computed of the inputs is no constant that happens to be equal.

        Of single numbers many are equal: such a one must be of one kind on both sides, and made of equal values.
        """
        if name in self.graph.constants or value in self._of_weights:
            return False
        theirs, ours = self.values[name], self.trace.values[value]
        if theirs.size > 1:
            return True
        if value not in self._of_inputs or _kind(theirs) != _kind(ours):
            return False
        return not self.before(value).isdisjoint(self.behind(name))

    def _before(self, value: int) -> set[str]:
        """The nearest arrays that a single number of PyTorch's is made of and the artifact has, and inputs, as its."""
        flow = self.trace.flow

        def ends(each: int) -> bool:
            array = self.trace.values.get(each)
            return flow.maker(each) is None or (array is not None and array.size > 1 and self._found(each, array))

        # An operator may write to what it reads: only what was there before counts.
        found = _nearest(flow, value, lambda each: each in self._of_inputs and each < value, ends)
        arrays = [self.trace.values[each] for each in found if each in self.trace.values]
        return {name for array in arrays for name in self._theirs.every(array)}

    def _behind(self, name: str) -> set[str]:
        """The same of one of the artifact's, which PyTorch has; of an input that input."""
        flow = self.graph.flow

        def ends(each: str) -> bool:
            array = self.values.get(each)
            return flow.maker(each) is None or (array is not None and array.size > 1 and self._known(each))

        if flow.maker(name) is None:
            return {name}
        return _nearest(flow, name, lambda each: each not in self.graph.constants, ends)

    def nearly(self, call: int, deadline: float) -> tuple[int, float] | None:
        """Of the calls before one whose values the artifact has, that of the largest error; None where all are equal.

        What is within the tolerance there may be amplified by the call itself. It goes back from the call until
        `deadline`, of `time.monotonic`; single numbers are left out.
        """
        flow = self.trace.flow
        best: tuple[int, float] | None = None
        for each in reversed(flow.region(flow.operations[call].inputs, lambda _: False)):
            if time.monotonic() > deadline:
                break
            made = self.made(each)
            if each >= call or made is None or made[0] not in self._of_inputs or made[1].dtype.kind != "f":
                continue
            name = self._theirs.equal(made[1]) if made[1].size > 1 else None
            found = None if name is None else self._theirs.nearest(made[1], {name})
            if found is not None and found[2] > (best[1] if best else 0):
                best = each, found[2]
        return best


def _kind(array: Any) -> str:
    """What tells apart numbers that may be equal: booleans, whole numbers, and others."""
    return "i" if array.dtype.kind in "iu" else str(array.dtype.kind)


def _nearest(flow: Flow[V], value: V, computed: Callable[[V], bool], ends: Callable[[V], bool]) -> set[V]:
    """Of the values that one is made of, and that are `computed`, on each way the first at which it ends."""
    seen: set[V] = {value}
    found: set[V] = set()
    ahead = [value]
    while ahead:
        maker = flow.maker(ahead.pop())
        for each in () if maker is None else flow.operations[maker].inputs:
            if each in seen or not computed(each):
                continue
            seen.add(each)
            if ends(each):
                found.add(each)
            else:
                ahead.append(each)
    return found


def _origins(trace: Trace) -> tuple[frozenset[int], frozenset[int]]:
    """The values that are computed of the inputs, and those of weights alone; what only has their shape is neither."""
    of_inputs: set[int] = set()
    of_weights = set(trace.weights)
    for call, operation in zip(trace.calls, trace.flow.operations, strict=True):
        reads = set(operation.inputs)
        given = {value for value in reads if trace.flow.maker(value) is None}
        of_inputs |= given - trace.weights - trace.strangers
        if call.name in _SHAPED:
            continue
        if reads & of_inputs:
            of_inputs.update(operation.outputs)
        elif reads and reads <= of_weights:
            of_weights.update(operation.outputs)
    return frozenset(of_inputs), frozenset(of_weights)
