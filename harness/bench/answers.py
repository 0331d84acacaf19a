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
from harness.bench.requests import AFTER_FILE
from harness.bench.stages import Outcome, Stage


@dataclass(frozen=True)
class Answers:
    """What came of it: the first failure, columns of the record, and the error figures of every output by input set.

    `not_carried` are the outputs, Python numbers of the same value on every input set, that the artifact does without.
    `mismatched` is the number of the input set that the failure is of, None where it is of no mismatch on one.
    """

    failure: Failure | None
    columns: Mapping[str, Any]
    errors: Mapping[str, Any]
    not_carried: tuple[str, ...] = ()
    mismatched: int | None = None


def _of_type(number: Any, dtype: Any) -> Any:
    """One of Python's numbers as an artifact has it, as float32 or int32; as it is where that is another one."""
    import numpy as np

    with np.errstate(all="ignore"):
        changed = number.astype(dtype) if dtype.kind == number.dtype.kind else number
    same = np.isclose(changed, number, rtol=1e-6, atol=0, equal_nan=True) if dtype.kind in "fc" else changed == number
    return changed if same else number


class _Native:
    """The native outputs in the folder of a build, and what its `built.json` says of them.

    `own` says that PyTorch itself answers, whose outputs may be put together differently from input to input.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any], *, own: bool) -> None:
        self.folder = folder
        self.paths: list[list[str]] = facts["paths"]
        self.numbers: list[list[int]] = facts["numbers"]
        self.own = own
        self.not_carried: tuple[str, ...] = ()

    def outputs(self, index: int) -> list[Any]:
        """The outputs on one input set."""
        return tensors.load(self.folder / f"native-{index}.npz")

    def compared(self, what: Path, index: int, tolerance: float) -> match.Match:
        """The outputs in a file held against the native ones on an input set."""
        actual, expected, paths = tensors.load(what), self.outputs(index), self.paths[index]
        if not self.own and paths != self.paths[0]:
            return match.Match(self._restructured(paths), None)
        numbers = self.numbers[index]
        if numbers and not self.own and len(actual) == len(expected) - len(numbers):
            varying = self._varying()
            if varying:
                told = f"{varying} is a Python number that differs between inputs, and the artifact does without it"
                return match.Match(told, None)
            self.not_carried = tuple(paths[number] for number in numbers)
            kept = [position for position in range(len(expected)) if position not in numbers]
            expected, paths = [expected[position] for position in kept], [paths[position] for position in kept]
        elif len(actual) == len(expected):
            for number in numbers:
                expected[number] = _of_type(expected[number], actual[number].dtype)
        return match.compare(actual, expected, tolerance, paths)

    def _restructured(self, paths: Sequence[str]) -> str:
        """What forward returns on this input set and not on the example, or the other way about."""
        told = []
        if new := [path for path in paths if path not in self.paths[0]]:
            told.append(f"natively there is {', '.join(new)}, and on the example there is not")
        if gone := [path for path in self.paths[0] if path not in paths]:
            told.append(f"natively there is no {', '.join(gone)}, and on the example there is")
        return "; ".join(told) or f"natively the order is {', '.join(paths)}, and on the example another"

    def _varying(self) -> str:
        """The first of Python's numbers that is not the same, or not there, on all input sets; empty where all are."""
        found = [self._numbers(index) for index in range(len(self.paths))]
        for path in dict.fromkeys(path for each in found for path in each):
            if len({each.get(path) for each in found}) > 1:
                return path
        return ""

    def _numbers(self, index: int) -> dict[str, bytes]:
        """Python's numbers among the outputs on an input set, by path."""
        outputs = self.outputs(index)
        return {self.paths[index][number]: outputs[number].tobytes() for number in self.numbers[index]}


def hold_against(
    built: Path,
    served: Path,
    facts: Mapping[str, Any],
    sets: Sequence[int],
    tolerance: float,
    rejected: Mapping[str, Mapping[str, Any]],
    *,
    own: bool = False,
) -> Answers:
    """Match the outputs in `served` with the native ones in `built`, whose `built.json` holds `facts`.

    `sets` are the indices of the input sets that were served, the example first. `rejected` is what the artifact said,
    by index, to probes that it refused. `own` says that PyTorch itself answered. Of the example the figures are
    columns of their own, of the probes the worst relative error is.
    """
    names: Sequence[str] = facts["names"]
    native = _Native(built, facts, own=own)
    failed: Failure | None = None
    mismatched: int | None = None
    example: match.Errors | None = None
    probes: list[float] = []
    errors: dict[str, Any] = {}
    passed = 0
    for position, index in enumerate(sets):
        what = served / f"outputs-{index}.npz"
        if not what.exists():
            failed = failed or _refused(rejected.get(str(index)), names[index])
            continue
        result = native.compared(what, index, tolerance)
        if position == 0:
            example = result.errors
        elif result.errors is not None:
            probes.append(result.errors.relative_error)
        passed += position > 0 and result.equal
        if not result.equal and failed is None:
            where, stage = (f"probe {names[index]!r}: ", Stage.PROBE) if position else ("", Stage.MATCH)
            failed, mismatched = _mismatched(stage, f"{where}{result.difference}"), index
        if result.outputs:
            errors[names[index]] = [vars(each) for each in result.outputs]
    after = served / AFTER_FILE
    if failed is None and after.exists():
        result = native.compared(after, sets[0], tolerance)
        failed = None if result.equal else _mismatched(Stage.MEASURE, f"while measuring: {result.difference}")
    columns: dict[str, Any] = {"probes_relative_error": max(probes, default=None)}
    if (served / f"outputs-{sets[0]}.npz").exists():
        columns["probes_passed"] = passed
    if example is not None:
        columns.update(vars(example), grade=match.grade(example.mse))
    return Answers(failed, columns, errors, native.not_carried, mismatched)


def accuracy(built: Path, served: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of how many rows of the labelled data the artifact gets right, beside the native model."""
    columns: dict[str, Any] = {"accuracy_native": facts.get("accuracy")}
    predictions = served / "predictions.npz"
    if predictions.exists():
        (labels,), (classes,) = tensors.load(built / "labels.npz"), tensors.load(predictions)
        if classes.shape == labels.shape:  # another number of rows is a mismatch, and told as that
            columns["accuracy_converted"] = float((classes == labels).mean())
    return columns


def _mismatched(stage: Stage, text: str) -> Failure:
    return Failure(Outcome.MISMATCHED, stage, "Mismatch", text)


def _refused(said: Mapping[str, Any] | None, name: str) -> Failure | None:
    """What an artifact said to a probe that it refused; None where the process did not come to it."""
    if said is None:
        return None
    text = f"probe {name!r}: {said['error']}"
    outcome = Outcome(said["outcome"])
    return Failure(outcome, Stage.PROBE, said["error_type"], text, said["traceback"], place=said.get("place", ""))
