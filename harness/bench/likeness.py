"""Whether one side has a value of the other's: as it is, in another shape, or with its dimensions in another order.

Exporters fold reshapes into what comes after them, and other tools keep channels last, so that values are held against
each other whatever their shape.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_MOST_DIMENSIONS = 5


@dataclass(frozen=True)
class _Figures:
    """What tells most pairs apart at once: the norm of the finite values, and how many there are of the others."""

    norm: float
    strange: int


def relative_error(actual: Any, expected: Any) -> float:
    """‖a − b‖ / ‖b‖ over flat arrays of one size; infinite where NaN and Inf do not stand at the same places."""
    import numpy as np

    a, b = (np.asarray(each, dtype=np.float64).ravel() for each in (actual, expected))
    finite = np.isfinite(b)
    if not finite.all():
        if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not np.isfinite(a[finite]).all():
            return float("inf")
        a, b = a[finite], b[finite]
    with np.errstate(over="ignore"):
        error, norm = float(np.linalg.norm(a - b)), float(np.linalg.norm(b))
    if error == 0:
        return 0.0
    # What is no number is nothing like.
    return error / norm if norm and error == error else float("inf")  # noqa: PLR0124


def alike(actual: Any, expected: Any, tolerance: float) -> bool:
    """Whether flat arrays of one size are equal within a relative error; whole numbers and booleans exactly."""
    import numpy as np

    if actual.dtype.kind in "biu" and expected.dtype.kind in "biu":
        return bool(np.array_equal(actual.ravel(), expected.ravel()))
    return relative_error(actual, expected) <= tolerance


def views(value: Any, shape: tuple[int, ...]) -> Iterator[Any]:
    """A value in `shape`, in each way that its elements could lie in it: reshaped, and with dimensions reordered."""
    yield value.reshape(shape)
    kept = tuple(size for size in shape if size != 1)
    squeezed = value.reshape(tuple(size for size in value.shape if size != 1))
    if len(kept) < 2 or len(kept) > _MOST_DIMENSIONS or sorted(squeezed.shape) != sorted(kept):  # noqa: PLR2004
        return
    for order in itertools.permutations(range(len(kept))):
        if order != tuple(range(len(kept))) and tuple(squeezed.shape[axis] for axis in order) == kept:
            yield squeezed.transpose(order).reshape(shape)


class Values(Generic[K]):
    """Arrays by name, to look for others among them."""

    def __init__(self, arrays: Mapping[K, Any], tolerance: float) -> None:
        self._arrays = arrays
        self._tolerance = tolerance
        self._figures: dict[K, _Figures] = {}
        self._by_size: dict[int, list[K]] = {}
        for name, array in arrays.items():
            self._by_size.setdefault(array.size, []).append(name)

    def equal(self, value: Any, *, relaid: bool = True) -> K | None:
        """The first that has the same values, in whatever shape; None where none has.

        Where not `relaid`, their dimensions must have the same order too.
        """
        return next(self.every(value, relaid=relaid), None)

    def every(self, value: Any, *, relaid: bool = True) -> Iterator[K]:
        """All that have the same values, as for `equal`."""
        wanted = _figures(value)
        for name in self._by_size.get(value.size, ()):
            if name not in self._figures:
                self._figures[name] = _figures(self._arrays[name])
            found = self._figures[name]
            # ‖a‖ and ‖b‖ differ by no more than ‖a − b‖, whatever the order of the elements.
            near = abs(found.norm - wanted.norm) <= self._tolerance * wanted.norm
            if not near or found.strange != wanted.strange:
                continue
            array = self._arrays[name]
            laid = views(array, value.shape) if relaid else iter((array.reshape(value.shape),))
            if any(alike(each, value, self._tolerance) for each in laid):
                yield name

    def nearest(self, value: Any, among: Collection[K]) -> tuple[K, Any, float] | None:
        """Of those in `among` the one that is most like: its name, it in the shape of `value`, its relative error."""
        best: tuple[K, Any, float] | None = None
        for name in self._by_size.get(value.size, ()):
            if name not in among:
                continue
            for each in views(self._arrays[name], value.shape):
                error = relative_error(each, value)
                if best is None or error < best[2]:
                    best = name, each, error
        return best


def _figures(array: Any) -> _Figures:
    import numpy as np

    flat = np.asarray(array, dtype=np.float64).ravel()
    finite = np.isfinite(flat)
    strange = int(flat.size - np.count_nonzero(finite))
    with np.errstate(over="ignore"):
        return _Figures(float(np.linalg.norm(flat[finite] if strange else flat)), strange)
