"""From which version on a break is there, and which side it follows, over simulated laboratories."""

from __future__ import annotations

import pytest

from harness.bench.record import Record
from harness.bench.stages import Stage
from harness.bump.schema import SideName
from harness.bump.trials import TrialCell
from harness.report.bump import claims
from tests.bump.blames import blamed, breaks_where, newer
from tests.bump.laboratories import Pins, SimulatedLaboratory
from tests.tables.samples import failed, passed


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
