"""`harness advise`: what a model is moved by, from cells that were run here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from harness.attempts import details
from harness.attempts.settling import cells_of_just_this
from harness.bench.errors import HarnessError, RunInterruptedError, UsageError
from harness.bench.plan import Cell, Plan
from harness.bench.record import Record
from harness.bench.registry import Registry
from harness.bump.advising import NATIVE, Advice, Limits, Seen, advise, next_cells
from harness.cli.cells import cell_command
from harness.cli.context import (
    device_option,
    input_option,
    matrix_option,
    new_console,
    path_option,
    plugin_option,
    root_of,
    say,
    shown,
)
from harness.cli.running import run_all, select, tasks_of
from harness.cli.storing import RESULTS
from harness.matrix.places import OWN
from harness.report import advice as report
from harness.report.lines import show
from harness.tables.layout import CELLS, RUN, is_hidden
from harness.tables.reading import read_table
from harness.tables.schema import Table

_OPTIONS = (
    click.option("--combination", required=True, metavar="NAME", help="The combination that the model is moved under."),
    input_option,
    path_option,
    device_option,
    plugin_option,
    matrix_option,
    click.option("--results", type=click.Path(path_type=Path), help="Where tables are kept (results/)."),
    click.option("--all", "everything", is_flag=True, help="Run every branch to its end, whatever passes before."),
    click.option(
        "--max-error", type=click.FloatRange(min=0), metavar="R", help="The relative error that is acceptable, if less."
    ),
    click.option(
        "--max-latency", type=click.FloatRange(min=0), metavar="MS", help="The latency that is affordable, in ms."
    ),
    click.option(
        "--max-memory", type=click.FloatRange(min=0), metavar="MIB", help="The memory that is affordable, in MiB."
    ),
    click.option("--markdown", "as_markdown", is_flag=True, help="As Markdown."),
    click.option("--json", "as_json", is_flag=True, help="As JSON."),
)


def _advise_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command("advise", short_help="Say what to move a model by, from what passes here.")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@_advise_options
@click.pass_context
def advise_command(
    context: click.Context,
    /,
    models: tuple[str, ...],
    combination: str,
    matrix: Path | None,
    results: Path | None,
    everything: bool,
    max_error: float | None,
    max_latency: float | None,
    max_memory: float | None,
    as_markdown: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Recommend an exporter and opset for MODEL, else a converter, else a recreation, else PyTorch beside the rest.

    MODEL is what --models of `harness run` takes. What no table has is run, branch after branch, until there are a
    recommendation and a fallback that pass. Exits with 1 where nothing that was run passes for one of the models.
    """
    if as_json and as_markdown:
        msg = "--json and --markdown are two forms of one thing. Leave one out."
        raise UsageError(msg)
    root = root_of(context)
    _, (selection, *_) = select(
        root,
        [combination],
        matrix,
        models=models,
        strategies=("*",),
        tier="core",
        extensions=True,
        launches=1,
        **given,
    )
    limits = Limits(relative_error=max_error, latency_ms=max_latency, memory_mb=max_memory)
    search = _Search(root, selection.plans(combination, root), limits, results, everything=everything)
    search.run()
    advices = search.advices()
    if as_json:
        click.echo(json.dumps(report.to_json(advices, exit_code=_exit_code(advices)), indent=1))
    elif as_markdown:
        click.echo(report.markdown(advices), nl=False)
    else:
        told = [report.lines(advice, following=_following(context, advice)) for advice in advices]
        show(new_console(), report.joined(told))
    return _exit_code(advices)


def _exit_code(advices: Sequence[Advice]) -> int:
    return 0 if all(advice.recommended for advice in advices) else 1


def _following(context: click.Context, advice: Advice) -> str:
    """What can be typed next: all of the recommended cell, or of what says most about why there is none."""
    native = [advice.native] if advice.native and not advice.runs_natively else []
    broken = [each for branch in advice.branches for each in branch.seen if each.record.outcome.broken]
    for each in [advice.recommended, *native, *broken]:
        if each is not None:
            table = Table(run=each.run, records=(), folder=Path(each.table).resolve())
            return cell_command(context, "explain", table, each.record)
    return ""


class _Search:
    """Cells of models of one combination: what tables have, and what is run until enough is known."""

    def __init__(
        self, root: Path, plans: Sequence[Plan], limits: Limits, results: Path | None, *, everything: bool
    ) -> None:
        self._root, self._plans, self._limits, self._results = root, plans, limits, results
        self._everything = everything
        self._registry: Registry = plans[0].registry()
        self._cells: dict[str, list[Cell]] = {}
        for cell in (cell for plan in plans for cell in plan.cells):
            self._cells.setdefault(cell.model, []).append(cell)
        self._seen: dict[str, dict[str, Seen]] = {model: {} for model in self._cells}

    def run(self) -> None:
        """Take what tables have, and run the rest, group after group."""
        self._take()
        self._tell_taken()
        try:
            while wanted := self._wanted():
                self._run(wanted)
        except (UsageError, RunInterruptedError):
            raise
        except HarnessError as error:
            if not all(advice.recommended for advice in self.advices()):
                raise
            say(f"No more could be run: {error}", err=True)

    def advices(self) -> list[Advice]:
        """What is known of each model."""
        return [
            advise(model, cells, self._seen[model], registry=self._registry, limits=self._limits)
            for model, cells in self._cells.items()
        ]

    def _wanted(self) -> set[Cell]:
        return {
            cell
            for model, cells in self._cells.items()
            for cell in next_cells(
                cells, self._seen[model], registry=self._registry, limits=self._limits, everything=self._everything
            )
        }

    def _run(self, wanted: set[Cell]) -> None:
        """Run cells, and PyTorch itself beside them: latency and memory are held against that of the same run."""
        models = {cell.model for cell in wanted}
        plans = []
        for plan in self._plans:
            cells = [c for c in plan.cells if c in wanted or (c.strategy == NATIVE and c.model in models)]
            if cells:
                plans.append(replace(plan, cells=tuple(cells), selected=True))
        ((_, folder),) = run_all(
            self._root, tasks_of(self._root, [plans]), self._results, fresh=False, restart=False, errors_only=True
        )
        table = read_table(folder)
        for record in table.records:
            if record.model in self._seen:
                self._keep(table, record)

    def _take(self) -> None:
        tables = list(self._tables())
        (tasks,) = tasks_of(self._root, [self._plans])
        for task in tasks:
            for table, record in cells_of_just_this(task, tables).values():
                self._keep(table, record)

    def _tell_taken(self) -> None:
        folders: dict[str, int] = {}
        for each in (each for seen in self._seen.values() for each in seen.values()):
            folders[each.table] = folders.get(each.table, 0) + 1
        for folder, count in folders.items():
            say(f"taken from the table {folder}: {count} cell{'' if count == 1 else 's'}", err=True)

    def _keep(self, table: Table, record: Record) -> None:
        assert table.folder is not None, "tables are read from their folders"
        file = details.record_file(self._root, table.run, record.model, record.strategy)
        native = next((r for r in table.records if (r.model, r.strategy) == (record.model, NATIVE)), None)
        self._seen[record.model][record.strategy] = Seen(
            record=record,
            run=table.run,
            table=str(shown(table.folder.resolve())),
            file=str(shown(file.resolve() if file else table.folder.resolve() / CELLS)),
            native=native,
        )

    def _tables(self) -> Iterator[Table]:
        """All tables of the combination that can be read, the newest first."""
        name = self._plans[0].combination
        stores = {self._root / RESULTS, self._root / OWN / "scratch", *([self._results] if self._results else [])}
        files = {file for store in stores for file in (store / name).glob(f"*/*/{RUN}")}
        for file in sorted(files, key=lambda each: each.parent.name, reverse=True):
            if is_hidden(file.parent):
                continue
            try:
                yield read_table(file.parent)
            except HarnessError:
                continue  # what cannot be read is run again
