from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage
from harness.tables.assembly import merge
from harness.tables.finding import Unfinished
from harness.tables.schema import Table
from harness.verdict.comparison import Category, compare
from harness.verdict.gate import Decision, Verdict, judge
from harness.verdict.policy import NUMBERS_NOTE, GatePolicy
from tests.tables.samples import failed, mismatched, native, not_applicable, output, passed, record, table

PASSED = passed("m", "s")
FAILED = failed("m", "s")
OTHER = passed("other", "s")


LATER = "2026-02-01T12:00:00Z"
NATIVES_NOTE = "Neither side has native outputs, so whether PyTorch itself computes something else is not told."


def later(made: Table) -> Table:
    """The same table as of another run."""
    return replace(made, run=replace(made.run, started=LATER))


def verdict(base: Table, candidate: Table, **values: Any) -> Verdict:
    return judge(compare(base, later(candidate)), **values)


def test_nothing_worse_may_merge() -> None:
    base = table(PASSED, failed("fixed", "s"), failed("differs", "s"), not_applicable("new", "s"))
    other_cause = failed("differs", "s", fingerprint="other")
    candidate = table(PASSED, passed("fixed", "s"), other_cause, failed("new", "s"))
    found = verdict(base, candidate)
    assert (found.decision, found.exit_code) == (Decision.MAY_MERGE, 0)
    assert found.reasons == (
        "nothing is worse among 4 cells",
        "which rests on 1 cell of 1 model that passed on both sides",
    )
    without = "The base has no native cell of 4 models: differs, fixed, m, new."
    assert found.notes == (NATIVES_NOTE, without, NUMBERS_NOTE)


def test_each_way_of_getting_worse_is_a_reason() -> None:
    base = table(PASSED, passed("n", "s"), passed("a", "s"), failed("e", "s"), passed("n", "t"))
    candidate = table(
        FAILED, mismatched("n", "s"), not_applicable("a", "s"), failed("e", "s", Stage.CONVERT), failed("n", "t")
    )
    found = verdict(base, candidate)
    assert (found.decision, found.exit_code) == (Decision.DO_NOT_MERGE, 1)
    assert found.reasons == (
        "2 cells newly failing",
        "1 cell mismatched",
        "1 cell failing earlier",
        "1 cell no longer applicable",
    )


def test_missing_not_comparable_and_incomplete_cannot_be_told() -> None:
    for base, candidate, reason in [
        (table(PASSED, OTHER), table(PASSED), "1 cell missing in candidate"),
        (table(PASSED), table(PASSED, OTHER), "1 cell missing in base"),
        (table(PASSED, OTHER), table(replace(PASSED, model_digest="new"), OTHER), "1 cell not comparable"),
        (table(PASSED), table(PASSED, missing=[("z", "s")]), "the candidate has 1 of 2 planned cells"),
        (table(PASSED, missing=[("z", "s")]), table(PASSED), "the base has 1 of 2 planned cells"),
    ]:
        found = verdict(base, candidate)
        assert (found.decision, found.exit_code) == (Decision.CANNOT_TELL, 3)
        assert found.reasons == (reason,)
        assert found.notes[0] == "Nothing is worse among the cells that could be compared."


def test_worse_outweighs_what_cannot_be_told() -> None:
    found = verdict(table(PASSED, OTHER), table(FAILED, missing=[("z", "s")]))
    assert found.exit_code == 1
    assert found.notes[0] == (
        "Beside that, not all could be told: 1 cell missing in candidate, the candidate has 1 of 2 planned cells, "
        "nothing passes in the candidate."
    )


def test_nothing_compared_is_no_reason_to_merge() -> None:
    empty = verdict(table(), table())
    assert (empty.reasons, empty.exit_code) == (("nothing passes in the candidate",), 3)
    smaller = verdict(table(PASSED, tier="core"), table())
    lost = "1 cell that passed in the base was not run in the candidate"
    assert (smaller.reasons, smaller.exit_code) == ((lost, "nothing passes in the candidate"), 3)
    assert verdict(table(PASSED), table(OTHER)).notes[0] == NATIVES_NOTE


def test_latency_never_fails() -> None:
    slower = replace(PASSED, latency_ms=2000.0, rss_peak_mb=30000.0)
    assert verdict(table(PASSED), table(slower)).exit_code == 0


def test_a_policy_of_one_s_own_decides() -> None:
    strict = GatePolicy(fail=frozenset({Category.FAILING_DIFFERENTLY}))
    comparison = compare(table(FAILED, OTHER), table(failed("m", "s", fingerprint="other")))
    assert judge(comparison).exit_code == 3
    assert judge(comparison, policy=strict).reasons == ("1 cell failing differently",)
    both = replace(strict, fail=strict.fail | {Category.MISSING_IN_CANDIDATE})
    assert judge(comparison, policy=both).reasons == ("1 cell failing differently", "1 cell missing in candidate")


def test_a_moved_native_output_is_worse_though_every_cell_passes() -> None:
    known = {"m": native(output(1.0)), "other": native(output(1.0))}
    base = table(PASSED, OTHER, natives=known)
    for moved, reason in [
        ({"m": native(output(1.1))}, "native output of 1 model moved"),
        ({"m": native(output(1.1)), "other": native(output(2.0))}, "native output of 2 models moved"),
    ]:
        comparison = compare(base, later(table(PASSED, OTHER, natives={**known, **moved})))
        assert judge(comparison).reasons == (reason,)
        assert judge(comparison).exit_code == 1
        assert judge(comparison, policy=GatePolicy(moved_natives=False)).exit_code == 0
    found = verdict(base, table(FAILED, OTHER, natives={**known, "m": native(output(1.1))}))
    assert found.reasons == ("1 cell newly failing", "native output of 1 model moved")


def test_a_native_output_within_rounding_may_merge() -> None:
    base = table(PASSED, natives={"m": native(output(1.0))})
    assert verdict(base, table(PASSED, natives={"m": native(output(1.0 + 1e-7))})).exit_code == 0


def with_tools(*records: Record) -> Table:
    """A table of `PASSED`, and of `records` in the extension `tools`."""
    belonging = (replace(each, extension="tools") for each in records)
    return merge([table(PASSED), table(*belonging, extension="tools")])


def test_what_only_the_candidate_ran_an_extension_for_leaves_nothing_open() -> None:
    found = verdict(table(PASSED), with_tools(passed("m", "onnx2tf")))
    assert found.exit_code == 0
    assert found.reasons[0] == "nothing is worse among 1 cell"


def test_what_passed_in_the_base_and_was_never_run_in_the_candidate_is_not_told() -> None:
    for base in (with_tools(passed("m", "onnx2tf")), table(PASSED, passed("m", "t"), tier="core")):
        found = verdict(base, table(PASSED))
        assert found.reasons == ("1 cell that passed in the base was not run in the candidate",)
        assert found.remedy == "run the candidate with the base's tier and extensions."
    assert verdict(with_tools(failed("m", "onnx2tf")), table(PASSED)).exit_code == 0


NATIVE = passed("m", "native")


@pytest.mark.parametrize("outcome", [o for o in Outcome if o.broken])
def test_a_broken_native_cell_in_the_base_is_no_evidence(outcome: Outcome) -> None:
    """Whatever the conversions of that model do there, and whatever becomes of it in the candidate."""
    broken = record("x", "native", outcome, Stage.BUILD, error_type="E", error="e", difference="d")
    for candidate in (broken, passed("x", "native")):
        found = verdict(table(NATIVE, broken), table(NATIVE, candidate))
        assert found.exit_code == 3
        words = f"x ({outcome.value.replace('-', ' ')} at build)"
        assert found.reasons == (f"the native cell of 1 model is broken in the base: {words}",)
        assert "find out why x does not run" in found.remedy


def test_native_cells_that_need_not_pass_are_counted_and_said() -> None:
    def in_train_mode(*, says: bool) -> Table:
        trained = replace(native(output(1.0)), train_mode=says)
        return table(
            NATIVE,
            mismatched("dropout", "native"),
            not_applicable("triton", "native"),
            passed("twin", "manual-recreation"),
            natives={"dropout": trained},
        )

    found = verdict(in_train_mode(says=True), in_train_mode(says=True))
    assert found.exit_code == 0
    assert found.notes == (
        "Native is not applicable in the base for 1 model: triton.",
        "Left in train mode, so that native itself does not match: 1 model: dropout.",
        "The base has no native cell of 1 model: twin.",
        NUMBERS_NOTE,
    )
    silent = verdict(in_train_mode(says=False), in_train_mode(says=False))
    assert silent.reasons == ("the native cell of 1 model is broken in the base: dropout (mismatched at match)",)


def test_a_broken_native_cell_of_a_model_that_is_not_compared_does_not_matter() -> None:
    base = table(NATIVE, failed("x", "native"), tier="core")
    assert verdict(base, table(NATIVE)).exit_code == 0


def not_installed(*models: str, stage: Stage = Stage.INSTALL) -> Table:
    outcome = Outcome.FAILED if stage is Stage.INSTALL else Outcome.UNRESOLVABLE
    cells = [record(m, "native", outcome, stage, error_type="E", error="no wheel", fingerprint="9") for m in models]
    return table(*cells, packages={}, python="")


@pytest.mark.parametrize("stage", [Stage.RESOLVE, Stage.INSTALL])
def test_pins_that_cannot_be_had_are_worse_than_cells_that_passed_and_else_tell_nothing(stage: Stage) -> None:
    gone = not_installed("m", stage=stage)
    worse = verdict(table(NATIVE), gone)
    assert (worse.exit_code, worse.reasons) == (1, ("1 cell newly failing",))
    neither = verdict(gone, gone)
    assert neither.exit_code == 3
    assert "the base did not get past installing" in neither.reasons
    assert "the candidate did not get past installing" in neither.reasons
    assert neither.remedy.startswith("mend the pins of torch2.0")
    mended = verdict(gone, table(NATIVE))
    assert mended.exit_code == 3
    assert mended.reasons[0] == "the base did not get past installing"


def test_one_table_is_no_comparison() -> None:
    made = table(NATIVE)
    for candidate in (made, replace(made, natives={"m": native(output(1.0))}), table(replace(NATIVE, mse=1e-9))):
        found = judge(compare(made, candidate))
        assert (found.exit_code, found.reasons) == (3, ("both sides are one table",))
    assert verdict(made, made).exit_code == 0
    assert judge(compare(made, table(NATIVE, combination="torch2.1"))).exit_code == 0


def test_what_is_newer_and_unfinished_leaves_the_question_open() -> None:
    found = verdict(table(NATIVE), table(NATIVE), unfinished=[Unfinished(reason="a run of torch2.1 is paused")])
    assert (found.exit_code, found.reasons) == (3, ("a run of torch2.1 is paused",))
    assert verdict(table(NATIVE), table(failed("m", "native")), unfinished=[Unfinished(reason="x")]).exit_code == 1
    assert found.remedy.startswith("let that come to its end, or name")
    stopped = Unfinished(reason="a run of torch2.1 is paused", command="harness run torch2.1")
    remedy = "`harness run torch2.1` goes on with it; or name the folders of both tables to compare them as they are."
    assert verdict(table(NATIVE), table(NATIVE), unfinished=[stopped]).remedy == remedy


def bare(model: str, strategy: str = "s") -> Record:
    return passed(model, strategy, probes_passed=0, probes_skipped=4)


def test_cells_without_probes_are_counted_and_alone_tell_nothing() -> None:
    for side in (bare("m"), PASSED):
        found = verdict(table(bare("m"), OTHER), table(side, OTHER))
        assert found.exit_code == 0
        assert found.notes[0] == (
            "1 of the 2 cells that passed on both sides did so without any probe, on one side or on both."
        )
    alone = verdict(table(bare("m")), table(bare("m")))
    assert alone.exit_code == 3
    assert alone.reasons == (
        "no cell passed a probe on both sides, and no native outputs can be held against each other",
    )
    known = {"m": native(output(1.0))}
    assert verdict(table(bare("m"), natives=known), table(bare("m"), natives=known)).exit_code == 0
    other = {"x": native(output(1.0))}
    assert verdict(table(bare("m"), natives=other), table(bare("m"), natives=other)).exit_code == 3


def test_a_cell_that_lost_all_its_probes_is_less_evidence_than_before() -> None:
    for after in (bare("m"), passed("m", "s", probes_passed=0, probes_total=0), passed("m", "s", probes_passed=None)):
        ran = replace(after, probes_skipped=4, probes_total=4) if after.probes_passed is None else after
        found = verdict(table(PASSED, OTHER), table(ran, OTHER))
        reason = "1 cell that passed probes in the base passes without any now: m/s"
        assert (found.exit_code, found.reasons) == (3, (reason,))
        assert found.remedy.startswith("find out why none of its probes runs any more: ")
    seven = [f"m{number}" for number in range(7)]
    found = verdict(table(*(passed(m, "s") for m in seven)), table(*map(bare, seven)))
    named = "m0/s, m1/s, m2/s, m3/s, m4/s and 2 more"
    assert found.reasons[0] == f"7 cells that passed probes in the base pass without any now: {named}"
    assert verdict(table(PASSED), table(failed("m", "s"))).exit_code == 1
    assert verdict(table(FAILED, OTHER), table(bare("m"), OTHER)).exit_code == 0
    assert verdict(table(bare("m"), OTHER), table(bare("m"), OTHER)).exit_code == 0


def test_fewer_probes_than_before_are_said_and_named() -> None:
    few = passed("m", "s", probes_passed=1, probes_skipped=3)
    seven = [passed(f"m{number}", "s") for number in range(7)]
    dropped = [replace(each, probes_passed=2, probes_total=2) for each in seven]
    for base, candidate, note in [
        (PASSED, few, "on 1 cell that passed: m/s (1 instead of 4)."),
        (PASSED, bare("m"), "on 1 cell that passed: m/s (0 instead of 4)."),
        (few, bare("m"), "on 1 cell that passed: m/s (0 instead of 1)."),
    ]:
        notes = compare(table(base, OTHER), later(table(candidate, OTHER))).notes
        assert notes == (f"Fewer probes passed than in the base {note}",)
    found = compare(table(*seven), later(table(*dropped)))
    named = ", ".join(f"m{number}/s (2 instead of 4)" for number in range(5))
    assert found.notes == (f"Fewer probes passed than in the base on 7 cells that passed: {named} and 2 more.",)
    assert judge(found).exit_code == 0
    for base, candidate in ((few, PASSED), (few, few), (PASSED, FAILED), (FAILED, few)):
        assert not compare(table(base, OTHER), later(table(candidate, OTHER))).notes


def test_a_probe_without_a_native_output_is_worse_whatever_the_cells_say() -> None:
    """As where `forward` rejects a derived probe that it took before: the bench drops it, and the cells pass."""
    two = passed("m", "s", probes_passed=2, probes_total=2, probes_derived=2)
    one = replace(two, probes_passed=1, probes_total=1, probes_derived=1)
    none = replace(two, probes_passed=0, probes_total=0, probes_derived=None)
    kept = (output(1.0),)
    known = native(*kept, first=kept, second=kept)
    for cell, names, code in [(two, ("first", "second"), 0), (one, ("first",), 1), (none, (), 1)]:
        made = native(*kept, **dict.fromkeys(names, kept))
        found = verdict(table(two, OTHER, natives={"m": known}), table(cell, OTHER, natives={"m": made}))
        assert found.exit_code == code
        assert ("native output of 1 model moved" in found.reasons) is (code == 1)


@pytest.mark.parametrize(
    "stages", [(a, b) for a in (Stage.RESOLVE, Stage.INSTALL) for b in (Stage.RESOLVE, Stage.INSTALL)]
)
def test_an_environment_that_neither_side_could_have_is_said(stages: tuple[Stage, Stage]) -> None:
    """No row of it is worse than before, so that nothing else would tell."""

    def side(stage: Stage) -> Table:
        outcome = Outcome.FAILED if stage is Stage.INSTALL else Outcome.UNRESOLVABLE
        gone = record("m", "onnx2tf", outcome, stage, error_type="E", error="no wheel", fingerprint="9")
        return with_tools(gone, replace(gone, model="other"))

    note = "could not be had on either side, so that nothing is told of 2 cells."
    base, candidate = map(side, stages)
    found = compare(base, later(candidate))
    if stages != (Stage.INSTALL, Stage.RESOLVE):  # which is an earlier stage
        assert judge(found).exit_code == 0
    assert f"The environment of the extension tools {note}" in found.notes
    mended = later(with_tools(passed("m", "onnx2tf"), passed("other", "onnx2tf")))
    assert not [each for each in compare(base, mended).notes if "could not be had" in each]
    own = not_installed("m", "other")
    assert f"The environment of the combination itself {note}" in compare(own, later(own)).notes


def test_both_sides_are_judged_by_the_bases_tolerance() -> None:
    for error in ("relative_error", "probes_relative_error"):
        wide = passed("m", "s", tolerance=1e-2, **{error: 5e-3})
        found = compare(table(PASSED, OTHER), later(table(wide, OTHER)))
        (change,) = found.of(Category.MISMATCHED)
        assert change.reason == (
            "the candidate's relative error of 5.0e-03 is above the base's tolerance of 1e-04 (its own was 1e-02)"
        )
        assert judge(found).exit_code == 1
        assert "The tolerance differs on 1 cell; both sides are judged by the base's." in found.notes
        within = passed("m", "s", tolerance=1e-2, **{error: 5e-5})
        assert verdict(table(PASSED), table(within)).exit_code == 0
        assert verdict(table(wide), table(wide)).exit_code == 0
    wrong = mismatched("m", "s", tolerance=1e-4)
    assert compare(table(wrong), table(passed("m", "s", tolerance=1.0, relative_error=0.5))).counts == {
        Category.UNCHANGED: 1
    }


def test_an_error_that_grew_within_the_tolerance_is_a_note() -> None:
    for column in ("relative_error", "probes_relative_error"):
        for before, after, grew in [
            (1e-7, 2e-6, True),
            (1e-7, 9e-7, False),
            (1e-6, 9e-6, False),
            (0.0, 2e-6, True),
            (2e-6, 1e-7, False),
        ]:
            found = compare(
                table(passed("m", "s", **{column: before}), OTHER),
                later(table(passed("m", "s", **{column: after}), OTHER)),
            )
            assert judge(found).exit_code == 0
            note = "The error grew more than tenfold, within the tolerance, on 1 cell: m/s."
            assert (note in found.notes) is grew
