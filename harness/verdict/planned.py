"""Cells that one side has, and that the other never planned: of a larger tier, or of an extension."""

from __future__ import annotations

from collections.abc import Mapping

from harness.bench.definitions import TIERS
from harness.tables.schema import Run
from harness.verdict.seen import Key, Row


def beyond_tier(base: Run, candidate: Run, before: Mapping[Key, Row], after: Mapping[Key, Row]) -> set[Key]:
    """Cells that only the table of the larger tier has. Each tier includes the ones before it, never the reverse."""
    ranks = TIERS.index(base.tier), TIERS.index(candidate.tier)
    if ranks[0] == ranks[1]:
        return set()
    smaller, larger = (before, after) if ranks[0] < ranks[1] else (after, before)
    return larger.keys() - smaller.keys()


def beyond_extensions(base: Run, candidate: Run, before: Mapping[Key, Row], after: Mapping[Key, Row]) -> dict[Key, str]:
    """Cells of extensions that the other side never planned, and the extension of each.

    What the other side ran without the extension, as an environment of someone's own may, is compared all the same.
    """
    unplanned = _planned_extensions(base, before) ^ _planned_extensions(candidate, after)
    if not unplanned:
        return {}
    extensions = {key: row.extension for side in (before, after) for key, row in side.items()}
    return {key: extensions[key] for key in before.keys() ^ after.keys() if extensions[key] in unplanned}


def _planned_extensions(run: Run, rows: Mapping[Key, Row]) -> set[str]:
    """The extensions that a run had cells of, with a record or without."""
    return ({row.extension for row in rows.values()} | {*run.extensions, run.extension}) - {""}
