"""From a cell's record to its script."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.bench import own_code
from harness.bench.cards import ModelCard, RuntimeCard
from harness.bench.errors import BenchBrokenError
from harness.bench.group import end_leftovers
from harness.bench.logs import LOG_FILE, tail
from harness.bench.places import CODE
from harness.bench.plan import split
from harness.bench.processes import LAUNCHER
from harness.bench.progress import RESULT_FILE
from harness.bench.record import Record
from harness.bench.registry import Entry, Registry
from harness.bench.requests import ReproduceRequest
from harness.bench.stages import Outcome, Stage
from harness.matrix import tooling
from harness.reproducing import script
from harness.reproducing.facts import NotReproducibleError
from harness.reproducing.pinning import Pinned, Source, pinned, public_environ
from harness.reproducing.slicing import Slicer

_TELL_S = 600.0
_LOG_BYTES = 2000

_NOTHING_TO_SHOW: Mapping[Outcome, str] = {
    Outcome.PASSED: "it passed, so that there is nothing to show",
    Outcome.NOT_APPLICABLE: "it is not applicable: there is nothing that failed",
    Outcome.UNRESOLVABLE: (
        "its pins have no solution, which needs no script: `uv pip compile` of the combination's file shows it"
    ),
    Outcome.OUT_OF_MEMORY: "it ran out of memory, or beyond the limit that the harness watches: no script shows that",
}


@dataclass(frozen=True, kw_only=True)
class Made:
    """A script, what it is installed with, and the modules that it imports or needs."""

    text: str
    pins: Pinned
    modules: tuple[str, ...]

    def under(self, source: Source) -> Made:
        """The same script with other versions."""
        pins = pinned(source, self.modules)
        text = self.text.replace(self.pins.header(), pins.header())
        return Made(text=text, pins=pins, modules=self.modules)

    def that_passes_with(self, other: Pinned) -> str:
        """Its text, which says with which other versions it passes."""
        before, after = ({**each.rest, **each.direct} for each in (self.pins, other))
        moved = [name for name in before if after.get(name, before[name]) != before[name]]
        told = ", ".join(f"{name} {after[name]}" for name in sorted(moved)) or "the same versions elsewhere"
        line = script.wrapped(f"Passes with {told}.")
        return self.text.replace(f"\n\n{script.RUN_IT}", f"\n{line}\n\n{script.RUN_IT}", 1)


def make(record: Record, registry: Registry, source: Source, *, cell: str) -> Made:
    """The script of a broken cell, with the versions of `source`; `cell` is how it is named on the command line.

    Raises `NotReproducibleError` where no script can show it, with the reason and what would help.
    """
    if reason := nothing_to_show(record):
        msg = f"{record.cell_id}: {reason}."
        raise NotReproducibleError(msg)
    entry = registry.models[record.model]
    slicer = Slicer(entry.path, own_code.modules_of(entry.path, entry.paths), own=entry.own)
    card = entry.value
    declared = card.imports if card is not None else ()
    route = _route(record, registry)
    if record.stage is Stage.IMPORT:
        names = dict.fromkeys([*declared, *_imports(record, registry)])
        code = script.Code(parts=[f"import {name}" for name in names])
        if record.outcome is Outcome.TIMED_OUT:
            code.parts.insert(0, f'print("{script.reached(record)}", flush=True)')
    else:
        told = _told(record, entry, slicer, declared, source)
        code = script.body(record, route, slicer, told, source.pins)
    future = b"from __future__ import annotations" in slicer.file.text and bool(slicer.sliced().definitions)
    empty = Pinned(python=source.python, direct={}, rest={})
    draft = script.written(record, empty, code, slicer, cell=cell, future=future)
    needed = dict.fromkeys([*script.imported(draft), *_imports(record, registry), "numpy"])
    modules = tuple(dict.fromkeys(name.partition(".")[0] for name in needed))
    pins = pinned(source, modules)
    text = script.written(record, pins, code, slicer, cell=cell, future=future)
    _check_private(text)
    return Made(text=text, pins=pins, modules=modules)


def nothing_to_show(record: Record) -> str:
    """Why no script can show how a cell ended, by its row alone; empty where one might."""
    reason = _NOTHING_TO_SHOW.get(record.outcome, "")
    if record.stage is Stage.INSTALL:
        return "its packages could not be installed, which needs no script: `uv pip install` of its lock shows it"
    if record.stage is Stage.MEASURE and not reason:
        return "it went wrong only while it was timed, call after call, which one call does not show"
    return reason


def _route(record: Record, registry: Registry) -> script.Route:
    strategy = registry.strategies[split(record.strategy)[0]].declared
    steps = [(name, Stage(registry.steps[name].declared.stage)) for name in strategy.steps]
    return script.Route(steps=steps, runtime=strategy.runtime, parameter=strategy.parameter)


def _imports(record: Record, registry: Registry) -> list[str]:
    """What the steps and the runtime import as far as the cell came."""
    strategy = registry.strategies[split(record.strategy)[0]].declared
    runtime: Entry[RuntimeCard] = registry.runtimes[strategy.runtime]
    at_import = record.stage is Stage.IMPORT
    steps = strategy.steps if at_import else [name for name, _ in script.steps_of(record, _route(record, registry))]
    found = [name for step in steps for name in registry.steps[step].declared.imports]
    return [*found, *(runtime.declared.imports if at_import or script.comes_to(record, Stage.LOAD) else ())]


def _told(
    record: Record, entry: Entry[ModelCard], slicer: Slicer, declared: Iterable[str], source: Source
) -> Mapping[str, Any]:
    """What the model's child says, in an environment of what the model alone needs."""
    slicer.called("build")
    sliced = slicer.sliced()
    own = script.imported("\n".join([*sliced.imports, *sliced.definitions]))
    modules = dict.fromkeys(name.partition(".")[0] for name in ["torch", "numpy", *declared, *own])
    pins = pinned(source, modules)
    with tempfile.TemporaryDirectory(prefix="harness-reproduce-", ignore_cleanup_errors=True) as place:
        folder = Path(place).resolve()
        probe = script.probe_of(record)
        ReproduceRequest(
            folder=str(folder),
            paths=tuple(map(str, entry.paths)),
            model_file=str(entry.path),
            input_sets=("", *([probe] if probe else [])),
        ).write()
        command = [tooling.uv(), "run", "--quiet", "--no-project", "--python", source.python]
        command += [word for each in pins.requirements for word in ("--with", each)]
        command += [word for url in pins.indexes for word in ("--extra-index-url", url)]
        command += ["--index-strategy=unsafe-best-match"] if pins.indexes else []
        command += ["python", str(LAUNCHER), ReproduceRequest.role, str(folder)]
        log = folder / LOG_FILE
        try:
            code = tooling.run(
                command,
                cwd=folder,
                environ=public_environ(mirror=pins.mirror),
                log=log,
                marker=str(folder),
                timeout_s=_TELL_S,
            )
        finally:
            end_leftovers(str(folder))
        if code or not (folder / RESULT_FILE).is_file():
            msg = f"the model could not be looked at (exit code {code}):\n{tail(log, _LOG_BYTES)}\n"
            raise BenchBrokenError(msg)
        told: dict[str, Any] = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
        return told


def _check_private(text: str) -> None:
    """Raise where anything of this machine is in a script that is meant for others."""
    places: Sequence[Path] = (Path.home(), CODE, Path.cwd())
    for line in text.splitlines():
        for place in places:
            if place != Path("/") and f"{place}/" in line:
                msg = f"the script would name a folder of this machine ({place}) in: {line.strip():.100}. Replace it."
                raise NotReproducibleError(msg)
