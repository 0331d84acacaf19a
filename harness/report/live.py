"""Follows a run: a live line on a terminal, a plain line a cell elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.bench.stages import Outcome
from harness.bench.text import one_line, printable

_STYLES = {Outcome.PASSED.value: "green", Outcome.NOT_APPLICABLE.value: "dim"}


class RunDisplay:
    """An observer of `harness.attempts.execution`, and the context in which it displays."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        self._combination = ""
        self._planned = 0
        self._counts: dict[str, int] = {}
        self._waiting = 0
        self._under_way = ""
        self._since = time.monotonic()

    def __enter__(self) -> RunDisplay:
        if self._live is not None:
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)

    def begin(self, combination: str, planned: int, done: Mapping[str, int], waiting: int) -> None:
        """A combination's cells begin."""
        self._combination, self._planned, self._counts, self._waiting = combination, planned, dict(done), waiting
        self._under_way = "starting: the frameworks are imported once"
        self._since = time.monotonic()
        if self._live is None:
            self._console.print(f"{combination}: {planned} cells", soft_wrap=True, highlight=False, markup=False)
        self._show()

    def started(self, model: str, strategy: str) -> None:
        """A cell is under way."""
        self._under_way = one_line(f"{model}/{strategy}")
        self._since = time.monotonic()
        self._show()

    def waiting(self, model: str, strategy: str) -> None:
        """A cell came through all but timing, and waits for that."""
        del model, strategy
        self._waiting += 1
        self._under_way = ""
        self._show()

    def timing(self, model: str, strategy: str) -> None:
        """A cell that waited is timed."""
        self._waiting = max(0, self._waiting - 1)
        self._under_way = one_line(f"timing {model}/{strategy}")
        self._since = time.monotonic()
        self._show()

    def ended(self, model: str, strategy: str, outcome: str, stage: str) -> None:
        """A cell has its record."""
        self._counts[outcome] = self._counts.get(outcome, 0) + 1
        settled = outcome in (Outcome.PASSED.value, Outcome.NOT_APPLICABLE.value, Outcome.UNRESOLVABLE.value)
        if self._live is None or not settled:
            done = sum(self._counts.values())
            what = outcome if settled else f"{outcome} at {stage}"
            seconds = time.monotonic() - self._since
            line = f"[{done}/{self._planned}] {self._combination}/{model}/{strategy}: {what} ({seconds:.1f} s)"
            self._console.print(Text(one_line(line), style=_STYLES.get(outcome, "red")), soft_wrap=True)
        self._under_way = ""
        self._show()

    def note(self, text: str) -> None:
        """Something that a person should know."""
        self._console.print(printable(text), soft_wrap=True, highlight=False, markup=False)

    def busy(self, text: str) -> None:
        """What is being done before cells run, such as installing."""
        self._combination, self._planned, self._counts, self._under_way = one_line(text), 0, {}, ""
        self._waiting = 0
        self._since = time.monotonic()
        if self._live is None:
            self.note(text)
        self._show()

    def _show(self) -> None:
        if self._live is not None:
            self._live.update(_Status(self))

    def status(self) -> Table:
        """The live line: what is done, what is failing, what is under way and for how long."""
        grid = Table.grid(padding=(0, 2))
        seconds = f"{time.monotonic() - self._since:.0f} s"
        if not self._planned:
            grid.add_row(Text(self._combination, style="bold"), Text(seconds, style="dim"))
            return grid
        done = sum(self._counts.values())
        good = self._counts.get(Outcome.PASSED.value, 0)
        neutral = self._counts.get(Outcome.NOT_APPLICABLE.value, 0)
        grid.add_row(
            Text(self._combination, style="bold"),
            f"{done}/{self._planned} done",
            Text(f"{good} passed", style="green"),
            Text(f"{done - good - neutral} failing", style="red" if done - good - neutral else "dim"),
            Text(f"{neutral} not applicable", style="dim"),
            Text(f"{self._waiting} to be timed" if self._waiting else "", style="dim"),
            Text(f"{self._under_way} {seconds}" if self._under_way else "", style="cyan"),
        )
        return grid


class _Status:
    """Rendered anew at each refresh, so that seconds go on."""

    def __init__(self, display: RunDisplay) -> None:
        self._display = display

    def __rich__(self) -> Table:
        return self._display.status()
