"""The identities of an attempt's cells: what has a say is written down as it begins, what was read as cells end."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from harness.attempts.ingredients import places
from harness.attempts.recorded import RecordedCell
from harness.bench.attempt import Attempt
from harness.bench.plan import slug_of
from harness.bench.record import Record, write_json
from harness.bench.stages import Outcome, Stage
from harness.tables.endings import Ending, ending_of, told_apart
from harness.tables.ingredients import Ingredients, Items, identity_of, portable
from harness.tables.schema import NotReproduced


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What has a say in the cells of an attempt below `root`, but for those that are `unknown`, by slug."""

    ingredients: Ingredients
    unknown: tuple[str, ...]
    root: Path

    def identified(self, cell: RecordedCell) -> tuple[Record, Items | None]:
        """The record of a cell with its identity, and what it read; without either where that is not known."""
        record, reads = cell.record, cell.reads
        if reads is None or slug_of(record.model, record.strategy) in self.unknown:
            return replace(record, identity=None), None
        reads = portable(reads, places(self.root))
        identity = identity_of(self.ingredients.parts(record.model, record.strategy, reads))
        return replace(record, identity=identity), reads


def keep(attempt: Attempt, root: Path, now: Ingredients, *, recorded: Sequence[str]) -> None:
    """Write down what has a say in the cells of an attempt.

    Where it goes on under other conditions, such as another variable, the cells that are `recorded` already, slugs,
    have no identity: what they ran under is not what is written down.
    """
    before = kept(attempt)
    same = before is not None and before.ingredients == now
    unknown = set(recorded) & set(before.unknown) if same and before else set(recorded)
    write_json(attempt.ingredients, {"root": str(root), "unknown": sorted(unknown), "ingredients": asdict(now)})


def kept(attempt: Attempt) -> Kept | None:
    """What was written down; None where nothing was, as by a bench that nobody of the harness's own side began."""
    try:
        value = json.loads(attempt.ingredients.read_text(encoding="utf-8"))
        found = Ingredients(**value["ingredients"])
        return Kept(ingredients=found, unknown=tuple(value["unknown"]), root=Path(value["root"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def not_reproduced(attempt: Attempt, records: Iterable[Record]) -> Iterator[NotReproduced]:
    """The cells that were run again although nothing changed for them, and came to something else."""
    by_name = {(record.model, record.strategy): record for record in records}
    for was in attempt.expectations():
        record = by_name.get((was["model"], was["strategy"]))
        if record is None or record.carried_from:
            continue
        before = Ending(Outcome(was["outcome"]), Stage(was["stage"]), was["fingerprint"])
        now = ending_of(record)
        if not before.is_like(now):
            told = told_apart(before, now)
            yield NotReproduced(cell=f"{record.model}/{record.strategy}", before=told[0], now=told[1], seen=was["seen"])
