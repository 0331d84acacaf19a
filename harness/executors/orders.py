"""What crosses between the machine that runs a command and a node: an order there, files and events back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.bench.attempt import Attempt
from harness.bench.plan import Cell, Plan
from harness.executors.parcel import Parcel
from harness.executors.units import Unit, Work

ORDER_FILE = "order.json"
PIECE_BYTES = 8 * 2**20
COMES_BACK = ("surroundings", "natives", "builds", "built", "kept", "waiting", "records")
"""The folders of a unit's attempt of which what cells left comes back."""

PARENT = "HARNESS_PARENT"
"""The variable by which a process on a node knows whom it is not to outlive."""

CONVERTED_ON = "converted_on"
ENDED_ON = "ended_on"
"""The keys in details by which a node says, in what waits and in a record, what its surroundings are called."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """Cells of a unit that a node is to run, in words that mean the same on both sides.

    `attempt` is what the unit's attempt says of itself; `plan` has the paths of the machine that ordered it. `folder`
    is where the unit's attempt lies there, and `root` the repository. `python` is the interpreter of an environment
    that is there already; empty where `lock` is to be installed. `environ` are the variables that were asked for there.
    With `alone` the bench has the node to itself, and times; with `only_waiting` it runs nothing else. An order that
    `asks` has the node say what it is, and run nothing.
    """

    name: str
    unit: str
    plan: Mapping[str, Any]
    attempt: Mapping[str, Any]
    folder: str
    root: str
    folders: Mapping[str, str]
    lock: str
    python: str
    environ: Mapping[str, str]
    fresh: bool
    alone: bool = False
    only_waiting: bool = False
    asks: bool = False

    @classmethod
    def of(
        cls,
        unit: Unit,
        cells: tuple[Cell, ...],
        work: Work,
        parcel: Parcel,
        *,
        environ: Mapping[str, str],
        alone: bool = False,
        only_waiting: bool = False,
        asks: bool = False,
    ) -> Order:
        """The order to run `cells` of a unit."""
        plan = {**unit.plan.to_json(), "cells": [asdict(cell) for cell in cells]}
        if alone:  # what waits lies here too, from which artifacts are kept
            plan["keeping"] = {**plan["keeping"], "artifacts_mb": 0}
        stated = Attempt(unit.folder).read()
        assert stated is not None, f"{unit.folder} is no attempt"
        return cls(
            name=work.name,
            unit=unit.name,
            plan=plan,
            attempt={**stated, "planned": [[cell.model, cell.strategy] for cell in cells]},
            folder=str(unit.folder),
            root=str(work.root),
            folders=dict(parcel.folders),
            lock=work.lock,
            python="" if work.lock else str(work.python),
            environ=dict(environ),
            fresh=work.fresh,
            alone=alone,
            only_waiting=only_waiting,
            asks=asks,
        )

    def write(self, folder: Path) -> None:
        """Keep the order in a folder, for the process that carries it out."""
        path = folder / ORDER_FILE
        path.touch(mode=0o600)  # an environment's lock and variables may name who may read an index
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Order:
        """The inverse of `write`."""
        return cls(**json.loads((folder / ORDER_FILE).read_text(encoding="utf-8")))

    def code(self) -> tuple[Path, ...]:
        """The folder above the harness on the machine that ordered it, which may lie there too."""
        return tuple(Path(folder).parent for folder, name in self.folders.items() if name == "harness")

    def planned(self) -> Plan:
        """The plan, with the paths of the machine that ordered it."""
        return Plan.from_json(self.plan)


@dataclass(frozen=True, kw_only=True)
class Post:
    """A process that a node keeps and that answers questions: `module` of the harness (`harness.executors.answering`).

    `orders` are those whose cells it is about, each under the name of the folder that its attempt has there; `told` is
    what else the process has to know.
    """

    module: str
    orders: Mapping[str, Order]
    told: Mapping[str, Any]

    def write(self, folder: Path) -> None:
        """Keep it in a folder, for the process."""
        path = folder / ORDER_FILE
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Post:
        """The inverse of `write`."""
        value = json.loads((folder / ORDER_FILE).read_text(encoding="utf-8"))
        return cls(**{**value, "orders": {name: Order(**each) for name, each in value["orders"].items()}})


@dataclass(frozen=True, kw_only=True)
class Part:
    """A piece of a file of the unit's attempt, `path` relative to its folder; pieces of a file come in their order."""

    path: str
    content: bytes

    def write(self, folder: Path) -> None:
        """Add the piece to its file below `folder`, or make the folder that it stands for."""
        path = folder / self.path
        if self.path.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(self.content)


def parts_of(folder: Path, name: str) -> Iterator[Part]:
    """All that is below `name` in `folder`, in pieces, one at a time; of an empty folder its name and a slash."""
    for path in sorted((folder / name).rglob("*")):
        there = path.relative_to(folder).as_posix()
        if path.is_dir() and not any(path.iterdir()):
            yield Part(path=f"{there}/", content=b"")
        elif path.is_file():
            yield from pieces_of(path, there)


def pieces_of(path: Path, name: str) -> Iterator[Part]:
    """A file in pieces, of which `name` says what it is."""
    with path.open("rb") as file:
        while True:
            content = file.read(PIECE_BYTES)
            yield Part(path=name, content=content)
            if len(content) < PIECE_BYTES:
                return


@dataclass(frozen=True, kw_only=True)
class Told:
    """Events of the unit's attempt, after all files of the cells whose end they tell of; and notes for a person."""

    events: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A node has begun: its name for people, the identity that Ray gives it, and what it says of its machine."""

    node: str
    node_id: str
    machine: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The bench of an order ended; `state` is that of its attempt, with the cause where it did not run all cells.

    `trouble` is what is no result: why the node could not do it, which another one may. `killed` says that somebody
    ended the harness's process there: what a node does that is going down. `changes` are the files of its environment
    that changed while cells ran (`harness.matrix.wholeness.Change`), and `changed` says that it is not what was
    installed, whenever that came about. Of a bench that was `alone`, `returncode` is its exit code, `log` the end of
    what it wrote, and `whole` says that its environment was found unchanged after its end.
    """

    state: str = ""
    cause: str = ""
    mistake: bool = False
    trouble: str = ""
    killed: bool = False
    returncode: int = 0
    log: str = ""
    whole: bool = False
    changed: bool = False
    changes: Sequence[Mapping[str, Any]] = ()


Message = Part | Told | Begun | Ended
