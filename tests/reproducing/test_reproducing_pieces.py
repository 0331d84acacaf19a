"""Short forms of the bench's own functions are held against them."""

from __future__ import annotations

import ast
import collections
import collections.abc
import fnmatch
import hashlib
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.bench import bits, match
from harness.bench.weights import filled_state
from harness.reproducing.pieces import PIECES, complete


def scope(*names: str, **more: Any) -> dict[str, Any]:
    """The functions of pieces, by name."""
    modules = {"np": np, "hashlib": hashlib, "math": math, "collections": collections, "fnmatch": fnmatch}
    found: dict[str, Any] = {**modules, **more}
    for name in complete(names):
        exec(PIECES[name].code, found)
    return found


@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 4, 5)])
@pytest.mark.parametrize("seed", ["example", 3])
def test_numbers_are_the_bits_of_the_bench(shape: tuple[int, ...], seed: str | int) -> None:
    made = scope("uniform", "integers")
    drawn = made["uniform"](shape, seed=seed, low=-2.0, high=3.5)
    expected = bits.uniform(shape, seed=seed, low=-2.0, high=3.5)
    assert (drawn.dtype, drawn.shape, drawn.tobytes()) == (expected.dtype, expected.shape, expected.tobytes())
    whole = made["integers"](shape, low=-5, high=90, seed=seed)
    wanted = bits.integers(shape, low=-5, high=90, seed=seed)
    assert (whole.dtype, whole.tobytes()) == (wanted.dtype, wanted.tobytes())


class Tensor:
    """What filling looks at of a tensor; it keeps what is copied into it."""

    def __init__(self, *shape: int, floating: bool = True) -> None:
        self.shape = shape
        self.floating = floating
        self.value: Any = None

    def is_floating_point(self) -> bool:
        return self.floating

    def copy_(self, value: Any) -> None:
        self.value = value


class Module:
    def __init__(self) -> None:
        self.parameters = {
            "a.weight": Tensor(4, 3),
            "a.bias": Tensor(4),
            "b.weight": Tensor(4, 3),
            "n.weight": Tensor(4),
        }
        self.buffers = {
            "n.running_mean": Tensor(4),
            "n.running_var": Tensor(4),
            "n.num_batches_tracked": Tensor(floating=False),
            "table": Tensor(5),
        }

    def named_parameters(self) -> list[tuple[str, Tensor]]:
        return list(self.parameters.items())

    def state_dict(self) -> dict[str, Tensor]:
        return {**self.parameters, **self.buffers}


def test_weights_are_those_of_the_bench() -> None:
    module, gains = Module(), {"b.*": 3.0}
    scope("fill", torch=SimpleNamespace(from_numpy=lambda value: value))["fill"](module, gains)
    expected = filled_state(module, gains)
    got = {name: tensor.value for name, tensor in module.state_dict().items() if tensor.value is not None}
    assert {name: value.tobytes() for name, value in got.items()} == {
        name: value.tobytes() for name, value in expected.items()
    }


ONE = np.array([1.0, 2.0, 3.0], dtype=np.float32)


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        ([ONE], [ONE]),
        ([ONE * (1 + 2e-5)], [ONE]),
        ([ONE * 1.01], [ONE]),
        ([ONE, ONE], [ONE]),
        ([ONE.astype(np.float64)], [ONE]),
        ([ONE[None]], [ONE]),
        ([np.array([np.nan, 2, 3], np.float32)], [ONE]),
        ([np.array([np.inf, 2], np.float32)], [np.array([np.inf, 2], np.float32)]),
        ([np.array([1, 2])], [np.array([1, 2])]),
        ([np.array([1, 3])], [np.array([1, 2])]),
        ([ONE.astype(np.complex64) * 1j], [ONE.astype(np.complex64)]),
        ([np.zeros(3, np.float32)], [np.zeros(3, np.float32)]),
        ([np.zeros(0, np.float32)], [np.zeros(0, np.float32)]),
    ],
)
def test_a_script_judges_as_the_bench(actual: list[Any], expected: list[Any]) -> None:
    paths = match.numbered(len(expected))
    judged = match.compare(actual, expected, 1e-4, paths)
    compare = scope("compare", TOLERANCE=1e-4)["compare"]
    if judged.equal:
        compare(actual, expected, paths)
        return
    with pytest.raises(AssertionError) as raised:
        compare(actual, expected, paths)
    # The figure, the type or the shape that the bench tells too.
    said, told = str(raised.value), judged.difference
    assert said.partition(" (")[0].partition(" at ")[0].replace("Inf", "+Inf") in told or said in told


def test_pieces_bring_what_they_need_and_define_their_names() -> None:
    assert complete(["fill"]) == ["drawn", "uniform", "fill"]
    for name, piece in PIECES.items():
        tree = ast.parse(piece.code)
        assert [node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))] == [name]


def test_flatten_keeps_the_order_of_a_nest() -> None:
    flatten = scope("flatten")["flatten"]
    assert flatten({"b": [1, None], "a": (2, {"c": 3})}) == [1, 2, 3]
    assert flatten(4) == [4]
