"""The identities of an attempt's cells: what has a say is written down as it begins, what was read as cells end.

Of a cell that ran on another machine, what that one told of itself counts in the place of what this one is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from harness.attempts.ingredients import places
from harness.attempts.recorded import RecordedCell
from harness.bench.attempt import Attempt
from harness.bench.record import Record, write_json
from harness.bench.stages import Outcome, Stage
from harness.tables.endings import Ending, ending_of, told_apart
from harness.tables.ingredients import HERE, Ingredients, Seen, Surroundings, identity_of, portable
from harness.tables.schema import NotReproduced


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What has a say in the cells of an attempt below `root`, but for those that are `unknown`, by slug."""

    ingredients: Ingredients
    unknown: tuple[str, ...]
    root: Path

    def identified(self, cell: RecordedCell) -> tuple[Record, Seen | None]:
        """The record of a cell with its identity, and what is known of it; without either where that is not all."""
        record, reads = cell.record, cell.reads
        machines = {*self.ingredients.elsewhere, self.ingredients.here, HERE}
        if reads is None or not machines.issuperset(cell.ran_on) or cell.slug in self.unknown:
            return replace(record, identity=None), None
        seen = Seen(reads=portable(reads, places(self.root)), ran_on=cell.ran_on)
        on = [self.ingredients.digests(name) for name in seen.ran_on]
        identity = identity_of(self.ingredients.parts(record.model, record.strategy, seen.reads, on=on))
        return replace(record, identity=identity), seen

    def places_of(self, cell: RecordedCell) -> tuple[str, ...] | None:
        """The names of the surroundings that a cell ran in; None where it is not known what these were."""
        if cell.slug in self.unknown:
            return None
        return tuple(dict.fromkeys(name or self.ingredients.here for name in cell.ran_on))


def keep(attempt: Attempt, root: Path, now: Ingredients, *, recorded: Sequence[str]) -> None:
    """Write down what has a say in the cells of an attempt.

    Where it goes on under other conditions, such as another variable, the cells that are `recorded` already, slugs,
    have no identity: what they ran under is not what is written down.
    """
    before = kept(attempt)
    same = before is not None and before.ingredients.with_machines({}) == now
    unknown = set(recorded) & set(before.unknown) if same and before else set(recorded)
    write_json(attempt.ingredients, {"root": str(root), "unknown": sorted(unknown), "ingredients": asdict(now)})


def kept(attempt: Attempt) -> Kept | None:
    """What was written down; None where nothing was, as by a bench that nobody of the harness's own side began."""
    try:
        value = json.loads(attempt.ingredients.read_text(encoding="utf-8"))
        found = Ingredients(**value["ingredients"]).with_machines(_machines(attempt))
        return Kept(ingredients=found, unknown=tuple(value["unknown"]), root=Path(value["root"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _machines(attempt: Attempt) -> dict[str, Surroundings]:
    """What other machines told of themselves that cells ran on, by name."""
    paths = sorted(attempt.surroundings.glob("[!.]*.json"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def keep_machines(attempt: Attempt, machines: Mapping[str, Surroundings]) -> None:
    """Keep the surroundings of machines, by name, as if a node had told of them."""
    for name, surroundings in machines.items():
        attempt.surroundings.mkdir(exist_ok=True)
        write_json(attempt.surroundings / f"{name}.json", surroundings)


def not_reproduced(
    attempt: Attempt, records: Iterable[Record], ran_on: Mapping[tuple[str, str], Sequence[str]]
) -> Iterator[NotReproduced]:
    """The cells that were run again although nothing changed for them, and came to something else.

    `ran_on` are the names of the surroundings that cells ran in, by model and strategy: in others than those of before,
    or in some that are not known, they may come to something else.
    """
    by_name = {(record.model, record.strategy): record for record in records}
    for was in attempt.expectations():
        key = was["model"], was["strategy"]
        record = by_name.get(key)
        if record is None or record.carried_from or list(ran_on.get(key, ())) != was["ran_on"]:
            continue
        before = Ending(Outcome(was["outcome"]), Stage(was["stage"]), was["fingerprint"])
        now = ending_of(record)
        if not before.is_like(now):
            told = told_apart(before, now)
            yield NotReproduced(cell=f"{record.model}/{record.strategy}", before=told[0], now=told[1], seen=was["seen"])
