"""The launches of one cell in words: what each came to, how it was timed, and what speaks against it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.bench.latency import SPREAD, doubts_of
from harness.bench.record import Record
from harness.report.latency import doubts_in
from harness.report.wording import number
from harness.tables.launches import Launch


def launch_lines(record: Record, launches: Sequence[Launch]) -> Iterator[str]:
    """The launches of a cell: what each came to, how it was timed, and what speaks against it, with the remedy."""
    if record.latency_ms is not None:
        middle = f"latency {duration(record.latency_ms)}"
        if record.latency_spread is None:
            yield f"{middle}, of one launch"
        else:
            differ = f"which differ by {record.latency_spread * 100:.1f} %"
            yield f"{middle}, the median of {record.launches} launches, {differ}"
    if "spread" in doubts_in([record]):
        yield (
            f"  spread: launches that differ by more than {SPREAD * 100:.0f} % do not tell a small change: ask for "
            "more of them, by `--launches`, or let `harness duel` hold two sides against each other"
        )
    for launch in launches:
        yield f"launch {launch.launch}: {_timed(launch)}; {_warmed(launch)}"
        yield from (f"  {text}" for text in _doubtful(launch))


def _timed(launch: Launch) -> str:
    calls = f"{launch.calls} call{'' if launch.calls == 1 else 's'}"
    half = f"half of {launch.rounds} rounds of {calls} between {duration(launch.q1_ms)} and {duration(launch.q3_ms)}"
    return f"{duration(launch.latency_ms)}, {half}"


def _warmed(launch: Launch) -> str:
    if launch.warm_up_s is None:
        return f"started {launch.started}"
    took = f"{number(launch.warm_up_s)} s of warm-up"
    words = {True: f"steady after {took}", False: f"not steady after {took}", None: f"too slow to tell after {took}"}
    return words[launch.steady]


def _doubtful(launch: Launch) -> Iterator[str]:
    found = doubts_of(vars(launch))
    if "busy" in found:
        yield (
            f"busy: other programs kept {launch.busy_cores:.1f} cores busy: run it again on a quiet machine, or use "
            "`harness duel`, which has two sides take turns"
        )
    if "shared" in found:
        who = (launch.gpu_use or "").removeprefix("shared: ")
        yield f"shared: the GPU may not have been ours alone ({who}): run it again when nobody else uses it"
    if "unsteady" in found:
        yield (
            "unsteady: calls did not come to take equally long, so that the median may be of a model that is not warm "
            "yet: warm up longer, by `measure_s` in [policy]"
        )
    if "drift" in found and launch.drift is not None:
        moved = f"{abs(launch.drift) * 100:.0f} % {'longer' if launch.drift > 0 else 'less'}"
        yield (
            f"drift: the later half of the rounds took {moved} than the earlier one: the machine changed its speed, or "
            "calls leave something behind: time it longer, by `measure_s` in [policy]"
        )


def duration(ms: float) -> str:
    """About three significant digits, in the unit in which they can be read: `3.05 us`, `2.00 ms`."""
    return f"{number(ms)} ms" if ms >= 1 else f"{number(ms * 1000)} us"
