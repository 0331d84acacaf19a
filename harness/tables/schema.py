"""What a table holds: the columns of `cells.csv` and `launches.csv`, and the keys of `run.json`, with their meaning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import ConfigDict

from harness.bench.record import Record
from harness.tables.columns import about, columns_of
from harness.tables.ingredients import Ingredients
from harness.tables.launches import Launch
from harness.tables.natives import Native

SCHEMA_VERSION = 7

BASELINE = "native"
"""The strategy that latencies are held against."""

COLUMNS = columns_of(Record)
"""Those of `cells.csv`."""

LAUNCH_COLUMNS = columns_of(Launch)
"""Those of `launches.csv`."""


_MEMORY_SHARE = 0.01


def memory_alike(one_mb: float, other_mb: float) -> bool:
    """Whether two machines have one amount of memory: firmware leaves those of one make not quite the same."""
    return abs(one_mb - other_mb) <= _MEMORY_SHARE * max(one_mb, other_mb)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The machine that a run was on."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    cpu: str = field(metadata=about("name of the CPU"))
    cores: int = field(metadata=about("cores that the run could use"))
    memory_mb: int = field(metadata=about("memory", unit="MiB"))
    os: str = field(metadata=about("operating system"))

    def is_like(self, other: Machine) -> bool:
        """Whether numbers of both compare: they are of one make, with one system."""
        return replace(self, memory_mb=other.memory_mb) == other and memory_alike(self.memory_mb, other.memory_mb)


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """The GPUs of that machine; they are all alike."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str = field(metadata=about("name of the GPU"))
    memory_mb: int = field(metadata=about("memory of one", unit="MiB"))
    count: int = field(metadata=about("how many there are"))


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What a run was of, and on what it was made. Times are ISO 8601 in UTC."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    combination: str = field(metadata=about("name of the combination"))
    extension: str = field(metadata=about("the extension that `packages` are of; empty for the combination's own"))
    device: str = field(metadata=about("`cpu` or `cuda`"))
    tier: str = field(metadata=about("`quick`, `core` or `full`"))
    selected: bool = field(
        metadata=about("whether the run was of selected cells; such a table never stands for its combination")
    )
    models: str = field(
        default="", metadata=about("the series of a user's own models that the run was of; empty for the zoo")
    )
    paths: tuple[str, ...] = field(
        default=(),
        metadata=about("folders that these models import from, given by `--path`, relative to the repository's root"),
    )
    started: str = field(metadata=about("when the run started, in UTC"))
    ended: str | None = field(metadata=about("when it ended; null where it was killed"))
    python: str = field(
        metadata=about("version of Python in the environment; empty where the environment could not be had")
    )
    machine: Machine = field(metadata=about("the machine"))
    gpu: Gpu | None = field(metadata=about("its GPUs; null where there is none"))
    driver: str | None = field(metadata=about("version of the GPU's driver; null where there is none"))
    threads: int = field(metadata=about("threads that every runtime was given"))
    jobs: int = field(default=1, metadata=about("cells that were run side by side; timing is alone"))
    loadavg: tuple[float, float, float] = field(
        metadata=about("load of the machine over 1, 5 and 15 minutes when the run started")
    )
    harness_version: str = field(metadata=about("version of the harness that ran the cells"))
    policy: Mapping[str, int | float] = field(
        metadata=about("how cells were run: `timeout_s`, `memory_limit_mb`, `launches` and so on")
    )
    lock_digest: str = field(
        metadata=about("digest of the lock that the environment was installed from; empty where there is none")
    )
    packages: Mapping[str, str] = field(
        metadata=about(
            "every installed distribution, canonical name to version; empty where the environment could not be had"
        )
    )


@dataclass(frozen=True, kw_only=True)
class Extended:
    """The environment of an extension, beside that of the combination itself."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    lock_digest: str = field(metadata=about("digest of the extension's lock; empty where there is none"))
    packages: Mapping[str, str] = field(
        metadata=about("every distribution installed there; empty where that environment could not be had")
    )
    policy: Mapping[str, int | float] = field(
        default_factory=dict,
        metadata=about("how its cells were run, as in `policy`; empty for older tables, which do not say"),
    )


@dataclass(frozen=True, kw_only=True)
class NotReproduced:
    """A cell that was run again although nothing with a say in it had changed, and came to something else."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    cell: str = field(metadata=about("the cell, as `model/strategy`"))
    before: str = field(metadata=about("what it had come to, such as `passed` or `failed at convert`"))
    now: str = field(metadata=about("what it came to in this run"))
    seen: str = field(metadata=about("when the run started that had seen it, in UTC"))


@dataclass(frozen=True, kw_only=True)
class Run(Conditions):
    """`run.json`: what the rows of the same table are of."""

    schema_version: int = field(metadata=about("version of this schema, of the columns and of the keys"))
    planned: int = field(metadata=about("cells that the run had"))
    recorded: int = field(metadata=about("rows of `cells.csv`"))
    complete: bool = field(metadata=about("whether every planned cell is recorded"))
    missing: tuple[str, ...] = field(metadata=about("the planned cells without a record, as `model/strategy`"))
    pins: Mapping[str, str] = field(
        metadata=about("the packages that the combination pins directly; empty for an ambient environment")
    )
    identity: str = field(
        default="",
        metadata=about(
            "identity of the combination's own attempt: equal where plan, lock, packages, policy and code are; "
            "empty for older tables"
        ),
    )
    extensions: Mapping[str, Extended] = field(
        default_factory=dict,
        metadata=about("the environments of the extensions whose cells are in the table, by the extension's name"),
    )

    carried: int = field(
        default=0,
        metadata=about("rows of `cells.csv` that were carried over, since nothing with a say in them had changed"),
    )
    not_reproducible: tuple[NotReproduced, ...] = field(
        default=(),
        metadata=about("cells that were run again with nothing changed, and came to something else"),
    )

    def policy_of(self, extension: str) -> Mapping[str, int | float]:
        """How the cells of an extension were run, or those of the combination itself.

        That of an extension in an older table is not known; then that of the combination stands for it.
        """
        extended = self.extensions.get(extension)
        return extended.policy if extended and extended.policy else self.policy

    @property
    def extended(self) -> bool:
        """Whether the run was of extensions too; such a table is of another series than the combination's own."""
        return bool(self.extensions or self.extension)

    def to_json(self) -> dict[str, Any]:
        """The run as plain values, in the order of `run_keys`."""
        values = asdict(self)
        for name in ("pins", "packages", "policy", "extensions"):
            values[name] = dict(sorted(values[name].items()))
        return {name: values[name] for name in run_keys()}


_FIRST = (
    "schema_version",
    "combination",
    "extension",
    "device",
    "tier",
    "selected",
    "models",
    "paths",
    "planned",
    "recorded",
    "complete",
    "missing",
)
_LAST = ("pins", "packages", "extensions")


def run_keys() -> tuple[str, ...]:
    """The keys of `run.json` in order: what people look for first comes first, what is long comes last."""
    between = [f.name for f in fields(Run) if f.name not in _FIRST + _LAST]
    return (*_FIRST, *between, *_LAST)


@dataclass(frozen=True, kw_only=True)
class Table:
    """The records of one run of one combination on one machine and device.

    `natives` are the native outputs by model; empty where they are not known, as of an environment that could not be
    had. `launches` are those that the latencies are the medians of. `locks` are the texts of the locks that the table
    is of, by extension, the combination's own under ""; a lock without a solution is its reason. `ingredients`
    are what had a say in its cells, by extension. Older tables keep none of these. `folder` is where the table was read
    from; None for one that was never written.
    """

    run: Run
    records: Sequence[Record]
    natives: Mapping[str, Native] = field(default_factory=dict)
    launches: Sequence[Launch] = ()
    locks: Mapping[str, str] = field(default_factory=dict)
    ingredients: Mapping[str, Ingredients] = field(default_factory=dict)
    folder: Path | None = field(default=None, compare=False)

    def by_cell(self) -> dict[tuple[str, str, str], Record]:
        """The records by what identifies a cell in any run: model, strategy, device."""
        return {record.cell: record for record in self.records}

    def launches_by_cell(self) -> dict[tuple[str, str, str], list[Launch]]:
        """The launches by the same, in the order of time."""
        found: dict[tuple[str, str, str], list[Launch]] = {}
        for launch in self.launches:
            found.setdefault(launch.cell, []).append(launch)
        return found


@lru_cache(maxsize=1024)
def strategy_order(spelling: str) -> tuple[str, int]:
    """Sorting key of a strategy: by name, then by the value of its parameter as a number."""
    name, _, value = spelling.partition(":")
    return name, int(value) if value.isdecimal() else -1


_Row = TypeVar("_Row", Record, Launch)


def in_order(rows: Iterable[_Row]) -> tuple[_Row, ...]:
    """The stable order of a table's rows: by model, then by strategy, and the launches of a cell as they came."""
    return tuple(sorted(rows, key=_place))


def _place(row: Record | Launch) -> tuple[object, ...]:
    return *place_of(row.cell), row.launch if isinstance(row, Launch) else 0


def place_of(cell: tuple[str, str, str]) -> tuple[object, ...]:
    """Sorting key of a cell by model, strategy and device, in the stable order of a table's rows."""
    model, strategy, device = cell
    return model, strategy_order(strategy), strategy, device


def _lines(rows: Iterable[tuple[str, str, str]], *, what: str) -> list[str]:
    lines = [f"| {what} | unit | meaning |", "|---|---|---|"]
    return [*lines, *("| `{}` | {} | {} |".format(*(cell.replace("|", "\\|") for cell in row)) for row in rows)]


def columns_markdown() -> str:
    """The documentation of the columns of both CSV files and of the keys of `run.json`, as Markdown tables."""
    nested: dict[str, tuple[str, type[Machine | Gpu | Extended | NotReproduced]]] = {
        "machine": ("machine", Machine),
        "gpu": ("gpu", Gpu),
        "extensions": ("extensions.<name>", Extended),
        "not_reproducible": ("not_reproducible.<n>", NotReproduced),
    }
    described = {f.name: f.metadata for f in fields(Run)}
    keys = []
    for name in run_keys():
        keys.append((name, described[name]["unit"], described[name]["description"]))
        if name in nested:
            prefix, kind = nested[name]
            keys += [(f"{prefix}.{f.name}", f.metadata["unit"], f.metadata["description"]) for f in fields(kind)]
    parts = [
        "### `cells.csv`",
        "",
        *_lines(((c.name, c.unit, c.description) for c in COLUMNS), what="column"),
        "",
        "### `launches.csv`",
        "",
        *_lines(((c.name, c.unit, c.description) for c in LAUNCH_COLUMNS), what="column"),
        "",
        "### `run.json`",
        "",
        *_lines(keys, what="key"),
    ]
    return "\n".join(parts)
