"""What blame does not tell, and what it costs, over simulated laboratories."""

from __future__ import annotations

from dataclasses import replace

from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage
from harness.bump.blaming import blame
from harness.bump.schema import Status
from harness.bump.trials import TrialCell
from tests.bump.blames import MODEL, REGISTRY, SIX, STRATEGY, blamed, breaks_where, comparison_of, embedding, names
from tests.bump.laboratories import Pins, SimulatedLaboratory
from tests.tables.samples import failed, mismatched, not_applicable, passed


def test_a_break_that_does_not_come_again_has_no_blame() -> None:
    laboratory = embedding()
    comparison = comparison_of(laboratory)
    laboratory.record = breaks_where(lambda _pins: False)
    (found,) = blame(laboratory, comparison, registry=REGISTRY)
    assert found.status is Status.NOT_REPRODUCED
    assert found.culprits is None
    assert "the candidate tried anew works" in found.limits[0]
    assert len(laboratory.installed) == 2


def test_another_failure_is_not_the_break() -> None:
    laboratory = embedding()
    comparison = comparison_of(laboratory)
    laboratory.record = breaks_where(lambda pins: pins["torch"] == "2.1.0", stage=Stage.CONVERT, fingerprint="other")
    (found,) = blame(laboratory, comparison, registry=REGISTRY)
    assert found.status is Status.NOT_REPRODUCED
    assert "fails in another way (failed at convert)" in found.limits[0]


def test_a_base_that_breaks_here_has_no_blame() -> None:
    laboratory = embedding()
    comparison = comparison_of(laboratory)
    laboratory.record = breaks_where(lambda _pins: True)
    (found,) = blame(laboratory, comparison, registry=REGISTRY)
    assert found.status is Status.NOT_REPRODUCED
    assert "the base tried anew fails" in found.limits[0]


def test_what_the_budget_cuts_off_is_said_and_what_is_known_is_kept() -> None:
    full = SimulatedLaboratory(
        before=dict.fromkeys(SIX, "1.0"),
        after=dict.fromkeys(SIX, "2.0"),
        record=breaks_where(lambda pins: pins["onnx"] == "2.0"),
        served=lambda _one, _other, cell: passed(*cell),
    )
    blamed(full)
    needed = len(full.installed)
    sizes = []
    for budget in range(1, needed + 1):
        laboratory = SimulatedLaboratory(
            before=full.before, after=full.after, record=full.record, served=full.served, budget=budget
        )
        found = blamed(laboratory)
        if found.status is Status.FOUND:
            assert found.culprits
            assert names(found.culprits.packages) == {"onnx"}
        elif found.status is Status.NARROWED:
            assert found.culprits
            assert "onnx" in names(found.culprits.packages)
            assert any("the time for trials was over" in limit for limit in found.limits)
            sizes.append(len(found.culprits.packages))
        else:
            assert found.status is Status.NOT_LOOKED_INTO
            assert "the time for trials was over" in found.limits[0]
    assert sizes
    assert sizes == sorted(sizes, reverse=True)


def test_causes_share_environments() -> None:
    """Two causes of one package are told by as many environments as one."""

    def record(pins: Pins, cell: TrialCell) -> Record:
        if pins["torch"] != "2.1.0":
            return passed(*cell)
        return failed(*cell) if cell[0] == MODEL else mismatched(*cell, fingerprint="m")

    alone, both = embedding(), embedding(record=record)
    blamed(alone)
    found = blame(both, comparison_of(both, (MODEL, STRATEGY), ("lstm", STRATEGY)), registry=REGISTRY)
    assert [each.cell for each in found] == [f"{MODEL}/{STRATEGY}", f"lstm/{STRATEGY}"]
    assert all(each.culprits and names(each.culprits.packages) == {"torch"} for each in found)
    assert len(both.installed) == len(alone.installed)


def test_what_can_no_longer_exist_is_blamed_as_well() -> None:
    laboratory = embedding(
        record=lambda pins, cell: not_applicable(*cell) if pins["torch"] == "2.1.0" else passed(*cell)
    )
    found = blamed(laboratory)
    assert found.culprits
    assert names(found.culprits.packages) == {"torch"}


def test_an_environment_that_cannot_be_had_needs_no_trial() -> None:
    laboratory = embedding(
        record=lambda pins, cell: (
            replace(failed(*cell), stage=Stage.RESOLVE, outcome=Outcome.UNRESOLVABLE)
            if pins["torch"] == "2.1.0"
            else passed(*cell)
        )
    )
    found = blamed(laboratory)
    assert found.status is Status.NOT_LOOKED_INTO
    assert not laboratory.installed
