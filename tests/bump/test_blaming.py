"""Blame over simulated laboratories: what is said is so, each claim rests on a trial, and few environments are made."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.bench.errors import UsageError
from harness.bench.record import Record
from harness.bench.registry import discover
from harness.bench.stages import Outcome, Stage
from harness.bump.blaming import blame
from harness.bump.bumpfile import read_bump, to_json, write_bump
from harness.bump.logbook import Logbook
from harness.bump.schema import Answer, Blame, Bump, Evidence, Package, SideName, Status
from harness.bump.trials import TrialCell
from harness.report.bump import blame_lines, blame_markdown, claims, evidence_of
from harness.verdict.comparison import Comparison, compare
from tests.bump.laboratories import Pins, SimulatedLaboratory
from tests.tables.samples import failed, mismatched, not_applicable, passed, table

MODEL, STRATEGY = "embedding-new-zeros", "onnx-torchscript"
REGISTRY = discover()


def breaks_where(condition: Callable[[Pins], bool], **values: Any) -> Callable[[Pins, TrialCell], Record]:
    """What every cell comes to: it fails where `condition` holds of what is installed."""

    def record(pins: Pins, cell: TrialCell) -> Record:
        return failed(*cell, **values) if condition(pins) else passed(*cell)

    return record


def comparison_of(laboratory: SimulatedLaboratory, *cells: TrialCell) -> Comparison:
    sides = [
        table(
            *(laboratory.record(pins, cell) for cell in cells or [(MODEL, STRATEGY)]),
            pins=dict(pins),
            packages=dict(pins),
            started=f"2026-01-31T1{hour}:00:00Z",
        )
        for hour, pins in enumerate((laboratory.before, laboratory.after))
    ]
    return compare(sides[0], sides[1])


def blamed(laboratory: SimulatedLaboratory, *cells: TrialCell) -> Blame:
    (found,) = blame(laboratory, comparison_of(laboratory, *cells), registry=REGISTRY)
    check_claims(laboratory, found)
    return found


def check_claims(laboratory: SimulatedLaboratory, found: Blame) -> None:
    """Each piece of evidence is what the laboratory says of that mix, and was run unless it has no solution."""
    for each in evidence_of(found):
        if each.answer is Answer.UNRESOLVABLE:
            assert each.reason
            assert not each.trial
        else:
            assert each.trial
            assert each.file.startswith(f".harness/trials/{each.trial}/")


def names(packages: tuple[Package, ...]) -> set[str]:
    return {package.name for package in packages}


def newer(name: str) -> Callable[[Pins], bool]:
    """Whether the package is the candidate's."""
    return lambda pins: pins.get(name) == "2.0"


def pair_fits(pins: Pins) -> bool:
    """A version of torch and the one of torchvision that is made for it."""
    made = {"2.0.1": "0.15.2", "2.1.0": "0.16.0", "2.1.1": "0.16.1", "2.1.2": "0.16.2", "2.2.0": "0.17.0"}
    return "torchvision" not in pins or made[pins["torch"]] == pins["torchvision"]


def embedding(**values: Any) -> SimulatedLaboratory:
    facts: dict[str, Any] = {
        "before": {"torch": "2.0.1", "torchvision": "0.15.2", "onnx": "1.14.0", "onnxruntime-gpu": "1.15.1"},
        "after": {"torch": "2.1.0", "torchvision": "0.16.0", "onnx": "1.14.0", "onnxruntime-gpu": "1.15.1"},
        "record": breaks_where(lambda pins: pins["torch"] == "2.1.0", fingerprint="16d3404c9d72"),
        "fits": pair_fits,
        "released": {"torch": ["2.1.1", "2.1.2", "2.2.0"], "torchvision": ["0.16.1", "0.16.2", "0.17.0"]},
    }
    return SimulatedLaboratory(**{**facts, **values})


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
    assert "torch 2.0.1 → 2.1.0 alone" in "\n".join(blame_markdown(made))


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


@pytest.mark.parametrize("released", [[], ["2.2"]], ids=["newest", "older"])
def test_no_later_version_is_said_to_fail_where_none_was_tried(released: list[str]) -> None:
    laboratory = SimulatedLaboratory(
        before={"torch": "2.0"},
        after={"torch": "2.1"},
        record=breaks_where(lambda pins: pins["torch"] != "2.0"),
        released={"torch": released},
    )
    told = dict(claims(blamed(laboratory)))
    if released:
        assert told["works again from"] == "no later version of torch that was tried works"
        assert "versions" not in told
    else:
        assert "works again from" not in told
        assert told["versions"] == "no later version of torch is released for this Python"


def test_no_version_is_the_last_that_works_where_it_fails_otherwise_beside_the_other_culprits() -> None:
    """The first alone fails in a way of its own, and only both break as the candidate does."""

    def record(pins: Pins, cell: TrialCell) -> Record:
        if pins["torch"] == "1.0":
            return passed(*cell)
        return failed(*cell, fingerprint="both" if pins["onnx"] == "2.0" else "alone")

    both = {"torch": "1.0", "onnx": "1.0"}
    found = blamed(SimulatedLaboratory(before=both, after=dict.fromkeys(both, "2.0"), record=record))
    versions = {each.package: each for each in found.versions}
    assert versions["torch"].last_working
    assert versions["torch"].last_working.evidence.mix.pins["onnx"] == "2.0"
    assert versions["onnx"].last_working is None
    assert versions["onnx"].first_broken is None
    assert "onnx 1.0 fails in another way" in versions["onnx"].note


@pytest.mark.parametrize(
    ("stage", "guilty", "side"),
    [
        (Stage.BUILD, "torch", SideName.FRAMEWORK),
        (Stage.CONVERT, "onnx", SideName.EXPORTER),
        (Stage.VALIDATE, "torch", SideName.EXPORTER),
        (Stage.VALIDATE, "onnx", SideName.UNTOLD),
    ],
)
def test_before_serving_the_exporter_is_named_only_where_it_ran(stage: Stage, guilty: str, side: SideName) -> None:
    """onnx's checker is of the package that the exporter writes with as well."""
    before = {"torch": "1.0", "onnx": "1.0"}
    laboratory = SimulatedLaboratory(
        before=before, after={**before, guilty: "2.0"}, record=breaks_where(newer(guilty), stage=stage)
    )
    found = blamed(laboratory).side
    assert found
    assert found.side is side
    assert f"it breaks at {stage.value}" in found.reason


def test_the_one_that_was_left_out_is_to_blame() -> None:
    laboratory = embedding(record=breaks_where(lambda pins: pins.get("torchvision") == "0.16.0"))
    found = blamed(laboratory)
    assert found.culprits
    assert names(found.culprits.packages) == {"torch", "torchvision"}
    assert any("without torchvision the cell works" in limit for limit in found.limits)


SIX = ("torch", "onnx", "onnxruntime", "numpy", "tf2onnx", "protobuf")


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


@pytest.mark.parametrize(
    ("artifact", "runtime", "side"),
    [
        (True, False, SideName.EXPORTER),
        (False, True, SideName.RUNTIME),
        (True, True, SideName.EITHER),
    ],
)
def test_the_side_is_told_by_crossing(artifact: bool, runtime: bool, side: SideName) -> None:
    def served(one: Pins, other: Pins, cell: TrialCell) -> Record:
        broken = (artifact and one["torch"] == "2.1.0") or (runtime and other["onnxruntime"] == "1.17.1")
        return failed(*cell) if broken else passed(*cell)

    laboratory = SimulatedLaboratory(
        before={"torch": "2.0.1", "onnxruntime": "1.16.3"},
        after={"torch": "2.1.0", "onnxruntime": "1.17.1"},
        record=lambda pins, cell: served(pins, pins, cell),
        served=served,
    )
    found = blamed(laboratory)
    assert found.side
    assert found.side.side is side
    assert len(found.side.crossed) == 2


def test_only_the_runtime_moved_and_its_versions_are_told() -> None:
    """As onnxruntime#20641: 1.17.0 and 1.17.1 refuse what 1.16.3 and 1.18.0 run."""

    def record(pins: Pins, cell: TrialCell) -> Record:
        if pins["onnxruntime"].startswith("1.17"):
            return failed(*cell, fingerprint="other" if pins["onnxruntime"] == "1.17.3" else "f" * 8)
        return passed(*cell)

    laboratory = SimulatedLaboratory(
        before={"torch": "2.0.1", "onnxruntime": "1.16.3"},
        after={"torch": "2.0.1", "onnxruntime": "1.17.1"},
        record=record,
        served=lambda _one, other, cell: record(other, cell),
        released={"onnxruntime": ["1.17.0", "1.17.3", "1.18.0", "1.19.0"]},
    )
    found = blamed(laboratory)
    assert found.side
    assert found.side.side is SideName.RUNTIME
    assert len(found.side.crossed) == 1
    (versions,) = found.versions
    assert versions.first_broken
    assert versions.first_broken.version == "1.17.0"
    assert versions.works_again
    assert versions.works_again.version == "1.18.0"


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


def test_random_breaks_are_always_told_truly() -> None:
    """Random ties, guilty sets, hidden other failures and versions: no claim that the laboratory would deny."""
    chance = random.Random(641)
    told = 0
    for _ in range(150):
        packages = chance.sample(SIX, chance.randint(1, 6))
        needs = {name: chance.sample(packages, 1)[0] for name in packages if chance.random() < 0.3}
        guilty = frozenset(chance.sample(packages, min(len(packages), chance.choice([1, 1, 1, 2]))))
        bad = {name: chance.choice(["1.2", "1.3", "2.0"]) for name in guilty}
        odd = {frozenset(chance.sample(packages, chance.randint(1, len(packages)))) for _ in range(2)}

        def new(pins: Pins) -> frozenset[str]:
            return frozenset(name for name, version in pins.items() if version != "1.0")

        def fits(pins: Pins, needs: dict[str, str] = needs) -> bool:
            return all(pins.get(other) != "1.0" for name, other in needs.items() if pins.get(name, "1.0") != "1.0")

        def record(
            pins: Pins,
            cell: TrialCell,
            bad: dict[str, str] = bad,
            odd: set[frozenset[str]] = odd,
            everything: frozenset[str] = frozenset(packages),
        ) -> Record:
            if all(name in pins and bad[name] <= pins[name] <= "2.0" for name in bad):
                other = new(pins) in odd and new(pins) != everything
                return failed(*cell, fingerprint="odd" if other else "f" * 8)
            return passed(*cell)

        laboratory = SimulatedLaboratory(
            before=dict.fromkeys(packages, "1.0"),
            after=dict.fromkeys(packages, "2.0"),
            record=record,
            served=lambda _one, _other, cell: passed(*cell),
            fits=fits,
            released={name: ["1.1", "1.2", "1.3", "2.1", "3.0"] for name in packages},
        )
        found = blamed(laboratory)
        assert found.culprits
        check_truth(laboratory, found)
        told += found.status is Status.FOUND
    assert told == 150


def check_truth(laboratory: SimulatedLaboratory, found: Blame) -> None:
    """The controls, the smallest set and the versions are as the laboratory has them."""
    assert found.culprits
    assert found.culprits.enough
    sought = (MODEL, STRATEGY)
    reference = laboratory.record(laboratory.after, sought).fingerprint

    def said(evidence: Evidence) -> Answer:
        mix = next(each for each in laboratory._resolutions if str(each) == str(evidence.mix))
        resolution = laboratory.resolve(mix)
        if resolution.reason:
            return Answer.UNRESOLVABLE
        record = laboratory.record(resolution.pins, sought)
        if record.outcome is Outcome.PASSED:
            return Answer.WORKS
        return Answer.BREAKS if record.fingerprint == reference else Answer.OTHERWISE

    assert [said(each) for each in found.controls] == [Answer.WORKS, Answer.BREAKS]
    assert {said(each) for each in found.culprits.enough} == {Answer.BREAKS}
    assert all(said(each) is each.answer for each in found.culprits.smaller)
    assert all(each.answer is not Answer.BREAKS for each in found.culprits.smaller if not found.culprits.left_out)
    assert {said(each) for each in found.culprits.controls} <= {Answer.WORKS}
    for versions in found.versions:
        if versions.last_working is None:
            assert "no first version that breaks is told" in versions.note
            continue
        assert versions.first_broken
        assert said(versions.last_working.evidence) is Answer.WORKS
        assert said(versions.first_broken.evidence) is Answer.BREAKS
        assert versions.works_again is None or said(versions.works_again.evidence) is Answer.WORKS


def test_an_unknown_key_and_a_newer_schema_are_refused(tmp_path: Path) -> None:
    value = to_json(Bump(base="a", candidate="b", moves=()))
    assert value["schema_version"] == 1
    for change, message in (({"extra": 1}, "the key 'extra' is not known"), ({"schema_version": 2}, "is of schema 2")):
        (tmp_path / "bump.json").write_text(json.dumps(value | change))
        with pytest.raises(UsageError, match=message):
            read_bump(tmp_path)
