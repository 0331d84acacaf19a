"""Whether two sets of outputs are equal, and if not, what differs first.

The order is fixed and stops at the first difference: number of outputs, dtype, shape, NaN and Inf positions, values.
Floating-point values differ where their relative error is above the tolerance; all others, being indices, classes and
masks, where any of them is another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

DEFAULT_TOLERANCE = 1e-4
TF32_TOLERANCE = 1e-2
NOISE_FACTOR = 10.0
MOST_FROM_NOISE = 1e-2
EXCELLENT_MSE = 1e-5
ACCEPTABLE_MSE = 1e-3


@dataclass(frozen=True)
class Errors:
    """Error figures of the worst output. Relative error is ‖a − b‖ / ‖b‖ in the Euclidean norm."""

    mse: float
    max_abs_error: float
    relative_error: float
    cosine: float


@dataclass(frozen=True)
class Match:
    """What a comparison of outputs came to.

    `difference` is empty where they match; `errors`, the worst of each figure, is None where values could not be
    compared. `outputs` has the figures of each output.
    """

    difference: str
    errors: Errors | None
    outputs: tuple[Errors, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether nothing differs beyond the tolerance."""
        return not self.difference


def errors_of(actual: Any, expected: Any) -> Errors:
    """Error figures of one output, in float64. Positions that are NaN or Inf on both sides are left out."""
    import numpy as np

    a = np.asarray(actual, dtype=np.float64).ravel()
    b = np.asarray(expected, dtype=np.float64).ravel()
    finite = np.isfinite(a) & np.isfinite(b)
    a, b = a[finite], b[finite]
    if a.size == 0:
        return Errors(0.0, 0.0, 0.0, 1.0)
    error = a - b
    norm_a, norm_b, norm_error = (float(np.linalg.norm(x)) for x in (a, b, error))
    relative = 0.0 if norm_error == 0 else norm_error / norm_b if norm_b else math.inf
    cosine = 1.0 if norm_error == 0 else float(a @ b) / (norm_a * norm_b) if norm_a and norm_b else 0.0
    return Errors(float(np.mean(error**2)), float(np.max(np.abs(error))), relative, min(1.0, max(-1.0, cosine)))


def worst(figures: Sequence[Errors]) -> Errors | None:
    """The worst of each figure over several outputs."""
    if not figures:
        return None
    return Errors(
        max(f.mse for f in figures),
        max(f.max_abs_error for f in figures),
        max(f.relative_error for f in figures),
        min(f.cosine for f in figures),
    )


def numbered(count: int) -> tuple[str, ...]:
    """What so many outputs are called where nobody knows their paths."""
    return ("output",) if count == 1 else tuple(f"outputs[{index}]" for index in range(count))


def _structure(actual: Sequence[Any], expected: Sequence[Any], paths: Sequence[str]) -> str:
    if len(actual) != len(expected):
        return f"{len(actual)} outputs instead of {len(expected)} ({', '.join(paths)})"
    for path, a, b in zip(paths, actual, expected, strict=True):
        if a.dtype != b.dtype:
            return f"{path}: dtype {a.dtype} instead of {b.dtype}"
    for path, a, b in zip(paths, actual, expected, strict=True):
        if a.shape != b.shape:
            return f"{path}: shape {list(a.shape)} instead of {list(b.shape)}"
    return ""


def as_real(value: Any) -> Any:
    """A complex array with its real and imaginary parts along a last axis of two; any other as it is."""
    import numpy as np

    return np.stack([value.real, value.imag], axis=-1) if value.dtype.kind == "c" else value


def _special(actual: Sequence[Any], expected: Sequence[Any], paths: Sequence[str]) -> str:
    """The first position where one side is NaN, +Inf or -Inf and the other is not."""
    import numpy as np

    for path, a, b in zip(paths, actual, expected, strict=True):
        if a.dtype.kind != "f":
            continue
        for name, test in (("NaN", np.isnan), ("+Inf", np.isposinf), ("-Inf", np.isneginf)):
            differ = np.argwhere(test(a) != test(b))
            if len(differ):
                where = differ[0].tolist()
                side = "only after conversion" if bool(test(a[tuple(where)])) else "only natively"
                return f"{path}: {name} at {where} {side} ({len(differ)} positions differ)"
    return ""


def _beyond(actual: Any, expected: Any, errors: Errors, tolerance: float) -> str:
    """By how much floating-point values differ beyond the tolerance, and where most; empty where they do not."""
    import numpy as np

    # Written so that what is no number is beyond.
    if errors.relative_error <= tolerance:
        return ""
    with np.errstate(invalid="ignore"):
        gap = np.abs(np.asarray(actual, dtype=np.float64) - np.asarray(expected, dtype=np.float64))
    where = np.unravel_index(int(np.nanargmax(np.where(np.isfinite(gap), gap, -1.0))), gap.shape)
    return (
        f", relative error {errors.relative_error:.2e} above {tolerance:.0e}, "
        f"most at {[int(i) for i in where]}: {float(actual[where]):.6g} instead of {float(expected[where]):.6g}"
    )


def _inexact(actual: Any, expected: Any) -> str:
    """Where integers or booleans of one dtype are not the same; empty where all are.

    Never as floating-point numbers: from 2^53 on, those of float64 leave integers out.
    """
    import numpy as np

    if np.array_equal(actual, expected):
        return ""
    high, low = np.maximum(actual, expected), np.minimum(actual, expected)
    with np.errstate(over="ignore"):  # modulo 2^64, in which the difference of any two is right
        gap = high.astype(np.uint64) - low.astype(np.uint64)
    where = np.unravel_index(int(np.argmax(gap)), gap.shape)
    return (
        f" at {int(np.count_nonzero(gap))} of {gap.size} positions, "
        f"most at {[int(i) for i in where]}: {int(actual[where])} instead of {int(expected[where])}"
    )


def compare(
    actual: Sequence[Any], expected: Sequence[Any], tolerance: float, paths: Sequence[str] | None = None
) -> Match:
    """Hold `actual` against `expected`, both numpy arrays in order; `tolerance` bounds the relative error.

    `paths` are those of the expected outputs, by which a difference is told.
    """
    paths = numbered(len(expected)) if paths is None else paths
    difference = _structure(actual, expected, paths)
    if difference:
        return Match(difference, None)
    actual, expected = ([as_real(value) for value in side] for side in (actual, expected))
    difference = _special(actual, expected, paths)
    figures = [errors_of(a, b) for a, b in zip(actual, expected, strict=True)]
    if difference:
        return Match(difference, worst(figures), tuple(figures))
    for path, a, b, figure in zip(paths, actual, expected, figures, strict=True):
        difference = _beyond(a, b, figure, tolerance) if a.dtype.kind == "f" else _inexact(a, b)
        if difference:
            return Match(f"{path}: values differ{difference}", worst(figures), tuple(figures))
    return Match("", worst(figures), tuple(figures))


def tolerance_for(noise: float, *, own: float | None, tf32: bool = False) -> float:
    """The relative error above which a cell is mismatched; `noise` is the native output's own relative error.

    `own` is the model's word, which stands whatever else. `tf32` says that the runtime was allowed TF32, whose 10 bits
    of mantissa are off by up to 2^-11 in each factor. Noise alone never raises it above `MOST_FROM_NOISE`: a model that
    differs from itself by more (left in train mode, say) has no output that a conversion could match, and that is to
    be seen.
    """
    if own is not None:
        return own
    from_noise = min(MOST_FROM_NOISE, NOISE_FACTOR * noise) if noise == noise else MOST_FROM_NOISE  # noqa: PLR0124
    return max(TF32_TOLERANCE if tf32 else DEFAULT_TOLERANCE, from_noise)


def grade(mse: float) -> str:
    """How practitioners' guides grade an MSE. It is shown and never decides."""
    if mse < EXCELLENT_MSE:
        return "excellent"
    return "acceptable" if mse < ACCEPTABLE_MSE else "investigate"
