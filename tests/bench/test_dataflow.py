"""Where in a graph values begin to be wrong: the walk itself, on graphs that are made up."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from harness.bench.dataflow import Flow, Operation


def flow(*operations: str) -> Flow[str]:
    """Each is written `x w -> y`: what is read, and what is made."""
    split = [operation.split("->") for operation in operations]
    return Flow([Operation(tuple(reads.split()), tuple(makes.split())) for reads, makes in split])


# A chain with a weight; a residual connection; two branches of which both are wrong; a value that is written to.
CHAIN = flow("x w -> a", "a -> b", "b -> c", "c -> y")
RESIDUAL = flow("x -> a", "a -> b", "b a -> c", "c -> y")
BRANCHES = flow("x -> a", "x -> b", "a -> c", "b -> d", "c d -> y")
WRITTEN = flow("x -> a", "a -> b", "b a b -> a2 b2", "b2 -> y")


@pytest.mark.parametrize(
    ("graph", "right", "region", "origins"),
    [
        (CHAIN, "a b c", [3], [3]),
        (CHAIN, "a", [1, 2, 3], [1]),
        (CHAIN, "", [0, 1, 2, 3], [0]),
        # What lies before a right value is nobody's concern, right or not: it may have been fused away.
        (CHAIN, "b", [2, 3], [2]),
        (RESIDUAL, "a", [1, 2, 3], [1]),
        (RESIDUAL, "b a", [2, 3], [2]),
        (BRANCHES, "a b c", [3, 4], [3]),
        (BRANCHES, "a b", [2, 3, 4], [2, 3]),
        (WRITTEN, "a b", [2, 3], [2]),
    ],
)
def test_it_begins_where_nothing_wrong_is_read(
    graph: Flow[str], right: str, region: Collection[int], origins: Collection[int]
) -> None:
    known = {"x", "w", *right.split()}
    assert graph.region(["y"], known.__contains__) == region
    assert graph.origins(["y"], known.__contains__) == origins


def test_what_is_asked_for_is_wrong_whatever_is_said_of_it() -> None:
    assert CHAIN.origins(["y"], lambda _: True) == [3]


def test_a_given_value_has_no_beginning() -> None:
    assert CHAIN.region(["w"], lambda _: False) == []
    assert CHAIN.maker("w") is None


def test_a_long_chain_is_walked() -> None:
    long = Flow([Operation((number,), (number + 1,)) for number in range(20_000)])
    assert long.origins([20_000], lambda value: value <= 3) == [3]
