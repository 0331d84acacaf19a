"""Follows a run: a live line on a terminal, a plain line a cell elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from harness.bench.stages import Outcome
from harness.bench.text import one_line, printable
from harness.report.lines import show

_FEWEST = 5
"""From how many cells on it is told how long those that are left may take."""

_MOST_SHOWN = 4

_STYLES = {Outcome.PASSED.value: "green", Outcome.NOT_APPLICABLE.value: "dim"}


class RunDisplay:
    """An observer of `harness.attempts.execution`, and the context in which it displays."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        self._combination = ""
        self._busy = ""
        self._planned = 0
        self._waiting: AbstractSet[tuple[str, str]] = frozenset()
        self._doing = ""
        self._since = time.monotonic()
        # Replaced, never changed: another thread reads it.
        self._under_way: Mapping[tuple[str, str], tuple[str, float]] = {}
        self._ended: Mapping[tuple[str, str], str] = {}
        self._run, self._timed = _Pace(), _Pace()

    def __enter__(self) -> RunDisplay:
        if self._live is not None:
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)

    def begin(
        self,
        combination: str,
        planned: int,
        done: Mapping[tuple[str, str], str],
        waiting: AbstractSet[tuple[str, str]],
    ) -> None:
        """A combination's cells begin."""
        self._combination, self._planned = combination, planned
        self._ended, self._waiting = dict(done), frozenset(waiting)
        self._busy = ""
        self._doing, self._since, self._under_way = "starting: frameworks are imported", time.monotonic(), {}
        self._run, self._timed = _Pace(), _Pace()
        if self._live is None:
            show(self._console, [f"{combination}: {planned} cells"])
        self._show()

    def started(self, model: str, strategy: str) -> None:
        """A cell is under way."""
        self._begin(model, strategy, f"{model}/{strategy}")
        self._run.begin()
        self._show()

    def waiting(self, model: str, strategy: str) -> None:
        """A cell came through all but timing, and waits for that."""
        self._waiting = {*self._waiting, (model, strategy)}
        self._end(model, strategy)
        self._run.count()
        self._show()

    def timing(self, model: str, strategy: str) -> None:
        """A cell that waited is timed."""
        self._begin(model, strategy, f"timing {model}/{strategy}")
        self._timed.begin()
        self._show()

    def ended(self, model: str, strategy: str, outcome: str, stage: str) -> None:
        """A cell has its record."""
        self._ended = {**self._ended, (model, strategy): outcome}
        doing, since = self._end(model, strategy)
        (self._timed if doing.startswith("timing ") else self._run).count()
        settled = outcome in (Outcome.PASSED.value, Outcome.NOT_APPLICABLE.value, Outcome.UNRESOLVABLE.value)
        if self._live is None or not settled:
            what = outcome if settled else f"{outcome} at {stage}"
            seconds = time.monotonic() - since
            cell = f"{self._combination}/{model}/{strategy}"
            line = f"[{len(self._ended)}/{self._planned}] {cell}: {what} ({seconds:.1f} s)"
            show(self._console, [Text(one_line(line), style=_STYLES.get(outcome, "red"))])
        self._show()

    def stopped(self, model: str, strategy: str) -> None:
        """A cell ended beside others without a record, and runs once more."""
        self._end(model, strategy)
        self.note(f"{self._combination}/{model}/{strategy}: stopped beside other cells; it will run once more")
        self._show()

    def _begin(self, model: str, strategy: str, doing: str) -> None:
        self._doing = self._busy = ""
        # One that ended or waited before was taken back, or is timed.
        self._waiting = self._waiting - {(model, strategy)}
        self._ended = {cell: outcome for cell, outcome in self._ended.items() if cell != (model, strategy)}
        self._under_way = {**self._under_way, (model, strategy): (one_line(doing), time.monotonic())}

    def _end(self, model: str, strategy: str) -> tuple[str, float]:
        """What was being done with a cell, and since when."""
        left = dict(self._under_way)
        found = left.pop((model, strategy), ("", time.monotonic()))
        self._under_way = left
        return found

    def note(self, text: str) -> None:
        """Something that a person should know."""
        show(self._console, printable(text).split("\n"))

    def busy(self, text: str) -> None:
        """What is being done while no cell runs, such as installing: before a combination's cells, or between them."""
        self._busy, self._under_way, self._since = one_line(text), {}, time.monotonic()
        if self._live is None:
            self.note(text)
        self._show()

    def _show(self) -> None:
        if self._live is not None:
            self._live.update(_Status(self))

    def status(self) -> Text:
        """What is done, failing, and to come, in a line; below it a line each for the cells that are under way."""
        now = time.monotonic()
        if self._busy or not self._planned:
            return _line([(self._busy, "bold"), (f"{now - self._since:.0f} s", "dim")])
        counts = Counter(self._ended.values())
        done, good, neutral = counts.total(), counts[Outcome.PASSED.value], counts[Outcome.NOT_APPLICABLE.value]
        unresolvable = counts[Outcome.UNRESOLVABLE.value]
        failing = done - good - neutral - unresolvable
        under_way = list(self._under_way.values())
        shown = [f"{doing} {now - since:.0f} s" for doing, since in under_way[:_MOST_SHOWN]]
        if len(under_way) > len(shown):
            shown.append(f"and {len(under_way) - len(shown)} more")
        if not under_way and self._doing:
            shown = [f"{self._doing} {now - self._since:.0f} s"]
        told = _line(
            [
                (self._combination, "bold"),
                (f"{done}/{self._planned} done", ""),
                (f"{good} passed", "green"),
                (f"{failing} failing", "red" if failing else "dim"),
                (f"{neutral} not applicable", "dim"),
                (f"{unresolvable} unresolvable" if unresolvable else "", "red"),
                (f"{len(self._waiting)} to be timed" if self._waiting else "", "dim"),
                (self._left(), "dim"),
            ]
        )
        return Text("\n").join([told, *(Text(f"  {each}", style="cyan") for each in shown)])

    def _left(self) -> str:
        """About how long it goes on, by the pace of this run; nothing before that is known."""
        timing = sum(doing.startswith("timing ") for doing, _ in self._under_way.values())
        to_time = len(self._waiting) + timing
        to_run = self._planned - len(self._ended) - to_time
        running = self._run.for_cells(to_run)
        timed = self._timed.for_cells(to_time)
        if running is None:
            return ""
        if timed is None:
            return f"{_about(running)} left, then timing" if to_run else ""
        return f"{_about(running + timed)} left"


class _Pace:
    """How many seconds of a run a cell takes, of those that came through one phase of it."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._seconds = 0.0
        self._cells = 0

    def begin(self) -> None:
        if self._began is None:
            self._began = time.monotonic()

    def count(self) -> None:
        self._cells += 1
        if self._began is not None:
            self._seconds = time.monotonic() - self._began

    def for_cells(self, cells: int) -> float | None:
        """Seconds that so many more may take; None where too few came through."""
        if not cells:
            return 0.0
        return self._seconds / self._cells * cells if self._cells >= _FEWEST else None


def _line(parts: Sequence[tuple[str, str]]) -> Text:
    """Texts in their styles, beside each other."""
    return Text("  ").join(Text(text, style=style) for text, style in parts if text)


def _about(seconds: float) -> str:
    return f"about {max(1, round(seconds / 60))} min" if seconds >= 60 else "under a minute"  # noqa: PLR2004


class _Status:
    """Rendered anew at each refresh, so that seconds go on."""

    def __init__(self, display: RunDisplay) -> None:
        self._display = display

    def __rich__(self) -> Text:
        return self._display.status()
