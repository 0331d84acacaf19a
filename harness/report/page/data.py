"""The data of the page: tables by columns, what is known of what broke, and what changed between tables.

It is plain values. A text is a number that stands for its place in `texts`, a figure that nobody measured is null, and
a column that has none is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage
from harness.bump.schema import Bump
from harness.report.latency import doubt_meanings
from harness.report.page.known import Causes, blames_of
from harness.report.page.pairs import categories_to_json, pair_to_json, pairs_of
from harness.report.page.texts import Texts, plain_number
from harness.report.page.trends import changes_of, followed, moves_of, numbers_to_json
from harness.report.wording import MARK_LEGENDS, carried_line, machine_line, mark, not_reproducible_texts
from harness.tables.layout import series_folder
from harness.tables.schema import BASELINE, COLUMNS, Table, in_order, strategy_order
from harness.verdict.causes import WITHOUT_STAGE
from harness.verdict.changepoints import not_told
from harness.verdict.comparison import MEANINGS

DATA_VERSION = 1
"""Of the data's form, which only the scripts beside this module read."""

_TEXT_COLUMNS = (
    *("extension", "error_type", "error", "fingerprint", "operator", "place", "difference", "begins_at", "grade"),
    *("latency_quality", "rss_source", "gpu_source", "provider", "tf32", "carried_from"),
)
_ELSEWHERE = {"combination", "model", "strategy", "device", "tier", "outcome", "stage"}
_DIGESTS = {"model_digest", "weights_digest", "strategy_digest", "identity"}
_FIGURES = tuple(column for column in COLUMNS if column.name not in {*_TEXT_COLUMNS, *_ELSEWHERE, *_DIGESTS})


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a page is made of.

    `tables` are in any order, those that were read from folders have `names`, which links and commands name them by.
    `bumps` are what is beside them by the same names, `unread` says why tables are missing, by folder. `left_out` are
    the folders of those that had no room, and `pages` the titles and addresses of the pages that have more of them.
    `reproducible` says whether `harness reproduce` has something to show of a broken record.
    """

    tables: Sequence[Table]
    names: Mapping[int, str] = field(default_factory=dict)
    bumps: Mapping[str, Bump] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    left_out: Sequence[str] = ()
    pages: Sequence[tuple[str, str]] = ()
    reproducible: Callable[[Record], bool] = lambda record: record.outcome.broken


def page_data(shown: Shown) -> dict[str, Any]:
    """The data of a page, as JSON has it: equal for equal tables, whatever order they come in."""
    texts = Texts()
    causes = Causes(texts)
    tables = sorted(shown.tables, key=_place)
    series = [_series(table) for table in tables]
    current = _current(tables, series)
    models = sorted({record.model for table in tables for record in table.records} | _missing(tables, 0))
    strategies = sorted(
        {record.strategy for table in tables for record in table.records} | _missing(tables, 1),
        key=lambda name: (name != BASELINE, strategy_order(name)),
    )
    names = {"model": _numbers(models), "strategy": _numbers(strategies)}
    cells = followed(tables)
    moves = moves_of(cells)
    told = [
        _table(table, shown, texts, causes, names) | {"series": series[place], "current": current[place]}
        for place, table in enumerate(tables)
    ]
    for place, (table, of_table) in enumerate(zip(tables, told, strict=True)):
        moved = [texts.of(moves.get((place, record.cell_id))) for record in in_order(table.records)]
        of_table["cells"] |= {"moved": moved} if any(each is not None for each in moved) else {}
    pairs = {
        f"{base}>{candidate}": pair_to_json(tables[base], tables[candidate], texts)
        for base, candidate in pairs_of(tables, series, current)
    }
    return {
        "version": DATA_VERSION,
        "newest": max((table.run.started for table in tables), default=""),
        "outcomes": [_outcome(outcome) for outcome in Outcome],
        "stages": [stage.value for stage in Stage],
        "baseline": BASELINE,
        "categories": categories_to_json(MEANINGS),
        "marks": dict(MARK_LEGENDS),
        "doubts": doubt_meanings(),
        "columns": {column.name: [column.unit, column.description] for column in _FIGURES},
        "combinations": list(dict.fromkeys(table.run.combination for table in tables)),
        "models": models,
        "strategies": strategies,
        "tables": told,
        "pairs": pairs,
        "numbers": numbers_to_json(),
        "changes": changes_of(cells),
        "no_changes": texts.of(not_told()),
        "causes": causes.to_json(),
        "told": causes.told_to_json(),
        "unread": [[folder, texts.of(reason)] for folder, reason in sorted(shown.unread.items())],
        "left_out": list(shown.left_out),
        "pages": [list(each) for each in shown.pages],
        "texts": texts.values,
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    """An outcome with all that counts and words of it rest on."""
    return {
        "name": outcome.value,
        "broken": outcome.broken,
        "applicable": outcome is not Outcome.NOT_APPLICABLE,
        "staged": outcome not in WITHOUT_STAGE,
    }


def name_of(table: Table) -> str:
    """What a table is called in links: its folder below the results, or where that would be."""
    run = table.run
    stamp = re.sub(r"[-:]", "", run.started)
    return f"{run.combination}/{_series(table)}/{stamp}"


def _series(table: Table) -> str:
    """The series without its combination: `cpu-quick+extensions`."""
    run = table.run
    folder = series_folder(
        Path(),
        combination=run.combination,
        device=run.device,
        tier=run.tier,
        extensions=run.extended,
        models=run.models,
        selected=run.selected,
    )
    return folder.name


def _place(table: Table) -> tuple[Any, ...]:
    return natural(table.run.combination), _series(table), table.run.started, str(table.folder or "")


def natural(name: str) -> tuple[Any, ...]:
    """Sorting key by which `torch2.10` comes after `torch2.9`."""
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name))


def _current(tables: Sequence[Table], series: Sequence[str]) -> list[bool]:
    """Which tables stand for their series: the newest complete one, else the newest."""
    found: dict[tuple[str, str], int] = {}
    for place, table in enumerate(tables):
        key = (table.run.combination, series[place])
        if key not in found or table.run.complete or not tables[found[key]].run.complete:
            found[key] = place
    return [place in found.values() for place in range(len(tables))]


def _missing(tables: Iterable[Table], part: int) -> set[str]:
    return {name.split("/", 1)[part] for table in tables for name in table.run.missing}


def _numbers(names: Sequence[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(names)}


def _table(
    table: Table, shown: Shown, texts: Texts, causes: Causes, names: Mapping[str, Mapping[str, int]]
) -> dict[str, Any]:
    run = table.run
    records = in_order(table.records)
    folder = shown.names.get(id(table), "")
    bump = shown.bumps.get(folder)
    return {
        "id": name_of(table),
        "folder": folder,
        "combination": run.combination,
        "device": run.device,
        "tier": run.tier,
        "selected": run.selected,
        "complete": run.complete,
        "planned": run.planned,
        "started": run.started,
        "ended": run.ended,
        "python": run.python,
        "machine": texts.of(machine_line(run)),
        "harness": run.harness_version,
        "lock": run.lock_digest[:12],
        "pins": dict(sorted(run.pins.items())),
        "carried": texts.of(carried_line(table)),
        "unsteady": texts.all_of(not_reproducible_texts(run)),
        "missing": [_placed(each, names) for each in run.missing],
        "blame": blames_of(bump, texts) if bump else None,
        "cells": _cells(records, table, shown, texts, causes, names),
    }


def _placed(name: str, names: Mapping[str, Mapping[str, int]]) -> list[int]:
    model, _, strategy = name.partition("/")
    return [names["model"][model], names["strategy"][strategy]]


def _cells(
    records: Sequence[Record],
    table: Table,
    shown: Shown,
    texts: Texts,
    causes: Causes,
    names: Mapping[str, Mapping[str, int]],
) -> dict[str, list[Any]]:
    outcomes, stages = list(Outcome), list(Stage)
    known = [causes.of(record, table.run) for record in records]
    launches = table.launches_by_cell()
    columns: dict[str, list[Any]] = {
        "model": [names["model"][record.model] for record in records],
        "strategy": [names["strategy"][record.strategy] for record in records],
        "outcome": [outcomes.index(record.outcome) for record in records],
        "stage": [stages.index(record.stage) for record in records],
    }
    optional: dict[str, list[Any]] = {
        "mark": [mark(record) or None for record in records],
        "cause": [cause for cause, _ in known],
        "told": [told for _, told in known],
        "reproducible": [1 if record.outcome.broken and shown.reproducible(record) else None for record in records],
        "launched": [[each.latency_ms for each in launches.get(record.cell, ())] or None for record in records],
    }
    optional |= {name: [texts.of(getattr(record, name)) for record in records] for name in _TEXT_COLUMNS}
    optional |= {
        column.name: [_figure(getattr(record, column.name), column.digits) for record in records] for column in _FIGURES
    }
    return columns | {name: column for name, column in optional.items() if any(each is not None for each in column)}


def _figure(value: float | None, digits: str) -> float | str | None:
    """A number with the digits that a table has."""
    return plain_number(float(format(value, digits)) if digits and isinstance(value, float) else value)
