"""Which rows of a large table surely contradict nothing, told by columns; the others have to be looked at one by one.

The rules are those of `harness.bench.consistency` and `harness.tables.launches`, which alone say what is wrong with a
row. Here they may be stricter, never laxer: `tests/tables/test_table_vetting.py` holds both against each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import reduce
from operator import and_

import polars as pl

from harness.bench.consistency import (
    COMPARED,
    GRADES,
    HELD,
    MAY_BE_NEGATIVE,
    NOTHING_YET,
    SAID,
    TIMED,
)
from harness.bench.latency import BUSY_CORES, EXCLUSIVE, QUALITIES, SPREAD
from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage
from harness.tables.columns import columns_of
from harness.tables.launches import CELL, COUNTS, Launch, half_digit

_RAN_NOT = (Outcome.NOT_APPLICABLE.value, Outcome.UNRESOLVABLE.value)
_JUDGED = [stage.value for stage in (Stage.MATCH, Stage.PROBE, Stage.MEASURE)]
_EXACT = 1 - 1e-6
"""What of a tolerance counts here, where sums may be rounded otherwise than row by row."""

_LARGEST, _MOST_COUNTED = 2**48, 2**24
"""Larger whole numbers are looked at one by one: sums and products of these do not overflow."""


def sure_records(records: pl.DataFrame) -> pl.Series:
    """Of each record whether it surely contradicts nothing."""
    rules = (_of_outcome(), _of_stage(), *_of_numbers(), _of_grade(), _of_probes(), _of_timing())
    return records.select(sure=_all(rules))["sure"]


def sure_launches(launches: pl.DataFrame) -> bool:
    """Whether no launch contradicts itself, and those of each cell are numbered from 0 in their order."""
    rules = [
        (pl.col(each.name).is_finite() if each.kind is float else pl.col(each.name) < _MOST_COUNTED)
        & (pl.col(each.name) >= (1 if each.name in COUNTS else -math.inf if each.name == "drift" else 0))
        for each in columns_of(Launch)
        if each.kind in (int, float)
    ]
    rules = [rule.fill_null(value=True) for rule in rules]
    rules.append(pl.col("latency_ms").is_between("q1_ms", "q3_ms"))
    rules.append(pl.col("launch") == pl.int_range(pl.len()).over(CELL))
    return bool(launches.select(_all(rules).all()).item())


def sure_cells(records: pl.DataFrame, launches: pl.DataFrame) -> pl.Series | None:
    """Of each record whether its launches surely make what it says; None where launches and rows are not of one table.

    Launches are of a cell that is there, a latency has launches, and what passed without a latency has none.
    """
    key = [*CELL, "extension"]
    if launches.join(records, on=key, how="anti").height:
        return None
    made = launches.group_by(CELL).agg(
        made_launches=pl.len(),
        made_iterations=(pl.col("rounds") * pl.col("calls")).sum(),
        made_latency_ms=_median(pl.col("latency_ms")),
        made_iqr_ms=_median(pl.col("q3_ms") - pl.col("q1_ms")),
        range_ms=pl.col("latency_ms").max() - pl.col("latency_ms").min(),
        **{f"{word}_{way}": rule.any() for way in (-1, 1) for word, rule in _doubts(way).items()},
    )
    held = records.join(made, on=CELL, how="left", maintain_order="left")
    timed, launched = pl.col("latency_ms").is_not_null(), pl.col("made_launches").is_not_null()
    stray = (timed & ~launched) | (~timed & launched & (pl.col("outcome") == Outcome.PASSED.value))
    if held.select(stray.any()).item():
        return None
    off_ms = 3 * half_digit(Launch, "latency_ms") * _EXACT
    rules = (
        pl.col("launches") == pl.col("made_launches"),
        pl.col("iterations") == pl.col("made_iterations"),
        (pl.col("latency_ms") - pl.col("made_latency_ms")).abs() <= off_ms,
        (pl.col("latency_iqr_ms") - pl.col("made_iqr_ms")).abs() <= off_ms,
        _spread_fits(),
        _quality_fits(),
    )
    return held.select(sure=~timed | _all(rules))["sure"]


def _all(rules: Iterable[pl.Expr]) -> pl.Expr:
    """All of them; what cannot be told is not sure."""
    return reduce(and_, (rule.fill_null(value=False) for rule in rules))


def _empty(names: Iterable[str]) -> pl.Expr:
    return pl.all_horizontal(pl.col(name).is_null() for name in names)


def _there(names: Iterable[str]) -> pl.Expr:
    return pl.all_horizontal(pl.col(name).is_not_null() for name in names)


def _of_outcome() -> pl.Expr:
    outcome, stage = pl.col("outcome"), pl.col("stage")
    provider = pl.col("provider").fill_null("").str.to_lowercase()
    on_gpu = provider.str.contains("cuda|tensorrt|gpu")
    on_cpu = provider.is_in(["cpu", "cpuexecutionprovider"])
    passed = (
        ((stage == Stage.MEASURE.value) | ((stage == Stage.PROBE.value) & (pl.col("launches").fill_null(0) == 0)))
        & _empty(SAID)
        & _there(HELD)
        & (pl.col("relative_error") <= pl.col("tolerance"))
        & (pl.col("probes_relative_error").is_null() | (pl.col("probes_relative_error") <= pl.col("tolerance")))
        & ~((pl.col("device") == "cpu") & on_gpu)
        & ~((pl.col("device") == "cuda") & on_cpu)
    )
    mismatched = pl.col("difference").is_not_null() & stage.is_in(_JUDGED)
    ran_not = (
        pl.col("error").is_not_null()
        & _empty((*COMPARED, *TIMED))
        & ((outcome == Outcome.NOT_APPLICABLE.value) | (stage == Stage.RESOLVE.value))
    )
    return (
        pl.when(outcome == Outcome.PASSED.value)
        .then(passed)
        .when(outcome == Outcome.MISMATCHED.value)
        .then(mismatched)
        .when(outcome.is_in(_RAN_NOT))
        .then(ran_not)
        .otherwise(pl.col("error_type").is_not_null())
    )


def _of_stage() -> pl.Expr:
    rules = ((pl.col("stage") != stage.value) | _empty(names) for stage, names in NOTHING_YET.items())
    return reduce(and_, rules)


def _of_numbers() -> list[pl.Expr]:
    """Numbers are finite and not below 0. Errors of a mismatch may be otherwise; such rows are rare."""
    rules = []
    for each in columns_of(Record):
        if each.kind not in (int, float):
            continue
        value = pl.col(each.name)
        rule = value.is_finite() if each.kind is float else value < _LARGEST
        rule &= pl.lit(value=True) if each.name in MAY_BE_NEGATIVE else value >= 0
        rules.append(value.is_null() | rule)
    rules += [pl.col(name).is_null() | (pl.col(name) <= 1) for name in ("accuracy_native", "accuracy_converted")]
    return [*rules, pl.col("cosine").is_null() | (pl.col("cosine").abs() <= 1)]


def _of_grade() -> pl.Expr:
    fits = [(pl.col("grade") == grade) & pl.col("mse").is_between(*ends) for grade, ends in GRADES.items()]
    return pl.col("grade").is_null() | reduce(lambda one, other: one | other, fits)


def _of_probes() -> pl.Expr:
    total, counts = pl.col("probes_total"), ("probes_passed", "probes_skipped", "probes_derived")
    passed, skipped, derived = (pl.col(name).fill_null(0) for name in counts)
    run = passed + skipped
    whole = (run == total) | ((pl.col("outcome") != Outcome.PASSED.value) & (run <= total))
    counted = (derived <= total) & (passed <= total) & (skipped <= total) & whole
    none = (passed == 0) & (skipped == 0) & (derived == 0)
    return pl.when(total.is_null()).then(none).otherwise(counted)


def _of_timing() -> pl.Expr:
    timed = (
        (pl.col("launches") > 0)
        & (pl.col("iterations") >= pl.col("launches"))
        & (pl.col("overhead_ms").is_null() | pl.col("service_rss_mb").is_not_null())
    )
    return pl.when(pl.col("latency_ms").is_null()).then(_empty(TIMED)).otherwise(timed)


def _median(values: pl.Expr) -> pl.Expr:
    """The median, of an even number the mean of both in the middle."""
    ordered = values.sort()
    return (ordered.get((pl.len() - 1) // 2) + ordered.get(pl.len() // 2)) / 2


def _doubts(way: int) -> dict[str, pl.Expr]:
    """What speaks against a launch if its figures lay half a digit higher, or lower, by the words of `QUALITIES`."""
    busy_cores = pl.col("busy_cores").fill_null(0.0) + way * half_digit(Launch, "busy_cores")
    drift = pl.col("drift").fill_null(0.0).abs() + way * half_digit(Launch, "drift")
    return {
        "busy": busy_cores > BUSY_CORES,
        "shared": ~pl.col("gpu_use").fill_null(EXCLUSIVE).str.starts_with(EXCLUSIVE),
        "unsteady": ~pl.col("steady").fill_null(value=True),
        "drift": drift.abs() > SPREAD,
    }


def _spread_ends() -> tuple[pl.Expr, pl.Expr]:
    """Between what the spread of launches lies, as far as the digits of their latencies tell."""
    middle_ms, range_ms = pl.col("made_latency_ms"), pl.col("range_ms")
    off_ms = half_digit(Launch, "latency_ms")
    low = pl.max_horizontal(range_ms - 2 * off_ms, 0.0) / (middle_ms + off_ms)
    high = pl.when(middle_ms > off_ms).then((range_ms + 2 * off_ms) / (middle_ms - off_ms)).otherwise(math.inf)
    return low, high


def _spread_fits() -> pl.Expr:
    (low, high), stated = _spread_ends(), pl.col("latency_spread")
    off = half_digit(Record, "latency_spread") * _EXACT
    return (
        pl.when(pl.col("made_launches") == 1).then(stated.is_null()).otherwise(stated.is_between(low - off, high + off))
    )


def _quality_fits() -> pl.Expr:
    """Whether the words are those that the launches make; near a bound, where digits are missing, either may be."""
    stated, several = pl.col("latency_quality").fill_null(""), pl.col("made_launches") > 1
    low, high = _spread_ends()
    spread = {-1: several & (low > SPREAD), 1: several & (high > SPREAD)}
    words: Sequence[pl.Expr] = [
        pl.when(_doubt(word, -1, spread) | (_doubt(word, 1, spread) & _says(stated, word))).then(pl.lit(word))
        for word in QUALITIES
    ]
    return pl.concat_str(words, separator=", ", ignore_nulls=True) == stated


def _doubt(word: str, way: int, spread: dict[int, pl.Expr]) -> pl.Expr:
    return spread[way] if word == "spread" else pl.col(f"{word}_{way}")


def _says(stated: pl.Expr, word: str) -> pl.Expr:
    return stated.str.split(", ").list.contains(word)
