"""What is kept of a native output, so that another version's can be held against it without the output itself.

Equal digests are equal bits. Where they differ, the relative error ‖candidate − base‖ / ‖base‖ of the whole output is
estimated from a sketch of each. A sketch is a linear map into few numbers that nearly keeps lengths: every value goes,
under a hashed sign, to one hashed bucket of each row, and the squared length of the difference of two rows estimates
that of the difference of the outputs without bias. Signed sums are of Alon, Matias and Szegedy ("The space complexity
of approximating the frequency moments", STOC 1996), hashed buckets of Charikar, Chen and Farach-Colton ("Finding
frequent items in data streams", ICALP 2002), the squared length of a hashed row of Weinberger et al. ("Feature hashing
for large scale multitask learning", ICML 2009).

Eight rows of 32 buckets are as sharp for a change everywhere as four of 64 (a spread of 5 %), and sharper where two
changed values meet in a bucket and cancel: five of the eight rows would have to lose them (once in ten million) before
1.5 times the tolerance looked like less than it. The mean of the rows is nearer the truth than their median.
The norm is exact, since an estimated one would add its own spread, and a sketch is kept in units of it, so that huge
and tiny values fit. Sign and bucket come from the position alone, by `harness.bench.bits`: the same everywhere.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import struct
from collections.abc import Sequence
from typing import Any

from harness.bench.bits import words

ROWS = 8
BUCKETS = 32
KEPT_VALUES = 128
"""Outputs of at most so many values keep them instead: that is no longer than a sketch, and exact."""

_STREAM = "sketch"
_FLOAT32_BYTES = 4
_LANES = 2 * BUCKETS
_ROW_BITS = 6
_CHUNK = 1 << 16
_FORMAT = f"<{ROWS * BUCKETS}f"


def sampled(output: Any) -> dict[str, Any]:
    """What is kept of `output`, a numpy array of numbers: plain values, to be written as JSON.

    `digest` of type, shape and all bits, `shape`, `dtype`, `norm` (Euclidean, over the finite values; infinite where
    float64 cannot hold it), `special` (a digest of where NaN, +Inf and -Inf are; absent where all is finite), and
    either `values` (to as many digits as their type holds) or a `sketch`. Complex numbers count as pairs of real ones.
    """
    import numpy as np

    flat = np.ascontiguousarray(output).reshape(-1)
    flat = flat.view(flat.real.dtype) if flat.dtype.kind == "c" else flat
    digest = hashlib.sha256(f"{output.dtype} {output.shape}".encode() + flat.tobytes()).hexdigest()[:16]
    kept: dict[str, Any] = {"digest": digest, "shape": list(output.shape), "dtype": str(output.dtype)}
    exponent, finite = _extent(flat)
    sums, square = _sums(flat, exponent, finite=finite, wanted=flat.size > KEPT_VALUES)
    kept["norm"] = _scaled_back(math.sqrt(square), exponent)
    if not finite:
        kept["special"] = _special(flat)
    if flat.size <= KEPT_VALUES:
        digits = 9 if flat.dtype.itemsize <= _FLOAT32_BYTES else 17
        kept["values"] = [float(f"{value:.{digits}g}") for value in flat.astype(np.float64).tolist()]
    else:
        kept["sketch"] = encoded(sums / math.sqrt(square) if square else sums)
    return kept


def _extent(flat: Any) -> tuple[int, bool]:
    """The binary exponent of the largest finite value, and whether all values are finite."""
    import numpy as np

    largest, finite = 0.0, True
    for start in range(0, flat.size, _CHUNK):
        part = np.abs(flat[start : start + _CHUNK].astype(np.float64))
        largest_here = float(part.max())
        if not math.isfinite(largest_here):
            finite = False
            largest_here = float(np.where(np.isfinite(part), part, 0.0).max())
        largest = max(largest, largest_here)
    return math.frexp(largest)[1], finite


def _sums(flat: Any, exponent: int, *, finite: bool, wanted: bool) -> tuple[Any, float]:
    """The signed sums, if they are `wanted`, and the sum of squares, both of the finite values over 2**exponent.

    That division is exact, and lets no square overflow. In parts that fit into a cache.
    """
    import numpy as np

    lanes, squares = np.zeros((ROWS, _LANES)), []
    for start in range(0, flat.size, _CHUNK):
        part = np.ldexp(flat[start : start + _CHUNK].astype(np.float64), -exponent)
        if not finite:
            part[~np.isfinite(part)] = 0.0
        squares.append(float(np.sum(part * part)))
        if not wanted:
            continue
        word = words(_STREAM, part.size, start=start)
        for row in range(ROWS):
            # The lowest bit is the sign: a bucket is two lanes, one added and one taken off.
            lane = (word & np.uint64(_LANES - 1)).view(np.int64)
            lanes[row] += np.bincount(lane, part, _LANES)
            word >>= np.uint64(_ROW_BITS)
    return lanes[:, ::2] - lanes[:, 1::2], math.fsum(squares)


def _scaled_back(norm: float, exponent: int) -> float:
    try:
        return math.ldexp(norm, exponent)
    except OverflowError:
        return math.inf


def _special(flat: Any) -> str:
    """A digest of the positions of NaN, +Inf and -Inf."""
    import numpy as np

    masks = (np.isnan(flat), np.isposinf(flat), np.isneginf(flat))
    return hashlib.sha256(b"".join(np.packbits(mask).tobytes() for mask in masks)).hexdigest()[:16]


def encoded(sums: Any) -> str:
    """Signed sums, a numpy array of rows by buckets, as text: base64 of little-endian float32."""
    return base64.b64encode(sums.astype("<f4").tobytes()).decode("ascii")


def decoded(text: str) -> tuple[float, ...]:
    """The signed sums in the text of `encoded`, row after row. Raises `ValueError` where it holds something else."""
    try:
        sums = struct.unpack(_FORMAT, base64.b64decode(text, validate=True))
    except (binascii.Error, struct.error) as error:
        msg = f"no sketch of {ROWS} x {BUCKETS} sums: {error}"
        raise ValueError(msg) from error
    if not all(math.isfinite(each) for each in sums):
        msg = f"no sketch of {ROWS} x {BUCKETS} sums: one is not finite"
        raise ValueError(msg)
    return sums


def estimated_error(
    base: Sequence[float], candidate: Sequence[float], *, base_norm: float, candidate_norm: float
) -> float:
    """‖candidate − base‖ / ‖base‖ of two outputs of one shape, estimated from what `decoded` gives, and exact norms.

    Never less than what the norms alone tell. Infinite where all of the base's values are 0 and the candidate's are
    not, and where a norm is infinite.
    """
    if not candidate_norm and not base_norm:
        return 0.0
    ratio = candidate_norm / base_norm if base_norm else math.inf
    if not math.isfinite(ratio) or not math.isfinite(base_norm):
        return math.inf
    square = math.fsum((ratio * c - b) ** 2 for b, c in zip(base, candidate, strict=True)) / ROWS
    return max(math.sqrt(square), abs(ratio - 1.0))
