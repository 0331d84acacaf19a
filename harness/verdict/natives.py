"""The native outputs of two tables: does the framework itself still compute the same of the same bits?

Every conversion is held against the native output of its own environment. Where that moved, conversions move with it
and match all the same, so that no cell would tell.

An output of equal digests has the same bits. Otherwise it moved where its type, its shape or the positions of NaN and
Inf are others, where it holds integers or booleans, or where the relative error of the whole output reaches the
tolerance: 1e-4, or the model's own where that is larger; and where the candidate has none on an input set that the
base has, since `forward` takes no longer what it took. That error is exact for small outputs. For larger ones it is
estimated from two sketches, within 15 % or so of the truth: a change of half the tolerance is never told, one of one
and a half times always, in between it may go either way.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from harness.bench.building import EXAMPLE
from harness.bench.match import DEFAULT_TOLERANCE
from harness.bench.sketch import decoded, estimated_error
from harness.tables.lazy import values_of
from harness.tables.natives import Native, NativeOutput
from harness.tables.schema import Table


class Movement(Enum):
    """How far a model's native outputs moved, the least first."""

    SAME_BITS = "same bits"
    ROUNDING = "moved within rounding"
    UNTOLD = "of other bits and not comparable in full"
    MOVED = "moved"


@dataclass(frozen=True, kw_only=True)
class NativeChange:
    """A model's native outputs on both sides, as the output that moved most tells it.

    `input_set` and `output` name that one: its path, or its number where no table knows that. `difference` says what
    differs where values cannot be compared, and `relative_error`, ‖candidate − base‖ / ‖base‖ over the whole output,
    is None then.
    """

    model: str
    movement: Movement
    input_set: str
    output: str
    relative_error: float | None
    difference: str = ""


@dataclass(frozen=True, kw_only=True)
class _OutputChange:
    """One output on one input set."""

    input_set: str
    output: int
    movement: Movement
    relative_error: float | None
    difference: str = ""

    @property
    def severity(self) -> tuple[int, bool, float]:
        """Larger is worse: how far it moved, then another structure, then the relative error."""
        return _RANKS[self.movement], bool(self.difference), self.relative_error or 0.0


_RANKS = {movement: rank for rank, movement in enumerate(Movement)}


def compare_natives(base: Table, candidate: Table) -> tuple[NativeChange, ...]:
    """The models whose native outputs both tables know, of the same file and the same weights.

    Models of another file, or of weights of other bits, are left out: their cells are not comparable either.
    """
    return tuple(
        change
        for model in _comparable(base, candidate)
        if (change := _model_change(model, base.natives[model], candidate.natives[model]))
    )


def _comparable(base: Table, candidate: Table) -> list[str]:
    """The models that both tables have native outputs of, of one file and one set of weights."""
    before, after = _files(base), _files(candidate)
    return [
        model
        for model in sorted(base.natives.keys() & candidate.natives.keys())
        if base.natives[model].weights_digest == candidate.natives[model].weights_digest
        and not (model in before and model in after and before[model].isdisjoint(after[model]))
        and not changed_code(model, base, candidate)
    ]


def changed_code(model: str, base: Table, candidate: Table) -> list[str]:
    """The modules of a user's own that building `model` imported on both sides, with another content on each.

    What only one side imported tells nothing: a version may be asked for before a module is imported.
    """
    if model not in base.natives or model not in candidate.natives:
        return []
    before, after = base.natives[model].code, candidate.natives[model].code
    return [name for name in before if name in after and before[name] != after[name]]


def _files(table: Table) -> dict[str, set[str]]:
    """The digests of each model's file, where they are known."""
    found: dict[str, set[str]] = {}
    for model, digest in values_of(table.records, ("model", "model_digest")) if table.natives else ():
        if digest is not None:
            found.setdefault(model, set()).add(digest)
    return found


def _model_change(model: str, base: Native, candidate: Native) -> NativeChange | None:
    """The worst change over the input sets that the base has; None where there is none."""
    own = base.tolerance if base.tolerance is not None else candidate.tolerance
    tolerance = max(DEFAULT_TOLERANCE, own or 0.0)
    changes = [
        change
        for name, before in base.outputs.items()
        for change in _set_changes(name, before, candidate.outputs.get(name), tolerance)
    ]
    # A caller who goes by names finds another answer, whatever the values.
    if base.paths and candidate.paths and base.paths != candidate.paths:
        difference = f"forward returns {', '.join(candidate.paths)} instead of {', '.join(base.paths)}"
        changes.append(_of_another_structure(EXAMPLE, 0, difference))
    if not changes:
        return None
    worst = max(changes, key=lambda change: change.severity)
    return NativeChange(
        model=model,
        movement=worst.movement,
        input_set=worst.input_set,
        output=_path(worst.output, base, candidate),
        relative_error=worst.relative_error,
        difference=worst.difference,
    )


def _path(output: int, base: Native, candidate: Native) -> str:
    """What `forward` calls an output; its number where neither table knows, and where there is none of that number."""
    paths = base.paths or candidate.paths
    return paths[output] if output < len(paths) else str(output)


def _set_changes(
    name: str, base: tuple[NativeOutput, ...], candidate: tuple[NativeOutput, ...] | None, tolerance: float
) -> list[_OutputChange]:
    if candidate is None:
        what = "the example" if name == EXAMPLE else f"the probe {name!r}"
        return [_of_another_structure(name, 0, f"the candidate has no native output for {what}")]
    if len(base) != len(candidate):
        difference = f"{len(candidate)} outputs instead of {len(base)}"
        return [_of_another_structure(name, min(len(base), len(candidate)), difference)]
    return [
        _output_change(name, index, before, after, tolerance)
        for index, (before, after) in enumerate(zip(base, candidate, strict=True))
    ]


def _of_another_structure(name: str, index: int, difference: str) -> _OutputChange:
    return _OutputChange(
        input_set=name, output=index, movement=Movement.MOVED, relative_error=None, difference=difference
    )


def _output_change(
    name: str, index: int, base: NativeOutput, candidate: NativeOutput, tolerance: float
) -> _OutputChange:
    movement, error, difference = _told(base, candidate, tolerance)
    return _OutputChange(input_set=name, output=index, movement=movement, relative_error=error, difference=difference)


def _told(base: NativeOutput, candidate: NativeOutput, tolerance: float) -> tuple[Movement, float | None, str]:
    """How far one output moved, its relative error if that can be told, and what differs if it cannot."""
    if base.digest == candidate.digest:
        return Movement.SAME_BITS, 0.0, ""
    if difference := _difference(base, candidate):
        return Movement.MOVED, None, difference
    error = _error(base, candidate) if base.form == candidate.form else None
    if base.exact:
        return Movement.MOVED, error or None, "" if error else "values differ"
    if error is None:
        return Movement.UNTOLD, None, f"the base has its {base.form}, the candidate its {candidate.form}"
    # Written so that what is no number is not within rounding.
    return (Movement.ROUNDING if error < tolerance else Movement.MOVED), error, ""


def _difference(base: NativeOutput, candidate: NativeOutput) -> str:
    """What differs beside finite values, in the order that a conversion is matched in; empty where nothing does."""
    if base.dtype != candidate.dtype:
        return f"dtype {candidate.dtype} instead of {base.dtype}"
    if base.shape != candidate.shape:
        return f"shape {list(candidate.shape)} instead of {list(base.shape)}"
    if base.sample is not None and candidate.sample is not None:
        if len(base.sample) != len(candidate.sample):
            return f"{len(candidate.sample)} sampled values instead of {len(base.sample)}"
        return _special_difference("a sampled value", base.sample, candidate.sample)
    if base.values is not None and candidate.values is not None:
        return _special_difference("a value", base.values, candidate.values)
    return _mask_difference(base, candidate)


def _mask_difference(base: NativeOutput, candidate: NativeOutput) -> str:
    if "sample" in (base.form, candidate.form) or base.special == candidate.special:
        return ""
    if not base.special:
        return "NaN or Inf in it, where the base has none"
    return "NaN and Inf at other positions" if candidate.special else "no NaN or Inf any more"


def _special_difference(what: str, base: tuple[float, ...], candidate: tuple[float, ...]) -> str:
    for before, after in zip(base, candidate, strict=True):
        if (not math.isfinite(before) or not math.isfinite(after)) and _special(before) != _special(after):
            return f"{what} is {_special(after)} instead of {_special(before)}"
    return ""


def _special(value: float) -> str:
    if math.isfinite(value):
        return "finite"
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def _error(base: NativeOutput, candidate: NativeOutput) -> float:
    """The relative error of the whole output, or of its samples where both sides have no more than those."""
    if base.sketch is not None and candidate.sketch is not None:
        return estimated_error(
            decoded(base.sketch),
            decoded(candidate.sketch),
            base_norm=base.norm or 0.0,
            candidate_norm=candidate.norm or 0.0,
        )
    return relative_error(base.values or base.sample or (), candidate.values or candidate.sample or ())


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


def natives_notes(base: Table, candidate: Table, changes: Iterable[NativeChange]) -> tuple[str, ...]:
    """What to say where native outputs cannot be held against each other, or not in full, in `changes`."""
    untold = [change.model for change in changes if change.movement is Movement.UNTOLD]
    found = [*_one_sided(base, candidate), *_new_sets(base, candidate)]
    if untold:
        found.append(
            f"How far the native outputs of {', '.join(untold)} moved is not told in full: they are of other bits, and "
            f"one table, made by an older harness, has a few samples of them alone. Run that side again to tell."
        )
    return tuple(found)


def _one_sided(base: Table, candidate: Table) -> list[str]:
    untold = "so whether PyTorch itself computes something else is not told."
    if bool(base.natives) != bool(candidate.natives):
        side = "candidate" if base.natives else "base"
        return [f"The {side}'s table holds no native outputs, {untold}"]
    found = []
    for side, table, other in (("base", base, candidate), ("candidate", candidate, base)):
        models = [name for name in table.natives if name not in other.natives and _concerns(name, table, other)]
        if models:
            found.append(f"Only the {side}'s table has native outputs of {', '.join(sorted(models))}, {untold}")
    return found


def _new_sets(base: Table, candidate: Table) -> list[str]:
    """Input sets that only the candidate has; one that only the base has is a move."""
    found = []
    for model in _comparable(base, candidate):
        before, after = base.natives[model].outputs, candidate.natives[model].outputs
        if names := [name for name in after if name not in before]:
            found.append(f"{model} ({', '.join(names)})")
    if not found:
        return []
    return [f"Only the candidate has native outputs on further input sets, which are not compared: {', '.join(found)}."]


def _concerns(model: str, table: Table, other: Table) -> bool:
    """Whether the `other` side should know a model: a run of another tier never planned some of them."""
    return table.run.tier == other.run.tier or any(record.model == model for record in other.records)
