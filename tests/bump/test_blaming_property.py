"""Blame of random breaks over simulated laboratories: it is always true."""

from __future__ import annotations

import random

from harness.bench.record import Record
from harness.bench.stages import Outcome
from harness.bump.schema import Answer, Blame, Evidence, Status
from harness.bump.trials import TrialCell
from tests.bump.blames import MODEL, SIX, STRATEGY, blamed
from tests.bump.laboratories import Pins, SimulatedLaboratory
from tests.tables.samples import failed, passed


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
