"""Why cells are run that might have been carried over, in words, and what a person is told of a carrying."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from harness.bench.plan import Cell
from harness.tables.ingredients import (
    OF_A_MACHINE,
    PARTS,
    Digests,
    Ingredients,
    Items,
    Surroundings,
    differing,
    differing_items,
    digests_of,
)

_NAMED = 3

Changed = dict[str, tuple[Items, Items]]
"""The parts that differ, each with its items before and now, where it has any."""


def why(
    tables: Iterable[Mapping[str, Ingredients]],
    now: Ingredients,
    cells: Sequence[Cell],
    *,
    among: Collection[Surroundings],
    reads_now: Callable[[Ingredients, Cell], Items | None],
) -> dict[str, list[Cell]]:
    """Why `cells` are run: what differs from the newest of the `tables` that knows them, each with its cells.

    Of the machines `among` which they may run, the one that differs least is held against each that they ran on.
    """
    machines = [(digests_of(each), each) for each in among or [now.surroundings()]]
    reasons: dict[str, list[Cell]] = {}
    left = list(cells)
    for kept in tables:
        for cell in list(left):
            of = kept.get(cell.extension)
            read = of.read_by(cell.model, cell.strategy) if of else None
            if of is None or read is None:
                continue
            left.remove(cell)
            before = of.parts(cell.model, cell.strategy, read)
            after = now.parts(cell.model, cell.strategy, reads_now(of, cell) or {})
            changed: Changed = {
                name: (of.shared.get(name, {}), now.shared.get(name, {}))
                for name in differing(before, after)
                if name not in OF_A_MACHINE
            }
            for name in of.machines_of(cell.model, cell.strategy):
                changed |= _nearest(of.digests(name), of.surroundings(name), machines)
            reasons.setdefault(_words(changed), []).append(cell)
        if not left:
            break
    if left:
        reasons["no table has a record"] = left
    return reasons


def _nearest(digests: Digests, was: Surroundings, machines: Sequence[tuple[Digests, Surroundings]]) -> Changed:
    """The parts of a machine that differ on that of `machines` which differs in the fewest."""
    now = min(machines, key=lambda each: len(differing(digests, each[0])))
    return {name: (was[name], now[1][name]) for name in differing(digests, now[0])}


def _words(changed: Changed) -> str:
    said: list[str] = []
    for name in (each for each in PARTS if each in changed):
        items = differing_items(*changed[name])
        more = f" and {len(items) - _NAMED} more" if len(items) > _NAMED else ""
        named = f" ({', '.join(items[:_NAMED])}{more})" if items and items != [name] else ""
        said.append(f"{PARTS[name]}{named}")
    if not said:
        return "an earlier result holds only where it was made, or is not known"
    return f"{said[0]} changed" if len(said) == 1 else f"these changed: {'; '.join(said)}"


def told(
    name: str,
    seen: Iterable[str],
    *,
    carried: int,
    again: int,
    lacking: Sequence[Cell],
    reasons: Mapping[str, Sequence[Cell]],
) -> Iterator[str]:
    """What becomes of the cells of the environment `name`: those that are `carried` were `seen` by these runs."""
    total = carried + again + len(lacking)
    runs_of = sorted(seen, reverse=True)
    runs = ", ".join(runs_of[:_NAMED]) + (f" and {len(runs_of) - _NAMED} more" if len(runs_of) > _NAMED else "")
    of = f", seen by the run of {runs}" if len(runs_of) == 1 else f", seen by the runs of {runs}" if runs_of else ""
    yield f"{name}: {carried} of {total} cells are carried over{of}"
    if again:
        yield f"{name}: {_cells(again)} that nothing changed for {_are(again)} run once more"
    for reason, cells in reasons.items():
        models = sorted({cell.model for cell in cells})
        more = f" and {len(models) - _NAMED} more" if len(models) > _NAMED else ""
        of = f"{_cells(len(cells))} of {', '.join(models[:_NAMED])}{more}"
        yield f"{name}: {of} {_are(len(cells))} run, since {reason}"


def _cells(count: int) -> str:
    return f"{count} cell{'' if count == 1 else 's'}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
