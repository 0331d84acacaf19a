"""Runs one plan to its table: the environment through tox, the bench in it, rows for what could not be had.

What the bench writes lies under `.harness/runs/` until the table is made of it. A run that was killed is found
there by the digest of its plan and of everything that it ran, and goes on where it was.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from harness.bench import environment as inside
from harness.bench.errors import UsageError
from harness.bench.fingerprint import fingerprint, normalise_paths, shorten
from harness.bench.plan import Plan, split
from harness.bench.record import Record, write_json
from harness.bench.registry import PACKAGE, Entry
from harness.bench.session import Output
from harness.bench.stages import Outcome, Stage
from harness.matrix.combination import Combination, extended
from harness.matrix.environment import clean_environ, install
from harness.matrix.locks import Lock
from harness.tables.ingest import ingest
from harness.tables.schema import Table

_POLL_S = 0.2


class Observer(Protocol):
    """Who follows a run; see `harness.report.live`."""

    def begin(self, combination: str, planned: int, done: Mapping[str, int]) -> None:
        """A combination's cells begin; `done` counts the outcomes that an earlier run left."""

    def started(self, model: str, strategy: str) -> None:
        """A cell is under way."""

    def ended(self, model: str, strategy: str, outcome: str, stage: str) -> None:
        """A cell has its record."""

    def note(self, text: str) -> None:
        """Something that a person should know."""

    def busy(self, text: str) -> None:
        """What is being done before cells run."""


@dataclass(frozen=True)
class Refusal:
    """Why none of a plan's cells can run: what is recorded of each."""

    outcome: Outcome
    stage: Stage
    error_type: str
    reason: str


@dataclass(frozen=True)
class Ready:
    """A plan and the interpreter to run it with, or why there is none."""

    plan: Plan
    python: Path | None
    pins: Mapping[str, str]
    refusal: Refusal | None = None


def prepare(root: Path, plan: Plan, combination: Combination | None, lock: Lock | None, observer: Observer) -> Ready:
    """Have the environment of a plan installed, or say why it cannot be; without a combination there is no such one."""
    name = extended(plan.combination, plan.extension)
    if combination is None or lock is None:
        reason = f"{plan.combination} has no extension {plan.extension!r}; add matrices/{name}.in and lock it"
        return Ready(plan, None, {}, Refusal(Outcome.NOT_APPLICABLE, Stage.RESOLVE, "NotApplicable", reason))
    if lock.reason:
        refusal = Refusal(Outcome.UNRESOLVABLE, Stage.RESOLVE, "NoSolution", lock.reason)
        return Ready(plan, None, combination.pins, refusal)
    observer.busy(f"{name}: installing through tox")
    environment = install(root, name, root / ".harness" / "logs" / f"{name}-install.log")
    refusal = Refusal(Outcome.FAILED, Stage.INSTALL, "InstallError", environment.problem)
    return Ready(plan, environment.python, combination.pins, refusal if environment.problem else None)


def digest(plan: Plan, python: Path | None) -> str:
    """Equal for two runs that would record the same: the plan, and every file that has a say in it.

    An environment without a lock is known by its interpreter.
    """
    registry = plan.registry()
    contents = hashlib.sha256(json.dumps(asdict(plan), sort_keys=True).encode())
    kinds: list[Iterable[Entry[Any]]] = [registry.models.values(), registry.steps.values()]
    kinds += [registry.strategies.values(), registry.runtimes.values()]
    for entry in itertools.chain.from_iterable(kinds):
        contents.update(f"{entry.name} {entry.digest}".encode())
    for path in sorted((PACKAGE / "bench").glob("*.py")):
        contents.update(path.read_bytes())
    contents.update(Path(plan.lock).read_bytes() if plan.lock else str(python).encode())
    return contents.hexdigest()[:12]


def folder_of(root: Path, plan: Plan, python: Path | None) -> Path:
    """Where the records of a plan are gathered."""
    name = extended(plan.combination, plan.extension)
    return root / ".harness" / "runs" / name / f"{plan.device}-{plan.tier}-{digest(plan, python)}"


def run(root: Path, ready: Ready, observer: Observer, *, fresh: bool = False, keep: bool = True) -> Table:
    """Run every cell of a plan and make the table; without `keep`, what an earlier run left is not gone on with.

    Raises `UsageError` where the bench refuses the plan. What it could not record is in the table's run as missing.
    """
    output = Output(folder_of(root, ready.plan, ready.python))
    resume = keep and _unfinished(output)
    if not resume:
        shutil.rmtree(output.folder, ignore_errors=True)
    output.folder.mkdir(parents=True, exist_ok=True)
    before = _outcomes(output, ready.plan) if resume else {}
    if resume:
        observer.note(f"going on with {sum(before.values())} cells that an interrupted run recorded")
    observer.begin(extended(ready.plan.combination, ready.plan.extension), len(ready.plan.cells), before)
    if ready.refusal is not None:
        refuse(output, ready.plan, ready.refusal)
    elif sum(before.values()) < len(ready.plan.cells):
        assert ready.python is not None
        _bench(root, ready.python, ready.plan, output, observer, fresh=fresh, resume=resume)
    return ingest(output.folder, pins=ready.pins)


def settle(root: Path, jobs: Iterable[Ready]) -> None:
    """Say that the table of these plans is written: the next run of the same begins anew.

    Not before: a run of several environments that is killed in the second goes on there, and keeps the first.
    """
    for ready in jobs:
        Output(folder_of(root, ready.plan, ready.python)).settled.touch()


def _unfinished(output: Output) -> bool:
    """Whether an earlier run of the same digest left records that no table was made of."""
    return output.session.exists() and not output.settled.exists()


def _outcomes(output: Output, plan: Plan) -> dict[str, int]:
    counts: dict[str, int] = {}
    for cell in output.recorded(plan):
        outcome = json.loads(output.record_of(cell).read_text(encoding="utf-8"))["row"]["outcome"]
        counts[outcome] = counts.get(outcome, 0) + 1
    return counts


def refuse(output: Output, plan: Plan, refusal: Refusal) -> None:
    """Record every cell of a plan whose environment could not be had, with the reason."""
    registry = plan.registry()
    description = {**inside.description(), "packages": {}, "python": ""}
    output.begin(plan, description, resume=False)
    text = normalise_paths(refusal.reason)
    broken = refusal.outcome.broken
    for cell in plan.cells:
        record = Record(
            combination=plan.combination,
            extension=plan.extension,
            model=cell.model,
            strategy=cell.strategy,
            device=cell.device,
            tier=plan.tier,
            outcome=refusal.outcome,
            stage=refusal.stage,
            error_type=refusal.error_type,
            error=shorten(text),
            fingerprint=fingerprint(refusal.error_type, text) if broken else None,
            model_digest=registry.models[cell.model].digest,
            strategy_digest=registry.strategy_digest(split(cell.strategy)[0]),
        )
        output.write(cell, record, {"error": text})
    output.end()


def _bench(
    root: Path, python: Path, plan: Plan, output: Output, observer: Observer, *, fresh: bool, resume: bool
) -> None:
    """Run pytest in the environment until it ends, telling the observer what it writes."""
    write_json(output.plan, plan.to_json())
    command = [str(python), "-m", "pytest", f"-c{PACKAGE / 'bench' / 'pytest.ini'}"]
    command += ["-pharness.bench", f"--plan={output.plan}", f"--out={output.folder}", "-q", "-pno:cacheprovider"]
    command += [*(["--fresh"] if fresh else []), *(["--resume"] if resume else [])]
    log = output.folder / "pytest.log"
    events = _events(output)
    with log.open("a", encoding="utf-8") as file:
        process = subprocess.Popen(
            command,
            cwd=root,
            env=clean_environ(pinned=bool(plan.lock)),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        while process.poll() is None:
            _tell(observer, events)
            time.sleep(_POLL_S)
    except BaseException:
        process.send_signal(signal.SIGINT)
        process.wait()
        raise
    _tell(observer, events)
    if output.refusal.exists():
        reason = output.refusal.read_text(encoding="utf-8")
        shutil.rmtree(output.folder)
        raise UsageError(reason)
    if not output.session.exists():
        tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        msg = f"the bench did not start in {extended(plan.combination, plan.extension)}:\n{tail}"
        raise UsageError(msg)


def _events(output: Output) -> Callable[[], Iterator[Mapping[str, Any]]]:
    """A call that yields the events written since it was last made, whole lines only."""
    position = output.events.stat().st_size if output.events.exists() else 0

    def read() -> Iterator[Mapping[str, Any]]:
        nonlocal position
        if not output.events.exists():
            return
        with output.events.open("rb") as file:
            file.seek(position)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                position += len(line)
                yield json.loads(line)

    return read


def _tell(observer: Observer, events: Callable[[], Iterator[Mapping[str, Any]]]) -> None:
    for event in events():
        if event["event"] == "started":
            observer.started(event["model"], event["strategy"])
        else:
            observer.ended(event["model"], event["strategy"], event["outcome"], event["stage"])
