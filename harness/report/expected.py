"""Broken cells that were foreseen and those that were not, as texts for every outlet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.bench.record import Record
from harness.report.wording import plain, state
from harness.verdict.comparison import count_of
from harness.verdict.expectations import Expectation, Foreseen

UNEXPECTED = "Broken, and not expected"
EXPECTED = "Broken, as expected"
PASSING = "Passing, though expected to break"


@dataclass(frozen=True, kw_only=True)
class Group:
    """The cells that one expectation is about, what became of them, and what there is to say of it."""

    title: str
    cells: tuple[str, ...]
    why: str


def expected_groups(foreseen: Foreseen, *, combination: bool = False) -> list[Group]:
    """The broken cells that were expected, by the expectation that meets them; with their combination where asked."""
    return [
        Group(
            title=", ".join(dict.fromkeys(state(record) for record in records)),
            cells=_names(records, combination=combination),
            why=f"{_why(expectation)}; until {expectation.expires}, {expectation.name}",
        )
        for expectation, records in _grouped(foreseen.expected)
    ]


def passing_groups(foreseen: Foreseen, *, combination: bool = False) -> list[Group]:
    """The cells that pass though an expectation covers them."""
    return [
        Group(
            title="passed",
            cells=_names(records, combination=combination),
            why=f"{expectation.name} expects {expectation.words}; take them out of it",
        )
        for expectation, records in _grouped(foreseen.passing)
    ]


def otherwise_texts(foreseen: Foreseen) -> list[str]:
    """Of each unexpected cell that an expectation covers, what that expects of it."""
    return [
        f"{record.cell_id}: {each.name} expects {each.words}, and it came to {_came_to(record)}"
        for record, each in foreseen.otherwise
    ]


def headline(foreseen: Foreseen) -> str:
    """How many broken cells are expected, and how many are not: `13 broken cells, all of them expected`."""
    if not foreseen.broken:
        return "no broken cells"
    cells = f"{foreseen.broken} broken cell{'' if foreseen.broken == 1 else 's'}"
    if not foreseen.unexpected:
        return f"{cells}, all of them expected"
    return f"{cells}: {len(foreseen.expected)} expected, {len(foreseen.unexpected)} unexpected"


def check_texts(foreseen: Foreseen) -> list[tuple[str, list[str]]]:
    """What is to be told of the expectations themselves: a title, and a line for each."""
    stale = (
        ("Otherwise than expected", otherwise_texts(foreseen)),
        (PASSING, [f"{', '.join(g.cells)}: {g.why}" for g in passing_groups(foreseen, combination=True)]),
        (
            "Expired, and quiet nothing any more",
            [f"{each.name}, on {each.expires}: {plain(each.scope)}" for each in foreseen.expired],
        ),
        (
            "Never matched, though these tables could have had such a cell",
            [f"{each.name}: {plain(each.scope)}, {each.words}" for each in foreseen.never],
        ),
        (
            "Of other tables than these",
            [f"{each.name}: {plain(each.scope)}" for each in foreseen.elsewhere],
        ),
    )
    found = [(title, lines) for title, lines in stale if lines]
    if foreseen.missing:
        found.append(("Without a record", [f"{count_of(foreseen.missing)} of these runs"]))
    return found


def _why(expectation: Expectation) -> str:
    return plain(expectation.reason).removesuffix(".") + (f" ({plain(expectation.link)})" if expectation.link else "")


def _came_to(record: Record) -> str:
    return state(record) + (f" ({record.fingerprint})" if record.fingerprint else "")


def _names(records: Iterable[Record], *, combination: bool) -> tuple[str, ...]:
    return tuple(each.cell_id if combination else f"{each.model}/{each.strategy}" for each in records)


def _grouped(pairs: Sequence[tuple[Record, Expectation]]) -> list[tuple[Expectation, list[Record]]]:
    groups: dict[int, tuple[Expectation, list[Record]]] = {}
    for record, expectation in pairs:
        groups.setdefault(id(expectation), (expectation, []))[1].append(record)
    return list(groups.values())
