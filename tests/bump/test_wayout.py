"""The way out over simulated laboratories: what is offered was run, and passed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.bench.errors import PausedError
from harness.bench.record import Record
from harness.bench.registry import discover
from harness.bench.stages import Stage
from harness.bump.blaming import blame
from harness.bump.bumpfile import read_bump, write_bump
from harness.bump.logbook import Logbook
from harness.bump.moves import Mix
from harness.bump.schema import Bump, Package, Way, WayKind, WayOut
from harness.bump.trials import BudgetSpentError, Trial, TrialCell
from harness.bump.wayout import ways_out
from harness.report.comment import comment
from harness.report.wayout import next_step_of, way_out_lines
from tests.bump.blames import MODEL, STRATEGY, comparison_of
from tests.bump.laboratories import Pins, SimulatedLaboratory
from tests.tables.samples import failed, passed

REGISTRY = discover()
TWIN = (MODEL, "manual-recreation")
OPSET = (MODEL, "onnx-torchscript:16")
CELL = (MODEL, STRATEGY)
BEFORE = {"torch": "2.0.1", "torchvision": "0.15.2", "onnx": "1.14.0", "onnxruntime-gpu": "1.15.1"}
AFTER = {**BEFORE, "torch": "2.1.0", "torchvision": "0.16.0", "onnx": "1.15.0"}
RELEASED = {"torch": ["2.0.1", "2.1.0", "2.1.1", "2.1.2"], "torchvision": ["0.15.2", "0.16.0", "0.16.1", "0.16.2"]}
PAIRS = dict(zip(RELEASED["torch"], RELEASED["torchvision"], strict=True))


def _fits(pins: Pins) -> bool:
    return "torchvision" not in pins or PAIRS[pins["torch"]] == pins["torchvision"]


def _exporter_breaks(pins: Pins, cell: TrialCell) -> Record:
    """torch 2.1.0 alone breaks what its exporter makes, at every opset."""
    broken = pins["torch"] == "2.1.0" and cell[1].startswith("onnx-torchscript")
    return replace(failed(*cell) if broken else passed(*cell), duration_s=1.0)


def _found(laboratory: SimulatedLaboratory, *cells: TrialCell) -> tuple[WayOut, Logbook, Bump]:
    comparison = comparison_of(laboratory, *cells)
    book = Logbook(laboratory)
    blames = blame(book, comparison, registry=REGISTRY)
    outs = ways_out(book, comparison, blames, registry=REGISTRY, file_of=lambda each: f"results/{each.strategy}")
    moves = tuple(Package.of(move) for move in laboratory.moves)
    bump = Bump(base="b", candidate="c", moves=moves, trials=tuple(book.entries), blames=blames, ways_out=outs)
    (out,) = outs
    _rests_on_what_was_run(out, book)
    return out, book, bump


def _rests_on_what_was_run(out: WayOut, book: Logbook) -> None:
    """Each cell that is offered is a passed record of a trial in the book, or of the table."""
    trials = {entry.id: entry for entry in book.entries}
    for way in out.ways:
        assert way.seen
        for seen in way.seen:
            assert seen.outcome == "passed"
            assert seen.file
            if seen.trial:
                assert seen.file in {record.file for record in trials[seen.trial].records if record.outcome == "passed"}


def _of(out: WayOut, kind: WayKind) -> Way:
    (way,) = [way for way in out.ways if way.kind is kind]
    return way


def test_another_version_another_strategy_and_what_to_hold_back_are_offered_as_they_were_run() -> None:
    laboratory = SimulatedLaboratory(BEFORE, AFTER, record=_exporter_breaks, fits=_fits, released=RELEASED)
    out, _, bump = _found(laboratory, CELL, OPSET, TWIN)
    assert [way.kind for way in out.ways] == [WayKind.VERSIONS, WayKind.STRATEGY, WayKind.HOLD_BACK]
    versions = _of(out, WayKind.VERSIONS)
    assert versions.pins == {"torch": "2.1.1", "torchvision": "0.16.1", "onnx": "1.15.0"}, "a whole set that resolves"
    assert [seen.cell for seen in _of(out, WayKind.STRATEGY).seen] == [f"{MODEL}/manual-recreation"]
    held = _of(out, WayKind.HOLD_BACK)
    assert held.pins == {"torch": "2.0.1", "torchvision": "0.15.2"}
    assert [seen.cell for seen in held.seen] == ["/".join(CELL), "/".join(OPSET)]
    told = "\n".join(line.plain for line in way_out_lines(bump, width=80))
    assert "'torch==2.1.1' 'torchvision==0.16.1', all else as in the candidate: 2 of its cells pass" in " ".join(
        told.split()
    )
    assert max(len(line.plain) for line in way_out_lines(bump, width=80)) <= 80
    assert "manual-recreation passes" in told
    commented = comment(comparison_of(laboratory, CELL, OPSET, TWIN), None, bump)
    assert "  - **way out, other versions**: 'torch==2.1.1' 'torchvision==0.16.1', all else as in" in commented
    assert "Who is to blame" not in commented
    step = next_step_of(comparison_of(laboratory, CELL, OPSET, TWIN), None, bump)
    assert step.startswith("`harness bump b 'onnx==1.15.0' 'torch==2.1.1' 'torchvision==0.16.1' --tier quick")


def test_it_is_kept_and_read_again(tmp_path: Path) -> None:
    laboratory = SimulatedLaboratory(BEFORE, AFTER, record=_exporter_breaks, fits=_fits, released=RELEASED)
    _, _, bump = _found(laboratory, CELL, TWIN)
    write_bump(tmp_path, bump)
    assert read_bump(tmp_path) == bump
    assert json.loads((tmp_path / "bump.json").read_text(encoding="utf-8"))["ways_out"]


def test_where_no_planned_strategy_passes_others_are_run() -> None:
    def record(pins: Pins, cell: TrialCell) -> Record:
        broken = pins["torch"] == "2.1.0" and cell[1] in ("onnx-torchscript", "onnx-torchscript:16")
        return replace(failed(*cell) if broken else passed(*cell), duration_s=1.0)

    laboratory = SimulatedLaboratory(BEFORE, AFTER, record=record, fits=_fits, released=RELEASED)
    out, book, _ = _found(laboratory, CELL, OPSET)
    way = _of(out, WayKind.STRATEGY)
    assert way.seen[0].cell.startswith(f"{MODEL}/onnx-torchscript:"), "the same exporter at another opset is nearest"
    assert all(seen.trial for seen in way.seen)
    ran = {(each.model, each.strategy) for entry in book.entries for each in entry.records}
    assert (MODEL, "native") not in ran, "PyTorch itself is no conversion"


def test_what_does_not_pass_is_not_offered() -> None:
    def record(pins: Pins, cell: TrialCell) -> Record:
        return replace(failed(*cell) if pins["torch"] != "2.0.1" else passed(*cell), duration_s=1.0)

    laboratory = SimulatedLaboratory(BEFORE, AFTER, record=record, fits=_fits, released=RELEASED)
    out, _, bump = _found(laboratory, CELL, OPSET, TWIN)
    assert [way.kind for way in out.ways] == [WayKind.HOLD_BACK]
    assert {seen.outcome for seen in out.failed} == {"failed"}
    step = next_step_of(comparison_of(laboratory, CELL, OPSET, TWIN), None, bump)
    assert step.endswith("Hold back torch, torchvision until it is mended."), "and not onnx, which has no part in it"
    assert "does not pass" in "\n".join(line.plain for line in way_out_lines(bump, width=100))


class _Short(SimulatedLaboratory):
    """A laboratory whose time is over once more strategies are asked for than were planned."""

    def run(self, mix: Mix, cells: Sequence[TrialCell]) -> Trial:
        if any(cell not in (CELL, OPSET) for cell in cells):
            msg = "over"
            raise BudgetSpentError(msg)
        return super().run(mix, cells)


def test_time_that_is_over_is_said_and_keeps_what_was_found() -> None:
    laboratory = _Short(BEFORE, AFTER, record=_exporter_breaks, fits=_fits, released=RELEASED)
    out, _, bump = _found(laboratory, CELL, OPSET)
    assert {way.kind for way in out.ways} == {WayKind.VERSIONS, WayKind.HOLD_BACK}
    assert out.limits == ("the time for trials was over before more strategies were tried",)
    assert "not told" in "\n".join(line.plain for line in way_out_lines(bump, width=100))


def _words(bump: Bump) -> str:
    return " ".join("\n".join(line.plain for line in way_out_lines(bump, width=100)).split())


def test_a_trial_that_comes_to_no_end_is_a_limit_and_no_end_of_the_verdict() -> None:
    """A model's file that is saved while trials run."""

    class Edited(SimulatedLaboratory):
        def run(self, mix: Mix, cells: Sequence[TrialCell]) -> Trial:
            if len(self.installed) > 1:
                msg = "files were edited while cells ran."
                raise PausedError(msg)
            return super().run(mix, cells)

    laboratory = Edited(BEFORE, AFTER, record=_exporter_breaks, fits=_fits, released=RELEASED)
    out, _, bump = _found(laboratory, CELL)
    assert any("files were edited while cells ran." in limit for limit in bump.blames[0].limits)
    assert any("files were edited while cells ran." in limit for limit in out.limits)


def test_a_candidate_without_an_environment_is_not_tried() -> None:
    def record(pins: Pins, cell: TrialCell) -> Record:
        return replace(failed(*cell, stage=Stage.INSTALL) if pins["torch"] == "2.1.0" else passed(*cell))

    laboratory = SimulatedLaboratory(BEFORE, AFTER, record=record, fits=_fits, released=RELEASED)
    out, book, bump = _found(laboratory, CELL)
    assert (out.ways, out.failed, book.entries) == ((), (), [])
    assert "does not install: the installation's log says why" in bump.blames[0].limits[0]
    assert "none: nothing was tried" in _words(bump)


def test_a_package_that_no_requirement_names_is_the_way_out_by_its_own_pin() -> None:
    laboratory = SimulatedLaboratory(
        {"torch": "2.0", "sympy": "1.12"},
        {"torch": "2.1", "sympy": "1.13"},
        record=lambda pins, cell: failed(*cell) if pins["sympy"] == "1.13" else passed(*cell),
        requirements=frozenset({"torch"}),
        released={"sympy": ["1.13.1"]},
    )
    out, _, bump = _found(laboratory, CELL)
    assert _of(out, WayKind.VERSIONS).pins == {"torch": "2.1", "sympy": "1.13.1"}
    assert _of(out, WayKind.HOLD_BACK).pins == {"sympy": "1.12"}
    assert "other versions: 'sympy==1.13.1', all else as in the candidate" in _words(bump)
    assert "hold back: sympy 1.12 while all else moves" in _words(bump)
    step = next_step_of(comparison_of(laboratory, CELL), None, bump)
    assert step.startswith("`harness bump b 'sympy==1.13.1' 'torch==2.1' ")


def test_versions_in_which_another_cell_of_the_cause_still_fails_are_not_offered() -> None:
    def record(pins: Pins, cell: TrialCell) -> Record:
        broken = pins["torch"] in (("2.1.0", "2.1.1") if cell == OPSET else ("2.1.0",))
        return replace(failed(*cell) if broken else passed(*cell), duration_s=9.0 if cell == OPSET else 1.0)

    laboratory = SimulatedLaboratory(BEFORE, AFTER, record=record, fits=_fits, released=RELEASED)
    out, _, bump = _found(laboratory, CELL, OPSET)
    assert not any(way.kind is WayKind.VERSIONS for way in out.ways)
    assert "/".join(OPSET) in {seen.cell for seen in out.failed}
    assert bump.blames[0].limits == (
        f"{MODEL}/onnx-torchscript:16, which broke with the same fingerprint, breaks the same way with torch 2.1.1",
    )


def test_an_earlier_version_takes_with_it_what_no_requirement_names() -> None:
    laboratory = SimulatedLaboratory(
        {"torch": "2.0", "triton": "2.0"},
        {"torch": "2.2", "triton": "2.2"},
        requirements=frozenset({"torch"}),
        record=lambda pins, cell: failed(*cell) if pins["torch"] == "2.2" else passed(*cell),
        released={"torch": ["2.1"], "triton": ["2.1"]},
        fits=lambda pins: pins["torch"] == pins["triton"],
    )
    out, _, bump = _found(laboratory, CELL)
    assert _of(out, WayKind.VERSIONS).pins == {"torch": "2.1"}
    assert "stay with the base: it passes" in _words(bump), "nothing is left that moves"


def test_no_command_is_given_that_would_not_make_that_candidate() -> None:
    laboratory = SimulatedLaboratory(
        {"torch": "2.0"},
        {"torch": "2.1", "new": "1"},
        record=lambda pins, cell: failed(*cell) if pins["torch"] == "2.1" else passed(*cell),
        released={"torch": ["2.2"]},
    )
    _, _, bump = _found(laboratory, CELL)
    comparison = comparison_of(laboratory, CELL)
    step = next_step_of(comparison, None, bump)
    assert step.startswith("run all cells once more with the candidate's requirements at 'new==1' 'torch==2.2'")

    laboratory = SimulatedLaboratory(BEFORE, AFTER, record=_exporter_breaks, fits=_fits, released=RELEASED)
    _, _, bump = _found(laboratory, CELL)
    comparison = comparison_of(laboratory, CELL)
    assert next_step_of(comparison, None, bump).startswith("`harness bump b ")
    for values in ({"models": "torchvision:resnet18"}, {"selected": True}):
        table = comparison.tables[1]
        other = replace(comparison, tables=(comparison.tables[0], replace(table, run=replace(table.run, **values))))
        assert next_step_of(other, None, bump).startswith("run all cells once more")
