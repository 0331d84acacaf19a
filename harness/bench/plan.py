"""The plan: which cells a run has. Pure, and without any framework, so both worlds make the same one."""

from __future__ import annotations

import fnmatch
import importlib.metadata
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.bench import own_code
from harness.bench.definitions import TIERS, Strategy
from harness.bench.errors import UsageError, unknown
from harness.bench.places import ZOO
from harness.bench.registry import OWN, Registry, discover, name_of, zoo_names

PLAN_VERSION = 1
ENTRY_POINT = "entry-point:"
OF_THE_ZOO = "zoo:"


@dataclass(frozen=True)
class Policy:
    """How cells are run.

    `timeout_s` bounds each process of a cell, `memory_limit_mb` the memory of its whole process group. Each of the
    `launches` of a cell is timed for `measure_s`, and warmed up for four times that at most; with none, nothing is
    timed. `threads` are those of every framework and runtime: with one, nothing spins and waits for another.
    """

    timeout_s: float = 300.0
    memory_limit_mb: int = 8192
    launches: int = 3
    measure_s: float = 0.5
    threads: int = 1

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            may_be_none = name == "launches"
            if not (value > 0 or (may_be_none and value == 0)):
                least = "not be below 0" if may_be_none else "be above 0"
                msg = f"{name.replace('_', '-')} is {value}, and must {least}."
                raise UsageError(msg)


@dataclass(frozen=True)
class Keeping:
    """How much is kept on this machine, in MiB: of one cell that broke, and of all of these together.

    Of what cells that passed have converted, `artifacts_mb` are kept at most; with 0 the bench leaves none of it.
    `free_mb` have to be free before an environment is installed.
    """

    cell_mb: int = 256
    all_mb: int = 2048
    artifacts_mb: int = 0
    free_mb: int = 8192


def slug_of(model: str, strategy: str) -> str:
    """A cell's id as a file name: `resnet18--onnx-torchscript@16`."""
    return f"{file_stem_of(model)}--{strategy.replace(':', '@')}"


def file_stem_of(model: str) -> str:
    """A model's name as that of a file: `own@resnet18`."""
    return model.replace(":", "@")


def model_of(stem: str) -> str:
    """The inverse of `file_stem_of`."""
    own = OWN.replace(":", "@")
    return f"{OWN}{stem.removeprefix(own)}" if stem.startswith(own) else stem


@dataclass(frozen=True)
class Cell:
    """Combination x model x strategy x device."""

    combination: str
    model: str
    strategy: str
    device: str
    extension: str = ""

    @property
    def id(self) -> str:
        """`torch2.1/resnet18/onnx-torchscript:16`."""
        return f"{self.combination}/{self.model}/{self.strategy}"

    @property
    def slug(self) -> str:
        """The id as a file name."""
        return slug_of(self.model, self.strategy)


@dataclass(frozen=True)
class Plan:
    """All that the bench is told. Paths are absolute; a plan belongs to one machine and is not kept.

    `models` are a user's own files and folders, `zoo` says whether there are cells of the zoo's too, and `paths` are
    folders for the end of `sys.path` in every child that imports a user's code.
    `series` names the series of a user's own models (`harness.bench.series`); it is empty where there are none.
    `path_names` are those of `paths` that were asked for, relative to the root: what tables say of them.

    What a cell that broke has left is kept within `keeping`; with `keep`, a folder, what every cell has left is moved
    there (`harness.bench.kept`). Without that, what cells that passed have converted is left in the attempt, where any
    is to be kept. `artifacts` are model, strategy and the folder of a kept cell: such a cell does not
    convert, but serves that artifact, and is held against the model as it is built here.

    Without `times`, what comes through is not timed here: it is left waiting (`harness.bench.waiting`), for whoever
    runs the plan that these cells are of.

    With `duel_side`, "a" or "b", cells are made ready for that side of a duel: what came through is recorded without
    having been timed, and waits on (`harness.bench.waiting`), beside what the builds of the models left.
    """

    combination: str
    device: str
    tier: str
    cells: tuple[Cell, ...]
    models: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    lock: str = ""
    policy: Policy = field(default_factory=Policy)
    extension: str = ""
    selected: bool = False
    paths: tuple[str, ...] = ()
    zoo: bool = True
    series: str = ""
    path_names: tuple[str, ...] = ()
    keep: str = ""
    keeping: Keeping = field(default_factory=Keeping)
    artifacts: tuple[tuple[str, str, str], ...] = ()
    duel_side: str = ""
    times: bool = True

    def registry(self) -> Registry:
        """Where this plan's names are looked up."""
        models, plugins, paths = ([Path(p) for p in each] for each in (self.models, self.plugins, self.paths))
        return discover(models=models, paths=paths, plugins=plugins, with_zoo=self.zoo, timeout_s=self.policy.timeout_s)

    def in_order(self, registry: Registry) -> list[Cell]:
        """The cells in the order of running: those that share what they import side by side, the fewest imports first.

        That is PyTorch alone, then the exporters, then TensorFlow: one process at a time has imported what is needed.
        """
        models = list(dict.fromkeys(cell.model for cell in self.cells))
        imports = {cell.strategy: imports_of(registry, cell.strategy, models) for cell in self.cells}
        groups = {each: rank for rank, each in enumerate(dict.fromkeys(imports.values()))}
        return sorted(self.cells, key=lambda cell: (len(imports[cell.strategy]), groups[imports[cell.strategy]]))

    def artifact_of(self, cell: Cell) -> Path | None:
        """The folder of the kept artifact that a cell serves; None for a cell that converts."""
        found = (
            folder for model, strategy, folder in self.artifacts if (model, strategy) == (cell.model, cell.strategy)
        )
        return next(map(Path, found), None)

    def to_json(self) -> dict[str, Any]:
        """The plan as plain values, for `plan.json`."""
        return {"version": PLAN_VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Plan:
        """The inverse of `to_json`."""
        if value.get("version") != PLAN_VERSION:
            msg = f"plan.json is of version {value.get('version')}, and this bench reads {PLAN_VERSION}."
            raise UsageError(msg)
        rest = {name: item for name, item in value.items() if name != "version"}
        rest["cells"] = tuple(Cell(**cell) for cell in value["cells"])
        rest["policy"] = Policy(**value["policy"])
        rest["keeping"] = Keeping(**value.get("keeping", {}))
        rest["artifacts"] = tuple(map(tuple, value.get("artifacts", ())))
        for name in ("models", "plugins", "paths", "path_names"):
            rest[name] = tuple(value.get(name, ()))
        return cls(**rest)


def split(spelling: str) -> tuple[str, int | None]:
    """`onnx-torchscript:16` is the strategy `onnx-torchscript` with its parameter bound to 16."""
    name, colon, value = spelling.partition(":")
    if not colon:
        return name, None
    try:
        return name, int(value)
    except ValueError:
        msg = f"strategy {spelling!r}: what follows the colon must be a whole number, as in '{name}:16'."
        raise UsageError(msg) from None


def imports_of(registry: Registry, strategy: str | None, models: Iterable[str]) -> tuple[str, ...]:
    """What building `models` and converting them by `strategy` imports: their modules, and those of its steps.

    Names that nothing declares any more are met again, and told, in the child.
    """
    names: dict[str, None] = {"torch": None}
    for name in models:
        model = registry.models.get(name)
        names.update(dict.fromkeys(model.value.imports if model and model.value else ()))
    if strategy is not None:
        for step in registry.strategies[split(strategy)[0]].declared.steps:
            found = registry.steps.get(step)
            names.update(dict.fromkeys(found.value.imports if found and found.value else ()))
    return tuple(names)


def within(tier: str, limit: str) -> bool:
    """Whether something of `tier` belongs to a run of `limit`."""
    return TIERS.index(tier) <= TIERS.index(limit)


def spellings(name: str, strategy: Strategy, tier: str) -> list[str]:
    """The strategy without a value, then with each value of the tiers up to `tier`."""
    values = sorted({v for t, vs in strategy.values.items() if within(t, tier) for v in vs})
    return [name, *(f"{name}:{value}" for value in values)]


def _bound(spelling: str, registry: Registry) -> bool:
    """Whether `spelling` names a strategy with an explicit value; raises where it cannot."""
    if ":" not in spelling:
        return False
    name, _ = split(spelling)
    if name not in registry.strategies:
        raise UsageError(unknown("strategy", name, registry.strategies))
    strategy = registry.strategies[name].declared
    if strategy.parameter is None:
        msg = f"strategy {name!r} takes no parameter, so {spelling!r} does not exist."
        raise UsageError(msg)
    return True


def _matching(what: str, patterns: Sequence[str], known: Sequence[str]) -> list[str]:
    """The known names that any pattern matches, in their own order; a pattern that matches nothing is an error."""
    chosen: set[str] = set()
    for pattern in patterns:
        found = fnmatch.filter(known, pattern)
        if not found:
            raise UsageError(unknown(what, pattern, known))
        chosen.update(found)
    return [name for name in known if name in chosen]


def select_models(registry: Registry, patterns: Sequence[str], tier: str) -> list[str]:
    """Names of the user's own models, and of those of the zoo that `patterns` match, or else of `tier`.

    The user's own are all meant, whatever their tier, and so is what is named whole; a pattern stands for what is in
    `tier`. Without a pattern the zoo is meant where there is no model of the user's own.
    """
    own = [name for name, entry in registry.models.items() if entry.own]
    if own and not patterns:
        return own
    zoo = {name: entry for name, entry in registry.models.items() if not entry.own}
    if not patterns:
        return [n for n, e in zoo.items() if e.value is None or within(e.value.tier, tier)]
    inside = [n for n, e in zoo.items() if n in patterns or e.value is None or within(e.value.tier, tier)]
    for pattern in patterns:
        if not fnmatch.filter(inside, pattern) and fnmatch.filter(zoo, pattern):
            msg = f"model {pattern!r} is not in the tier {tier!r}. Name it whole, or ask for a larger tier."
            raise UsageError(msg)
        if not fnmatch.filter(zoo, pattern):
            raise UsageError(unknown("model", pattern, zoo))
    return [*own, *_matching("model", patterns, inside)]


def select_strategies(registry: Registry, patterns: Sequence[str], tier: str) -> list[str]:
    """Spellings of the strategies of `tier`, or those that `patterns` match or bind."""
    for entry in registry.strategies.values():
        if entry.value is None:
            msg = f"{entry.path} raised at import: {entry.error}. Mend it, or move it away."
            raise UsageError(msg)
    known = [s for n, e in registry.strategies.items() for s in spellings(n, e.declared, tier)]
    if not patterns:
        return known
    bound = [p for p in patterns if p not in known and not set("*?[") & set(p) and _bound(p, registry)]
    globs = [p for p in patterns if p not in bound]
    # `:016` is `:16`: one value, one spelling.
    spelled = ["{}:{}".format(*split(p)) for p in bound]
    return list(dict.fromkeys([*(_matching("strategy", globs, known) if globs else []), *spelled]))


def extension_of(registry: Registry, model: str, strategy: str, known: Collection[str]) -> str:
    """The extension that a cell runs in, or nothing where the combination itself has all that it needs.

    `known` are the extensions that the combination has. One that bears the strategy's own name comes before the one
    that the strategy asks for: it is there because that tool does not resolve together with the others.
    """
    name, _ = split(strategy)
    if name in known:
        return name
    declared = registry.models[model].value
    return registry.strategies[name].declared.extension or (declared.extension if declared else "")


def expand(
    registry: Registry,
    *,
    combination: str,
    device: str,
    tier: str,
    models: Sequence[str] = (),
    strategies: Sequence[str] = (),
    extensions: Collection[str] = (),
) -> tuple[Cell, ...]:
    """Every cell of one combination: the selected models times the selected strategies.

    `extensions` are the names of those that the combination has.
    """
    if tier not in TIERS:
        raise UsageError(unknown("tier", tier, TIERS))
    chosen = select_strategies(registry, strategies, tier)
    return tuple(
        Cell(combination, model, strategy, device, extension_of(registry, model, strategy, extensions))
        for model in select_models(registry, models, tier)
        for strategy in chosen
    )


def _entry_point_file(name: str) -> Path:
    declared = {point.name: point for point in importlib.metadata.entry_points(group="harness.models")}
    if name not in declared:
        raise UsageError(unknown("entry point of the group harness.models", name, declared))
    path = own_code.module_file(declared[name].module)
    if path is None:
        msg = f"entry point {name!r}: no module {declared[name].module!r} is installed here."
        raise UsageError(msg)
    return path.parent if path.name == "__init__.py" else path


def split_models(values: Iterable[str]) -> tuple[list[Path], list[str]]:
    """Part what `--models` was given into paths of a user's own files and names and globs of the zoo's.

    A path is what ends in ``.py``, has a separator in it or is a folder; ``entry-point:NAME`` is the file of the
    module that an installed package declares in the group ``harness.models``. What is called as a model of the zoo is
    that model, and so is ``zoo:NAME``, the zoo's own file, and every other name.
    """
    paths, globs = [], []
    for value in values:
        path = Path(value).resolve()
        if value.startswith(OWN):
            msg = f"{value}: so it is called in tables; give your own file by its path."
            raise UsageError(msg)
        if value.startswith(OF_THE_ZOO):
            globs.append(value.removeprefix(OF_THE_ZOO))
        elif value.startswith(ENTRY_POINT):
            paths.append(_entry_point_file(value.removeprefix(ENTRY_POINT)))
        elif path.parent == ZOO and path.suffix == ".py":
            globs.append(name_of(path))
        elif value in zoo_names() or not (value.endswith(".py") or os.sep in value or path.is_dir()):
            globs.append(value)
        else:
            paths.append(path)
    return paths, globs
