"""A night: in lines for its log, and as the text of an issue where something is to be looked at."""

from __future__ import annotations

from collections.abc import Iterable

from harness.report.escaping import code, markdown_table, text
from harness.report.wording import (
    MOVED_HEADER,
    MOVED_MEANING,
    MOVED_TITLE,
    SHORT_ERROR,
    detail,
    moved_rows,
    plain,
    run_line,
    state,
    transition,
)
from harness.verdict.causes import Cause, causes
from harness.verdict.comparison import count_of
from harness.verdict.night import Night, Tonight

_LONGEST = 60_000
"""GitHub takes 65,536 characters of an issue or a comment."""
_ROWS = 40
_NAMED = 20
_ARROW = "→"


def headline(night: Night) -> str:
    """What came of a night in one line: `3 cells changed in 1 of 2 tables; nothing of torch2.9 on cpu, tier quick`."""
    changed = sum(len(each.changes) for each in night.tables)
    moved = sum(len(each.moved) for each in night.tables)
    findings = sum(len(each.findings) for each in night.tables)
    unsteady = sum(len(each.not_reproducible) for each in night.tables)
    count = f"{len(night.tables)} table{'' if len(night.tables) == 1 else 's'}"
    said = [f"{count_of(changed)} changed"] if changed else []
    said += [f"native output of {moved} model{'' if moved == 1 else 's'} moved"] if moved else []
    said += [f"{count_of(findings)} broken and not expected any more"] if findings else []
    said += [f"{count_of(unsteady)} not reproducible"] if unsteady else []
    parts = [f"{', '.join(said)} in {count}" if said else f"{count}, nothing changed"]
    parts += [f"no table of {each}" for each in night.missing]
    parts += [f"{len(night.refused)} refused"] if night.refused else []
    return "; ".join(parts)


def night_texts(night: Night) -> list[str]:
    """The same with a line for each thing that was found."""
    lines = [plain(headline(night), length=_LONGEST)]
    for tonight in night.tables:
        found = [f"{transition(cause.first)}: {cause.cells}" for cause in causes(tonight.changes)]
        found += [f"native output of {moved.model} moved" for moved in tonight.moved]
        found += [
            f"not expected any more: {record.model}/{record.strategy}, {state(record)}" for record in tonight.findings
        ]
        found += [f"not reproducible: {each.cell}, {each.before} -> {each.now}" for each in tonight.not_reproducible]
        lines += [plain(run_line(tonight.table.run)), *(f"  {plain(line, length=_LONGEST)}" for line in found)]
    return [*lines, *(f"refused: {plain(folder)}: {plain(reason)}" for folder, reason in night.refused)]


def night_markdown(night: Night) -> str:
    """The text of an issue; empty where nothing is to be looked at.

    What is beyond the room that an issue has is left out, and that is said.
    """
    if not night.changed:
        return ""
    parts = [f"### {text(_started(night) + headline(night))}"]
    if night.missing:
        parts += ["#### Without a table", "\n".join(f"- {text(each)}" for each in night.missing)]
    if night.refused:
        items = [f"- {code(plain(folder))}: {text(plain(reason))}" for folder, reason in night.refused[:_ROWS]]
        parts += ["#### Refused", "\n".join([*items, *_more(len(night.refused) - _ROWS)])]
    for each in night.tables:
        parts += _tonight(each) if each.changed else []
    shown = _within(parts, _LONGEST)
    left_out = len(parts) - len(shown)
    shown += ["More was found than an issue has room for: the tables have it all."] if left_out else []
    return "\n\n".join(shown) + "\n"


def _started(night: Night) -> str:
    days = sorted({each.table.run.started[:10] for each in night.tables})
    return f"{' to '.join(dict.fromkeys([days[0], days[-1]]))}: " if days else ""


def _tonight(tonight: Tonight) -> list[str]:
    parts = [f"#### {text(run_line(tonight.table.run))}"]
    if tonight.comparison:
        parts.append(f"Against the table of {text(tonight.comparison.base.started)}.")
    if tonight.changes:
        rows = [_row(cause) for cause in causes(tonight.changes)]
        header = ("change", "cells", "outcome", "error")
        parts += [markdown_table(header, rows[:_ROWS]), *_more(len(rows) - _ROWS)]
    if tonight.comparison and tonight.moved:
        moved = [
            (code(model), code(inputs), *(text(cell) for cell in rest))
            for model, inputs, *rest in moved_rows(tonight.comparison)
        ]
        parts += [f"**{MOVED_TITLE}**", MOVED_MEANING, markdown_table(MOVED_HEADER, moved[:_ROWS])]
        parts += _more(len(moved) - _ROWS)
    if tonight.findings:
        found = [
            (code(f"{record.model}/{record.strategy}"), state(record), text(detail(record, length=SHORT_ERROR)))
            for record in tonight.findings
        ]
        parts += ["**Broken, and not expected any more**", markdown_table(("cell", "outcome", "error"), found[:_ROWS])]
        parts += _more(len(found) - _ROWS)
    if tonight.not_reproducible:
        again = [
            (code(plain(each.cell)), text(plain(f"{each.before} {_ARROW} {each.now}")), text(plain(each.seen)))
            for each in tonight.not_reproducible
        ]
        parts += ["**Not reproducible: run again with nothing changed**"]
        parts += [markdown_table(("cell", "outcome", "seen before by the run of"), again[:_ROWS])]
        parts += _more(len(again) - _ROWS)
    return parts


def _row(cause: Cause) -> tuple[str, str, str, str]:
    names = [change.name for change in cause.changes]
    cells = ", ".join([*map(code, names[:_NAMED]), *_more(len(names) - _NAMED)])
    error = text(detail(cause.first.candidate, length=SHORT_ERROR))
    return cause.category.words, cells, transition(cause.first, arrow=_ARROW), error


def _more(count: int) -> list[str]:
    return [f"and {count} more"] if count > 0 else []


def _within(parts: Iterable[str], length: int) -> list[str]:
    """The parts that fit: one that is too long, as where every cell changed, hides none of those after it."""
    shown: list[str] = []
    for part in parts:
        if len(part) + 2 <= length:
            length -= len(part) + 2
            shown.append(part)
    return shown
