"""What is kept of a native output: equal everywhere, whatever the numbers are, and enough to tell a change."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.bench.bits import uniform, words
from harness.bench.sketch import BUCKETS, KEPT_VALUES, ROWS, decoded, encoded, estimated_error, sampled

LARGE = KEPT_VALUES + 1


def estimate(base: Any, candidate: Any) -> float:
    kept, after = sampled(base), sampled(candidate)
    return estimated_error(
        decoded(kept["sketch"]), decoded(after["sketch"]), base_norm=kept["norm"], candidate_norm=after["norm"]
    )


def test_a_small_output_is_kept_as_it_is() -> None:
    assert sampled(np.array([[0.1, -2.0], [0.0, 3.5]], np.float32)) == {
        "digest": "58578301ad63b4b0",
        "shape": [2, 2],
        "dtype": "float32",
        "norm": pytest.approx(math.sqrt(0.01 + 4 + 12.25)),
        "values": [0.100000001, -2.0, 0.0, 3.5],
    }
    assert sampled(np.array([1 / 3, 1e300]))["values"] == [1 / 3, 1e300]
    assert sampled(np.array([True, False]))["values"] == [1.0, 0.0]
    assert sampled(np.array(5, np.int64))["shape"] == []


def test_nothing_is_kept_of_nothing() -> None:
    kept = sampled(np.zeros((0, 7), np.float32))
    assert (kept["values"], kept["norm"], "special" in kept) == ([], 0.0, False)


def test_a_large_output_keeps_its_bits() -> None:
    """Golden: a table made by one version is held against one made by another, on another machine."""
    kept = sampled(uniform((300, 7), seed="golden"))
    assert kept["digest"] == "c09d16d03339845d"
    assert kept["norm"] == pytest.approx(26.287385319041597, rel=1e-14)
    assert [round(each, 6) for each in decoded(kept["sketch"])[:4]] == [-0.184622, -0.210012, 0.270719, -0.039387]
    assert len(kept["sketch"]) == 1368


def test_a_sketch_is_the_published_one() -> None:
    """Against the definition, in plain numbers: every value under its sign in one bucket of each row."""
    values = uniform((70_000,), seed="definition").astype(np.float64)
    sums = np.zeros((ROWS, BUCKETS))
    for position, word in enumerate(words("sketch", values.size).tolist()):
        for row in range(ROWS):
            bits = word >> (6 * row)
            sums[row, (bits >> 1) % BUCKETS] += -values[position] if bits & 1 else values[position]
    kept = sampled(values)
    np.testing.assert_allclose(decoded(kept["sketch"]), (sums / np.linalg.norm(values)).ravel(), rtol=1e-6, atol=1e-9)
    assert kept["norm"] == pytest.approx(np.linalg.norm(values), rel=1e-14)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.complex64, np.complex128, np.int32, np.uint8])
@pytest.mark.parametrize("size", [LARGE, 70_000])
def test_a_relative_change_is_estimated_in_every_type(kind: Any, size: int) -> None:
    base = (uniform((size,), seed=1) * 100).astype(kind)
    if base.dtype.kind == "c":
        base = base + np.array(1j, kind) * uniform((size,), seed=2).astype(kind)
    candidate = (base * 2).astype(kind) if base.dtype.kind != "u" else (base // 2).astype(kind)
    wide = np.complex128 if base.dtype.kind == "c" else np.float64
    true = np.linalg.norm(candidate.astype(wide) - base.astype(wide)) / np.linalg.norm(base.astype(wide))
    assert estimate(base, candidate) == pytest.approx(true, rel=0.2)
    assert sampled(base)["norm"] == pytest.approx(np.linalg.norm(base.astype(wide)), rel=1e-12)


@pytest.mark.parametrize("scale", [1e-320, 1e-300, 1e-30, 1.0, 1e30, 1e300])
def test_huge_and_tiny_values_neither_overflow_nor_vanish(scale: float) -> None:
    base = uniform((1000,), seed=1).astype(np.float64) * scale
    candidate = base.copy()
    candidate[17] *= 1.5
    true = abs(candidate[17] - base[17]) / scale / np.linalg.norm(base / scale)
    assert estimate(base, candidate) == pytest.approx(true, rel=1e-2)
    assert sampled(base)["norm"] / scale == pytest.approx(np.linalg.norm(base / scale), rel=1e-3)


def test_float32_at_its_largest() -> None:
    base = np.full(1000, np.finfo(np.float32).max)
    assert sampled(base)["norm"] == pytest.approx(float(base[0]) * math.sqrt(1000))
    assert estimate(base, -base) == pytest.approx(2.0, rel=0.2)


def test_a_norm_that_float64_cannot_hold_is_infinite_and_counts_as_any_change() -> None:
    base = np.full(1000, 1.7e308)
    assert sampled(base)["norm"] == math.inf
    assert estimate(base, base) == math.inf


def test_values_that_are_not_finite_are_in_their_digest_alone() -> None:
    plain = uniform((1000,), seed=1)
    holed, other, signed = plain.copy(), plain.copy(), plain.copy()
    holed[3], other[4], signed[3] = math.nan, math.nan, math.inf
    kept = [sampled(each) for each in (holed, other, signed, plain)]
    assert len({each.get("special") for each in kept}) == 4
    assert "special" not in kept[3]
    assert kept[0]["norm"] == pytest.approx(np.linalg.norm(np.delete(plain.astype(np.float64), 3)), rel=1e-12)
    signed[3] = -math.inf
    assert sampled(signed)["special"] not in {each.get("special") for each in kept}
    empty = np.full(1000, math.nan, np.float32)
    assert (sampled(empty)["norm"], estimate(empty, empty)) == (0.0, 0.0)
    assert json.loads(json.dumps(sampled(holed)))["special"] == kept[0]["special"]


def test_a_transposed_view_counts_in_its_own_order() -> None:
    base = uniform((40, 30), seed=1)
    assert sampled(base.T) == sampled(np.ascontiguousarray(base.T))
    assert sampled(base.T)["digest"] != sampled(base)["digest"]


@given(st.integers(LARGE, 3000), st.integers(0, 2**31), st.floats(1e-3, 10.0))
def test_an_error_is_never_less_than_what_the_norms_tell(size: int, seed: int, factor: float) -> None:
    base = uniform((size,), seed=seed).astype(np.float64)
    assert estimate(base, base * factor) >= abs(factor - 1.0) * (1 - 1e-9)


@pytest.mark.parametrize(
    "text",
    ["", "AAAA", "not base64", encoded(np.full((ROWS, BUCKETS), np.nan)), encoded(np.zeros((ROWS, BUCKETS + 1)))],
)
def test_what_is_no_sketch_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no sketch of 8 x 32 sums"):
        decoded(text)


def test_a_sketch_comes_back_as_it_was_written() -> None:
    sums = uniform((ROWS, BUCKETS), seed=3)
    assert decoded(encoded(sums)) == tuple(sums.ravel().tolist())
