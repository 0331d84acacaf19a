"""The native outputs of two tables: does the framework itself still compute the same of the same bits?

Every conversion is held against the native output of its own environment. Where that moved, conversions move with it
and match all the same, so that no cell would tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from harness.bench.match import DEFAULT_TOLERANCE
from harness.tables.natives import Native, NativeOutput
from harness.tables.schema import Table


class Movement(Enum):
    """How far a model's native outputs moved."""

    SAME_BITS = "same bits"
    ROUNDING = "moved within rounding"
    MOVED = "moved"


@dataclass(frozen=True, kw_only=True)
class NativeChange:
    """A model's native outputs on both sides, as the output that moved most tells it.

    `input_set` and `output` name that one. `difference` says what differs where values cannot be compared, and
    `relative_error`, ‖candidate − base‖ / ‖base‖ over the sampled values, is None then.
    """

    model: str
    movement: Movement
    input_set: str
    output: int
    relative_error: float | None
    difference: str = ""


@dataclass(frozen=True, kw_only=True)
class _OutputChange:
    """One output on one input set."""

    input_set: str
    output: int
    same_bits: bool
    relative_error: float | None
    difference: str

    @property
    def movement(self) -> Movement:
        if self.same_bits:
            return Movement.SAME_BITS
        # Written so that what is no number is not within rounding.
        within = self.relative_error is not None and self.relative_error < DEFAULT_TOLERANCE
        return Movement.ROUNDING if within else Movement.MOVED

    @property
    def severity(self) -> tuple[bool, float, bool]:
        """Larger is worse: another structure, then the relative error, then any difference of bits."""
        return bool(self.difference), self.relative_error or 0.0, not self.same_bits


def compare_natives(base: Table, candidate: Table) -> tuple[NativeChange, ...]:
    """The models whose native outputs both tables know, of the same file and the same weights.

    Models of another file, or of weights of other bits, are left out: their cells are not comparable either.
    """
    return tuple(
        change
        for model in sorted(base.natives.keys() & candidate.natives.keys())
        if base.natives[model].weights_digest == candidate.natives[model].weights_digest
        and _same_file(model, base, candidate)
        and (change := _model_change(model, base.natives[model], candidate.natives[model]))
    )


def _same_file(model: str, base: Table, candidate: Table) -> bool:
    before, after = (
        {r.model_digest for r in table.records if r.model == model and r.model_digest is not None}
        for table in (base, candidate)
    )
    return not before or not after or before == after


def _model_change(model: str, base: Native, candidate: Native) -> NativeChange | None:
    """The worst change over the input sets that both sides have; None where there is none."""
    changes = [
        change
        for name, before in base.outputs.items()
        if name in candidate.outputs
        for change in _set_changes(name, before, candidate.outputs[name])
    ]
    if not changes:
        return None
    worst = max(changes, key=lambda change: change.severity)
    return NativeChange(
        model=model,
        movement=worst.movement,
        input_set=worst.input_set,
        output=worst.output,
        relative_error=worst.relative_error,
        difference=worst.difference,
    )


def _set_changes(name: str, base: tuple[NativeOutput, ...], candidate: tuple[NativeOutput, ...]) -> list[_OutputChange]:
    if len(base) != len(candidate):
        difference = f"{len(candidate)} outputs instead of {len(base)}"
        first = min(len(base), len(candidate))
        return [
            _OutputChange(input_set=name, output=first, same_bits=False, relative_error=None, difference=difference)
        ]
    return [_output_change(name, index, *pair) for index, pair in enumerate(zip(base, candidate, strict=True))]


def _output_change(name: str, index: int, base: NativeOutput, candidate: NativeOutput) -> _OutputChange:
    same = base.digest == candidate.digest
    difference = "" if same else _difference(base, candidate)
    relative = 0.0 if same else None if difference else relative_error(base.sample, candidate.sample)
    return _OutputChange(input_set=name, output=index, same_bits=same, relative_error=relative, difference=difference)


def _difference(base: NativeOutput, candidate: NativeOutput) -> str:
    """What differs beside finite values, in the order that a conversion is matched in; empty where nothing does."""
    if base.dtype != candidate.dtype:
        return f"dtype {candidate.dtype} instead of {base.dtype}"
    if base.shape != candidate.shape:
        return f"shape {list(candidate.shape)} instead of {list(base.shape)}"
    if len(base.sample) != len(candidate.sample):
        return f"{len(candidate.sample)} sampled values instead of {len(base.sample)}"
    for before, after in zip(base.sample, candidate.sample, strict=True):
        if (not math.isfinite(before) or not math.isfinite(after)) and _special(before) != _special(after):
            return f"a sampled value is {_special(after)} instead of {_special(before)}"
    return ""


def _special(value: float) -> str:
    if math.isfinite(value):
        return "finite"
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def relative_error(base: tuple[float, ...], candidate: tuple[float, ...]) -> float:
    """‖candidate − base‖ / ‖base‖ over the positions that are finite on both sides.

    0 where nothing differs there, infinite where all of the base's values are 0 and the candidate's are not.
    """
    pairs = [(b, c) for b, c in zip(base, candidate, strict=True) if math.isfinite(b) and math.isfinite(c)]
    # Scaled first, so that neither differences nor norms of large numbers overflow.
    scale = max((abs(value) for pair in pairs for value in pair), default=0.0)
    if not scale:
        return 0.0
    error = math.hypot(*(c / scale - b / scale for b, c in pairs))
    norm = math.hypot(*(b / scale for b, _ in pairs))
    if not error:
        return 0.0
    return error / norm if norm else math.inf


def moved(changes: tuple[NativeChange, ...]) -> tuple[NativeChange, ...]:
    """The changes beyond rounding."""
    return tuple(change for change in changes if change.movement is Movement.MOVED)


def natives_note(base: Mapping[str, Native], candidate: Mapping[str, Native]) -> str:
    """What to say where only one side's native outputs are known; empty where both or neither are."""
    if bool(base) == bool(candidate):
        return ""
    side = "candidate" if base else "base"
    return f"The {side}'s table holds no native outputs, so whether PyTorch itself computes something else is not told."
