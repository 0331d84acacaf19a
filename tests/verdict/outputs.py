"""Native outputs as tables keep them, and how two of them compare."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from harness.bench.sketch import sampled
from harness.tables.decoding import decode
from harness.tables.natives import Native, NativeOutput
from harness.tables.schema import Table
from harness.verdict.natives import NativeChange, compare_natives
from tests.tables.samples import native, passed, table

Make = Callable[..., NativeOutput]
Array = np.ndarray[Any, np.dtype[Any]]
values = st.lists(st.floats(), max_size=8).map(tuple)


def of_schema_1(*sample: float, **facts: Any) -> NativeOutput:
    given = {"digest": f"{hash(sample) & (1 << 64) - 1:016x}", "shape": (len(sample),), "dtype": "float32"}
    return NativeOutput(sample=sample, **{**given, **facts})


def small(*kept: float, **facts: Any) -> NativeOutput:
    given = {"digest": f"{hash(kept) & (1 << 64) - 1:016x}", "shape": (len(kept),), "dtype": "float32"}
    norm = float(np.linalg.norm([v for v in kept if math.isfinite(v)])) if max(map(abs, kept), default=0) < 1e100 else 1
    return NativeOutput(values=kept, norm=norm, **{**given, **facts})


def of(array: Array) -> NativeOutput:
    """What the bench keeps of `array`, by way of JSON."""
    return decode(NativeOutput, json.loads(json.dumps(sampled(array))), where="")


FORMS = pytest.mark.parametrize("make", [of_schema_1, small])


def holding(made: Native | None, **digests: Any) -> Table:
    return table(passed("m", "native", **digests), natives={} if made is None else {"m": made})


def only(base: Native, candidate: Native) -> NativeChange:
    return only_change(holding(base), holding(candidate))


def only_change(base: Table, candidate: Table) -> NativeChange:
    (change,) = compare_natives(base, candidate)
    return change


def moved(base: Array, candidate: Array, **facts: Any) -> NativeChange:
    return only(replace(native(of(base)), **facts), replace(native(of(candidate)), **facts))
