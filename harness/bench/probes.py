"""Probes for a model whose file has none: its example's own values in another order.

Values stay what they were, so that what indexes, counts or masks stays in range; the generator is
`harness.bench.bits`, so that they are the same bits under every combination.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.bench.bits import words
from harness.bench.definitions import Inputs

WANTED = 2
"""As many as a model's file should have of the example's shape."""

NO_OTHER_ORDER = "the example's values have no further order that differs"

_TRIES = 16


def derived(example: Inputs) -> dict[str, dict[str, Any]]:
    """Up to two probes made of `example` (input name to numpy array), by name: `permuted-1`, `permuted-2`.

    Each input's values are put into another order, over all its dimensions; type and shape stay. No probe equals the
    example or another probe, so that there are fewer where so few orders differ, and none where every input holds one
    value throughout.
    """
    found: dict[str, dict[str, Any]] = {}
    known = [example]
    for attempt in range(_TRIES):
        probe = {name: _permuted(value, f"permutation|{index}|{attempt}") for index, (name, value) in _each(example)}
        if all(_differ(probe, other) for other in known):
            known.append(probe)
            found[f"permuted-{len(found) + 1}"] = probe
        if len(found) == WANTED:
            break
    return found


def _each(example: Inputs) -> list[tuple[int, tuple[str, Any]]]:
    """The inputs by position: streams are keyed by it, as weights are, since names may change between versions."""
    return list(enumerate(example.items()))


def _permuted(value: Any, stream: str) -> Any:
    import numpy as np

    order = np.argsort(words(stream, value.size), kind="stable")
    return np.ascontiguousarray(value).reshape(-1)[order].reshape(value.shape)


def _differ(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether any bit differs; NaN is equal to itself here."""
    return any(one[name].tobytes() != other[name].tobytes() for name in other)
