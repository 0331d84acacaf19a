"""What commands say, put together for their outlets."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from harness.attempts import details
from harness.bench.environment import canonical
from harness.bump.schema import Bump
from harness.cli.outlets import Said
from harness.cli.placing import pins_in, places_of, reader_of
from harness.matrix.places import OWN
from harness.report import markdown
from harness.report.comment import comment, no_solution_comment
from harness.report.obstacles import NoSolution
from harness.report.outlets.document import document, no_solution_document
from harness.report.outlets.facts import Places
from harness.report.outlets.telling import of_comparison, of_no_solution, of_table
from harness.tables.schema import Table
from harness.verdict.comparison import Comparison
from harness.verdict.expectations import Foreseen
from harness.verdict.gate import Verdict


def said_of_comparison(
    root: Path, comparison: Comparison, verdict: Verdict | None = None, bump: Bump | None = None
) -> Said:
    """A comparison, under its verdict where there is one."""
    places = places_of(root, comparison.candidate, comparison.base, models={c.cell[0] for c in comparison.compared})
    reader = reader_of(root, comparison)
    made = partial(comment, comparison, verdict, bump, reader=reader)

    def file_of(table: Table, model: str, strategy: str) -> str:
        return details.recorded_at(root, table, model, strategy)

    return Said(
        folder=root / OWN,
        facts=of_comparison(comparison, verdict, bump, places),
        markdown=made,
        summary=lambda limit: made(limit=limit, measure=_size, marked=False),
        document=partial(document, comparison, verdict, bump, file_of=file_of),
    )


def said_of_table(root: Path, table: Table, foreseen: Foreseen | None = None) -> Said:
    """A table, and what of it was expected."""
    places = places_of(root, table.run, models={record.model for record in table.records})

    def summary(limit: int) -> str:
        made = markdown.grid(table, foreseen)
        return made if _size(made) <= limit else "The table is larger than a summary may be.\n"

    return Said(
        folder=root / OWN,
        facts=of_table(table, foreseen, places),
        markdown=partial(markdown.grid, table, foreseen),
        summary=summary,
    )


def said_of_no_solution(root: Path, found: NoSolution) -> Said:
    """A candidate without a solution."""
    side = found.base.side
    names = {name for each in found.obstacles for name in each.pins} | {canonical(each.name) for each in found.moves}
    places = Places(pins=pins_in(root, side.name, {name: side.direct.get(name) or "" for name in names}))
    return Said(
        folder=root / OWN,
        facts=of_no_solution(found, places),
        markdown=partial(no_solution_comment, found),
        summary=lambda _: no_solution_comment(found, marked=False),
        document=partial(no_solution_document, found),
    )


def _size(text: str) -> int:
    return len(text.encode("utf-8"))
