"""A node's side of an order: ``python -m harness.executors.node FOLDER``, a process without anything of a scheduler's.

It has the environment ready, installed once and kept on this node, runs the bench in it as any run does, and says on
its standard output what has come so far, a JSON object a line: events, and the files that belong to them. What a cell
left is told of only once the environment was found to be, after the cell's end, what was installed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import harness
from harness.bench.attempt import Attempt, State
from harness.bench.builds import build_folder
from harness.bench.errors import EnvironmentChangedError, HarnessError, InfrastructureError, UsageError
from harness.bench.group import die_with_parent, end_leftovers
from harness.bench.hold import hold
from harness.bench.identity import short
from harness.bench.logs import tail
from harness.bench.plan import Cell, file_stem_of
from harness.bench.record import write_json
from harness.bench.requests import BUILT_FILE
from harness.bench.signals import raise_on_termination
from harness.bench.waiting import WAITING_FILE
from harness.executors.machines import conditions
from harness.executors.node_room import CACHE, USERS, make_room, place_of_cache
from harness.executors.orders import CONVERTED_ON, ENDED_ON, PARENT, Order
from harness.executors.parcel import Parcel
from harness.executors.processes import BenchProcess
from harness.executors.units import ChangedThereError
from harness.matrix.environment import FactOfPins, Prepared, check_ambient, missing_pythons
from harness.matrix.evicting import Room
from harness.matrix.installing import holding, installed, prepare_environment
from harness.matrix.locks import Lock
from harness.matrix.surroundings import surroundings_of
from harness.matrix.wholeness import listed
from harness.tables.ingredients import name_of

BASE = Path(harness.__file__).resolve().parents[1]
"""Where what travelled was unpacked."""

_POLL_S = 0.2
_LOG_BYTES = 2000
_SHARE = 20
"""The environment is looked at anew after so many times what a look takes."""

_PYTHON = re.compile(r"--python-version[ =](3\.\d+)")

Say = Callable[[Mapping[str, Any]], None]


def node_cache() -> Path:
    """Where this node keeps environments: on its own disk, since a home may be one for all nodes."""
    place = place_of_cache()
    if os.environ.get(CACHE):
        return place
    folder = place.parent
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        msg = f"{folder} belongs to somebody else. Name a folder of your own on every node by {CACHE}."
        raise InfrastructureError(msg)
    return place


def carry_out(order: Order, folder: Path, say: Say) -> None:
    """Run the bench of an order with its attempt in `folder`, and say what comes of it.

    Raises `InfrastructureError` for what is no result.
    """
    attempt = laid_out(order, Attempt(folder / "attempt"))
    with ready(order, log=folder / "install.log", note=lambda text: say({"files": [], "notes": [text]})) as prepared:
        require_the_same(order, prepared)
        outbox = _Outbox(order, attempt)
        outbox.describe(prepared)  # as cells find it, and with nothing beside what is timed
        if order.asks:
            say({"files": outbox.of_node(), "events": []})
            say({})
            return
        bench = BenchProcess(
            prepared.python,
            attempt.folder,
            pinned=bool(order.lock),
            fresh=order.fresh,
            only_waiting=order.only_waiting,
        )
        try:
            _follow(order, attempt, bench, prepared, outbox, say)
        except BaseException:
            bench.end()
            raise
        end_leftovers(str(attempt.folder))
        if order.alone:
            _require_whole(order, prepared)
    stated = attempt.read() or {}
    if stated.get("state") == State.PAUSED.value:
        say({"trouble": stated["cause"], "whole": order.alone})
        return
    told = {name: stated.get(name, "") for name in ("state", "cause")}
    of_bench = {"returncode": bench.ended(), "log": tail(attempt.log, _LOG_BYTES), "whole": True} if order.alone else {}
    say({**told, "mistake": stated.get("mistake", False), **of_bench})


def laid_out(order: Order, attempt: Attempt) -> Attempt:
    """The unit's attempt on this node, as the machine that ordered it began it, with paths of this one."""
    attempt.clear_scratch()
    for each in (attempt.records, attempt.natives, attempt.builds):
        each.mkdir(parents=True, exist_ok=True)
    if order.lock:
        attempt.lock.write_text(order.lock, encoding="utf-8")
    plan = Parcel(order.folders).plan_there(order.planned(), BASE, lock=str(attempt.lock) if order.lock else "")
    write_json(attempt.plan, plan.to_json())
    write_json(attempt.file, order.attempt)
    return attempt


@contextlib.contextmanager
def ready(order: Order, *, log: Path, note: Callable[[str], None]) -> Iterator[Prepared]:
    """The order's environment, which nobody mends until the end of the context.

    It is installed where this node has none of just this lock, by the first that comes; others wait for that. `note`
    is told of environments that went for it.
    """
    if order.python:
        yield check_ambient(node_cache(), Path(order.python))
        return
    python = _PYTHON.search(order.lock)
    if python and (missing := missing_pythons([python[1]])):
        raise InfrastructureError("\n".join(f"there is no Python {name}: {why}" for name, why in missing.items()))
    root = node_cache() / short(order.lock)
    root.mkdir(parents=True, exist_ok=True)
    lock = Lock(root / "lock.txt", order.lock)
    with (root / USERS).open("w", encoding="utf-8") as users:
        with holding(root, order.name, _unheard), contextlib.ExitStack() as alone:
            if not lock.path.exists():
                lock.path.write_text(order.lock, encoding="utf-8")
            kept = installed(root, order.name, lock)
            whole = kept is not None and kept.python.exists() and not kept.changes()
            # Nothing is installed into what others use.
            fcntl.flock(users, fcntl.LOCK_SH if whole else fcntl.LOCK_EX)
            if kept is None:
                # One installation at a time: what one found free, no other takes.
                alone.enter_context(hold(node_cache() / "installing", "the room of this node", _unheard))
                make_room(node_cache(), root, Room(), note=note)
            prepared = prepare_environment(root, order.name, lock, log=log, note=_unheard, busy=_unheard)
            fcntl.flock(users, fcntl.LOCK_SH)
        if isinstance(prepared, FactOfPins):
            msg = f"{order.name} could not be installed there, as it was elsewhere: {prepared.reason}"
            raise InfrastructureError(msg)
        yield prepared


def require_the_same(order: Order, prepared: Prepared) -> None:
    """Raise where this node's environment is not the one that the attempt says its cells run in."""
    python, packages = order.attempt["python"], order.attempt["packages"]
    if prepared.python_version != python:
        msg = f"{order.name} has Python {prepared.python_version} there, and {python} here. Install the same on both."
        raise InfrastructureError(msg)
    differing = sorted(
        name for name in {*packages, *prepared.packages} if packages.get(name) != prepared.packages.get(name)
    )
    if differing:
        msg = f"{order.name} has other packages there than here: {listed(differing)}."
        raise InfrastructureError(msg)


def _follow(order: Order, attempt: Attempt, bench: BenchProcess, prepared: Prepared, outbox: _Outbox, say: Say) -> None:
    """Say what the bench comes to until it has ended, nothing of it before the environment was found unchanged.

    A bench that is alone has nothing beside it, not even that: its environment is looked at after its end.
    """
    cells = {(cell.model, cell.strategy): cell for cell in order.planned().cells}
    events = attempt.events_from()
    kept: list[Mapping[str, Any]] = []
    next_look = 0.0
    over = False
    while not over:
        over = bench.ended(_POLL_S) is not None
        kept += events()
        if kept and (over or time.monotonic() >= next_look):
            began = time.monotonic()
            if not order.alone:
                _require_whole(order, prepared)
            next_look = time.monotonic() + _SHARE * (time.monotonic() - began)
            files = [path for event in kept for path in outbox.files(cells[event["model"], event["strategy"]], event)]
            say({"files": files, "events": kept})
            kept = []
    # What the build of a model told may be written after the last event of its cells.
    say({"files": [path for model in {cell.model for cell in cells.values()} for path in outbox.of_build(model)]})


def _require_whole(order: Order, prepared: Prepared) -> None:
    """Raise where the environment is not what it was."""
    if changes := prepared.changes():
        msg = f"{order.name} changed there while cells ran: {listed(changes)}."
        raise ChangedThereError(msg, changes)


class _Outbox:
    """The files of an attempt that go with its events, each once, with the paths of who ordered them."""

    def __init__(self, order: Order, attempt: Attempt) -> None:
        self._order = order
        self._attempt = attempt
        self._parcel = Parcel(order.folders)
        self._told: set[str] = set()
        self._node = ""

    def describe(self, prepared: Prepared) -> None:
        """Write down what this node and the environment on it have of a say in the cells that run here."""
        device = self._order.planned().device
        found = surroundings_of(
            prepared.python,
            device=device,
            inside={} if device == "cpu" else conditions(),
            pinned=bool(self._order.lock),
            kept=node_cache() / "contents.json",
            root=Path(self._order.root),
            code=self._order.code(),
        )
        self._node = name_of(found)
        self._attempt.surroundings.mkdir(exist_ok=True)
        write_json(self._attempt.surroundings / f"{self._node}.json", found)

    def of_node(self) -> list[str]:
        """The file of that, once."""
        name = self._name(self._attempt.surroundings / f"{self._node}.json")
        found = [name] if name not in self._told else []
        self._told.add(name)
        return found

    def files(self, cell: Cell, event: Mapping[str, Any]) -> list[str]:
        """Those of a cell that came to an end of its own: relative to the attempt's folder, what says it is whole last.

        A folder that has nothing in it ends in a slash.
        """
        if event["event"] not in (("ended",) if self._order.alone else ("waiting", "ended")):
            return []
        record, waiting = self._attempt.record_of(cell), self._attempt.waiting / cell.slug / WAITING_FILE
        last, key = (record, ENDED_ON) if event["event"] == "ended" else (waiting, CONVERTED_ON)
        found = [*self.of_node(), *self.of_build(cell.model)]
        for folder in (self._attempt.kept / cell.slug, waiting.parent):
            for path in sorted(folder.rglob("*")):
                if path == waiting and path != last:  # it waits for a duel, and has its record
                    found += self._translated(path)
                elif path.is_file() and path != last:
                    found.append(self._name(path))
                elif path.is_dir() and not any(path.iterdir()):
                    found.append(f"{self._name(path)}/")
        return [*found, *self._translated(last, {key: self._node})]

    def of_build(self, model: str) -> list[str]:
        """Those of the build of a model, once they are there; for a duel inputs and native outputs are among them."""
        name = f"{file_stem_of(model)}.json"
        of_build = [self._attempt.natives / name, self._attempt.builds / name]
        found = [told for path in of_build if path.exists() for told in self._translated(path)]
        facts = build_folder(self._attempt.built, model) / BUILT_FILE
        if self._name(facts) in self._told or not facts.exists():
            return found
        arrays = [facts.with_name(name) for name in json.loads(facts.read_text(encoding="utf-8"))["digests"]]
        return [*found, *map(self._name, arrays), *self._translated(facts)]

    def _translated(self, path: Path, details: Mapping[str, str] | None = None) -> list[str]:
        """The name of a file that has been given the paths of who ordered it; none where that was done before.

        `details` are added to those that it has.
        """
        name = self._name(path)
        if name in self._told:
            return []
        self._told.add(name)
        text = path.read_text(encoding="utf-8")
        here = self._parcel.text_here(text, BASE, {str(self._attempt.folder): self._order.folder})
        if details:
            value = json.loads(here)
            here = json.dumps({**value, "details": {**value["details"], **details}}, indent=1) + "\n"
        if here != text:
            partial = path.with_name(f".{path.name}.here")
            partial.write_text(here, encoding="utf-8")
            partial.replace(path)
        return [name]

    def _name(self, path: Path) -> str:
        return path.relative_to(self._attempt.folder).as_posix()


def _unheard(text: str) -> None:
    del text


def told_to_parent(work: Callable[[Say], None], folder: Path) -> int:
    """Do the `work` of a process on a node, in `folder`; what it says, and why it cannot go on, in lines of JSON."""
    out = sys.stdout

    def say(told: Mapping[str, Any]) -> None:
        out.write(json.dumps(told) + "\n")
        out.flush()

    die_with_parent(int(os.environ.pop(PARENT)))
    try:
        with raise_on_termination():
            work(say)
    except ChangedThereError as error:
        say({"trouble": error.message, "changed": True, "changes": [asdict(each) for each in error.changes]})
    except EnvironmentChangedError as error:
        say({"trouble": str(error).removesuffix(error.remedy).strip(), "changed": True})
    except UsageError as error:
        say({"trouble": str(error)})
    except HarnessError as error:
        say({"trouble": str(error).removesuffix(type(error).remedy).strip()})
    except OSError as error:
        say({"trouble": f"{error.strerror or error}: {error.filename or folder}"})
    return 0


def main(folder: Path) -> int:
    """Carry out the order in `folder`, and say how it ended."""
    return told_to_parent(lambda say: carry_out(Order.read(folder), folder, say), folder)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
