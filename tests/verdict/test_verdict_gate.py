from __future__ import annotations

from dataclasses import replace

from harness.bench.stages import Stage
from harness.tables.schema import Table
from harness.verdict.comparison import Category, compare
from harness.verdict.gate import LATENCY_NOTE, Decision, GatePolicy, Verdict, judge
from tests.tables.samples import failed, mismatched, native, not_applicable, output, passed, table

PASSED = passed("m", "s")
FAILED = failed("m", "s")
OTHER = passed("other", "s")


def verdict(base: Table, candidate: Table) -> Verdict:
    return judge(compare(base, candidate))


def test_nothing_worse_may_merge() -> None:
    base = table(PASSED, failed("fixed", "s"), failed("differs", "s"), not_applicable("new", "s"))
    other_cause = failed("differs", "s", fingerprint="other")
    candidate = table(PASSED, passed("fixed", "s"), other_cause, failed("new", "s"))
    found = verdict(base, candidate)
    assert (found.decision, found.exit_code) == (Decision.MAY_MERGE, 0)
    assert found.reasons == ("nothing is worse among 4 cells",)
    assert found.notes == (LATENCY_NOTE,)


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
        "Beside that, not all could be told: 1 cell missing in candidate, the candidate has 1 of 2 planned cells."
    )


def test_nothing_compared_is_no_reason_to_merge() -> None:
    for base, candidate in [(table(), table()), (table(PASSED, tier="core"), table())]:
        assert verdict(base, candidate).reasons == ("no cell was compared",)
        assert verdict(base, candidate).exit_code == 3
    assert verdict(table(PASSED), table(OTHER)).notes == (LATENCY_NOTE,)


def test_latency_never_fails() -> None:
    slower = replace(PASSED, latency_ms=2000.0, rss_peak_mb=30000.0)
    assert verdict(table(PASSED), table(slower)).exit_code == 0


def test_a_policy_of_one_s_own_decides() -> None:
    strict = GatePolicy(worse=frozenset({Category.FAILING_DIFFERENTLY}), untold=frozenset())
    comparison = compare(table(FAILED, OTHER), table(failed("m", "s", fingerprint="other")))
    assert judge(comparison).exit_code == 3
    assert judge(comparison, policy=strict).reasons == ("1 cell failing differently",)


def test_a_moved_native_output_is_worse_though_every_cell_passes() -> None:
    known = {"m": native(output(1.0)), "other": native(output(1.0))}
    base = table(PASSED, OTHER, natives=known)
    for moved, reason in [
        ({"m": native(output(1.1))}, "native output of 1 model moved"),
        ({"m": native(output(1.1)), "other": native(output(2.0))}, "native output of 2 models moved"),
    ]:
        comparison = compare(base, table(PASSED, OTHER, natives={**known, **moved}))
        assert judge(comparison).reasons == (reason,)
        assert judge(comparison).exit_code == 1
        assert judge(comparison, policy=GatePolicy(moved_natives=False)).exit_code == 0
    found = verdict(base, table(FAILED, OTHER, natives={**known, "m": native(output(1.1))}))
    assert found.reasons == ("1 cell newly failing", "native output of 1 model moved")


def test_a_native_output_within_rounding_may_merge() -> None:
    base = table(PASSED, natives={"m": native(output(1.0))})
    assert verdict(base, table(PASSED, natives={"m": native(output(1.0 + 1e-7))})).exit_code == 0


def test_what_only_one_side_ran_an_extension_for_leaves_nothing_open() -> None:
    found = verdict(table(PASSED), table(PASSED, passed("m", "onnx2tf", extension="tools")))
    assert found.reasons == ("nothing is worse among 1 cell",)
