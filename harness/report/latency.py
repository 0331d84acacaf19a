"""How far latencies can be believed: what speaks against them, in words, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from harness.bench.latency import SPREAD
from harness.bench.record import Record
from harness.verdict.comparison import Comparison, count_of

CARE = "~"
"""What stands before a latency that is to be taken with care."""


@dataclass(frozen=True)
class _Doubt:
    """A word of the column `latency_quality`, in few words, and the remedy."""

    meaning: str
    remedy: str


_DOUBTS = {
    "busy": _Doubt("other programs used the machine", "run them again on a quiet one"),
    "shared": _Doubt("others used the GPU, or it cannot be told", "run them again when it is free"),
    "unsteady": _Doubt("calls never took equally long", "warm up longer, by `measure_s` in [policy]"),
    "drift": _Doubt(
        f"calls got slower or faster by more than {SPREAD * 100:.0f} %", "time them longer, by `measure_s`"
    ),
    "spread": _Doubt(f"launches differ by more than {SPREAD * 100:.0f} %", "ask for more `--launches`"),
}


def doubt_meanings() -> dict[str, str]:
    """What each word of the column `latency_quality` means, and what to do about it."""
    return {word: f"{doubt.meaning}: {doubt.remedy}" for word, doubt in _DOUBTS.items()}


def doubts_in(records: Iterable[Record | None]) -> list[str]:
    """The words that speak against the latency of any of these records, each once."""
    said = {word for each in records if each and each.latency_quality for word in each.latency_quality.split(", ")}
    return [*(word for word in _DOUBTS if word in said), *sorted(said - _DOUBTS.keys())]


def care_legend(records: Sequence[Record]) -> str:
    """What `CARE` means in a grid, and of how many cells; empty where it is nowhere."""
    found = [doubts for record in records if record.latency_ms is not None and (doubts := doubts_in([record]))]
    return f"{CARE} ({count_of(len(found))}): latency to be taken with care: {_counted(found)}." if found else ""


def care_note(comparison: Comparison, told: Collection[tuple[str, str]] = ()) -> str:
    """Of how many cells that pass on both sides a latency is to be taken with care; empty where of none.

    Those that a duel `told` do not count: their latency is its own.
    """
    passed = [change for change in comparison.changes if change.passed and (change.model, change.strategy) not in told]
    found = [doubts for change in passed if (doubts := doubts_in([change.base, change.candidate]))]
    if not found or comparison.numbers_left_out:
        return ""
    besides = " and were not timed by the duel" if told else ""
    return (
        f"Of {len(found)} of the {count_of(len(passed))} that pass on both sides{besides}, latency is to be taken with "
        f"care on one side or on both: {_counted(found)}. `harness duel` has two sides take turns, so that what else "
        "the machine does falls on both."
    )


def _counted(found: Sequence[Sequence[str]]) -> str:
    """`2 busy (other programs used the machine: run them again on a quiet one), 1 spread (…)`."""
    counts = Counter(word for doubts in found for word in doubts)
    parts = []
    for word, count in counts.items():
        doubt = _DOUBTS.get(word)
        parts.append(f"{count} {word}" + (f" ({doubt.meaning}: {doubt.remedy})" if doubt else ""))
    return ", ".join(parts)
