"""Which value of PyTorch's is which of an artifact, where numbers are equal by chance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from harness.bench.dataflow import Flow, Operation
from harness.bench.onnx_values import Graph, Node
from harness.bench.sides import Sides
from harness.bench.tracing import Call, Trace

X = np.array([[0.3, 2.0], [1.5, -1.0], [0.1, 0.7]], np.float32)


def _scalar(value: Any) -> Any:
    return np.array(value)


def _sides(other: Any, makes: Operation[str], *, constants: frozenset[str]) -> Sides:
    """`index_select(x, argmax(x))`, with a wrong index in the artifact, which has a further single number."""
    trace = Trace(
        calls=(Call("aten.argmax"), Call("aten.index_select")),
        flow=Flow([Operation((0,), (1,)), Operation((0, 1), (2,))]),
        values={0: X, 1: _scalar(1), 2: X[1]},
        outputs=(2,),
        arrays=(X[1],),
        weights=frozenset(),
        strangers=frozenset(),
    )
    operations = [makes, Operation(("x",), ("index",)), Operation(("x", "index"), ("y",))]
    graph = Graph(
        nodes=tuple(Node(name, "", "", "") for name in ("Other", "ArgMax", "Gather")),
        flow=Flow(operations),
        given=constants | {"x", "z"},
        constants=constants,
        outputs=("y",),
    )
    z = np.array([3.0, 4.0], np.float32)
    return Sides(trace, graph, {"x": X, "z": z, "other": other, "index": _scalar(2), "y": X[2]}, 1e-4)


@pytest.mark.parametrize(
    ("other", "makes", "constants"),
    [
        (np.array([1]), Operation((), ("other",)), frozenset({"other"})),
        (np.array([1]), Operation(("z",), ("other",)), frozenset()),
        (np.array([True]), Operation(("x",), ("other",)), frozenset()),
        (np.array([1.0]), Operation(("x",), ("other",)), frozenset()),
    ],
)
def test_a_number_that_is_equal_by_chance_hides_no_wrong_one(
    other: Any, makes: Operation[str], constants: frozenset[str]
) -> None:
    sides = _sides(other, makes, constants=constants)
    assert sides.region([2], ["y"]).origins == (0,)  # not index_select, which only reads the wrong index


def test_a_number_of_its_kind_that_is_made_of_equal_values_is_the_same() -> None:
    sides = _sides(np.array([1]), Operation(("x",), ("other",)), constants=frozenset())
    assert sides.region([2], ["y"]).origins == (1,)


def test_an_error_below_the_tolerance_before_an_operator_is_known() -> None:
    x = np.linspace(100.0, 101.0, 12, dtype=np.float64).reshape(3, 4)
    near = x * (1 + 8e-5 * np.sign(np.sin(np.arange(12))).reshape(3, 4))
    trace = Trace(
        calls=(Call("aten.gelu"), Call("aten.sub")),
        flow=Flow([Operation((0,), (1,)), Operation((1,), (2,))]),
        values={0: x / 2, 1: x, 2: x - x.mean()},
        outputs=(2,),
        arrays=(x - x.mean(),),
        weights=frozenset(),
        strangers=frozenset(),
    )
    graph = Graph(
        nodes=tuple(Node(name, "", "", "") for name in ("Gelu", "Sub")),
        flow=Flow([Operation(("x",), ("h",)), Operation(("h",), ("y",))]),
        given=frozenset({"x"}),
        constants=frozenset(),
        outputs=("y",),
    )
    sides = Sides(trace, graph, {"x": x / 2, "h": near, "y": near - near.mean()}, 1e-4)
    assert sides.region([2], ["y"]).origins == (1,)
    found = sides.nearly(1, math.inf)
    assert found is not None
    assert found[0] == 0
    assert found[1] == pytest.approx(8e-5, rel=0.2)
    assert sides.nearly(0, math.inf) is None
