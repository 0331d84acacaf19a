"""The same reports in Markdown, for a comment on a pull request or a README."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.report.causes import Cause, sections
from harness.report.figures import figures
from harness.report.grids import broken, grid_of, not_applicable, summary
from harness.report.wording import (
    SHORT_ERROR,
    also_title,
    bumped_title,
    detail,
    grid_text,
    headline,
    machine_line,
    next_step,
    notes,
    packages_texts,
    plain,
    run_line,
    state,
    transition,
    unchanged_line,
)
from harness.tables.schema import Table
from harness.verdict.comparison import MEANINGS, Comparison, count_of
from harness.verdict.gate import Verdict

_ARROW = "→"
_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~])")


def grid(table: Table) -> str:
    """A table as Markdown: models x strategies, how many cells came to what, and each that is broken."""
    shown = grid_of(table)
    rows = []
    for model in shown.models:
        cells = [grid_text(shown.cells[model, s]) if (model, s) in shown.cells else "" for s in shown.strategies]
        rows.append((_code(model), *cells))
    parts = [f"**{_text(run_line(table.run))}**", _text(machine_line(table.run))]
    parts += [_table(("model", *(_code(s) for s in shown.strategies)), rows), summary(table)]
    tried = broken(table)
    if tried:
        lines = [(_code(r.cell_id), state(r), _text(detail(r, length=SHORT_ERROR))) for r in tried]
        parts.append(_table(("broken cell", "outcome", "error"), lines))
    reasons = not_applicable(table)
    if reasons:
        items = [f"- {count_of(len(records))}: {_text(reason)}" for reason, records in reasons.items()]
        parts += ["Not applicable:", "\n".join(items)]
    if table.run.missing:
        parts.append(f"Without a record: {', '.join(_code(name) for name in table.run.missing)}")
    return "\n\n".join(parts) + "\n"


def comparison(comparison: Comparison, verdict: Verdict | None = None) -> str:
    """A comparison as Markdown, under its verdict where there is one."""
    parts = [f"### {_text(headline(comparison, verdict))}"]
    sides = (("base", comparison.base), ("candidate", comparison.candidate))
    parts.append("\n".join(f"- {side}: {_text(run_line(run))}" for side, run in sides))
    parts += _environment(comparison, verdict)
    for section in sections(comparison):
        parts.append(f"#### {section.title}")
        for category, causes in section.categories:
            count = count_of(len(comparison.of(category)))
            parts.append(f"**{category.value}** ({count}): {MEANINGS[category]}")
            for cause in causes:
                parts += _cause(cause)
    parts += [unchanged_line(comparison), *_figures(comparison), f"Next: {next_step(comparison)}"]
    return "\n\n".join(parts) + "\n"


def _environment(comparison: Comparison, verdict: Verdict | None) -> list[str]:
    bumped = f"**{bumped_title(comparison)}**"
    if comparison.bumped:
        bumped += f": {_text('; '.join(packages_texts(comparison.bumped, arrow=_ARROW)))}"
    also = f"**{also_title(comparison)}**"
    if comparison.also_differs:
        also += f": {_text('; '.join(packages_texts(comparison.also_differs, arrow=_ARROW)))}"
    return [bumped, also, "\n".join(f"- {_text(plain(note))}" for note in notes(comparison, verdict))]


def _cause(cause: Cause) -> list[str]:
    """One cause: its cells, and what is known of it as a block that keeps every character as it is."""
    named = ", ".join(_code(change.name) for change in cause.changes)
    parts = [f"- {transition(cause.first, arrow=_ARROW)}: {named}"]
    evidence = [f"{label}: {text}" for label, text in cause.evidence()]
    if evidence:
        longest = max((len(run) for line in evidence for run in re.findall("`+", line)), default=0)
        fence = "`" * max(3, longest + 1)
        parts.append("\n".join(f"  {line}" for line in (f"{fence}text", *evidence, fence)))
    return parts


def _figures(comparison: Comparison) -> list[str]:
    found = figures(comparison, arrow=_ARROW)
    if not found.rows:
        return []
    rows = [(_code(name), *cells) for name, *cells in found.rows]
    more = [f"and {count_of(found.hidden)} more, whose numbers moved less."] if found.hidden else []
    return [
        "#### Numbers of cells that pass on both sides",
        _table(found.header, rows),
        *more,
    ]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _code(text: str) -> str:
    return f"`{plain(text).replace('`', '')}`"


def _text(text: str) -> str:
    """Text that Markdown shows as it is, in a table too."""
    return _SPECIAL.sub(r"\\\1", text)
