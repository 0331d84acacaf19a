"""`harness gate`: may this be merged? Of tables that are there, or of two files of requirements, run first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.bench.errors import UsageError
from harness.cli.blaming import blame_options, budget_s
from harness.cli.context import input_option, new_console, path_option, plugin_option, root_of, say, timing_options
from harness.cli.duels import duel_options, duel_place, duel_s, told_by_duel
from harness.cli.outlets import instead, parse_outlets, send, to_option
from harness.cli.policies import gate_policy
from harness.cli.reading import compared, table_options
from harness.cli.replanning import duellists_of
from harness.cli.requirements import requirements_options, take
from harness.cli.running import select
from harness.cli.saying import said_of_comparison
from harness.cli.sides import Sides, for_a_verdict, judged, tables_of
from harness.report import terminal
from harness.report.wording import headline
from harness.verdict.gate import judge
from harness.verdict.policy import GatePolicy

_OF_RUNS = {
    "strategies": "--strategies",
    "plugins": "--plugin-folder",
    "paths": "--path",
    "inputs": "--input",
    "python": "--python-version",
    "everything": "--all",
    "launches": "--launches",
    "threads": "--threads",
    "no_blame": "--no-blame",
    "budget_min": "--blame-budget",
}
"""What only says how requirements are run; the tables of a name are there already."""


@click.command(short_help="Judge whether CANDIDATE may replace BASE.")
@click.argument("base", required=False)
@click.argument("candidate", required=False)
@click.option("--base-requirements", metavar="FILE", help="Run these requirements, in the place of BASE.")
@click.option("--candidate-requirements", metavar="FILE", help="Run these, in the place of CANDIDATE.")
@requirements_options
@timing_options
@click.option("--strategies", multiple=True, metavar="GLOB", help="The strategies that requirements are run with.")
@input_option
@path_option
@plugin_option
@click.option(
    "--matrix",
    type=click.Path(path_type=Path),
    help="The matrix file, which says under [gate] what fails (matrices/nightly.toml).",
)
@table_options
@to_option
@duel_options
@blame_options
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
    to: tuple[str, ...],
    no_blame: bool,
    budget_min: float | None,
    with_duel: bool,
    duel_min: float | None,
    duel_machine: str | None,
    duel_address: str | None,
    **given: Any,
) -> int:
    """Judge whether CANDIDATE may replace BASE: 0 nothing worse, 1 something is worse, 3 could not tell.

    BASE and CANDIDATE are combinations, or folders of tables. Requirements are locked, installed and run first, unless
    that was done before.
    """
    wanted = parse_outlets(to, as_markdown=as_markdown)
    quietly = instead(wanted)
    policy = gate_policy(root_of(context), matrix)
    timing_s = duel_s(with_duel=with_duel, duel_min=duel_min)
    elsewhere_of = duel_place(with_duel=with_duel, duel_machine=duel_machine, duel_address=duel_address)
    of_runs = {name: given.pop(name) for name in _OF_RUNS if name in given}
    if base_requirements and candidate_requirements:
        if base or candidate:
            msg = "requirements stand in the place of BASE and CANDIDATE. Leave the names out, or the requirements."
            raise UsageError(msg)
        files = [base_requirements, candidate_requirements]
        sides = _run(context, files, quietly, policy=policy, matrix=matrix, **given, **of_runs)
        trials_s = budget_s(no_blame=no_blame, budget_min=budget_min)
        return judged(
            context,
            sides,
            policy=policy,
            results=given["results"],
            wanted=wanted,
            budget_s=trials_s,
            duel_s=timing_s,
            elsewhere_of=elsewhere_of,
        )
    if base_requirements or candidate_requirements or not base or not candidate:
        msg = (
            "a verdict needs two sides: BASE and CANDIDATE, or --base-requirements FILE and "
            "--candidate-requirements FILE."
        )
        raise UsageError(msg)
    of_runs |= {"no_blame": no_blame, "budget_min": budget_min}
    # 0 launches are asked for as well.
    if idle := [option for name, option in _OF_RUNS.items() if of_runs[name] or type(of_runs[name]) is int]:
        msg = (
            f"{', '.join(idle)}: only goes with --base-requirements and --candidate-requirements. {base} and "
            f"{candidate} are tables that are there: their runs chose the cells. Leave it out."
        )
        raise UsageError(msg)
    comparison, unfinished = compared(context, base, candidate, **given)
    verdict = judge(comparison, policy=policy, unfinished=unfinished)
    if timing_s is not None:
        root = root_of(context)
        say(headline(comparison, verdict), err=quietly)  # the rest takes minutes
        duelled = told_by_duel(
            root,
            comparison,
            lambda meant, display: duellists_of(root, comparison.tables, meant, display.note),
            policy=policy,
            budget_s=timing_s,
            quietly=quietly,
            elsewhere_of=elsewhere_of,
        )
        verdict = judge(comparison, policy=policy, unfinished=unfinished, duelled=duelled)
    if not quietly:
        terminal.print_comparison(new_console(), comparison, verdict)
    send(wanted, lambda: said_of_comparison(root_of(context), comparison, verdict))
    return verdict.exit_code


def _run(
    context: click.Context,
    files: list[str],
    quietly: bool,
    *,
    policy: GatePolicy,
    python: str,
    everything: bool,
    matrix: Path | None,
    results: Path | None,
    **given: Any,
) -> Sides:
    """Both files of requirements, each with its table."""
    root = root_of(context)
    _, (selection, *_) = select(root, (), matrix, instead=files, **given)
    selection = for_a_verdict(selection, policy)
    names = take(root, files, [selection], python=python, everything=everything, quietly=quietly)
    return tables_of(root, selection, names, results=results, errors_only=quietly)
