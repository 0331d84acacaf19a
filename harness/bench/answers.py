"""What an artifact answered, held against the native outputs.

First the example, then the probes, then the example once more, as the last timed call answered it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.bench import match, tensors
from harness.bench.failure import Failure
from harness.bench.serve import AFTER_FILE
from harness.bench.stages import Outcome, Stage


@dataclass(frozen=True)
class Answers:
    """What came of it: the first failure, columns of the record, and the error figures of every output by input set."""

    failure: Failure | None
    columns: Mapping[str, Any]
    errors: Mapping[str, Any]


def hold_against(
    built: Path,
    served: Path,
    names: Sequence[str],
    sets: Sequence[int],
    tolerance: float,
    rejected: Mapping[str, Mapping[str, Any]],
) -> Answers:
    """Match the outputs in `served` with the native ones in `built`.

    `names` are those of all input sets, `sets` the indices that were served, the example first. `rejected` is what
    the artifact said, by index, to probes that it refused. Of the example the figures are columns of their own, of
    the probes the worst relative error is.
    """
    failed: Failure | None = None
    example: match.Errors | None = None
    probes: list[float] = []
    errors: dict[str, Any] = {}
    passed = 0
    for position, index in enumerate(sets):
        what = served / f"outputs-{index}.npz"
        if not what.exists():
            failed = failed or _refused(rejected.get(str(index)), names[index])
            continue
        result = _compared(what, built, index, tolerance)
        if position == 0:
            example = result.errors
        elif result.errors is not None:
            probes.append(result.errors.relative_error)
        passed += position > 0 and result.equal
        if not result.equal and failed is None:
            where, stage = (f"probe {names[index]!r}: ", Stage.PROBE) if position else ("", Stage.MATCH)
            failed = _mismatched(stage, f"{where}{result.difference}")
        if result.outputs:
            errors[names[index]] = [vars(each) for each in result.outputs]
    after = served / AFTER_FILE
    if failed is None and after.exists():
        result = _compared(after, built, sets[0], tolerance)
        failed = None if result.equal else _mismatched(Stage.MEASURE, f"while measuring: {result.difference}")
    columns: dict[str, Any] = {"probes_relative_error": max(probes, default=None)}
    if (served / f"outputs-{sets[0]}.npz").exists():
        columns["probes_passed"] = passed
    if example is not None:
        columns.update(vars(example), grade=match.grade(example.mse))
    return Answers(failed, columns, errors)


def _compared(what: Path, built: Path, index: int, tolerance: float) -> match.Match:
    return match.compare(tensors.load(what), tensors.load(built / f"native-{index}.npz"), tolerance)


def _mismatched(stage: Stage, text: str) -> Failure:
    return Failure(Outcome.MISMATCHED, stage, "Mismatch", text)


def _refused(said: Mapping[str, Any] | None, name: str) -> Failure | None:
    """What an artifact said to a probe that it refused; None where the process did not come to it."""
    if said is None:
        return None
    text = f"probe {name!r}: {said['error']}"
    return Failure(Outcome(said["outcome"]), Stage.PROBE, said["error_type"], text, said["traceback"])
