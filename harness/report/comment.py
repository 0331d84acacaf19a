"""The comment on a pull request: the decision, what breaks and why, the numbers that count; all else is folded."""

from __future__ import annotations

import re
import shlex

from harness.bump.schema import Bump
from harness.report.commented import breaking, numbers
from harness.report.escaping import code, fenced, sentence, text
from harness.report.fitting import Block, Measure, fitted
from harness.report.folded import folds
from harness.report.next_steps import HERE, Reader, look_at
from harness.report.obstacles import NoSolution
from harness.report.wayout import blame_command, next_step_of
from harness.report.wording import bumped_title, headline, models_told, package_text, plain
from harness.tables.schema import Run
from harness.verdict.comparison import Comparison, count_of
from harness.verdict.gate import Decision, Verdict

LIMIT = 65_536
"""Characters that GitHub takes of a comment."""

_ARROW = "→"
_DECISIONS = {
    Decision.MAY_MERGE: "Merge",
    Decision.DO_NOT_MERGE: "Do not merge",
    Decision.CANNOT_TELL: "Could not tell",
}
_DIGEST = re.compile(r"-[0-9a-f]{8}$")
_NAMED = 12
_LONGEST_REASON = 20_000


def comment(
    comparison: Comparison,
    verdict: Verdict | None = None,
    bump: Bump | None = None,
    *,
    limit: int = LIMIT,
    measure: Measure = len,
    marked: bool = True,
    reader: Reader = HERE,
) -> str:
    """A comparison as a comment of at most `limit`, under its verdict where there is one, the worst first.

    `bump` is who is to blame, where that was looked for. `marked` puts the hidden line first by which a bot finds its
    comment again. `reader` is who can type what it tells.
    """
    first = [marker(comparison.base)] if marked else []
    blocks = [
        Block(items=(*first, f"### {text(decision_line(comparison, verdict))}"), firm=True),
        Block(items=(_moved(comparison),), firm=True),
        *breaking(comparison, verdict, bump),
        Block(items=_asking(comparison, verdict, bump, reader), firm=True),
        *numbers(comparison, verdict),
        Block(items=_next(comparison, verdict, bump, reader), joint="\n\n", firm=True),
        *folds(comparison, verdict, bump),
    ]
    whole = sentence(_whole(comparison, reader))
    return fitted(blocks, limit=limit, cut_line=lambda cut: f"Left out: {cut}. {whole}", measure=measure)


def no_solution_comment(found: NoSolution, *, marked: bool = True) -> str:
    """The comment on a candidate without a solution; the resolver's reason keeps every character as it is."""
    base = found.base.side.name
    wanted = " ".join(str(each) for each in found.moves)
    parts = [_marked(base, "no solution")] if marked else []
    parts.append(f"### {text(f'Do not merge: {base} with {wanted} has no solution')}")
    step = [f"Next: {text(found.next_step)}"] if found.next_step else []
    in_the_way = "\n".join(f"- {text(plain(each, length=1000))}" for each in found.in_the_way[:_NAMED])
    reason = fenced(found.reason[:_LONGEST_REASON].splitlines())
    return "\n".join(parts) + "\n\n" + "\n\n".join([in_the_way, reason, *step]) + "\n"


def marker(base: Run) -> str:
    """The hidden line by which a bot finds its comment again: equal for what is asked again of another push.

    Of requirements the digest is left out, which each change of the base gives them anew.
    """
    return _marked(base.combination, f"{base.device} {base.tier}{f' {base.models}' if base.models else ''}")


def _marked(base: str, rest: str) -> str:
    told = re.sub(r"[^\w./+: -]|-(?=-)", "_", f"{_DIGEST.sub('', base)} {rest}", flags=re.ASCII)[:200]
    return f"<!-- conversion-harness: {told} -->"


def decision_line(comparison: Comparison, verdict: Verdict | None) -> str:
    """The decision and why, of how many cells; without a verdict, how many cells are what."""
    if verdict is None:
        return headline(comparison, None)
    why = ", ".join(verdict.reasons)
    of = "" if verdict.decision is Decision.MAY_MERGE else f", of {count_of(len(comparison.compared))}"
    return f"{_DECISIONS[verdict.decision]}: {why}{of}"


def _moved(comparison: Comparison) -> str:
    """What was moved, between what, in one line."""
    base, candidate = comparison.base, comparison.candidate
    told = ", ".join(package_text(each, arrow=_ARROW) for each in comparison.bumped[:_NAMED])
    more = len(comparison.bumped) - _NAMED
    moved = f"**{text(told)}**" if told else bumped_title(comparison)
    also = len(comparison.also_differs)
    parts = [moved + (f" and {more} more" if more > 0 else "")]
    parts += [f"{also} more package{'' if also == 1 else 's'} moved with the lock"] if also else []
    sides = f"{code(plain(base.combination))} {_ARROW} {code(plain(candidate.combination))}"
    models = f", models {text(models_told(candidate.models, length=200))}" if candidate.models else ""
    return f"{'; '.join(parts)}. {sides}: {candidate.device}, tier {candidate.tier}{models}."


def _asking(comparison: Comparison, verdict: Verdict | None, bump: Bump | None, reader: Reader) -> tuple[str, ...]:
    command = "" if bump else blame_command(comparison, verdict, reader=reader)
    return (sentence(f"Who is to blame, and what passes instead: `{_within(command)}` asks."),) if command else ()


def _next(comparison: Comparison, verdict: Verdict | None, bump: Bump | None, reader: Reader) -> tuple[str, ...]:
    steps = (look_at(comparison, verdict, reader=reader), next_step_of(comparison, verdict, bump, reader=reader))
    return tuple(f"Next: {sentence(_within(step))}" for step in steps if step)


def _whole(comparison: Comparison, reader: Reader) -> str:
    """Where all of it is."""
    folders = [table.folder for table in comparison.tables]
    if None in folders or not reader.tables:
        return "The tables have all of it."
    words = shlex.join(["harness", "compare", *map(str, folders)])
    return f"The tables have all of it: `{_within(words)}` prints it."


def _within(told: str) -> str:
    """`told`, of a length that every limit has room for."""
    return plain(told, length=2000)
