"""`harness gate`: may this be merged? Of tables that are there, or of two files of requirements, run first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.attempts.execution import Task
from harness.attempts.settling import table_of_just_this
from harness.bench.errors import UsageError
from harness.cli.context import INPUT_HELP, new_console, path_option, root_of, shown
from harness.cli.policies import gate_policy
from harness.cli.reading import compared, table_options
from harness.cli.requirements import requirements_options, take
from harness.cli.running import jobs_of, run_all, select
from harness.cli.storing import store_of
from harness.report import markdown, terminal
from harness.tables.layout import series_folder
from harness.verdict.gate import judge

_OF_RUNS = {
    "strategies": "--strategies",
    "plugins": "--plugin-folder",
    "paths": "--path",
    "inputs": "--input",
    "python": "--python-version",
    "everything": "--all",
}
"""What only says how requirements are run; the tables of a name are there already."""


@click.command(short_help="Judge whether CANDIDATE may replace BASE.")
@click.argument("base", required=False)
@click.argument("candidate", required=False)
@click.option("--base-requirements", metavar="FILE", help="Run these requirements, in the place of BASE.")
@click.option("--candidate-requirements", metavar="FILE", help="Run these, in the place of CANDIDATE.")
@requirements_options
@click.option("--strategies", multiple=True, metavar="GLOB", help="The strategies that requirements are run with.")
@click.option("--input", "inputs", multiple=True, metavar="NAME:TYPE[SIZES]", help=INPUT_HELP)
@path_option
@click.option(
    "--plugin-folder",
    "plugins",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A folder with your own steps/, strategies/ and runtimes/.",
)
@click.option(
    "--matrix",
    type=click.Path(path_type=Path),
    help="The matrix file, which says under [gate] what fails (matrices/nightly.toml).",
)
@table_options
@click.pass_context
def gate(
    context: click.Context,
    /,
    base: str | None,
    candidate: str | None,
    base_requirements: str | None,
    candidate_requirements: str | None,
    matrix: Path | None,
    as_markdown: bool,
    **given: Any,
) -> int:
    """Judge whether CANDIDATE may replace BASE: 0 nothing worse, 1 something is worse, 3 could not tell.

    BASE and CANDIDATE are combinations, or folders of tables. Requirements are locked, installed and run first, unless
    that was done before.
    """
    policy = gate_policy(root_of(context), matrix)
    of_runs = {name: given.pop(name) for name in _OF_RUNS}
    if base_requirements and candidate_requirements:
        if base or candidate:
            msg = "requirements stand in the place of BASE and CANDIDATE. Leave the names out, or the requirements."
            raise UsageError(msg)
        files = [base_requirements, candidate_requirements]
        base, candidate = _run(context, files, as_markdown, matrix=matrix, **given, **of_runs)
        given["models"] = ()
    elif base_requirements or candidate_requirements or not base or not candidate:
        msg = (
            "a verdict needs two sides: BASE and CANDIDATE, or --base-requirements FILE and "
            "--candidate-requirements FILE."
        )
        raise UsageError(msg)
    elif idle := [option for name, option in _OF_RUNS.items() if of_runs[name]]:
        msg = (
            f"{', '.join(idle)}: only goes with --base-requirements and --candidate-requirements. {base} and "
            f"{candidate} are tables that are there: their runs chose the cells. Leave it out."
        )
        raise UsageError(msg)
    comparison, unfinished = compared(context, base, candidate, **given)
    verdict = judge(comparison, policy=policy, unfinished=unfinished)
    if as_markdown:
        click.echo(markdown.comparison(comparison, verdict), nl=False)
    else:
        terminal.print_comparison(new_console(), comparison, verdict)
    return verdict.exit_code


def _run(
    context: click.Context,
    files: list[str],
    as_markdown: bool,
    *,
    python: str,
    everything: bool,
    matrix: Path | None,
    results: Path | None,
    **given: Any,
) -> tuple[str, str]:
    """The folders of the tables of both files of requirements, each run where there is none of just this."""
    root = root_of(context)
    _, (selection, *_) = select(root, (), matrix, instead=files, **given)
    names = take(root, files, [selection], python=python, everything=everything, quietly=as_markdown)
    if names[0] == names[1]:
        msg = f"both are the same requirements, {names[0]}: there is nothing to hold against each other."
        raise UsageError(msg)
    jobs = jobs_of(root, [selection.plans(name, root) for name in names])
    folders: dict[str, Path] = {}
    for task, *_ in jobs:
        if folder := _taken(root, task, results):
            click.echo(f"{task.name}: taken from the table {shown(folder)}, which is of just this", err=as_markdown)
            folders[task.name] = folder
    left = [job for job in jobs if job[0].name not in folders]
    if left:
        written = run_all(root, left, results, fresh=False, restart=False, errors_only=as_markdown)
        folders |= {plan.combination: folder for plan, folder in written}
    before, after = (str(folders[name].resolve()) for name in names)
    return before, after


def _taken(root: Path, task: Task, results: Path | None) -> Path | None:
    """The newest table of just this lock, policy and models, wherever tables are kept."""
    plan = task.plan
    places = [
        series_folder(
            store_of(root, results, selected=selected),
            combination=plan.combination,
            device=plan.device,
            tier=plan.tier,
            models=plan.series,
            selected=selected,
        )
        for selected in {plan.selected, False}
    ]
    folders = [folder for place in places for folder in place.glob("[!.]*")]
    return table_of_just_this(task, sorted(folders, key=lambda folder: folder.name, reverse=True))
