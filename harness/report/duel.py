"""What a duel came to, as text and as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.bench.text import one_line
from harness.duel.contesting import Duel
from harness.duel.deciding import CellDecision, Decision
from harness.duel.preparing import Key
from harness.duel.thresholds import UNMEASURED

_ORDER = (Decision.SLOWER, Decision.FASTER, Decision.INCONCLUSIVE, Decision.EQUAL)
HEADER = ("cell", "B is", "effect", "interval", "pairs")
_NUMBERS = (2, 3, 4)
"""The columns that stand on the right."""


def as_text(duel: Duel) -> str:
    """A line a cell, those that are slower first; then a summary, and what was left out and why."""
    rows = [(*row(key, duel.decisions[key]), _note(duel, key)) for key in in_order(duel.decisions)]
    lines = [*_head(duel), "", *_columns([(*HEADER, ""), *rows]), "", _summary(duel)]
    if duel.alarms is not None:
        lines.append(_alarms(duel))
    if duel.shared:
        lines.append(
            f"The GPU was not ours alone, or it cannot be told, during {duel.shared} of {duel.pairs} pairs: this makes "
            "differences noisier. Run it again when nobody else uses the GPU."
        )
    if duel.unsteady:
        lines.append(unsteady_words(duel))
    if duel.cut:
        lines.append(
            f"The budget cut off {_count(duel.cut)}: {_named(duel.cut)}. The same command goes on where it stopped."
        )
    if duel.absent:
        lines += ["", "Not timed, since a side does not pass:"]
        lines += [f"  {'/'.join(key)}: {one_line(reason)}" for key, reason in duel.absent.items()]
    return "\n".join(lines)


def _head(duel: Duel) -> list[str]:
    rules = duel.rules
    a, b = duel.sides
    sides = f"{a} against itself (A and B)" if a == b else f"{a} (A) against {b} (B)"
    threads = "1 thread" if duel.threads == 1 else f"{duel.threads} threads"
    turns = f"{rules.turns.blocks} turns of {rules.turns.turn_s * 1000:g} ms a side and pair"
    return [
        f"{sides} on the {duel.device.upper()} with {threads}: {_count(duel.decisions)}, {turns}",
        f"Machine: {machine_words(duel.machine, duel.nodes)}",
    ]


def machine_words(machine: Mapping[str, Any], nodes: Sequence[str] = ()) -> str:
    """`AMD EPYC, 2 cores, 24 GiB`, on CUDA the GPU, and on which nodes of a cluster pairs were taken."""
    words = f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_mb'] / 1024:.0f} GiB"
    words = f"{words}, {machine['gpu']}" if machine.get("gpu") else words
    if len(nodes) > 1:
        return f"{words}, on nodes {', '.join(nodes)}, each pair on one of them"
    return f"{words}, on node {nodes[0]}" if nodes else words


def in_order(decisions: Mapping[Key, CellDecision]) -> list[Key]:
    """Slower ones first, and of equal decisions the largest effect."""

    def rank(key: Key) -> tuple[int, float]:
        cell = decisions[key]
        return _ORDER.index(cell.decision), -abs(cell.effect or 0.0)

    return sorted(decisions, key=rank)


def row(key: Key, cell: CellDecision) -> tuple[str, ...]:
    """What is said of a cell, under `HEADER`."""
    known = cell.lower is not None and cell.upper is not None
    return (
        "/".join(key),
        words(cell),
        "" if cell.effect is None else _percent(cell.effect),
        f"{_percent(cell.lower or 0.0)} to {_percent(cell.upper or 0.0)}" if known else "",
        str(cell.pairs),
    )


def words(cell: CellDecision) -> str:
    """The decision as people read it; what counts as equal is named."""
    if cell.decision is Decision.EQUAL:
        return f"equal within {100 * cell.equal_within:.3g} %"
    return str(cell.decision.value)


def _note(duel: Duel, key: Key) -> str:
    cell = duel.decisions[key]
    if cell.decision is Decision.INCONCLUSIVE:
        return one_line(cell.reason)
    if duel.alarms is not None and key in duel.learnt:
        return f"its threshold: {100 * duel.learnt[key]:.1f} %"
    return ""


def _percent(share: float) -> str:
    return f"{100 * share:+.1f} %"


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{cell:>{width}}" if column in _NUMBERS else f"{cell:{width}}"
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in rows
    ]


def _summary(duel: Duel) -> str:
    counts = {decision: len(duel.of(decision)) for decision in Decision}
    told = ", ".join(f"{counts[decision]} {decision.value}" for decision in Decision)
    confidence = 100 * (1 - 2 * duel.rules.design.error)
    unmeasured = sum(key not in duel.thresholds for key in duel.decisions)
    text = (
        f"{told[0].upper()}{told[1:]}. {duel.pairs} pairs took {duel.seconds / 60:.1f} minutes; "
        f"intervals hold at {confidence:g} %."
    )
    if unmeasured and duel.alarms is None:
        there = " with the same --machine" if duel.nodes else ""
        text += (
            f" {_count(range(unmeasured))} of no known threshold on this machine: {100 * UNMEASURED:g} % is taken "
            f"(`harness duel {duel.sides[0]} {duel.sides[0]}`{there} measures it)."
        )
    return text


def _alarms(duel: Duel) -> str:
    rate = duel.alarms
    assert rate is not None
    left_out = len(duel.decisions) - rate.cells
    others = f" {_count(range(left_out))} that did not come to the end: not counted." if left_out else ""
    return (
        f"False alarms: {rate.alarms} of {rate.cells} cells, so at most {100 * rate.at_most:.3g} % of such cells "
        f"(95 % confidence).{others} Thresholds are kept for later duels on this machine."
    )


def unsteady_words(duel: Duel) -> str:
    """Which cells were timed before they were steady, and what to do."""
    return (
        f"Calls did not take equally long before they were timed: {_named(duel.unsteady)}. What is told of that may be "
        "of warming up: warm up longer, by `measure_s` in [policy]."
    )


def _count(cells: Any) -> str:
    return "1 cell" if len(cells) == 1 else f"{len(cells)} cells"


def _named(keys: Sequence[Key]) -> str:
    return ", ".join("/".join(key) for key in keys)


def to_json(duel: Duel) -> dict[str, Any]:
    """The same as plain values; shares are of A's time, 0.1 being 10 % slower."""
    design = duel.rules.design
    return {
        "a": duel.sides[0],
        "b": duel.sides[1],
        "device": duel.device,
        "threads": duel.threads,
        "machine": dict(duel.machine),
        "nodes": list(duel.nodes),
        "looks": list(design.looks),
        "error": design.error,
        "equal_within": design.equal_within,
        "pairs": duel.pairs,
        "shared_pairs": duel.shared,
        "seconds": duel.seconds,
        "folder": str(duel.folder),
        "cells": [_cell_as_json(duel, key) for key in in_order(duel.decisions)],
        "absent": [{"cell": "/".join(key), "reason": reason} for key, reason in duel.absent.items()],
        "cut": ["/".join(key) for key in duel.cut],
        "unsteady": ["/".join(key) for key in duel.unsteady],
        "false_alarms": None if duel.alarms is None else vars(duel.alarms),
    }


def _cell_as_json(duel: Duel, key: Key) -> dict[str, Any]:
    return {
        **cell_values(key, duel.decisions[key]),
        "limit": duel.rules.limits.get(key),
        "threshold": duel.learnt.get(key, duel.thresholds.get(key)),
    }


def cell_values(key: Key, cell: CellDecision) -> dict[str, Any]:
    """What is said of a cell as plain values."""
    names = ("effect", "lower", "upper", "pairs", "slower_than", "equal_within", "q_slower", "q_faster", "p_equal")
    return {
        "cell": "/".join(key),
        "decision": cell.decision.value,
        **{name: getattr(cell, name) for name in names},
        "reason": cell.reason,
    }
