"""Who is to blame, over simulated laboratories: what is said is so, each claim rests on a trial, and few are made."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from harness.bench.record import Record
from harness.bench.stages import Stage
from harness.bump.blaming import blame
from harness.bump.bumpfile import read_bump, write_bump
from harness.bump.logbook import Logbook
from harness.bump.schema import Answer, Bump, Package, SideName, Status
from harness.bump.trials import TrialCell
from harness.report.bump import blame_lines, claims, evidence_of
from harness.report.comment import comment
from tests.bump.blames import (
    MODEL,
    REGISTRY,
    SIX,
    STRATEGY,
    blamed,
    breaks_where,
    check_claims,
    comparison_of,
    embedding,
    names,
    newer,
)
from tests.bump.laboratories import Pins, SimulatedLaboratory
from tests.tables.samples import failed, mismatched, passed


def test_torch_is_blamed_alone_and_torchvision_was_left_out_on_both_sides(tmp_path: Path) -> None:
    laboratory = embedding()
    book = Logbook(laboratory)
    comparison = comparison_of(laboratory, (MODEL, STRATEGY), (MODEL, f"{STRATEGY}:16"))
    (found,) = blame(book, comparison, registry=REGISTRY)
    check_claims(laboratory, found)
    assert found.status is Status.FOUND
    assert found.culprits
    assert names(found.culprits.packages) == {"torch"}
    assert found.culprits.left_out == ("torchvision",)
    assert [each.answer for each in found.culprits.controls] == [Answer.WORKS]
    (versions,) = found.versions
    assert versions.last_working
    assert versions.first_broken
    assert (versions.last_working.version, versions.first_broken.version) == ("2.0.1", "2.1.0")
    assert versions.works_again
    assert versions.works_again.version == "2.1.1"
    assert versions.works_again.packages["torchvision"] == "0.16.1"
    assert found.side
    assert found.side.side is SideName.EXPORTER
    assert not found.side.crossed
    assert "onnxruntime-gpu 1.15.1" in found.side.reason
    assert [(each.cell, each.answer) for each in found.others] == [(f"{MODEL}/{STRATEGY}:16", Answer.BREAKS)]
    assert len(laboratory.installed) == 5

    made = Bump(
        base="torch2.0",
        candidate="next",
        moves=tuple(map(Package.of, laboratory.moves)),
        trials=tuple(book.entries),
        blames=(found,),
    )
    write_bump(tmp_path, made)
    assert read_bump(tmp_path) == made
    trials = {trial.id: trial for trial in made.trials}
    for each in evidence_of(found):
        assert not each.trial or any(each.file == record.file for record in trials[each.trial].records)
    shown = "\n".join(line.plain for line in blame_lines(made, width=80))
    assert max(len(line) for line in shown.splitlines()) <= 80
    told = " ".join(shown.split())
    assert "package: torch 2.0.1 -> 2.1.0 alone; torchvision 0.15.2 -> 0.16.0 has to move with it" in told
    assert "first version that breaks: torch 2.1.0 (2.0.1 is the last that works)" in told
    assert "works again from: torch 2.1.1 with torchvision 0.16.1 (2.1.0 does not)" in told
    assert "side: the exporter: the runtime is the same on both sides (onnxruntime-gpu 1.15.1)" in told
    assert "torch 2.0.1 → 2.1.0 alone" in comment(comparison_of(laboratory), None, made)


def test_what_cannot_be_parted_is_named_together() -> None:
    """The base does not work without torchvision, so that leaving it out tells nothing."""
    laboratory = embedding(
        record=breaks_where(lambda pins: pins["torch"] == "2.1.0" or "torchvision" not in pins),
    )
    found = blamed(laboratory)
    assert found.culprits
    assert names(found.culprits.packages) == {"torch", "torchvision"}
    assert found.culprits.tied == ("torch", "torchvision")
    assert "takes none without the others" in dict(claims(found))["packages"]
    assert "the base without it" in found.limits[0]


def test_what_can_be_parted_is_not_said_to_be_tied() -> None:
    """onnx can be left at the base's version, and that was tried."""
    laboratory = embedding(
        after={"torch": "2.1.0", "torchvision": "0.16.0", "onnx": "1.15.0", "onnxruntime-gpu": "1.15.1"},
        record=breaks_where(lambda pins: pins["torch"] == "2.1.0" and pins["onnx"] == "1.15.0" and len(pins) > 3),
    )
    found = blamed(laboratory)
    assert found.culprits
    assert names(found.culprits.packages) == {"onnx", "torch", "torchvision"}
    assert found.culprits.tied == ("torch", "torchvision")
    told = dict(claims(found))["packages"]
    assert "with onnx left at the base's version it works" in told
    assert "does not take the others without torch nor without torchvision" in told


def test_a_cell_that_failed_already_is_said_to_be_as_before_and_not_to_work() -> None:
    """It failed at load in the base, and fails at convert since: the mend brings the old failure back."""

    def record(pins: Pins, cell: TrialCell) -> Record:
        if pins["torch"].startswith("2.1"):
            return failed(*cell, stage=Stage.CONVERT, fingerprint="c" * 8)
        return failed(*cell, fingerprint="b" * 8)

    released = {"torch": ["2.0.2", "2.1.1", "2.2.0"], "torchvision": []}
    made = SimulatedLaboratory(before={"torch": "2.0.1"}, after={"torch": "2.1.0"}, record=record, released=released)
    found = blamed(made)
    assert found.status is Status.FOUND
    assert found.category == "failing-earlier"
    assert [each.answer for each in found.controls] == [Answer.AS_BEFORE, Answer.BREAKS]
    told = dict(claims(found))
    assert told["first version that breaks"] == "torch 2.1.0 (2.0.2 is the last that is as in the base)"
    assert told["as in the base again from"] == "torch 2.2.0 (2.1.1 is not)"
    assert "the base is as in its table" in told["run"]
    assert "works" not in " ".join((*told, *told.values()))


def test_leaving_out_is_told_of_a_cell_that_failed_already() -> None:
    def record(pins: Pins, cell: TrialCell) -> Record:
        return mismatched(*cell) if pins["torch"] == "2.1.0" else failed(*cell, fingerprint="b" * 8)

    found = blamed(embedding(record=record))
    assert found.culprits
    assert names(found.culprits.packages) == {"torch"}
    assert "without torchvision the base is as in its table and this" in dict(claims(found))["package"]


def test_the_one_that_was_left_out_is_to_blame() -> None:
    laboratory = embedding(record=breaks_where(lambda pins: pins.get("torchvision") == "0.16.0"))
    found = blamed(laboratory)
    assert found.culprits
    assert names(found.culprits.packages) == {"torch", "torchvision"}
    assert any("without torchvision the cell works" in limit for limit in found.limits)


@pytest.mark.parametrize("tie", [None, ("torch", "onnx"), ("onnx", "numpy"), ("numpy", "tf2onnx")], ids=str)
def test_one_of_six_is_named_in_twelve_environments(tie: tuple[str, str] | None) -> None:
    """Reduced controls apart, and before versions are looked for."""
    for guilty, one_way in itertools.product(SIX, (False, True)):

        def fits(pins: Pins, one_way: bool = one_way) -> bool:
            if tie is None or not set(tie) <= pins.keys():
                return True
            first, second = (pins[name] == "2.0" for name in tie)
            return first <= second if one_way else first == second

        laboratory = SimulatedLaboratory(
            before=dict.fromkeys(SIX, "1.0"),
            after=dict.fromkeys(SIX, "2.0"),
            record=breaks_where(newer(guilty)),
            served=lambda _one, _other, cell: passed(*cell),
            fits=fits,
        )
        found = blamed(laboratory)
        assert found.culprits
        blamed_names = names(found.culprits.packages)
        assert guilty in blamed_names | set(found.culprits.left_out)
        if tie is None or guilty not in tie:
            assert blamed_names == {guilty}
        reduced = [pins for pins in laboratory.installed if set(pins) != set(SIX)]
        assert len(laboratory.installed) - len(reduced) <= 12


def test_two_that_break_only_together_are_both_named() -> None:
    """onnx went up and the runtime down, and each alone passes."""
    laboratory = SimulatedLaboratory(
        before={"torch": "2.2", "onnx": "1.15.0", "onnxruntime": "1.17.1", "numpy": "1.26"},
        after={"torch": "2.2", "onnx": "1.16.0", "onnxruntime": "1.15.1", "numpy": "1.26.4"},
        record=breaks_where(lambda pins: pins["onnx"] == "1.16.0" and pins["onnxruntime"] == "1.15.1"),
        served=lambda one, other, cell: (
            failed(*cell) if one["onnx"] == "1.16.0" and other["onnxruntime"] == "1.15.1" else passed(*cell)
        ),
    )
    found = blamed(laboratory)
    assert found.culprits
    assert names(found.culprits.packages) == {"onnx", "onnxruntime"}
    assert not found.culprits.tied
    assert {each.answer for each in found.culprits.smaller} == {Answer.WORKS}
    assert found.side
    assert found.side.side is SideName.TOGETHER
    assert "only together" in dict(claims(found))["packages"]


def test_what_else_moved_in_the_lock_is_found_where_it_alone_is_enough() -> None:
    """torch brings a newer sympy, and that breaks."""

    def fits(pins: Pins) -> bool:
        return pins["torch"] == "2.0" or pins["sympy"] == "1.13"

    laboratory = SimulatedLaboratory(
        before={"torch": "2.0", "onnx": "1.14", "sympy": "1.12", "mpmath": "1.2"},
        after={"torch": "2.1", "onnx": "1.15", "sympy": "1.13", "mpmath": "1.2"},
        requirements=frozenset({"torch", "onnx"}),
        record=breaks_where(lambda pins: pins["sympy"] == "1.13", stage=Stage.CONVERT),
        fits=fits,
    )
    found = blamed(laboratory)
    assert found.culprits
    assert names(found.culprits.packages) == {"sympy"}
    assert not found.culprits.packages[0].direct


def test_what_alone_moved_in_the_lock_is_found_among_many() -> None:
    many = {f"package{number}": "1.0" for number in range(40)}
    laboratory = SimulatedLaboratory(
        before={"torch": "2.0", **many},
        after={"torch": "2.0", **dict.fromkeys(many, "1.1")},
        requirements=frozenset({"torch"}),
        record=breaks_where(lambda pins: pins["package23"] == "1.1", stage=Stage.CONVERT),
    )
    found = blamed(laboratory)
    assert found.culprits
    assert names(found.culprits.packages) == {"package23"}
    assert len(laboratory.installed) <= 16
