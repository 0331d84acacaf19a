"""Nested values as leaves by path, and back."""

from __future__ import annotations

import json
from collections import OrderedDict, UserDict, defaultdict
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np
import pytest

from harness.bench.structure import (
    UnsupportedValueError,
    graph_names,
    has_number_keys,
    has_objects,
    output_leaves,
    rebuilt,
    spec_of,
)

A, B, C = np.array([1, 2], np.float32), np.array([[3]], np.float32), np.int64(4)


class Pair(NamedTuple):
    second: Any
    first: Any


@dataclass
class Record:
    mean: Any
    total: Any = field(init=False, default=None)


@dataclass
class Logits(OrderedDict):  # type: ignore[type-arg]
    """A mapping that is a dataclass too, and holds only what is not None: as transformers' ModelOutput."""

    logits: Any = None
    aux: Any = None
    hidden: Any = None

    def __post_init__(self) -> None:
        for each in fields(self):
            if getattr(self, each.name) is not None:
                self[each.name] = getattr(self, each.name)


def paths(value: Any) -> list[str]:
    return [path for path, _ in output_leaves(value)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (A, ["output"]),
        (0.5, ["output"]),
        (None, []),
        ((A,), ["outputs[0]"]),
        ([A, None, B], ["outputs[0]", "outputs[2]"]),
        ({"z": A, "a": (B, [C])}, ["outputs.z", "outputs.a[0]", "outputs.a[1][0]"]),
        ({"a b": A, 3: B, "it's": C}, ["outputs['a b']", "outputs[3]", 'outputs["it\'s"]']),
        (Pair(first=A, second=B), ["outputs.second", "outputs.first"]),
        (Record(A), ["outputs.mean"]),
        (Logits(hidden=(A, B), logits=C), ["outputs.logits", "outputs.hidden[0]", "outputs.hidden[1]"]),
        (UserDict({"x": A}), ["outputs.x"]),
        (
            {"flag": True, "size": 3, "scale": 0.5, "phase": 1j},
            [f"outputs.{k}" for k in ("flag", "size", "scale", "phase")],
        ),
        ({}, []),
    ],
)
def test_leaves_have_paths_in_the_containers_own_order(value: Any, expected: list[str]) -> None:
    assert paths(value) == expected


@pytest.mark.parametrize("value", ["a label", object(), {1, 2}, b"bytes", Record])
def test_what_is_no_leaf_is_told_by_path_and_what_to_do(value: Any) -> None:
    with pytest.raises(
        UnsupportedValueError, match=r"^outputs\.a\[1\] is of the type \w+, .*docs/adding\.md for a wrap"
    ):
        output_leaves({"a": [A, value]})


def flat(value: Any) -> tuple[Any, list[str], list[Any]]:
    found: list[tuple[str, Any]] = []

    def add(path: str, leaf: Any) -> int:
        found.append((path, leaf))
        return len(found) - 1

    spec = spec_of(value, "x", add)
    return json.loads(json.dumps(spec)), [path for path, _ in found], [leaf for _, leaf in found]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (A, ["x"]),
        ({"b": A, "a": [B, None, (C,)]}, ["x.b", "x.a[0]", "x.a[2][0]"]),
        (Pair(first=A, second=B), ["x.second", "x.first"]),
        ({0: A, 1: B}, ["x[0]", "x[1]"]),
        (OrderedDict(b=A, a=B), ["x.b", "x.a"]),
        (Logits(logits=A, hidden=(B,)), ["x.logits", "x.hidden[0]"]),
        (None, []),
    ],
)
def test_an_input_is_put_together_again_from_its_leaves(value: Any, expected: list[str]) -> None:
    spec, names, leaves = flat(value)
    assert names == expected
    again = rebuilt(spec, leaves, {})
    assert type(again) is type(value)
    assert flat(again)[:2] == (spec, names)
    assert [a is b for a, b in zip(flat(again)[2], leaves, strict=True)] == [True] * len(leaves)
    assert has_objects(spec) == isinstance(value, (Pair, OrderedDict))


def test_fields_that_the_constructor_does_not_take_come_back() -> None:
    value = Record(A)
    value.total = B
    spec, names, leaves = flat([value])
    assert names == ["x[0].mean", "x[0].total"]
    (again,) = rebuilt(spec, leaves, {})
    assert (again.mean is A, again.total is B) == (True, True)
    assert has_objects(spec)


def test_each_call_gets_containers_of_its_own() -> None:
    spec, _, leaves = flat({"a": [A]})
    one = rebuilt(spec, leaves, {})
    one["a"].clear()
    assert rebuilt(spec, leaves, {}) == {"a": [A]}


def test_each_call_gets_a_constant_of_its_own() -> None:
    constant: Any = OrderedDict(sizes=[1, 2], seen={3}, more=({"a": []}, A))
    spec = {"constant": "cache"}
    one: Any = rebuilt(spec, [], {"cache": constant})
    assert (type(one), one["more"][1] is A) == (OrderedDict, True)
    for held in (one["sizes"], one["seen"], one["more"][0]["a"], one):
        held.clear()
    assert (constant["sizes"], constant["seen"], constant["more"][0]) == ([1, 2], {3}, {"a": []})
    plain: dict[str, Any] = {"sizes": [1], "more": ({"a": {1}},)}
    two = rebuilt(spec, [], {"cache": plain})
    two["sizes"].append(2)
    two["more"][0]["a"].clear()
    assert plain == {"sizes": [1], "more": ({"a": {1}},)}


class Doubled(dict):  # type: ignore[type-arg]
    """A mapping that does not hold what it is given."""

    def __init__(self, items: Any) -> None:
        super().__init__({f"{name}{name}": item for name, item in dict(items).items()})


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (
            defaultdict(lambda: A, a=A),
            r"x\.b is of the type defaultdict, .* \(TypeError: .*\)\. Give a dict instead\. See",
        ),
        (Doubled({"a": A}), r"x\.b is of the type Doubled, which cannot be made anew of what it holds\. Give a dict"),
    ],
)
def test_a_class_that_cannot_be_made_anew_is_refused(value: Any, told: str) -> None:
    with pytest.raises(UnsupportedValueError, match=told):
        flat({"a": A, "b": value})


def test_keys_that_are_numbers_are_known() -> None:
    assert has_number_keys(flat([({"a": {0: A}},)])[0])
    assert not has_number_keys(flat([({"0": A, "b": [B]}, C)])[0])


def test_a_class_that_nobody_else_can_find_is_refused() -> None:
    @dataclass
    class Inner:
        a: Any

    with pytest.raises(
        UnsupportedValueError, match="x is of the type Inner, whose class cannot be found again: define"
    ):
        flat(Inner(A))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.5, r"x is 0\.5, and an input must be an array\. .*constants=\{'x': 0\.5\} or np\.float32"),
        (True, r"constants=\{'x': True\}"),
        ("left", r"x is 'left', and .* constants=\{'x': 'left'\}\."),
        ([A, 3], r"x\[1\] is 3, and an input must be an array\. See"),
        ({"a": object()}, r"x\.a is of the type object, which is neither an array nor a container"),
        ({(1, 2): A}, r"x has the key \(1, 2\), and a key must be a text or a whole number"),
    ],
)
def test_what_is_no_input_is_told(value: Any, told: str) -> None:
    with pytest.raises(UnsupportedValueError, match=told):
        flat(value)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("x", "mask"), ("x", "mask")),
        (("batch.ids", "images[0]", "more['a b'][1]"), ("batch_ids", "images_0", "more_a_b_1")),
        (("a.b", "a_b", "a[b]"), ("a_b", "a_b_2", "a_b_3")),
        (("X", "x", "x_2", "Wq"), ("X", "x_2", "x_2_2", "Wq")),
        (("output_0", "lambda", "_x", "3", "ä"), ("input_output_0", "input_lambda", "x", "input_3", "input")),
    ],
)
def test_graphs_get_plain_names_and_none_of_them_twice(given: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert graph_names(given) == expected
    assert all(name.isidentifier() for name in expected)
