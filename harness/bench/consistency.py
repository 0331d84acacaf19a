"""Whether the columns of a record can be true together.

The bench asks this of each record that it writes, so that one bad value costs one cell, and a reader asks it of each
row, so that an edited or mangled table is refused instead of judged.
"""

from __future__ import annotations

import functools
import math
import re
import typing
from collections.abc import Iterable, Iterator

from harness.bench.fingerprint import fingerprint, shorten
from harness.bench.match import ACCEPTABLE_MSE, EXCELLENT_MSE
from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage

SAID = ("error_type", "error", "fingerprint", "operator", "place", "difference", "begins_at")
HELD = ("relative_error", "tolerance", "probes_total")
"""What every cell has that came to be compared."""
COMPARED = (
    "grade",
    "mse",
    "max_abs_error",
    "relative_error",
    "cosine",
    "probes_relative_error",
    "probes_passed",
    "accuracy_converted",
)
TIMED = (
    "latency_ms",
    "latency_iqr_ms",
    "latency_spread",
    "latency_quality",
    "launches",
    "iterations",
    "latency_ratio",
    "overhead_ms",
)
_SERVED = (
    *COMPARED,
    *TIMED,
    "load_s",
    "rss_base_mb",
    "rss_import_mb",
    "rss_load_mb",
    "rss_peak_mb",
    "rss_source",
    "service_rss_mb",
    "gpu_peak_mb",
    "gpu_torch_peak_mb",
    "gpu_tensorflow_peak_mb",
    "provider",
    "cpu_nodes",
    "tf32",
    "host_copies",
)
_CONVERTED = ("convert_s", "artifact_bytes", "opset", "ir_version")
_BUILT = ("noise_floor_mse", "weights_digest")

NOTHING_YET: dict[Stage, tuple[str, ...]] = {
    Stage.RESOLVE: (*_SERVED, *_CONVERTED, *_BUILT),
    Stage.INSTALL: (*_SERVED, *_CONVERTED, *_BUILT),
    Stage.BUILD: (*_SERVED, *_CONVERTED),
    Stage.CONVERT: _SERVED,
    Stage.VALIDATE: _SERVED,
}
"""What a cell that ended in a stage cannot have. Import and later stages are left out: a second launch may end there
after the first has measured."""

_MAY_BE_SPECIAL = ("mse", "max_abs_error", "relative_error", "probes_relative_error", "cosine", "noise_floor_mse")
"""Error figures of outputs that differ by NaN or Inf are so themselves; those of a passed cell are not."""
MAY_BE_NEGATIVE = ("cosine", "overhead_ms")
GRADES = {
    "excellent": (0.0, EXCELLENT_MSE),
    "acceptable": (EXCELLENT_MSE, ACCEPTABLE_MSE),
    "investigate": (ACCEPTABLE_MSE, math.inf),
}
"""The MSE that a grade stands for, both bounds included: a table's digits round a value onto them."""


def contradictions(record: Record) -> list[str]:
    """What of `record` cannot be true together, a phrase each that names its columns; empty where all of it can.

    Values of another type than their column's are told alone, since nothing else can be asked of them.
    """
    wrong = list(_misfits(record))
    if wrong:
        return wrong
    return [*_of_outcome(record), *_of_stage(record), *_of_numbers(record), *_of_probes(record), *_of_timing(record)]


@functools.cache
def _kinds() -> dict[str, tuple[type, ...]]:
    """The types that a column takes. A whole number is a number too; a truth value is neither."""
    kinds = {name: typing.get_args(hint) or (hint,) for name, hint in typing.get_type_hints(Record).items()}
    return {name: (*kind, int) if float in kind else kind for name, kind in kinds.items()}


def _misfits(record: Record) -> Iterator[str]:
    for name, kinds in _kinds().items():
        value = getattr(record, name)
        if not isinstance(value, kinds) or isinstance(value, bool):
            yield f"'{name}' is a {type(value).__name__}, and its column takes {kinds[0].__name__}"


def _present(record: Record, names: Iterable[str]) -> list[str]:
    return [name for name in names if getattr(record, name) is not None]


def _named(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _of_outcome(record: Record) -> Iterator[str]:
    outcome, stage, said = record.outcome, record.stage.value, f"'outcome' is {record.outcome.value}"
    if outcome is Outcome.PASSED:
        yield from _of_passed(record, said)
    elif outcome is Outcome.MISMATCHED:
        if not record.difference:
            yield f"{said}, and 'difference' does not say what differs"
        if record.stage not in (Stage.MATCH, Stage.PROBE, Stage.MEASURE):
            yield f"{said}, and 'stage' is {stage}, where no outputs are compared"
    elif outcome in (Outcome.NOT_APPLICABLE, Outcome.UNRESOLVABLE):
        if not record.error:
            yield f"{said}, and 'error' does not give the reason"
        if present := _present(record, (*COMPARED, *TIMED)):
            yield f"{said}, and {_named(present)} say that it ran"
        if outcome is Outcome.UNRESOLVABLE and record.stage is not Stage.RESOLVE:
            yield f"{said}, and 'stage' is {stage}, where nothing is resolved"
    elif not record.error_type:
        yield f"{said}, and 'error_type' does not say of what"


def _of_passed(record: Record, said: str) -> Iterator[str]:
    if record.stage is not Stage.MEASURE and (record.launches or record.stage is not Stage.PROBE):
        yield f"{said}, and 'stage' is {record.stage.value}, where a passed cell ends in measure, or untimed in probe"
    if present := _present(record, SAID):
        yield f"{said}, and {_named(present)} say that something went wrong"
    if empty := [name for name in HELD if getattr(record, name) is None]:
        yield f"{said}, and {_named(empty)} say that nothing was compared"
    for name in ("relative_error", "probes_relative_error"):
        error = getattr(record, name)
        if error is not None and record.tolerance is not None and not error <= record.tolerance:
            yield f"{said}, and '{name}' {error:.3e} is above 'tolerance' {record.tolerance:.3e}"
    yield from _of_provider(record)


def _of_provider(record: Record) -> Iterator[str]:
    """What executed a cell that passed was on the cell's device; names that tell no device are left alone."""
    provider = (record.provider or "").lower()
    on_gpu = re.search(r"cuda|tensorrt|\bgpu\b", provider) is not None
    on_cpu = provider in ("cpu", "cpuexecutionprovider")
    if (record.device == "cpu" and on_gpu) or (record.device == "cuda" and on_cpu):
        yield f"'outcome' is passed and 'device' is {record.device}, and 'provider' is {record.provider}"


def _of_stage(record: Record) -> Iterator[str]:
    if present := _present(record, NOTHING_YET.get(record.stage, ())):
        yield f"'stage' is {record.stage.value}, and {_named(present)} are of later ones"


def _of_numbers(record: Record) -> Iterator[str]:
    passed = record.outcome is Outcome.PASSED
    for name, kinds in _kinds().items():
        value = getattr(record, name)
        if value is None or int not in kinds:
            continue
        if not math.isfinite(value) and (passed or name not in _MAY_BE_SPECIAL):
            yield f"'{name}' is {value}, which is no measurement"
        elif value < 0 and name not in MAY_BE_NEGATIVE:
            yield f"'{name}' is {value}, below 0"
    for name in ("accuracy_native", "accuracy_converted"):
        value = getattr(record, name)
        if value is not None and value > 1:
            yield f"'{name}' is {value}, above 1"
    if record.cosine is not None and abs(record.cosine) > 1:
        yield f"'cosine' is {record.cosine}, beyond 1"
    yield from _of_grade(record)


def _of_grade(record: Record) -> Iterator[str]:
    if record.grade is None:
        return
    if record.grade not in GRADES:
        yield f"'grade' is {record.grade!r}, and there are {', '.join(GRADES)}"
        return
    low, high = GRADES[record.grade]
    mse = record.mse
    # An MSE that is no number is to be investigated.
    if mse is None or not (low <= mse <= high or (math.isnan(mse) and math.isinf(high))):
        yield f"'grade' is {record.grade}, and 'mse' is {'empty' if mse is None else f'{mse:.3e}'}"


def _of_probes(record: Record) -> Iterator[str]:
    total, passed, skipped = record.probes_total, record.probes_passed, record.probes_skipped
    counts = {"probes_passed": passed, "probes_skipped": skipped, "probes_derived": record.probes_derived}
    if total is None:
        if present := [name for name, count in counts.items() if count]:
            yield f"{_named(present)} count probes, and 'probes_total' is empty"
        return
    for name, count in counts.items():
        if count is not None and count > total:
            yield f"'{name}' is {count} of 'probes_total' {total}"
    run = (passed or 0) + (skipped or 0)
    if record.outcome is Outcome.PASSED and run != total:
        yield f"'outcome' is passed, and 'probes_passed' and 'probes_skipped' make {run} of 'probes_total' {total}"
    elif run > total:
        yield f"'probes_passed' and 'probes_skipped' make {run} of 'probes_total' {total}"


def _of_timing(record: Record) -> Iterator[str]:
    if record.latency_ms is None:
        if present := _present(record, TIMED):
            yield f"'latency_ms' is empty, and {_named(present)} say that it was measured"
        return
    if not record.launches:
        yield "'latency_ms' is there, and 'launches' counts none"
    elif (record.iterations or 0) < record.launches:
        yield f"'iterations' is {record.iterations} over 'launches' {record.launches}"
    if record.overhead_ms is not None and record.service_rss_mb is None:
        yield "'overhead_ms' is there, and 'service_rss_mb' says that there was no service"


def validated(record: Record) -> Record:
    """The record, or where its columns cannot be true together, one that says so: a bad value costs one cell."""
    wrong = contradictions(record)
    if not wrong:
        return record
    text = f"what was recorded of the cell cannot be true: {'; '.join(wrong)}"
    return Record(
        combination=record.combination,
        extension=record.extension,
        model=record.model,
        strategy=record.strategy,
        device=record.device,
        tier=record.tier,
        outcome=Outcome.FAILED,
        stage=record.stage,
        error_type="InvalidRecord",
        error=shorten(text),
        fingerprint=fingerprint("InvalidRecord", text),
        model_digest=record.model_digest,
        strategy_digest=record.strategy_digest,
    )
