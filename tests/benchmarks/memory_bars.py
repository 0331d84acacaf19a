"""``python -m tests.benchmarks.memory_bars COMBINATION``: shifts of memory that a verdict finds, or makes up.

Cells are converted once and launched as a run launches them (`tests.benchmarks.launched`), three times a table. Tables
of the same are compared with one another, each with each, by the verdict's own rule: whatever it finds is an alarm.
Then memory is injected: 15 % of a cell's own into one cell after the other, and into all cells. It prints what was
found. What was launched is kept below ``.harness/memory``, and the same command goes on from there.
"""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click

from harness.attempts.recorded import timings_in
from harness.attempts.settling import table_of
from harness.bench.places import find_root
from harness.bench.plan import Policy
from harness.duel.preparing import Key, Side
from harness.matrix.selection import Selection
from harness.report.shifts import memory_lines
from harness.tables.launches import Launch
from harness.tables.schema import Table
from harness.verdict.comparison import Comparison, compare
from harness.verdict.gate import Decision, judge
from harness.verdict.policy import GatePolicy, Limits
from harness.verdict.together import runtime_of
from tests.benchmarks.launched import Launcher, made_ready
from tests.duel.injected import HEAVIER, add_plugins

LAUNCHES = 3
SHARE = 0.15
VARIABLE = "INJECTED_MEMORY"
LIMIT = GatePolicy(limits=Limits(memory_percent=10.0), source="harness.toml")


@dataclass(frozen=True, kw_only=True)
class Taken:
    """One launch of a table called `table`; `mb` MiB were injected into it at `moment`, none where that is empty."""

    table: str
    model: str
    strategy: str
    moment: str
    mb: float
    timing: Mapping[str, Any]

    @property
    def key(self) -> Key:
        """The cell that it is of."""
        return self.model, self.strategy


class Tables:
    """The launches of the cells of one side, by the name of their table, kept in a file as they are taken."""

    def __init__(self, file: Path, side: Side, launcher: Launcher, *, measure_s: float) -> None:
        self._file, self._side, self._launcher, self._measure_s = file, side, launcher, measure_s
        self.whole = table_of(side.attempts, pins={})
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        self._taken = [Taken(**json.loads(line)) for line in lines]

    def launched(self, name: str, injected: Mapping[Key, float], moment: str = "") -> dict[Key, list[Taken]]:
        """The launches of the cells of `injected` in a table, made where they are not there yet: so many MiB each."""
        for key, mb in injected.items():
            there = sum(each.table == name and each.key == key for each in self._taken)
            for _ in range(LAUNCHES - there):
                self._take(name, key, moment, mb)
        return {key: [e for e in self._taken if e.table == name and e.key == key] for key in injected}

    def _take(self, name: str, key: Key, moment: str, mb: float) -> None:
        environ = {VARIABLE: f"{moment}:{mb:.3f}"} if moment else {}
        with self._launcher.folder() as folder:
            told = self._launcher.launch(self._side.cells[key], folder, measure_s=self._measure_s, environ=environ)
        told["samples_s"] = [statistics.median(told["samples_s"])]
        model, strategy = key
        taken = Taken(table=name, model=model, strategy=strategy, moment=moment, mb=mb, timing=told)
        self._taken.append(taken)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(taken)) + "\n")

    def table(self, launched: Mapping[Key, Sequence[Taken]]) -> Table:
        """A table of the cells, with these launches in the place of those that no run of theirs made."""
        records = {(each.model, each.strategy): each for each in self.whole.records}
        launches: list[Launch] = []
        for key, several in launched.items():
            timings = timings_in({"launches": [dict(each.timing) for each in several]}, where=str(self._file))
            launches += [timing.launch(records[key], number) for number, timing in enumerate(timings)]
        return replace(self.whole, launches=tuple(launches))


def memory_of(launched: Mapping[Key, Sequence[Taken]]) -> dict[Key, float]:
    """What each cell takes at its peak, in MiB: the median over its launches."""
    return {key: statistics.median(each.timing["rss_peak_mb"] for each in several) for key, several in launched.items()}


def runtimes_of(comparison: Comparison) -> dict[str, list[Key]]:
    """The cells that are compared, by their runtime."""
    found: dict[str, list[Key]] = {}
    for change in comparison.changes:
        if change.passed and change.base and change.candidate:
            found.setdefault(runtime_of((change.base, change.candidate)), []).append((change.model, change.strategy))
    return found


def moved(comparison: Comparison) -> set[Key]:
    """The cells that a shift was found of, whether it is their own or shared."""
    return {(each.model, each.strategy) for each in comparison.memory.cells if each.found_mb}


def largest_quiet_shift(comparisons: Sequence[Comparison]) -> tuple[float, float]:
    """By how much cells that are alike differ at most, in MiB and as a share: what the rule has room above."""
    cells = [cell for each in comparisons for cell in each.memory.cells]
    return (
        max(abs(cell.whole.difference_mb) for cell in cells),
        max(abs(cell.whole.share) for cell in cells),
    )


@click.command()
@click.argument("combination")
@click.option("--strategies", multiple=True, default=("native", "onnx-torchscript"), show_default=True)
@click.option("--models", multiple=True, help="Globs of models; all of the quick tier.")
@click.option("--comparisons", default=150, show_default=True, help="Of cells with themselves, at least.")
@click.option("--injections", default=10, show_default=True, help="Of single cells that take more.")
@click.option("--measure-s", default=0.2, show_default=True, help="How long a launch is timed.")
@click.option("--restart", is_flag=True, help="Do not go on with launches that are there; begin anew.")
def main(
    combination: str,
    strategies: Sequence[str],
    models: Sequence[str],
    comparisons: int,
    injections: int,
    measure_s: float,
    restart: bool,
) -> None:
    """Launch until there are so many comparisons, inject, and print what was found."""
    root = find_root(Path.cwd())
    folder = root / ".harness" / "memory"
    made = add_plugins(folder / "plugins", strategies, runtime=HEAVIER, variable=VARIABLE)
    policy = Policy(launches=1)
    selection = Selection(
        tier="quick", device="cpu", models=models, strategies=made, plugins=[folder / "plugins"], policy=policy
    )
    with made_ready(root, combination, [selection]) as side, Launcher(folder / "scratch") as launcher:
        file = folder / f"{combination}-{side.identity}.jsonl"
        if restart:
            file.unlink(missing_ok=True)
        tables = Tables(file, side, launcher, measure_s=measure_s)
        for line in report(tables, list(side.cells), comparisons=comparisons, injections=injections):
            click.echo(line)


def report(tables: Tables, keys: Sequence[Key], *, comparisons: int, injections: int) -> Iterator[str]:
    """Lines on what was found, as it is found."""
    alike = [tables.launched("same 0", dict.fromkeys(keys, 0.0))]
    while len(keys) * len(list(itertools.combinations(alike, 2))) < comparisons:
        alike.append(tables.launched(f"same {len(alike)}", dict.fromkeys(keys, 0.0)))
    yield from _alike(tables, alike)
    memory_mb = memory_of(alike[0])
    chosen = [keys[index * len(keys) // injections] for index in range(injections)]
    yield from _singles(tables, alike, memory_mb, chosen)
    yield from _shared(tables, alike[0], memory_mb)
    yield from _each(tables, alike, memory_mb)


def _alike(tables: Tables, alike: Sequence[Mapping[Key, Sequence[Taken]]]) -> Iterator[str]:
    pairs = [compare(tables.table(a), tables.table(b)) for a, b in itertools.combinations(alike, 2)]
    compared = sum(len(each.memory.cells) for each in pairs)
    alarms = sum(len(moved(each)) for each in pairs)
    most_mb, most = largest_quiet_shift(pairs)
    yield (
        f"alike: {alarms} alarms in {compared} comparisons of {len(alike)} tables of {len(alike[0])} cells; "
        f"they differ by {most_mb:.1f} MiB at most, and by {most:.1%} of themselves"
    )
    for each in pairs:
        yield from memory_lines(each) if moved(each) else ()


def _singles(
    tables: Tables,
    alike: Sequence[Mapping[Key, Sequence[Taken]]],
    memory_mb: Mapping[Key, float],
    chosen: Sequence[Key],
) -> Iterator[str]:
    """15 % more in one cell at a time, at its loading or by its first call, and then in half of these cells at once."""
    found, several = 0, dict(alike[1])
    for number, key in enumerate(chosen):
        moment = ("load", "call")[number % 2]
        heavier = tables.launched(f"one {number}", {key: SHARE * memory_mb[key]}, moment)
        comparison = compare(tables.table(alike[0]), tables.table({**alike[1], **heavier}))
        verdict = judge(comparison, policy=LIMIT)
        told = moved(comparison) == {key} and verdict.decision is Decision.DO_NOT_MERGE
        found += told
        several |= heavier if number < len(chosen) // 2 else {}
        more = f"{SHARE * memory_mb[key]:.1f} MiB above {memory_mb[key]:.0f} at its {moment}"
        yield f"{'/'.join(key)}: {more}: {'found' if told else 'MISSED'}"
        yield from (f"  {line}" for line in memory_lines(comparison))
    yield f"one cell at a time: {found} of {len(chosen)} found, and no other cell with them"
    wanted = set(chosen[: len(chosen) // 2])
    together = moved(compare(tables.table(alike[0]), tables.table(several)))
    yield f"{len(wanted)} cells at once: {len(together & wanted)} found, and {len(together - wanted)} others"


def _shared(tables: Tables, base: Mapping[Key, Sequence[Taken]], memory_mb: Mapping[Key, float]) -> Iterator[str]:
    """In all cells: of each runtime 15 % of its largest cell, at its import or its loading; then 15 % of each cell."""
    runtimes = runtimes_of(compare(tables.table(base), tables.table(base)))
    equal = {key: SHARE * max(memory_mb[each] for each in keys) for keys in runtimes.values() for key in keys}
    own = {key: SHARE * each for key, each in memory_mb.items()}
    for name, moment, injected in (("equal", "import", equal), ("equal", "load", equal), ("own", "load", own)):
        comparison = compare(
            tables.table(base), tables.table(tables.launched(f"all, {name}, {moment}", injected, moment))
        )
        verdict = judge(comparison, policy=LIMIT)
        told = ", ".join(sorted(shift.group.words for shift in comparison.memory.common)) or "nobody"
        what = "the same in each" if name == "equal" else "15 % of each"
        found = f"{len(moved(comparison))} of {len(injected)} found, shared by {told}"
        yield (
            f"all cells, {what}, at {moment}: {found}; the gate says {verdict.decision.value}, "
            f"for {len(verdict.grown)} cells"
        )
        yield from (f"  {line}" for line in memory_lines(comparison))


def _each(
    tables: Tables, alike: Sequence[Mapping[Key, Sequence[Taken]]], memory_mb: Mapping[Key, float]
) -> Iterator[str]:
    """Each of the cells by itself, by its launches with 15 % of its own more."""
    heavier = tables.launched("all, own, load", {key: SHARE * each for key, each in memory_mb.items()}, "load")
    base = tables.table(alike[0])
    missed = [
        "/".join(key)
        for key, several in heavier.items()
        if moved(compare(base, tables.table({**alike[1], key: several}))) != {key}
    ]
    found = len(heavier) - len(missed)
    yield f"each cell by itself: {found} of {len(heavier)} found; missed: {', '.join(missed) or 'none'}"


if __name__ == "__main__":
    main()
