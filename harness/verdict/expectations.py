"""Known outcomes: broken cells that were foreseen, so that whoever watches tables looks at the others alone.

An expectation quiets a look at tables, and never a gate: a comparison and its verdict know of none.

1. An expectation *covers* a cell where its globs, its devices and its ranges of versions fit. A package that is not
   installed fits no range.
2. It *meets* a broken cell that it covers, of its outcome, and of its stage and its fingerprint where it has them.
3. A broken cell is expected where an expectation meets it that has not expired, and unexpected otherwise.
4. A cell that passed and that such an expectation covers passes unexpectedly.
5. An expectation that meets no cell was *never matched* where a table could have had one: a whole one of a
   combination, a device, versions and a tier that fit, with extensions or with a strategy of its kind, and of the
   zoo or with a model of its kind. Where no table could have, it is of *other tables*.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from harness.bench.definitions import TIERS
from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage
from harness.tables.schema import Run, Table


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """A known outcome, until `expires`, with its reason and perhaps a `link` to an upstream issue.

    `cells` are globs of `COMBINATION/MODEL/STRATEGY`; those and the globs of `models`, `strategies` and `devices` must
    all fit, and what has none fits. `versions` are ranges of PEP 440 by canonical package. `tier` is the smallest one
    whose runs have the cells. `name` is where it stands, for people.
    """

    name: str
    outcome: Outcome
    reason: str
    expires: datetime.date
    cells: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    tier: str = TIERS[0]
    stage: Stage | None = None
    fingerprint: str = ""
    link: str = ""

    @property
    def scope(self) -> str:
        """Which cells it is about, as short as it can be told."""
        return ", ".join(self.cells) or "/".join(", ".join(each) or "*" for each in (self.models, self.strategies))

    @property
    def words(self) -> str:
        """What it expects: `failed at convert (0dddc2b8dbc4)`."""
        stage = f" at {self.stage.value}" if self.stage else ""
        return f"{self.outcome.value}{stage}" + (f" ({self.fingerprint})" if self.fingerprint else "")

    def expired(self, today: datetime.date) -> bool:
        """Whether it has run out; on the day itself it still holds."""
        return self.expires < today

    def covers(self, record: Record, run: Run) -> bool:
        """Rule 1, of a cell of the table of `run`."""
        return (
            _fits(self.cells, record.cell_id, parts=True)
            and _fits(self.models, record.model)
            and _fits(self.strategies, record.strategy)
            and _fits(self.devices, record.device)
            and _in_ranges(self.versions, packages_of(run, record.extension))
        )

    def meets(self, record: Record) -> bool:
        """Rule 2, of a cell that it covers."""
        return (
            record.outcome is self.outcome
            and self.stage in (None, record.stage)
            and self.fingerprint in ("", record.fingerprint)
        )

    def could_match(self, table: Table) -> bool:
        """Rule 5: whether a cell of `table` ought to be one that it covers."""
        run = table.run
        whole = run.complete and not run.selected and TIERS.index(run.tier) >= TIERS.index(self.tier)
        if not whole or not _fits(self.devices, run.device):
            return False
        environments = {"", run.extension, *run.extensions}
        if not any(_in_ranges(self.versions, packages_of(run, each)) for each in environments):
            return False
        wanted = [tuple(glob.split("/")) for glob in self.cells] or [("*", "*", "*")]
        return any(
            fnmatchcase(run.combination, combination)
            and (run.extended or any(self._of_strategy(strategy, each) for each in table.records))
            and (not run.models or any(self._of_model(model, each) for each in table.records))
            for combination, model, strategy in wanted
        )

    def _of_strategy(self, glob: str, record: Record) -> bool:
        return fnmatchcase(record.strategy, glob) and _fits(self.strategies, record.strategy)

    def _of_model(self, glob: str, record: Record) -> bool:
        return fnmatchcase(record.model, glob) and _fits(self.models, record.model)


@dataclass(frozen=True, kw_only=True)
class Foreseen:
    """What expectations make of tables.

    `expected` are broken cells with the expectation that meets them, `unexpected` the other broken ones, and `passing`
    cells that pass though an expectation covers them. `otherwise` are, of the unexpected ones, those that an
    expectation covers and does not meet. `expired` ones have run out, `never` matched and `elsewhere` (of other tables)
    are what is left of the rest. `missing` counts planned cells without a record.
    """

    expected: tuple[tuple[Record, Expectation], ...]
    unexpected: tuple[Record, ...]
    passing: tuple[tuple[Record, Expectation], ...]
    otherwise: tuple[tuple[Record, Expectation], ...]
    expired: tuple[Expectation, ...]
    never: tuple[Expectation, ...]
    elsewhere: tuple[Expectation, ...]
    missing: int

    @property
    def broken(self) -> int:
        """How many cells are broken, expected or not."""
        return len(self.expected) + len(self.unexpected)


def foresee(tables: Sequence[Table], expectations: Sequence[Expectation], *, today: datetime.date) -> Foreseen:
    """What `expectations` make of `tables`, by the rules above."""
    expected: list[tuple[Record, Expectation]] = []
    unexpected: list[Record] = []
    passing: list[tuple[Record, Expectation]] = []
    otherwise: list[tuple[Record, Expectation]] = []
    live = [each for each in expectations if not each.expired(today)]
    met: set[int] = set()
    for table in tables:
        for record in table.records:
            covering = [each for each in live if each.covers(record, table.run)]
            meeting = [each for each in covering if record.outcome.broken and each.meets(record)]
            met.update(map(id, meeting))
            if meeting:
                expected.append((record, meeting[0]))
            elif record.outcome.broken:
                unexpected.append(record)
                otherwise += [(record, each) for each in covering]
            elif record.outcome is Outcome.PASSED:
                passing += [(record, each) for each in covering]
    seen = met | {id(each) for _, each in (*passing, *otherwise)}
    unmatched = [each for each in live if id(each) not in seen]
    never = [each for each in unmatched if any(each.could_match(table) for table in tables)]
    return Foreseen(
        expected=tuple(expected),
        unexpected=tuple(unexpected),
        passing=tuple(passing),
        otherwise=tuple(otherwise),
        expired=tuple(each for each in expectations if each.expired(today)),
        never=tuple(never),
        elsewhere=tuple(each for each in unmatched if each not in never),
        missing=sum(len(table.run.missing) for table in tables),
    )


def packages_of(run: Run, extension: str) -> Mapping[str, str]:
    """The versions that a cell ran with, by canonical package; the pins where the environment could not be had."""
    extended = run.extensions.get(extension)
    known = extended.packages if extended and extension != run.extension else run.packages
    return known or run.pins


def _in_ranges(ranges: Mapping[str, str], packages: Mapping[str, str]) -> bool:
    return all(name in packages and _in_range(packages[name], text) for name, text in ranges.items())


def _in_range(version: str, text: str) -> bool:
    try:
        return SpecifierSet(text).contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False


def _fits(globs: Iterable[str], name: str, *, parts: bool = False) -> bool:
    """Whether any glob matches a name, or all of its parts between slashes; true without globs."""
    globs = tuple(globs)
    if not parts:
        return not globs or any(fnmatchcase(name, glob) for glob in globs)
    split = name.split("/", 2)
    return not globs or any(
        all(fnmatchcase(part, piece) for part, piece in zip(split, glob.split("/", 2), strict=True)) for glob in globs
    )
