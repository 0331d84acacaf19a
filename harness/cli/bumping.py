"""`harness bump`: what breaks when these packages move, who is to blame, and what passes instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from packaging.requirements import Requirement

from harness.bench.environment import canonical
from harness.bench.errors import UsageError, unknown
from harness.bump.candidate import (
    Foundation,
    foundation,
    obstacles,
    parse_moves,
    save,
    without_versions_of,
    write_candidate,
)
from harness.bump.moves import Move, moves_between
from harness.cli.blaming import blame_options, budget_s
from harness.cli.context import root_of, say, selection_options, shown, timing_options
from harness.cli.duels import duel_options, duel_place, duel_s
from harness.cli.outlets import instead, parse_outlets, send, to_option
from harness.cli.policies import gate_policy
from harness.cli.requirements import requirements_options, take
from harness.cli.running import select
from harness.cli.saying import said_of_no_solution
from harness.cli.sides import for_a_verdict, judged, tables_of
from harness.matrix import combination as combinations
from harness.matrix.requirements import keeping
from harness.matrix.requirements.closing import Wish
from harness.matrix.requirements.needs import models_of, modules_of
from harness.matrix.selection import Selection
from harness.report import obstacles as report

Note = Callable[[str], None]

_OF_FILE = re.compile(r"/|\.(?:txt|in|toml|lock)\b")


@click.command(short_help="Move pins of BASE: tell what breaks, and why.")
@click.argument("base")
@click.argument("moves", nargs=-1, required=True, metavar="MOVE...")
@requirements_options
@selection_options
@timing_options
@click.option(
    "--save", "saved", default="", metavar="NAME", help="Keep the candidate as matrices/NAME.in, with its lock."
)
@click.option("--results", type=click.Path(path_type=Path), help="Where tables are kept (results/).")
@click.option("--markdown", "as_markdown", is_flag=True, help="As Markdown, for a pull request.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@to_option
@duel_options
@blame_options
@click.pass_context
def bump(
    context: click.Context,
    /,
    base: str,
    moves: tuple[str, ...],
    python: str,
    everything: bool,
    extensions: bool,
    matrix: Path | None,
    saved: str,
    results: Path | None,
    as_markdown: bool,
    as_json: bool,
    to: tuple[str, ...],
    no_blame: bool,
    budget_min: float | None,
    with_duel: bool,
    duel_min: float | None,
    duel_machine: str | None,
    duel_address: str | None,
    **given: Any,
) -> int:
    """Judge what moving pins of BASE does: 0 nothing worse, 1 something is worse, 3 could not tell.

    BASE is a combination or a file of requirements. A MOVE is 'torch==2.1.0', 'torch>=2.1', or 'torch' for the newest
    that fits. What is not moved keeps the versions of BASE's lock. Nothing is written into matrices/ without --save.
    """
    root = root_of(context)
    policy = gate_policy(root, matrix)
    if extensions:
        msg = "--extensions: a candidate has none. Give requirements that have the tools themselves as BASE."
        raise UsageError(msg)
    wanted = parse_outlets(to, as_markdown=as_markdown, as_json=as_json)
    trials_s = budget_s(no_blame=no_blame, budget_min=budget_min)
    timing_s = duel_s(with_duel=with_duel, duel_min=duel_min)
    elsewhere_of = duel_place(with_duel=with_duel, duel_machine=duel_machine, duel_address=duel_address)
    quietly = instead(wanted)

    def note(text: str) -> None:
        say(text, err=quietly)

    _, (selection, *_) = select(root, (), matrix, instead=[base], extensions=False, **given)
    selection = for_a_verdict(selection, policy)
    name = _base(root, base, selection, python=python, everything=everything, quietly=quietly)
    ground = foundation(root, name)
    asked = parse_moves(moves, ground.side)
    candidate = _candidate(root, ground, asked, selection, note)
    if candidate.reason:
        in_the_way = obstacles(root, ground, asked)
        found = report.NoSolution(base=ground, moves=asked, reason=candidate.reason, obstacles=in_the_way)
        if not quietly:
            say(report.as_text(found))
        send(wanted, lambda: said_of_no_solution(root, found))
        return 1
    _tell_moves(ground, moves_between(ground.side, foundation(root, candidate.name).side), asked, note)
    if saved:
        written = save(root, ground, asked, name=saved, lock=candidate.lock)
        note(f"Saved: {', '.join(str(shown(path)) for path in written)}")
    sides = tables_of(root, selection, [name, candidate.name], results=results, errors_only=quietly)
    return judged(
        context,
        sides,
        policy=policy,
        results=results,
        wanted=wanted,
        budget_s=trials_s,
        duel_s=timing_s,
        elsewhere_of=elsewhere_of,
    )


def _base(root: Path, base: str, selection: Selection, *, python: str, everything: bool, quietly: bool) -> str:
    """The name of the base: a combination's, or that of the file of requirements, locked."""
    known = combinations.known(root)
    if base in known:
        if python or everything:
            msg = "--python-version, --all: only go with a file of requirements as BASE. Leave them out."
            raise UsageError(msg)
        return base
    if not _OF_FILE.search(base) and not Path(base).exists():
        msg = f"{unknown('combination', base, known)} BASE may be a file of requirements, too."
        raise UsageError(msg)
    (name,) = take(root, [base], [selection], python=python, everything=everything, quietly=quietly)
    return name


def _candidate(
    root: Path, base: Foundation, asked: Sequence[Requirement], selection: Selection, note: Note
) -> keeping.Kept:
    """The candidate, locked: with everything where the base is a combination, else with what the cells need."""
    plans = selection.plans("given", None)
    modules = base.wish.modules | frozenset(modules_of(plans))
    wish = Wish(modules=modules, models=models_of(plans), everything=base.wish.everything)
    file = write_candidate(root, base, asked)
    names = [canonical(each.name) for each in asked]
    prefer = without_versions_of(base.full, names), without_versions_of(base.lock, names)
    return keeping.take(root, str(shown(file)), wish, prefer=prefer, note=note)


def _tell_moves(base: Foundation, found: Sequence[Move], asked: Sequence[Requirement], note: Note) -> None:
    """What moves, and what has to move with it. Raises `UsageError` where that is nothing."""
    names = {canonical(each.name) for each in asked}
    moving = [str(move) for move in found if move.name in names]
    if not moving:
        held = ", ".join(f"{name} {base.side.locked.get(name, '')}".strip() for name in sorted(names))
        msg = (
            f"nothing moves: {base.side.name} has {held} already, and its other pins allow no other version of what "
            "was left open. Name a version, or move what holds it back as well."
        )
        raise UsageError(msg)
    note(f"moved: {', '.join(moving)}")
    rest = [move for move in found if move.name not in names]
    along = [str(move) for move in rest if None not in (move.before, move.after)]
    along += [f"{count} {what}" for what, count in _come_and_gone(rest).items() if count]
    note(f"moved with it: {', '.join(along)}" if along else "nothing else moves")


def _come_and_gone(found: Sequence[Move]) -> dict[str, int]:
    return {
        "packages new": sum(each.before is None for each in found),
        "gone": sum(each.after is None for each in found),
    }
