"""The gate over generated pairs of tables, against what a zero may mean, said once more and otherwise."""

from __future__ import annotations

import functools
from collections import Counter
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

Cells = dict[tuple[str, str], Record | None]


@functools.cache
def variants(model: str, strategy: str) -> list[Record | None]:
    """Everything that a cell can come to; None is a planned cell without a record."""
    broken = {"error_type": "E", "error": "e", "fingerprint": "f"}
    return [
        passed(model, strategy),
        passed(model, strategy),
        passed(model, strategy, probes_passed=0, probes_skipped=4),
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

    def table(self) -> Table:
        """The table; natives are those of the models that have a value."""
        natives = {m: replace(native(output(v)), train_mode=m in self.trained) for m, v in self.values.items()}
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
    return st.integers(0, 9).flatmap(lambda n: st.sampled_from(others) if n == 0 else st.just(usual))


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
    after: Cells = {key: draw(st.sampled_from(variants(*key))) if key in changed else before[key] for key in keys}
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
    )
    return base, candidate


def does_as_much(before: Record, after: Record | None) -> bool:
    """Whether a cell that passed in the base does as much in the candidate, by the base's tolerance."""
    if after is None or after.outcome is not Outcome.PASSED:
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
    return found + ["nothing was probed"] * (not probed)


def _far(base: Table, candidate: Table, model: str) -> bool:
    """Whether the one value of a native output, which tests give as 1 or 2, is another."""
    digests = [side.natives[model].outputs["example"][0].digest for side in (base, candidate)]
    return digests[0] != digests[1] and digests[1] == output(2.0).digest


def test_a_zero_always_rests_on_something_and_nothing_less() -> None:
    codes: Counter[int] = Counter()

    @given(sides())
    @settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
    def check(pair: tuple[Side, Side]) -> None:
        base, candidate = pair[0].table(), pair[1].table()
        verdict = judge(compare(base, candidate))
        codes[verdict.exit_code] += 1
        found = objections(base, candidate, " ".join(verdict.reasons))
        if verdict.exit_code == 0:
            assert not found, found
        else:
            assert verdict.reasons

    check()
    assert min(codes[code] for code in (0, 1, 3)) >= 50, codes


def test_what_passed_and_does_less_is_worse_or_not_told_never_nothing() -> None:
    """The other way round: with one cell less, no pair of tables that may merge still may."""
    codes: Counter[int] = Counter()

    @given(sides(), st.data())
    @settings(max_examples=800, deadline=None, suppress_health_check=list(HealthCheck))
    def check(pair: tuple[Side, Side], data: st.DataObject) -> None:
        base, side = pair
        if judge(compare(base.table(), side.table())).exit_code != 0:
            return
        passing = [r.cell[:2] for r in base.table().records if r.outcome is Outcome.PASSED]
        lost = data.draw(st.sampled_from(passing))
        worst = [each for each in variants(*lost) if each is None or each.outcome is not Outcome.PASSED]
        less = {**side.cells, lost: data.draw(st.sampled_from(worst))}
        gone = replace(side, cells=less, planned=side.planned - set(data.draw(st.sampled_from([[], [lost]]))))
        code = judge(compare(base.table(), gone.table())).exit_code
        codes[code] += 1
        assert code in (1, 3)

    check()
    assert min(codes[1], codes[3]) >= 10, codes
