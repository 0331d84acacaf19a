"""What memory and latency of cells that pass on both sides did, a line each for what moved together."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from harness.report.outlets.told import CommonTold, LeftOutTold, MemoryCellTold, MemoryTold
from harness.verdict.comparison import Comparison, count_of, listed
from harness.verdict.gate import Verdict
from harness.verdict.latencies import FAR_FACTOR, LatencyShift, latency_changes
from harness.verdict.shifts import CommonShift, OwnShifts

MEMORY_TITLE = "Memory of cells that pass on both sides"
LATENCY_TITLE = "Latency between two runs: not evidence, `harness duel` tells"
REST_LATENCY_TITLE = "Latency between two runs of cells that were not timed by the duel: not evidence"


def memory_lines(comparison: Comparison) -> list[str]:
    """What was found of memory, the shared shifts first, and why that of some cells is left out; empty where nothing.

    What is left out of all cells since the runs differ is among the notes.
    """
    memory = comparison.memory
    said = [_common(shift) for shift in memory.common]
    said += [_own(shift) for shift in memory.own]
    said += [f"left out of {count_of(count)}: {reason}." for reason, count in sorted(memory.left_out.items())]
    return said


def memory_line(comparison: Comparison) -> str:
    """What to say of memory where `memory_lines` has nothing, and what could be told; empty where none was compared."""
    cells = comparison.memory.cells
    if not cells:
        return ""
    needed = [each.percent_of(each.whole.needed_mb) for each in cells]
    least, most = (f"{percent:.1f}" for percent in (min(needed), max(needed)))
    told = least if least == most else f"{least} to {most}"
    return f"{MEMORY_TITLE}: no shift was found ({count_of(len(cells))}, told from {told} %)."


def latency_lines(comparison: Comparison, told: Collection[tuple[str, str]] = ()) -> list[str]:
    """Whose latencies moved together, by runtime and strategy, and how many cells moved far; empty where none did.

    Of the cells `told` a duel has the word, and what tables say of them is left out.
    """
    latency = comparison.latency
    if told and not comparison.numbers_left_out:
        left = [c for c in comparison.changes if c.passed and (c.model, c.strategy) not in told]
        latency = latency_changes([(c.base, c.candidate) for c in left if c.base and c.candidate])
    said = [_together(shift) for shift in latency.together]
    far = [(latency.slower, "slower"), (latency.faster, "faster")]
    if counts := [f"{count} {way}" for count, way in far if count]:
        said.append(f"by {100 * (FAR_FACTOR - 1):.0f} % or more: {' and '.join(counts)} of {count_of(latency.cells)}.")
    return said


def memory_told(comparison: Comparison, verdict: Verdict) -> MemoryTold:
    """What was found of memory, and what the policy makes of it.

    The cells are those that moved, fail or are open: above their limit by figures that launches do not confirm.
    """
    memory, limits = comparison.memory, verdict.memory.limits
    failing = {each.memory.cell for each in verdict.grown}
    cells = tuple(
        MemoryCellTold(
            cell=each.name,
            runtime=each.runtime,
            base_mb=each.whole.a_mb,
            candidate_mb=each.whole.b_mb,
            launches=each.launches,
            common_mb=each.common_mb,
            own_mb={phase.value: moved_mb for phase, moved_mb in each.own_mb.items()},
            found=each.percent / 100,
            told_from=each.percent_of(each.whole.needed_mb) / 100,
            limit=limits[each.cell] / 100 if each.cell in limits else None,
            fails=each.cell in failing,
            open=each.cell in verdict.memory.open_cells,
        )
        for each in memory.cells
        if each.found_mb or each.cell in failing or each.cell in verdict.memory.open_cells
    )
    common = tuple(
        CommonTold(
            runtime=shift.group.runtime,
            strategy=shift.group.strategy,
            cells=tuple("/".join(cell[:2]) for cell in shift.cells),
            of=shift.of,
            import_mb=shift.import_mb,
            beyond_mb=shift.beyond_mb,
        )
        for shift in memory.common
    )
    left_out = tuple(LeftOutTold(reason=reason, cells=count) for reason, count in sorted(memory.left_out.items()))
    return MemoryTold(
        compared=len(memory.cells),
        none=comparison.numbers_left_out,
        cells=cells,
        common=common,
        left_out=left_out,
    )


def _common(shift: CommonShift) -> str:
    """As in "torch-cpu: 79 MiB more in each of 10 cells (native), all of it at import"."""
    count = len(shift.cells)
    cells = f"each of {count_of(count)}" if count == shift.of else f"{count} of {count_of(shift.of)}"
    spellings = "" if shift.group.strategy else f" ({listed(shift.spellings)})"
    if not shift.beyond_mb:
        when = "all of it at import"
    elif not shift.import_mb:
        when = "none of it at import"
    else:
        when = f"{_signed(shift.import_mb)} at import and {_signed(shift.beyond_mb)} beyond it"
    amount = _amount([shift.difference_mb])
    return f"{shift.group.words}: {amount} in {cells}{spellings}, {when}: {shift.whose}."


def _own(shift: OwnShifts) -> str:
    """As in "torch-cpu: 26 MiB more at import beyond that in 3 cells: resnet18/native"."""
    names = listed([each.name for each in shift.cells])
    when = shift.phase.value + (" beyond that" if shift.beyond else "")
    runtime = f"{shift.runtime}: " if shift.runtime else ""
    return f"{runtime}{_amount(shift.sizes_mb)} {when} in {count_of(len(shift.cells))}: {names}."


def _amount(sizes_mb: Sequence[float]) -> str:
    """`26 MiB more`, `8 to 150 MiB less`, of shifts that go one way."""
    least, most = sorted((abs(sizes_mb[0]), abs(sizes_mb[-1])))
    sizes = f"{least:.0f}" if f"{least:.0f}" == f"{most:.0f}" else f"{least:.0f} to {most:.0f}"
    return f"{sizes} MiB {'more' if sizes_mb[0] > 0 else 'less'}"


def _signed(moved_mb: float) -> str:
    return f"{moved_mb:+.0f} MiB"


def _together(shift: LatencyShift) -> str:
    """As in "torch-cpu: x1.06 in the middle of 10 cells, half of them between x1.02 and x1.10"."""
    spread = f"half of them between x{shift.low:.2f} and x{shift.high:.2f}"
    return f"{shift.group.words}: x{shift.ratio:.2f} in the middle of {count_of(shift.cells)}, {spread}."
