"""An attempt: one execution of one plan in one environment, kept in a folder from its first cell to its table.

::

    attempt.json   its identity and state, what runs where, and every planned cell
    plan.json      what the bench is told
    lock.txt       the lock that the environment was installed from, where there is one
    records/       one file a cell, written as it ends: the row, and details that a table has no room for
    natives/       one file a model: what is kept of its native outputs
    builds/        one file a model: the modules that only its build could tell, with their digests
    waiting/       one folder a cell that waits to be timed (`harness.bench.waiting`), or for a duel
    built/         one folder a model, of cells that wait for a duel: inputs and native outputs
    units/         one attempt a unit, while cells are run side by side; what its cells left moves here as they end
    shared/        what the benches of units have built, for one another (`harness.bench.shared_builds`)
    artifacts/     one folder a cell that passed: what it converted, for whoever keeps that
    given/         one folder a cell of a duel: what was converted before, in the place of converting it again
    kept/          one folder a cell that broke: what it left, within the plan's limits (`harness.bench.kept`)
    identity.json  what has a say in its cells, where `harness run` began it (`harness.tables.ingredients`)
    surroundings/  one file a kind of other machine that cells ran on: what that one has of a say in them
    expected.json  what cells had come to that are run again although nothing changed for them
    events.jsonl   cells as they are carried over, begin, wait, are timed and end, for a live display; and those that
                   were stopped, in being timed or beside others
    scratch/       everything else that a run writes; nothing in it outlives the run

The state is written down, and never inferred from which files exist. Whoever changes an attempt holds it
(`harness.bench.hold`). One that says that it is running and that nobody holds was killed, and can be gone on with.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any

from harness.bench.disk import remove_tree
from harness.bench.hold import HOLD_FILE, HOLDER_FILE
from harness.bench.identity import Identity, changed_files, differing
from harness.bench.plan import Cell, Plan, file_stem_of, model_of, slug_of
from harness.bench.record import Record, now, write_json
from harness.bench.spans import spans_of
from harness.bench.stages import Outcome, Stage
from harness.bench.waiting import WAITING_FILE

ATTEMPT_FILE = "attempt.json"
ATTEMPT_VERSION = 1
SCRATCH = "scratch"


class State(str, Enum):
    """How far an attempt is. Only `ENDED` and `SETTLED` make a table."""

    RUNNING = "running"
    PAUSED = "paused"
    REFUSED = "refused"
    ENDED = "ended"
    SETTLED = "settled"


class Attempt:
    """The folder of an attempt. Nothing is read before it is asked for."""

    def __init__(self, folder: Path) -> None:
        folder = folder.resolve()  # what children are told and what is looked for must be one spelling
        self.folder = folder
        self.file = folder / ATTEMPT_FILE
        self.plan = folder / "plan.json"
        self.lock = folder / "lock.txt"
        self.records = folder / "records"
        self.natives = folder / "natives"
        self.builds = folder / "builds"
        self.waiting = folder / "waiting"
        self.built = folder / "built"
        self.shared = folder / "shared"
        self.artifacts = folder / "artifacts"
        self.given = folder / "given"
        self.kept = folder / "kept"
        self.ingredients = folder / "identity.json"
        self.surroundings = folder / "surroundings"
        self.expected = folder / "expected.json"
        self.units = folder / "units"
        self.events = folder / "events.jsonl"
        self.log = folder / "pytest.log"
        self.scratch = folder / SCRATCH

    def read(self) -> dict[str, Any] | None:
        """What `attempt.json` says; None where there is no attempt, or one of another version of the harness."""
        try:
            value: dict[str, Any] = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return value if value.get("version") == ATTEMPT_VERSION else None

    @property
    def state(self) -> State | None:
        """The state; None where there is no attempt."""
        stated = self.read()
        return State(stated["state"]) if stated else None

    def clear_scratch(self) -> None:
        """Remove what a dead run left, and make the folder anew."""
        remove_tree(self.scratch)
        self.scratch.mkdir(parents=True, exist_ok=True)

    def _change(self, state: State, **values: Any) -> None:
        stated = self.read()
        assert stated is not None, f"{self.file} is gone while it is held"
        write_json(self.file, {**stated, "state": state.value, **values})

    def begin(
        self, plan: Plan, parts: Identity, conditions: Mapping[str, Any], *, lock: str = "", run: str = ""
    ) -> None:
        """Begin anew: what was there goes, but for the scratch, which is in use; and write down what runs where.

        `conditions` are what environment and machine say; `lock` is a text, `run` names what it is part of.
        """
        before = self.read() or {}
        self.file.unlink(missing_ok=True)
        for folder in (self.records, self.natives, self.builds, self.kept, self.surroundings, *self._for_others()):
            remove_tree(folder)
        for file in (self.events, self.log, self.lock, self.ingredients, self.expected):
            file.unlink(missing_ok=True)
        for folder in (self.records, self.natives, self.builds):
            folder.mkdir(parents=True, exist_ok=True)
        if lock:
            self.lock.write_text(lock, encoding="utf-8")
        write_json(self.plan, plan.to_json())
        write_json(
            self.file,
            {
                "version": ATTEMPT_VERSION,
                "state": State.RUNNING.value,
                "cause": "",
                "identity": dict(parts),
                "run": run,
                "table": "",
                "suspects": [],
                "combination": plan.combination,
                "extension": plan.extension,
                "device": plan.device,
                "tier": plan.tier,
                "selected": plan.selected,
                "models": plan.series,
                "paths": list(plan.path_names),
                "planned": [[cell.model, cell.strategy] for cell in plan.cells],
                "started": now(after=before.get("started", "")),
                "ended": None,
                "lock_digest": parts["lock"],
                "threads": plan.policy.threads,
                "policy": asdict(plan.policy),
                **conditions,
            },
        )

    def go_on(self, *, run: str = "") -> None:
        """Go on with an attempt of equal identity, from the cells that have no record.

        What failed before it was built runs again: what such a build imported is not known, so whether that has been
        mended since cannot be told. Where it had ended, only its table is lacking, and all is kept.
        """
        self._close_timing()
        if self.state is not State.ENDED:
            for path in self.records.glob("*.json"):
                row = json.loads(path.read_text(encoding="utf-8"))["row"]
                if Outcome(row["outcome"]).broken and row["stage"] in (Stage.IMPORT.value, Stage.BUILD.value):
                    path.unlink()
        self._change(State.RUNNING, cause="", run=run)

    def pause(self, cause: str) -> None:
        """It did not come to its end, for a cause that is no result. It makes no table, and can be gone on with."""
        self._change(State.PAUSED, cause=cause, ended=None)

    def void(self, cause: str) -> None:
        """Pause it for good: its records are of code that changed in between, and nobody goes on with them."""
        self._change(State.PAUSED, cause=cause, ended=None, identity={})

    def refuse(self, reason: str, *, mistake: bool = False) -> None:
        """The bench would not run the plan. Records stay: none is removed by a refusal.

        `mistake` says that models of a user's own are wrong, which every environment would say of them.
        """
        self._change(State.REFUSED, cause=reason, mistake=mistake)

    def end(self) -> None:
        """It came to its end: now, unless it had come to it before, and only its table was lacking."""
        stated = self.read()
        assert stated is not None
        lacking = [cell for cell in map(tuple, stated["planned"]) if not self._path(*cell).exists()]
        assert not lacking, f"{len(lacking)} planned cells have no record"
        self._change(State.ENDED, cause="", ended=stated["ended"] or now())

    def settle(self, table: str) -> None:
        """Its table is written, in the folder `table`. The next run of the same begins anew."""
        self._change(State.SETTLED, table=table)

    def take_back(self, cells: Iterable[Cell], *, suspects: Iterable[str] = ()) -> None:
        """Remove the records of `cells`, which will run again; keep the slugs of those that are suspected."""
        stated = self.read()
        assert stated is not None
        self._change(State.RUNNING, ended=None, suspects=sorted({*stated["suspects"], *suspects}))
        for cell in cells:
            self.record_of(cell).unlink(missing_ok=True)
            for folder in (self.kept, self.artifacts, self.waiting):
                remove_tree(folder / cell.slug)

    def has_waiting(self) -> bool:
        """Whether anything lies there of cells that wait, to be timed or for a duel, or that were being converted."""
        return any(folder.is_dir() and any(folder.iterdir()) for folder in self._for_others())

    def _for_others(self) -> tuple[Path, ...]:
        """The folders of what somebody is still to use, and which can be made again."""
        return self.waiting, self.built, self.units, self.shared, self.artifacts, self.given

    def let_go(self) -> None:
        """Remove what waits, to be timed or for a duel. Whoever goes on with the attempt runs those cells again."""
        if self.state is not State.SETTLED and self._is_of_a_duel():
            # Such a cell has its record already, which says that it can be served.
            if self.state is State.ENDED:
                self.pause("what was ready for the duel was removed.")
            for folder in self.waiting.glob("*"):
                (self.records / f"{folder.name}.json").unlink(missing_ok=True)
        for folder in self._for_others():
            remove_tree(folder)

    def _is_of_a_duel(self) -> bool:
        try:
            return bool(json.loads(self.plan.read_text(encoding="utf-8"))["duel_side"])
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def obstacles(self, parts: Identity) -> list[str]:
        """Why an execution of the identity `parts` cannot go on with this attempt; nothing where it can."""
        stated = self.read()
        if stated is None:
            return ["there is no attempt to go on with"]
        found = [f"{words} differs" for words in differing(stated["identity"], parts)]
        for path in sorted(self.builds.glob("*.json")):
            files = json.loads(path.read_text(encoding="utf-8"))
            found += [
                f"{Path(file).name}, which {model_of(path.stem)} imports, differs" for file in changed_files(files)
            ]
        return found

    def is_foreign(self) -> bool:
        """Whether the folder holds what is no attempt's: somebody's own files, which nothing here may remove."""
        if not self.folder.exists() or self.file.exists():
            return False
        folders = (self.records, self.natives, self.builds, self.kept, self.surroundings, self.scratch)
        own = (self.plan, self.lock, self.ingredients, self.expected, self.events, self.log, *folders)
        names = {HOLD_FILE, HOLDER_FILE, *(path.name for path in (*own, *self._for_others()))}
        # Without an attempt's own file those names alone mean nothing, but for the scratch, which comes before it.
        there = {path.name for path in self.folder.iterdir() if not path.name.startswith(f".{ATTEMPT_FILE}.")}
        return bool(there - names) or bool(there - {HOLD_FILE, HOLDER_FILE} and SCRATCH not in there)

    def of_another(self, plan: Plan) -> str:
        """The cells that are there of another plan, recorded or waiting, in words; nothing where there are none."""
        stated = self.read()
        recorded = {path.stem for path in self.records.glob("*.json") if not path.name.startswith(".")}
        waiting = {path.parent.name for path in self.waiting.glob(f"*/{WAITING_FILE}")} - recorded
        if stated is None or not recorded | waiting:
            return ""
        words = {"device": plan.device, "tier": plan.tier, "models": plan.series, "selected": plan.selected}
        of_plan = {"combination": plan.combination, "extension": plan.extension, **words}
        planned = sorted([cell.model, cell.strategy] for cell in plan.cells)
        if sorted(stated["planned"]) == planned and all(stated.get(name, "") == of_plan[name] for name in of_plan):
            return ""
        part = "selected cells" if stated["selected"] else "a whole run"
        counts = [f"{len(recorded)} recorded"] if recorded else []
        counts += [f"{len(waiting)} waiting to be timed"] if waiting else []
        of = f"{part} of {stated['combination']} ({stated['device']}, tier {stated['tier']})"
        return f"{', '.join(counts)}, of {of}"

    def _path(self, model: str, strategy: str) -> Path:
        return self.records / f"{slug_of(model, strategy)}.json"

    def record_of(self, cell: Cell) -> Path:
        """Where the record of a cell is, once there is one."""
        return self._path(cell.model, cell.strategy)

    def recorded(self, plan: Plan) -> list[Cell]:
        """The cells of a plan that have a record."""
        return [cell for cell in plan.cells if self.record_of(cell).exists()]

    def waiting_cells(self, plan: Plan) -> list[Cell]:
        """The cells of a plan that wait to be timed, and have no record."""
        whole = [cell for cell in plan.cells if (self.waiting / cell.slug / WAITING_FILE).exists()]
        return [cell for cell in whole if not self.record_of(cell).exists()]

    def worked_on(self, plan: Plan) -> list[Cell]:
        """The cells of a plan that have a record, or wait to be timed."""
        return [*self.recorded(plan), *self.waiting_cells(plan)]

    def of_units(self) -> list[Attempt]:
        """The attempts of the units that cells of this one are run in, side by side."""
        return [Attempt(path) for path in sorted(self.units.glob("*")) if path.is_dir()]

    def started(self, cell: Cell) -> None:
        """Tell that a cell is under way."""
        self._event("started", cell)

    def waits(self, cell: Cell) -> None:
        """Tell that a cell came through all but timing."""
        self._event("waiting", cell)

    def timing(self, cell: Cell) -> None:
        """Tell that a cell that waited is timed."""
        self._event("timing", cell)

    def stopped(self, cell: Cell) -> None:
        """Tell that a cell that was under way beside others ended without a record, and will run once more."""
        self._event("stopped", cell)

    def retell(self, event: Mapping[str, Any]) -> None:
        """Tell what the attempt of a unit told, at the time that it did."""
        self._append(event)

    def write(self, cell: Cell, record: Record, details: Mapping[str, Any], *, waits_on: bool = False) -> None:
        """Keep the record of a cell, and tell that it ended; what is left of it goes, unless it `waits_on`."""
        write_json(self.record_of(cell), {"row": record.to_json(), "details": details})
        if not waits_on:
            remove_tree(self.waiting / cell.slug)
        self._event("ended", cell, outcome=record.outcome.value, stage=record.stage.value)

    def carry(self, cell: Cell, told: Mapping[str, Any]) -> None:
        """Keep the record of a cell that was carried over, with the rows of its launches: nobody worked on it here."""
        path = self.record_of(cell)
        partial = path.with_name(f".{path.name}.partial")  # hundreds at once, which can be had again: no `fsync`
        partial.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        partial.replace(path)
        self._event("carried", cell)

    def expect(self, cells: Iterable[Mapping[str, Any]], *, done: Iterable[Cell]) -> None:
        """Keep what `cells` had come to that are run again, beside what is kept of those that are `done` by now.

        What others had come to goes: something may have changed for them since.
        """
        over = {(cell.model, cell.strategy) for cell in done}
        kept = [each for each in self.expectations() if (each["model"], each["strategy"]) in over]
        if found := [*kept, *map(dict, cells)]:
            write_json(self.expected, found)
        else:
            self.expected.unlink(missing_ok=True)

    def expectations(self) -> list[dict[str, Any]]:
        """What `expect` was told of the cells that are run again."""
        try:
            return list(json.loads(self.expected.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return []

    def write_build(self, model: str, native: Mapping[str, Any], modules: Mapping[str, str]) -> None:
        """Keep what a model's build told: what is kept of its native outputs, and the modules that it imported.

        Where it was built before, the digests of then count: a file that was edited in between is found by them.
        """
        path, before = self.builds / f"{file_stem_of(model)}.json", {}
        with contextlib.suppress(FileNotFoundError):
            before = json.loads(path.read_text(encoding="utf-8"))
        write_json(path, {**modules, **before})
        write_json(self.natives / path.name, native)

    def _event(self, what: str, cell: Cell, **more: str | float) -> None:
        self._append({"event": what, "at": time.time(), "model": cell.model, "strategy": cell.strategy, **more})

    def _append(self, line: Mapping[str, Any]) -> None:
        # One write a line, begun on a line of its own: what a full disk cut short spoils no other.
        with self.events.open("ab") as file:
            torn = file.tell() > 0 and not _ends_a_line(self.events)
            file.write((b"\n" if torn else b"") + json.dumps(line).encode() + b"\n")

    def events_from(self) -> Callable[[], Iterator[Mapping[str, Any]]]:
        """A call that yields the events written since it was last made, or since now; whole lines only."""
        position = self.events.stat().st_size if self.events.exists() else 0

        def read() -> Iterator[Mapping[str, Any]]:
            nonlocal position
            if not self.events.exists():
                return
            with self.events.open("rb") as file:
                file.seek(position)
                for line in file:
                    if not line.endswith(b"\n"):
                        return
                    position += len(line)
                    event = _event_of(line)
                    if event is not None:
                        yield event

        return read

    def spans(self) -> dict[tuple[str, str], list[tuple[float, float]]]:
        """When each cell was at work, as `spans_of` says."""
        return spans_of(self._told())

    def told(self, cell: Cell) -> list[dict[str, Any]]:
        """What was told of a cell."""
        return [each for each in self._told() if (each["model"], each["strategy"]) == (cell.model, cell.strategy)]

    def _told(self) -> list[dict[str, Any]]:
        lines = self.events.read_bytes().splitlines() if self.events.exists() else []
        return [event for event in map(_event_of, lines) if event is not None]

    def _close_timing(self) -> None:
        """Tell of the cells that a dead run was timing that they were stopped, at the last that was heard of it.

        When it died nobody knows. What changed after that is not held against them: nobody may have been at work then,
        and nothing is kept of a timing that did not end. One that has a record, of whose end nothing was told, has no
        end still.
        """
        stated = self.read()
        assert stated is not None
        told = self._told()
        of_cells = {(event["model"], event["strategy"]): event["event"] for event in told}
        for model, strategy in map(tuple, stated["planned"]):
            if of_cells.get((model, strategy)) == "timing" and not self._path(model, strategy).exists():
                cell = Cell(stated["combination"], model, strategy, stated["device"])
                self._event("stopped", cell, at=max(event["at"] for event in told))


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"


def _event_of(line: bytes) -> dict[str, Any] | None:
    """The event of a line; None for one that was cut short."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and {"event", "at", "model", "strategy"} <= event.keys() else None
