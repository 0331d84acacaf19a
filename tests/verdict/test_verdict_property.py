"""The gate over generated pairs of tables, against what a zero may mean, said once more and otherwise."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage
from harness.tables.assembly import merge
from harness.tables.schema import Table
from harness.verdict.comparison import compare
from harness.verdict.gate import judge
from tests.tables.samples import (
    MACHINE,
    failed,
    mismatched,
    native,
    not_applicable,
    output,
    passed,
    record,
    table,
)

MODELS = ("a", "b")
OWN = ("native", "onnx", "onnx:16")
TOOLS = ("onnx2tf",)
SETS = ("first", "second")

Cells = dict[tuple[str, str], Record | None]


@functools.cache
def variants(model: str, strategy: str) -> list[Record | None]:
    """Everything that a cell can come to; None is a planned cell without a record."""
    broken = {"error_type": "E", "error": "e", "fingerprint": "f"}
    return [
        passed(model, strategy),
        passed(model, strategy),
        passed(model, strategy, probes_passed=0, probes_skipped=4),
        passed(model, strategy, probes_passed=0, probes_total=0),
        passed(model, strategy, probes_passed=1, probes_skipped=3),
        passed(model, strategy, probes_passed=2, probes_total=2, probes_derived=2),
        passed(model, strategy, relative_error=5e-5),
        passed(model, strategy, relative_error=5e-3, tolerance=1e-2),
        passed(model, strategy, probes_relative_error=5e-3, tolerance=1e-2),
        passed(model, strategy, tolerance=1e-2),
        passed(model, strategy, model_digest="other"),
        passed(model, strategy, weights_digest="other"),
        failed(model, strategy),
        failed(model, strategy, Stage.CONVERT),
        failed(model, strategy, Stage.BUILD),
        failed(model, strategy, Stage.INSTALL),
        mismatched(model, strategy),
        mismatched(model, strategy, Stage.PROBE),
        record(model, strategy, Outcome.CRASHED, Stage.MEASURE, **broken),
        record(model, strategy, Outcome.TIMED_OUT, Stage.EXECUTE, **broken),
        record(model, strategy, Outcome.OUT_OF_MEMORY, Stage.LOAD, **broken),
        record(model, strategy, Outcome.UNRESOLVABLE, Stage.RESOLVE, **broken),
        not_applicable(model, strategy),
        None,
    ]


@dataclass(frozen=True)
class Side:
    """What one table is of, before it is made."""

    cells: Cells
    planned: frozenset[tuple[str, str]]
    tools: bool
    conditions: dict[str, Any]
    trained: frozenset[str] = frozenset()
    values: dict[str, float] = field(default_factory=dict)
    sets: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def table(self) -> Table:
        """The table; natives are those of the models that have a value, on their example and on `sets` beside it."""
        natives = {
            m: replace(
                native(output(v), **dict.fromkeys(self.sets.get(m, ()), (output(v),))), train_mode=m in self.trained
            )
            for m, v in self.values.items()
        }
        own = self._of(OWN, natives=natives)
        return merge([own, self._of(TOOLS, extension="tools")]) if self.tools else own

    def _of(self, strategies: tuple[str, ...], *, extension: str = "", **values: Any) -> Table:
        chosen = [key for key in self.cells if key in self.planned and key[1] in strategies]
        found = [self.cells[key] for key in chosen]
        records = [replace(each, extension=extension) for each in found if each is not None]
        missing = [key for key, each in zip(chosen, found, strict=True) if each is None]
        return table(*records, missing=missing, extension=extension, **values, **self.conditions)


def often(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    """`usual` most of the time, so that pairs come that a gate lets through."""
    return st.integers(0, 15).flatmap(lambda n: st.sampled_from(others) if n == 0 else st.just(usual))


def _lasting(before: Record | None) -> list[Record | None]:
    """What a cell can come to that passes where it passed, and else stays what it was."""
    if before is None or before.outcome is not Outcome.PASSED:
        return [before]
    return [each for each in variants(before.model, before.strategy) if each and each.outcome is Outcome.PASSED]


@st.composite
def sides(draw: st.DrawFn) -> tuple[Side, Side]:
    """A base, and a candidate that differs from it in little or in much."""
    keys = [(model, strategy) for model in MODELS for strategy in OWN + TOOLS]
    before: Cells = {
        key: draw(often(variants(*key)[0], *variants(*key)) if key[1] == "native" else st.sampled_from(variants(*key)))
        for key in keys
    }
    few = st.lists(st.sampled_from(keys), max_size=2)
    changed = draw(st.one_of(few, few, st.just(keys)))
    lasting = draw(st.booleans())  # cells that pass go on doing so, by fewer probes or by more of an error
    after: Cells = {
        key: draw(st.sampled_from(_lasting(before[key]) if lasting else variants(*key)))
        if key in changed
        else before[key]
        for key in keys
    }
    alone = draw(often(None, Stage.RESOLVE, Stage.INSTALL))
    if alone is not None:
        outcome = Outcome.FAILED if alone is Stage.INSTALL else Outcome.UNRESOLVABLE
        gone: Cells = {
            key: record(*key, outcome, alone, error_type="E", error="no wheel", fingerprint="9") for key in keys
        }
        which = draw(st.sampled_from(["base", "candidate", "both"]))
        before, after = (gone if which != "candidate" else before), (gone if which != "base" else after)
    values = dict.fromkeys(draw(often(MODELS, (), MODELS[:1])), 1.0)
    moved = {m: draw(often(v, 1.0 + 1e-7, 2.0)) for m, v in values.items()}
    sets = {m: draw(st.sampled_from([SETS, SETS[:1], ()])) for m in MODELS}
    others = {m: draw(often(names, SETS, SETS[:1], SETS[1:], ())) for m, names in sets.items()}
    trained = draw(often(frozenset(), frozenset(MODELS), frozenset({"a"})))
    planned = frozenset(keys)
    tier = draw(often("quick", "core"))
    base = Side(
        cells=before,
        planned=planned - draw(often(frozenset(), frozenset({keys[0]}), frozenset(keys[:4]), planned)),
        tools=draw(st.booleans()),
        conditions={"tier": tier, "started": "2026-01-31T12:00:00Z"},
        trained=trained,
        values=values,
        sets=sets,
    )
    candidate = Side(
        cells=after,
        planned=draw(often(base.planned, planned, base.planned - {keys[0]}, base.planned - set(keys[4:]))),
        tools=draw(often(base.tools, not base.tools)),
        conditions={
            "tier": draw(often(tier, "quick", "core")),
            "started": draw(often("2026-02-01T12:00:00Z", "2026-01-31T12:00:00Z")),
            "combination": draw(often("torch2.0", "torch2.1")),
            "machine": draw(often(MACHINE, replace(MACHINE, cores=64))),
            "selected": draw(often(False, True)),
        },
        trained=trained,
        values=draw(often(moved, {})),
        sets=others,
    )
    return base, candidate


def does_as_much(before: Record, after: Record | None) -> bool:
    """Whether a cell that passed in the base does as much in the candidate, by the base's tolerance.

    Fewer probes may do, but not none where there were some.
    """
    if after is None or after.outcome is not Outcome.PASSED or (before.probes_passed and not after.probes_passed):
        return False
    errors = [e for e in (after.relative_error, after.probes_relative_error) if e is not None]
    same = (before.model_digest, before.weights_digest) == (after.model_digest, after.weights_digest)
    return same and before.tolerance is not None and all(error <= before.tolerance for error in errors)


def objections(base: Table, candidate: Table, told: str) -> list[str]:
    """Why a zero on these tables would be wrong."""
    before, after = base.by_cell(), candidate.by_cell()
    both = [
        key for key, each in before.items() if each.outcome is Outcome.PASSED and does_as_much(each, after.get(key))
    ]
    said = f"{len(both)} cell{'s' * (len(both) != 1)} of {len({key[0] for key in both})} model"
    found = [] if both else ["nothing passed on both sides"]
    found += [] if said in told else [f"it does not say {said!r}"]
    found += [
        f"{key} passed in the base and does less"
        for key, each in before.items()
        if each.outcome is Outcome.PASSED and not does_as_much(each, after.get(key))
    ]
    found += [
        f"{each.model} has a broken native cell in the base"
        for each in base.records
        if each.strategy == "native"
        and each.outcome not in (Outcome.PASSED, Outcome.NOT_APPLICABLE)
        and each.cell in after
        and not (
            each.outcome is Outcome.MISMATCHED and each.model in base.natives and base.natives[each.model].train_mode
        )
    ]
    found += ["incomplete"] * (base.run.missing != () or candidate.run.missing != ())
    found += ["not installed"] * all(r.stage in (Stage.RESOLVE, Stage.INSTALL) for r in base.records)
    keys = ("combination", "started", "tier", "device", "machine")
    found += ["one run"] * all(getattr(base.run, key) == getattr(candidate.run, key) for key in keys)
    moved = [m for m in base.natives.keys() & candidate.natives.keys() if _far(base, candidate, m)]
    found += [f"{moved} moved"] * bool(moved)
    compared = set(base.natives) & set(candidate.natives)
    probed = [key for key in both if (before[key].probes_passed and after[key].probes_passed) or key[0] in compared]
    found += ["nothing was probed"] * (not probed)
    lost = {m: base.natives[m].outputs.keys() - candidate.natives[m].outputs.keys() for m in compared}
    found += [f"{m} has no native output on {sorted(names)}" for m, names in lost.items() if names]
    return found + [f"it does not say {words!r}" for _, words in _due(base, candidate) if words not in told]


def _due(base: Table, candidate: Table) -> list[tuple[str, str]]:
    """What a zero on these tables has to say beside, of which kind and in which words."""
    after = candidate.by_cell()
    pairs = [(each, after[each.cell]) for each in base.records if each.cell in after]
    passing = [pair for pair in pairs if all(each.outcome is Outcome.PASSED for each in pair)]
    fewer = sum((before.probes_passed or 0) > (now.probes_passed or 0) for before, now in passing)
    due = [("fewer probes", f"Fewer probes passed than in the base on {fewer} cell")] if fewer else []
    gone = Counter(
        now.extension
        for before, now in pairs
        if before.stage in (Stage.RESOLVE, Stage.INSTALL) and now.stage in (Stage.RESOLVE, Stage.INSTALL)
    )
    due += [("no environment", f"nothing is told of {count} cell") for count in gone.values()]
    for model in base.natives.keys() & candidate.natives.keys():
        new = [s for s in candidate.natives[model].outputs if s not in base.natives[model].outputs]
        due += [("new sets", f"{model} ({', '.join(new)})")] if new else []
    return due


def _far(base: Table, candidate: Table, model: str) -> bool:
    """Whether the one value of a native output, which tests give as 1 or 2, is another."""
    digests = [side.natives[model].outputs["example"][0].digest for side in (base, candidate)]
    return digests[0] != digests[1] and digests[1] == output(2.0).digest


def test_a_zero_always_rests_on_something_and_nothing_less() -> None:
    codes: Counter[int] = Counter()
    said: Counter[str] = Counter()

    @given(sides())
    @settings(max_examples=300, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    def check(pair: tuple[Side, Side]) -> None:
        base, candidate = pair[0].table(), pair[1].table()
        comparison = compare(base, candidate)
        verdict = judge(comparison)
        codes[verdict.exit_code] += 1
        found = objections(base, candidate, " ".join([*verdict.reasons, *verdict.notes, *comparison.notes]))
        said.update(kind for kind, _ in _due(base, candidate) if verdict.exit_code == 0)
        if verdict.exit_code == 0:
            assert not found, found
        else:
            assert verdict.reasons

    check()
    assert min(codes[code] for code in (0, 1, 3)) >= 50, codes
    assert min(said[kind] for kind in ("fewer probes", "no environment", "new sets")) >= 1, said


def test_what_passed_and_does_less_is_worse_or_not_told_never_nothing() -> None:
    """The other way round: with one cell, its probes or an input set less, no pair that may merge still may."""
    codes: Counter[tuple[str, int]] = Counter()

    @given(sides(), st.data())
    @settings(max_examples=250, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    def check(pair: tuple[Side, Side], data: st.DataObject) -> None:
        base, side = pair
        if judge(compare(base.table(), side.table())).exit_code != 0:
            return
        for what, gone in _with_less(base, side, data):
            code = judge(compare(base.table(), gone.table())).exit_code
            codes[what, code] += 1
            assert code in ((1,) if what == "input set" else (1, 3)), what

    check()
    assert min(codes["cell", 1], codes["cell", 3], codes["probes", 3], codes["input set", 1]) >= 10, codes


def _with_less(base: Side, side: Side, data: st.DataObject) -> Iterator[tuple[str, Side]]:
    """A candidate with less in it than `side`, which may merge, of each kind of less that there is."""
    passing = [r for r in base.table().records if r.outcome is Outcome.PASSED]
    lost = data.draw(st.sampled_from(passing)).cell[:2]
    worst = [each for each in variants(*lost) if each is None or each.outcome is not Outcome.PASSED]
    less = {**side.cells, lost: data.draw(st.sampled_from(worst))}
    yield "cell", replace(side, cells=less, planned=side.planned - set(data.draw(st.sampled_from([[], [lost]]))))
    if probed := [r.cell[:2] for r in passing if r.probes_passed]:
        bare = data.draw(st.sampled_from(probed))
        now = passed(*bare, probes_passed=0, probes_skipped=4)
        yield "probes", replace(side, cells={**side.cells, bare: now})
    known = base.table().natives.keys() & side.table().natives.keys()
    if sets := sorted((model, name) for model in known for name in base.sets[model]):
        model, name = data.draw(st.sampled_from(sets))
        kept = tuple(each for each in side.sets[model] if each != name)
        yield "input set", replace(side, sets={**side.sets, model: kept})
