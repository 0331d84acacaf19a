"""What a comment shows at once: what breaks, cause by cause, and the numbers that count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.bump.schema import Blame, Bump, WayOut
from harness.report import accuracy
from harness.report.accuracy import accuracy_changes
from harness.report.bump import claims
from harness.report.causes import evidence
from harness.report.diagnoses import diagnosis_of
from harness.report.duelled import DUELLED_HEADER, DUELLED_TITLE, duelled_rows
from harness.report.escaping import code, markdown_table, sentence, text
from harness.report.fitting import Block
from harness.report.shifts import memory_line, memory_lines
from harness.report.wayout import offers
from harness.report.wording import MOVED_HEADER, moved_rows, notes, plain, transition, unchanged_line
from harness.tables.schema import Run
from harness.verdict.causes import Cause, causes
from harness.verdict.comparison import WORSE, Category, Comparison, count_of
from harness.verdict.gate import Decision, Verdict

ARROW = "→"
LINE = 2000
"""Characters of a line at most, whatever a tool wrote."""

ROWS = 10
"""Rows of a table that is not folded."""

RUN = "run"
"""The claim of a blame that says what was run."""

MEMORY_LINES = 4
_NAMED = 6
_ERROR = 300
_SHOWN = ("now", "why", "begins at", "about", "cause", "known as", "remedy")
"""What is told of a cause, in this order; `harness explain` has the rest."""


def breaking(comparison: Comparison, verdict: Verdict | None, bump: Bump | None) -> list[Block]:
    """What got worse or fails, by cause, with who is to blame and the way out; then native outputs that moved."""
    worse = worse_causes(comparison, verdict)
    blames = {blame.cell: blame for blame in bump.blames} if bump else {}
    outs = {out.cell: out for out in bump.ways_out} if bump else {}
    items = []
    for cause in worse:
        names = {change.name for change in cause.changes}
        own = [cell for cell, blame in blames.items() if names & {cell, *blame.cells}]
        told = [line for cell in own if bump for line in _blame(blames.pop(cell), outs.get(cell), bump)]
        items.append("\n".join([*_cause(cause, comparison.candidate), *told]))
    items += [
        "\n".join([f"- {code(plain(cell))}", *_blame(blame, outs.get(cell), bump)])
        for cell, blame in blames.items()
        if bump
    ]
    count = count_of(sum(len(cause.changes) for cause in worse))
    title = f"What breaks: {len(worse)} cause{'' if len(worse) == 1 else 's'}, {count}" if worse else "To blame"
    return [Block(opening=f"#### {title}", items=tuple(items), what="causes of what breaks"), _moved(comparison)]


def worse_causes(comparison: Comparison, verdict: Verdict | None) -> list[Cause]:
    """What is worse or fails, the worst first: what fails before what is allowed, then by category and number."""
    failing = verdict.failing if verdict else ()
    allowed = verdict.allowed if verdict else ()
    changes = [*comparison.of(*WORSE), *(change for change in failing if not change.category.worse)]
    found = causes(changes, by_policy=verdict.by_policy if verdict else None)
    order = list(Category)
    return sorted(found, key=lambda c: (c.first in allowed, order.index(c.category), -len(c.changes)))


def _cause(cause: Cause, candidate: Run) -> list[str]:
    names = [plain(change.name, length=200) for change in cause.changes]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    by_policy = f", {text(cause.by_policy)}" if cause.by_policy else ""
    state = f"**{transition(cause.first, arrow=ARROW)}** ({cause.category.words}{by_policy})"
    known = dict(evidence(cause, candidate))
    lines = [f"- {state}: {', '.join(map(code, names[:_NAMED]))}{more}"]
    for label in _SHOWN:
        if label in known:
            told = code(plain(known[label], length=_ERROR)) if label == "now" else sentence(known[label])
            lines.append(f"  - {label}: {_linked(told, cause, candidate) if label == 'known as' else told}")
    return lines


def _linked(told: str, cause: Cause, run: Run) -> str:
    """What a failure is known as, its issues linked by an address that leaves no trace in them."""
    found = diagnosis_of(cause.first.candidate, run)
    for issue in found.issues if found else ():
        repository, _, number = issue.partition("#")
        name = code(issue.partition("/")[2])
        told = told.replace(name, f"[{name}](https://redirect.github.com/{repository}/issues/{number})", 1)
    return told


def _blame(blame: Blame, out: WayOut | None, bump: Bump) -> list[str]:
    """Who is to blame, and each way out; what the rules know is told with the cause already."""
    told = [(f"to blame, {label}", words) for label, words in claims(blame) if label not in (RUN, "known as")]
    told += [(f"way out, {label}", words) for label, words in offers(out, bump)] if out else []
    return [f"  - **{label}**: {text(plain(words.replace('->', ARROW), length=LINE))}" for label, words in told]


def _moved(comparison: Comparison) -> Block:
    rows = [
        (code(plain(model)), code(plain(inputs)), *(text(plain(cell)) for cell in rest))
        for model, inputs, *rest in moved_rows(comparison)
    ]
    more = f"\n\n{len(rows) - ROWS} more moved." if len(rows) > ROWS else ""
    title = f"#### PyTorch itself computes something else: {len(rows)} of {len(comparison.natives)} models"
    shown = f"{markdown_table(MOVED_HEADER, rows[:ROWS])}{more}"
    return Block(opening=title, items=(shown,) if rows else (), what="tables of native outputs")


def numbers(comparison: Comparison, verdict: Verdict | None) -> list[Block]:
    """The numbers that count: those that a verdict fails on first. What leaves it open stands here as well."""
    items = [f"**fails**: {text(words)}" for words in _failing(verdict)] if verdict else []
    items.append(text(unchanged_line(comparison)))
    accuracies = accuracy_changes(comparison, arrow=ARROW)
    changed = f"{count_of(len(accuracies.rows))} below changed" if accuracies.rows else accuracies.rest
    items += [f"{accuracy.TITLE}: {changed}"] if changed else []
    memory = [text(plain(line, length=LINE)) for line in memory_lines(comparison)]
    items += [f"Memory: {line}" for line in memory[:MEMORY_LINES]]
    items += [text(line)] if not memory and (line := memory_line(comparison)) else []
    rows = duelled(verdict)
    return [
        Block(opening="#### Numbers that count", items=tuple(f"- {item}" for item in items), what="lines of numbers"),
        Block(
            opening=f"#### {DUELLED_TITLE}",
            items=(markdown_table(DUELLED_HEADER, rows[:ROWS]),) if rows else (),
            what="tables of latencies",
        ),
        Block(items=note_lines(comparison, verdict) if is_open(verdict) else (), what="notes"),
    ]


def _failing(verdict: Verdict) -> Iterable[str]:
    kinds = ("accuracy", verdict.dropped), ("memory", verdict.grown), ("latency", verdict.slower)
    for kind, found in kinds:
        yield from (f"{kind} of {plain(str(each), length=LINE)}" for each in found[:ROWS])
        if len(found) > ROWS:
            yield f"{kind} of {len(found) - ROWS} more"


def duelled(verdict: Verdict | None) -> list[Sequence[str]]:
    """The rows of a duel's table that are worth one; none where there was no duel."""
    if verdict is None or verdict.duelled is None:
        return []
    return [(code(plain(name)), *map(text, cells)) for name, *cells in duelled_rows(verdict.duelled)]


def is_open(verdict: Verdict | None) -> bool:
    """Whether the notes are part of why: where it could not be told."""
    return verdict is not None and verdict.decision is Decision.CANNOT_TELL


def note_lines(comparison: Comparison, verdict: Verdict | None) -> tuple[str, ...]:
    """What to know before believing it, a line each."""
    return tuple(f"- {sentence(plain(note, length=LINE))}" for note in notes(comparison, verdict))
