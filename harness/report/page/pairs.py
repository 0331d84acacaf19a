"""Comparisons as the page has them: which tables are compared, and what each comparison says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from harness.report.families import family_lines
from harness.report.figures import figures
from harness.report.page.texts import Texts
from harness.report.shifts import latency_lines, memory_line, memory_lines
from harness.report.wayout import blame_command
from harness.report.wording import also_title, headline, moved_by, notes, package_text, state, unchanged_line
from harness.tables.schema import Table
from harness.verdict.causes import causes
from harness.verdict.comparison import Category, Comparison, compare

MOST_PAIRS = 600
MOST_COMPARED = 100_000
"""Up to so many pairs and cells in them, any table is compared with any other of its device; beyond that, those that
people ask for."""

_MOVED_ROWS = 12


def pairs_of(tables: Sequence[Table], series: Sequence[str], current: Sequence[bool]) -> tuple[tuple[int, int], ...]:
    """Which tables are compared, by their places: base and candidate. `tables` are in the order of series and time.

    `series` names the series of each table without its combination, and `current` are those that stand for theirs.
    """
    places = range(len(tables))
    device = [table.run.device for table in tables]
    every = [(b, c) for b in places for c in places if b != c and device[b] == device[c]]
    if len(every) <= MOST_PAIRS and sum(len(tables[base].records) for base, _ in every) <= MOST_COMPARED:
        return tuple(every)
    of_now = [(b, c) for b in places for c in places if b != c and current[b] and current[c] and series[b] == series[c]]
    runs = [
        pair
        for pair in pairwise(places)
        if series[pair[0]] == series[pair[1]] and _combination(tables, pair[0]) == _combination(tables, pair[1])
    ]
    return tuple(sorted({*of_now, *runs}))


def _combination(tables: Sequence[Table], place: int) -> str:
    return tables[place].run.combination


def pair_to_json(base: Table, candidate: Table, texts: Texts) -> dict[str, Any]:
    """What changed between two tables: groups of cells by category and cause, numbers, packages, and what to know."""
    comparison = compare(base, candidate)
    counts = comparison.counts
    memory = memory_lines(comparison) or [line for line in (memory_line(comparison),) if line]
    moved = figures(comparison, arrow="→")
    return {
        "headline": texts.of(headline(comparison, None)),
        "counts": {category.value: count for category, count in counts.items()},
        "groups": list(_groups(comparison, texts)),
        "unchanged": texts.of(unchanged_line(comparison)),
        "bumped": texts.all_of([package_text(change, arrow="→") for change in comparison.bumped]),
        "also": texts.all_of(family_lines(comparison.also_differs, arrow="→")),
        "also_title": texts.of(also_title(comparison)),
        "blame_command": texts.of(blame_command(comparison, None)),
        "moved": texts.all_of([f"{each.model}: {moved_by(each)}" for each in comparison.moved_natives]),
        "memory": texts.all_of(memory),
        "latency": texts.all_of(latency_lines(comparison)),
        "notes": texts.all_of(list(notes(comparison, None))),
        "figures": {
            "header": texts.all_of(list(moved.header)),
            "rows": [texts.all_of(list(row)) for row in moved.rows[:_MOVED_ROWS]],
            "more": max(len(moved.rows) - _MOVED_ROWS, 0) + moved.hidden,
        },
    }


def _groups(comparison: Comparison, texts: Texts) -> Iterator[dict[str, Any]]:
    """The cells that changed, the worst category first, by cause."""
    for category in Category:
        if category is Category.UNCHANGED:
            continue
        for cause in causes(comparison.of(category)):
            first = cause.first
            yield {
                "category": category.value,
                "was": texts.of(state(first.base)),
                "now": texts.of(state(first.candidate)),
                "why": texts.of(first.reason),
                "cells": texts.all_of([change.name for change in cause.changes]),
            }


def categories_to_json(meanings: Mapping[Category, str]) -> dict[str, dict[str, Any]]:
    """The categories in the order of a comparison, the worst first."""
    better = (Category.FIXED, Category.FAILING_LATER)
    return {
        each.value: {
            "words": each.words,
            "meaning": meanings[each],
            "kind": "worse" if each.worse else "untold" if each.untold else "better" if each in better else "other",
        }
        for each in Category
    }
