"""`identity.json`: what had a say in the cells of a table, part by part, so that two cells can be told to be the same.

The identity of a cell is a digest of digests. Its parts are kept, and of each part its items, so that a person can be
told which of them differs: the installed packages, and of these numpy. What a cell was seen to read (its model's file,
data, a user's own modules) is known only once it has run; whether a later run would be the same is then a question of
whether these files are what they were.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict

from harness.bench.errors import UsageError
from harness.bench.inventory import short
from harness.bench.plan import split
from harness.tables.decoding import decode, read_json

Items = Mapping[str, str]
"""The items of a part, by name: a digest, or the value itself where it is short."""

SHARED: Mapping[str, str] = {
    "python": "Python",
    "packages": "the installed packages",
    "libraries": "the libraries of the system",
    "cpu": "the CPU's instruction sets",
    "device": "the device or its driver",
    "variables": "the environment variables that frameworks read",
    "bench": "the bench itself",
    "policy": "the policy",
    "threads": "the threads",
}
"""The parts that all cells of one environment and plan have in common, and what a person is told where one differs."""

OF_A_MACHINE = ("python", "packages", "libraries", "cpu", "device", "variables")
"""Those of them that the machine brings which a cell runs on; on each, the environment is installed anew."""

Surroundings = Mapping[str, Items]
"""The items of each part of `OF_A_MACHINE`, of one machine with the environment on it."""

Digests = Mapping[str, str]
"""The digest of each part of surroundings."""

HERE = ""
"""The machine that gives the command, among those that cells ran on."""

PARTS: Mapping[str, str] = {
    **SHARED,
    "model": "the model's file, its helpers or the data that it names",
    "strategy": "a file of the strategy, its steps or its runtime",
    "reads": "a file that the cell was seen to read",
}
"""All parts of the identity of a cell."""


def digests_of(surroundings: Surroundings) -> Digests:
    """The digest of each part."""
    return {name: short(dict(surroundings.get(name, {}))) for name in OF_A_MACHINE}


def name_of(surroundings: Surroundings) -> str:
    """What surroundings are called: a digest of all their items."""
    return short({name: dict(surroundings.get(name, {})) for name in OF_A_MACHINE})


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What is known of a cell once it has run: the files that it read, and the surroundings that it ran in, by name.

    Where it was converted comes first, where it was timed last; once where that is one.
    """

    reads: Items
    ran_on: tuple[str, ...] = (HERE,)


@dataclass(frozen=True, kw_only=True)
class Ingredients:
    """What has a say in the cells of one environment.

    `shared` has the items of each part of `SHARED`, as they are on the machine that gave the command; `models` and
    `strategies` the digests of their files, by name. `reads` are sets of files with their contents, by a digest of the
    set, and `cells` says which set a cell has read, by `model/strategy`. A cell that is not among these has no
    identity: what it reads is not known. `elsewhere` has, by the names of surroundings on other machines, the parts
    that are not as here, and `ran_on` in which of these a cell ran that did not run here alone.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    shared: Mapping[str, Items]
    models: Items
    strategies: Items
    reads: Mapping[str, Items] = field(default_factory=dict)
    cells: Items = field(default_factory=dict)
    elsewhere: Mapping[str, Surroundings] = field(default_factory=dict)
    ran_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def _of_all(self) -> dict[str, str]:
        return {name: short(self.shared.get(name, {})) for name in SHARED}

    @cached_property
    def _of_machines(self) -> dict[str, Digests]:
        here = digests_of(self.shared)
        others = {name: {part: short(items) for part, items in parts.items()} for name, parts in self.elsewhere.items()}
        return {HERE: here, self.here: here} | {name: {**here, **parts} for name, parts in others.items()}

    @cached_property
    def here(self) -> str:
        """The name of the surroundings on the machine that gave the command."""
        return name_of(self.shared)

    def surroundings(self, name: str = HERE) -> Surroundings:
        """Those of a name, which is one of `elsewhere`, or `HERE`."""
        parts = self.elsewhere.get(name, {})
        return {part: parts.get(part, self.shared.get(part, {})) for part in OF_A_MACHINE}

    def shares_work_with(self, other: Ingredients) -> bool:
        """Whether all parts of `SHARED` are equal that no machine brings; without, no cell of both has one identity."""
        return all(self._of_all[name] == other._of_all[name] for name in SHARED if name not in OF_A_MACHINE)

    def machines_of(self, model: str, strategy: str) -> tuple[str, ...]:
        """The names of the surroundings that a cell ran in."""
        return tuple(name or self.here for name in self.ran_on.get(f"{model}/{strategy}", (HERE,)))

    def digests(self, name: str = HERE) -> Digests:
        """Those of the surroundings of a name. Raises `KeyError` for one that is not known."""
        return self._of_machines[name]

    def parts(self, model: str, strategy: str, reads: Items, *, on: Sequence[Digests] = ()) -> dict[str, str]:
        """The parts of the identity of a cell that read `reads`: a digest each.

        It ran in the surroundings of which `on` are the digests, or here where there are none.
        """
        return {
            **self._of_all,
            **(_of_all_machines(on) if on else {}),
            "model": self.models.get(model, ""),
            "strategy": self.strategies.get(split(strategy)[0], ""),
            "reads": short(dict(reads)),
        }

    def read_by(self, model: str, strategy: str) -> Items | None:
        """What a cell was seen to read; None where that is not known."""
        return self.reads.get(self.cells.get(f"{model}/{strategy}", ""))

    def with_machines(self, machines: Mapping[str, Surroundings]) -> Ingredients:
        """The same with the surroundings of other machines, by name."""
        here = self.surroundings()
        return replace(
            self,
            elsewhere={
                name: {part: dict(items) for part, items in each.items() if dict(items) != dict(here[part])}
                for name, each in sorted(machines.items())
                if name != self.here
            },
        )

    def with_cells(self, cells: Mapping[tuple[str, str], Seen]) -> Ingredients:
        """The same with what is known of cells that ran, by model and strategy, and with nothing else."""
        sets = {short(dict(seen.reads)): dict(sorted(seen.reads.items())) for seen in cells.values()}
        named = {f"{model}/{strategy}": short(dict(seen.reads)) for (model, strategy), seen in sorted(cells.items())}
        kept = (
            {model for model, _ in cells},
            {split(strategy)[0] for _, strategy in cells},
        )
        ran_on = {
            f"{model}/{strategy}": tuple(dict.fromkeys(HERE if name == self.here else name for name in seen.ran_on))
            for (model, strategy), seen in sorted(cells.items())
        }
        ran_on = {cell: names for cell, names in ran_on.items() if names != (HERE,)}
        met = {name for names in ran_on.values() for name in names}
        return Ingredients(
            shared=self.shared,
            models={name: digest for name, digest in self.models.items() if name in kept[0]},
            strategies={name: digest for name, digest in self.strategies.items() if name in kept[1]},
            reads=dict(sorted(sets.items())),
            cells=named,
            elsewhere={name: parts for name, parts in self.elsewhere.items() if name in met},
            ran_on=ran_on,
        )


def _of_all_machines(machines: Sequence[Digests]) -> dict[str, str]:
    """The digest of each part of a machine, of a cell that ran on these; one that is the same on all is as on one."""
    found = {part: list(dict.fromkeys(each[part] for each in machines)) for part in OF_A_MACHINE}
    return {part: digests[0] if len(digests) == 1 else short(digests) for part, digests in found.items()}


def identity_of(parts: Mapping[str, str]) -> str:
    """The identity that the parts make: 16 hexadecimal digits."""
    return short([parts[name] for name in PARTS])


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Which parts of two identities differ, in the order of `PARTS`."""
    return [name for name in PARTS if one.get(name) != other.get(name)]


def differing_items(one: Items, other: Items) -> list[str]:
    """The items of a part that differ, in the order of names."""
    return [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]


_WHERE_MET = ("elsewhere", "ran_on")


def format_ingredients(found: Mapping[str, Ingredients]) -> str:
    """The text of `identity.json`, by extension: a line a part, so that what moved is a few lines of a difference."""
    lines = []
    for extension, each in sorted(found.items()):
        values = {name: value for name, value in asdict(each).items() if value or name not in _WHERE_MET}
        parts = [f"  {_text(name)}: {_items(value)}" for name, value in values.items()]
        lines.append(f"{_text(extension)}: {{\n" + ",\n".join(parts) + "\n}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _items(value: Mapping[str, Any]) -> str:
    if not any(isinstance(each, Mapping) for each in value.values()):
        return _text(dict(sorted(value.items())))
    return "{\n" + ",\n".join(f"    {_text(name)}: {_text(each)}" for name, each in value.items()) + "\n  }"


def _text(value: Any) -> str:
    return json.dumps(value)


def read_ingredients(path: Path, *, remedy: str) -> dict[str, Ingredients]:
    """`identity.json`, by extension. Raises `UsageError` with the path to the first wrong key."""
    value = read_json(path, where=str(path), remedy=remedy)
    if not isinstance(value, Mapping):
        msg = f"{path}: expected object, got {type(value).__name__}. {remedy}"
        raise UsageError(msg)
    found = {
        name: decode(Ingredients, each, where=str(path), prefix=name, remedy=remedy) for name, each in value.items()
    }
    for name, each in found.items():
        for wrong in _wrong_of_machines(each):
            msg = f"{path}: {name}: {wrong}. {remedy}"
            raise UsageError(msg)
    return found


def _wrong_of_machines(found: Ingredients) -> Iterator[str]:
    """What other machines are said to have that cannot be: whoever wrote the file is not believed."""
    for name, parts in found.elsewhere.items():
        if not parts.keys() <= set(OF_A_MACHINE):
            yield f"elsewhere: {name!r} has parts that are of no machine"
        elif name_of(found.surroundings(name)) != name:
            yield f"elsewhere: {name!r} is not the digest of what it names"
    for cell, names in found.ran_on.items():
        if not names or not {HERE, *found.elsewhere}.issuperset(names):
            yield f"ran_on: {cell!r} names no machine that is known"


def portable(reads: Items, places: Iterable[tuple[str, Path]]) -> dict[str, str]:
    """`reads` with paths that another machine has too: those below one of the named `places` begin with its name."""
    return {_portable(path, places): digest for path, digest in reads.items()}


def _portable(path: str, places: Iterable[tuple[str, Path]]) -> str:
    for name, folder in places:
        if Path(path).is_relative_to(folder):
            return f"{name}:{Path(path).relative_to(folder).as_posix()}"
    return path


def here(path: str, places: Iterable[tuple[str, Path]]) -> Path:
    """The inverse of `portable` for one path."""
    for name, folder in places:
        if path.startswith(f"{name}:"):
            return folder / path.removeprefix(f"{name}:")
    return Path(path)
