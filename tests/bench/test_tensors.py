"""Arrays on disk, and what a model's file may get wrong about its probes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.bench import Model
from harness.bench.progress import InputsError
from harness.bench.structure import UnsupportedValueError
from harness.bench.tensors import (
    as_inputs,
    check_dynamic,
    check_probe,
    file_digest,
    flatten,
    load,
    same_shape,
    save,
    seal,
    to_arrays,
)

EXAMPLE: dict[str, Any] = {"x": np.zeros((2, 8), np.float32), "mask": np.zeros((2,), np.int64)}


def _model() -> Model:
    return Model(
        summary="",
        family="test",
        build=dict,
        example=lambda: EXAMPLE,
        probes={},
        dynamic={"x": {0: "batch"}, "mask": {0: "batch"}},
    )


def test_arrays_come_back_in_order_with_their_types(tmp_path: Path) -> None:
    arrays: list[Any] = [
        np.array([[1.5, np.nan]], np.float32),
        np.int64(3),
        np.zeros((0, 4)),
        np.array([True]),
        np.array([1 + 2j]),
    ]
    arrays += [np.full(1, index) for index in range(12)]
    save(tmp_path / "a.npz", arrays)
    back = load(tmp_path / "a.npz")
    assert [b.dtype for b in back] == [np.asarray(a).dtype for a in arrays]
    for a, b in zip(arrays, back, strict=True):
        np.testing.assert_array_equal(a, b)
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


@pytest.mark.parametrize("value", [[{"label": 1}], "a label", np.array("2020-01-01", "datetime64[D]")])
def test_what_is_no_array_of_numbers_is_refused_before_anything_is_written(tmp_path: Path, value: object) -> None:
    with pytest.raises(TypeError, match=f"output 1 is no array of numbers, but {type(value).__name__}"):
        save(tmp_path / "a.npz", [np.zeros(1), value])
    assert not list(tmp_path.iterdir())


def test_a_sealed_file_is_read_only_and_its_digest_tells_an_edit(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    save(path, [np.arange(300_000)])
    digest = seal(path)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest() == file_digest(path)
    assert path.stat().st_mode & 0o777 == 0o444
    np.testing.assert_array_equal(load(path)[0], np.arange(300_000))
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(2_000_000)
        file.write(b"\1")
    assert file_digest(path) != digest


def test_outputs_are_flattened_in_their_own_order() -> None:
    assert flatten({"b": [1, (2, None)], "a": {"z": 3}}) == [1, 2, 3]
    assert flatten(4) == [4]
    assert flatten(None) == []


class _Unreadable:
    """What torch does with a tensor that numpy has no type for."""

    dtype, layout = "torch.bfloat16", "torch.strided"

    def detach(self) -> _Unreadable:
        return self

    cpu = detach

    def numpy(self) -> object:
        msg = "Got unsupported ScalarType BFloat16"
        raise TypeError(msg)


def test_a_tensor_that_numpy_has_no_type_for_is_told_with_its_path_and_what_to_do() -> None:
    told = r"outputs\.logits is torch\.bfloat16 \(torch\.strided\), which numpy does not have.* wrapper .*`\.float\(\)`"
    with pytest.raises(UnsupportedValueError, match=told):
        to_arrays({"logits": _Unreadable()})
    with pytest.raises(InputsError, match=r"example\(\): x is torch\.bfloat16"):
        as_inputs({"x": _Unreadable()}, "example()")


@pytest.mark.parametrize("value", [[1, 2], {}, None, np.zeros(3)])
def test_an_example_that_is_no_dict_is_told(value: object) -> None:
    with pytest.raises(InputsError, match=r"example\(\) must return a dict"):
        as_inputs(value, "example()")


def test_inputs_are_arrays_by_path_in_the_order_that_is_asked_for() -> None:
    given = {"b": [np.zeros(1), None, (np.ones(2),)], "a": {"z": np.int64(3)}, "none": None}
    found = as_inputs(given, "example()")
    assert {path: value.shape for path, value in found.items()} == {"b[0]": (1,), "b[2][0]": (2,), "a.z": ()}
    assert list(as_inputs(given, "example()", ["a.z", "b[0]", "b[2][0]"])) == ["a.z", "b[0]", "b[2][0]"]
    assert list(as_inputs(given, "example()", ["a.z", "b[0]"])) == ["b[0]", "b[2][0]", "a.z"]


def test_an_input_that_is_no_array_is_told() -> None:
    with pytest.raises(InputsError, match=r"^probe 'one': b\[1\] is 2\.5, and an input must be an array"):
        as_inputs({"b": [np.zeros(1), 2.5]}, "probe 'one'")


@pytest.mark.parametrize(
    ("dynamic", "told"),
    [
        ({"y": {0: "batch"}}, "`dynamic` names 'y', and the inputs are 'x', 'mask'"),
        ({"x": {2: "batch"}}, r"`dynamic` names dimension 2 of 'x', whose shape is \[2, 8\]"),
        ({"x": {-1: "batch"}}, "`dynamic` names dimension -1 of 'x'"),
    ],
)
def test_dynamic_dimensions_that_are_not_there_are_told(dynamic: dict[str, dict[int, str]], told: str) -> None:
    check_dynamic(_model(), EXAMPLE)
    with pytest.raises(InputsError, match=told):
        check_dynamic(replace(_model(), dynamic=dynamic), EXAMPLE)


def test_a_probe_may_differ_in_values_and_dynamic_dimensions() -> None:
    probe = {"x": np.ones((5, 8), np.float32), "mask": np.ones((5,), np.int64)}
    check_probe(_model(), "more", EXAMPLE, probe)
    assert not same_shape(EXAMPLE, probe)
    assert same_shape(EXAMPLE, {name: value + 1 for name, value in EXAMPLE.items()})


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"x": np.zeros((2, 9), np.float32)}, r"input 'x' has the shape \[2, 9\].*declared dynamic are: 0"),
        ({"x": np.zeros((2, 8, 1), np.float32)}, r"input 'x' has the shape \[2, 8, 1\]"),
        ({"x": np.zeros((2, 8), np.float64)}, "input 'x' is float64, and the example's is float32"),
        ({"y": np.zeros((2,), np.float32)}, "gives the inputs x, mask, y; the example gives x, mask"),
    ],
)
def test_a_probe_that_differs_in_more_is_told(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(InputsError, match=told):
        check_probe(_model(), "wrong", EXAMPLE, {**EXAMPLE, **changed})
