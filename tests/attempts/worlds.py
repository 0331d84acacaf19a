"""A repository with a table of one run, an environment that was installed, and ways to change one thing in them."""

from __future__ import annotations

import contextlib
import json
import os
import venv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from harness.attempts import details, identities
from harness.attempts.carrying import NIGHTS, Carrier, is_due, tables_of
from harness.attempts.settling import table_of
from harness.attempts.tasks import Task
from harness.bench import identity as bench_identity
from harness.bench.attempt import Attempt
from harness.bench.environment import description
from harness.bench.plan import Cell, Plan, Policy, expand
from harness.bench.reads import content_of
from harness.bench.record import Record
from harness.bench.registry import discover
from harness.bench.stages import Outcome, Stage
from harness.matrix.environment import Prepared
from harness.tables.ingredients import Surroundings, name_of
from harness.tables.reading import read_table
from harness.tables.schema import Table
from harness.tables.writing import write_table
from tests.attempts.conftest import MODEL, add_package, add_route
from tests.tables.samples import rows_of, timing

HELPED = MODEL.replace("WIDTH", "8").replace("def build():", "import own_net\n\nDATA = 'named.bin'\n\n\ndef build():")


Machines = Callable[[Surroundings], Sequence[Surroundings]]


@dataclass
class World:
    """A repository with one model of a user's own, a strategy of theirs, and an environment that was installed."""

    folder: Path
    plan: Plan
    prepared: Prepared
    inside: dict[str, Any] = field(default_factory=description)

    @property
    def root(self) -> Path:
        return self.folder / "checkout"

    @property
    def site(self) -> Path:
        (found,) = (self.folder / "env").glob("lib/python*/site-packages")
        return found

    def attempt(self, name: str) -> Attempt:
        return Attempt(self.root / ".harness" / "attempts" / "small" / name)

    def begun(
        self, name: str, night: date | None = None, *, machines: Machines | None = None, **conditions: Any
    ) -> tuple[Attempt, list[str]]:
        """A new attempt, with what was carried over into it, and what was told of that.

        Its cells may run on what `machines` makes of this one's surroundings; without it, on this one.
        """
        attempt = self.attempt(name)
        attempt.folder.mkdir(parents=True, exist_ok=True)
        attempt.scratch.mkdir(exist_ok=True)
        inside = {**self.inside, "jobs": 1, **conditions}
        parts = bench_identity.identity(self.plan, self.plan.registry(), inside=inside, lock="")
        attempt.begin(self.plan, parts, inside)
        tables = tables_of([self.root / "results"], "small") if night else ()
        carrier = Carrier(root=self.root, tables=tables, night=night)
        task, among = Task(plan=self.plan), machines or (lambda here: [here])
        return attempt, carrier.take_up(attempt, task, self.prepared, inside, fresh=False, machines=among)

    def seen(
        self,
        started: str,
        records: Mapping[str, Record],
        *,
        nodes: Iterable[Surroundings] = (),
        marks: Mapping[str, str] | None = None,
        **conditions: Any,
    ) -> Table:
        """The table of a run in which each cell, by its strategy, came to one of `records`.

        `nodes` told what they are, and `marks` say on which of them cells ran.
        """
        attempt, _ = self.begun("seen", **conditions)
        identities.keep_machines(attempt, {name_of(each): each for each in nodes})
        for cell in self.plan.cells:
            kept = [timing([0.001, 0.002])] if records[cell.strategy].latency_ms is not None else []
            told = {"reads": self.reads(), "launches": kept, "error": "all of it", **(marks or {})}
            attempt.write(cell, records[cell.strategy], told)
        return self.settled(attempt, started)

    def settled(self, attempt: Attempt, started: str) -> Table:
        attempt.end()
        stated = {**(attempt.read() or {}), "started": started}
        attempt.file.write_text(json.dumps(stated), encoding="utf-8")
        table = table_of([attempt], pins={})
        folder = write_table(self.root / "results", table)
        details.give(self.root, [attempt], table.run, limit_mb=100)
        return read_table(folder)

    def reads(self) -> dict[str, str]:
        """What each cell is said to have read: the model's file, data by a name that is made, and a folder."""
        paths = (self.folder / "good.py", self.folder / "data" / "trained.npz", self.folder / "listed")
        return {str(path): content_of(path) for path in paths}


STARTED = "2026-01-31T12:00:00Z"


def quiet_night(plan: Plan) -> date:
    """A night on which no cell is run again."""
    nights = (date(2026, 2, 1) + timedelta(days=days) for days in range(NIGHTS))
    return next(night for night in nights if not any(is_due(cell, night, seen=STARTED) for cell in plan.cells))


def record(plan: Plan, strategy: str, outcome: Outcome = Outcome.PASSED, **values: Any) -> Record:
    made = Record(
        combination="small",
        extension="",
        model="good",
        strategy=strategy,
        device=plan.device,
        tier="quick",
        outcome=outcome,
        stage=Stage.MEASURE if outcome is Outcome.PASSED else Stage.CONVERT,
        duration_s=1.5,
        convert_s=0.5,
        model_digest="m" * 16,
        strategy_digest="s" * 16,
    )
    if outcome is Outcome.PASSED:
        made = replace(made, relative_error=1e-7, tolerance=1e-4, probes_total=0, latency_ms=1.5, launches=1)
        (launch,) = rows_of(made, [timing([0.001, 0.002])])
        made = replace(made, iterations=launch.rounds * launch.calls, latency_iqr_ms=launch.q3_ms - launch.q1_ms)
    elif outcome.broken:
        made = replace(made, error_type="Fail", error="it fails", fingerprint="f" * 8)
    return replace(made, **values)


def both(plan: Plan, **of_recite: Any) -> dict[str, Record]:
    recite = record(plan, "recite", **{"outcome": Outcome.FAILED, **of_recite})
    return {"native": record(plan, "native"), "recite": recite}


def make_world(folder: Path, kind: type[World] = World) -> World:
    """Such a repository in a folder that is not there yet, with a table of one run."""
    (folder / "checkout" / "matrices").mkdir(parents=True)
    for name, text in (("good.py", HELPED), ("own_net.py", "import own_parts\n"), ("own_parts.py", "PARTS = 1\n")):
        (folder / name).write_text(text, encoding="utf-8")
    for name in ("named.bin", "data/trained.npz", "listed/one"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"1")
    add_route(folder / "plugins", "recite")
    step = folder / "plugins" / "steps" / "recite.py"
    step.write_text(f"from harness.steps import _spoken\n{step.read_text()}", encoding="utf-8")
    (step.parent / "_spoken.py").write_text("from harness.steps import _words\n", encoding="utf-8")
    (step.parent / "_words.py").write_text("WORDS = 1\n", encoding="utf-8")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    add_package(python)
    (site,) = (folder / "env").glob("lib/python*/site-packages")
    (site / "theirs-1.0.dist-info" / "RECORD").write_text("theirs.py,sha256=one,10\n", encoding="utf-8")
    install(site, "edited", {"url": (folder / "edited").as_uri(), "dir_info": {"editable": True}})
    for name in ("edited/edited.py", "edited/compiled.so", "apart/apart.py", "single.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"")
    places = {name: str(folder / name) for name in ("edited", "apart", "single")}
    (site / "__editable___edited_finder.py").write_text(f"MAPPING: dict[str, str] = {places}\n", encoding="utf-8")
    with (site / "edited-1.0.dist-info" / "RECORD").open("a", encoding="utf-8") as record:
        record.write("__editable___edited_finder.py,sha256=two,10\n")
    install(site, "fetched", {"url": "https://example.org/fetched.zip", "archive_info": {}})
    (site / "fetched.py").write_text("FETCHED = 1\n", encoding="utf-8")
    files, plugins = [folder / "good.py"], [folder / "plugins"]
    registry = discover(models=files, plugins=plugins)
    cells = expand(registry, combination="small", device="cpu", tier="quick", strategies=["recite", "native"])
    plan = Plan(
        combination="small",
        device="cpu",
        tier="quick",
        cells=cells,
        models=tuple(map(str, files)),
        plugins=tuple(map(str, plugins)),
        policy=Policy(measure_s=0.01),
        selected=True,
    )
    prepared = Prepared(
        name="small", python=python, python_version="", packages={}, folder=folder, snapshot={}, owners={}
    )
    world = kind(folder, plan, prepared)
    world.seen(STARTED, both(plan))
    return world


def install(site: Path, name: str, address: Mapping[str, Any]) -> None:
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "RECORD").write_text(f"{name}.py,sha256=one,10\n", encoding="utf-8")
    (info / "direct_url.json").write_text(json.dumps(address), encoding="utf-8")


@contextlib.contextmanager
def other(path: Path, content: bytes = b"# other\n") -> Iterator[None]:
    """A file with another content for a while; it may not have been there."""
    before = (path.read_bytes(), path.stat()) if path.exists() else None
    path.write_bytes((before[0] if before else b"") + content)
    yield
    if before is None:
        path.unlink()
        return
    path.write_bytes(before[0])
    os.utime(path, ns=(before[1].st_atime_ns, before[1].st_mtime_ns))


def replace_world(world: World, **values: Any) -> World:
    return type(world)(**{**vars(world), **values})


def run_now(world: World, name: str = "now", *, machines: Machines | None = None, **conditions: Any) -> set[str]:
    """The strategies of the cells that `--changed` leaves to be run."""
    attempt, _ = world.begun(name, quiet_night(world.plan), machines=machines, **conditions)
    return {cell.strategy for cell in world.plan.cells} - {cell.strategy for cell in attempt.recorded(world.plan)}


def night_of(cell: Cell) -> date:
    """The first night after that of the table on which a cell is run again."""
    nights = (date(2026, 2, 1) + timedelta(days=days) for days in range(NIGHTS))
    return next(night for night in nights if is_due(cell, night, seen=STARTED))


def other_machine(world: World) -> dict[str, Any]:
    return {"machine": {**world.inside["machine"], "cores": world.inside["machine"]["cores"] + 1}}


def machine_of_one_make(world: World) -> dict[str, Any]:
    """One of which firmware takes a little more."""
    return {"machine": {**world.inside["machine"], "memory_mb": world.inside["machine"]["memory_mb"] - 1}}
