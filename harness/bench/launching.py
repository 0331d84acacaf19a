"""The launches of a cell: what a serving process is asked, and what one that was timed tells."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from harness.bench.builds import Built
from harness.bench.children import Done
from harness.bench.definitions import Strategy
from harness.bench.plan import Cell, Plan, imports_of
from harness.bench.registry import Entry, Registry
from harness.bench.requests import BENCHMARK_FILE, ServeRequest

R = TypeVar("R", bound=ServeRequest)

OF_A_PROCESS = ("rss_base_mb", "rss_import_mb", "rss_load_mb", "load_s", "provider")
"""What the trail of a serving process tells, each a column of the record."""

_LIFTED = ("cpu_nodes", "tf32", "host_copies", "gpu_torch_peak_mb", "gpu_tensorflow_peak_mb")
"""Figures of a runtime that are columns of the record."""


def runtime_imports(registry: Registry, strategy: Strategy, model: str, *, own: bool = True) -> tuple[str, ...]:
    """What the serving process imports; a runtime that is not there, or raises, is told in that process.

    With `own`, what the model imports is among it where the runtime serves PyTorch itself.
    """
    entry = registry.runtimes.get(strategy.runtime)
    if entry is None or entry.value is None:
        return ()
    names = imports_of(registry, None, [model]) if own and entry.value.needs_module else ()
    return tuple(dict.fromkeys([*entry.value.imports, *names]))


def serve_request(
    plan: Plan,
    registry: Registry,
    cell: Cell,
    strategy: Strategy,
    built: Built,
    artifact: Mapping[str, Any],
    *,
    folder: Path,
    sets: Sequence[int],
    timed: bool,
    kind: type[R],
) -> R:
    """The request to serve `artifact` on the input sets `sets`, in a process that works in `folder`.

    One that is timed serves no labelled data. `kind` is the request: to serve, or to serve in a duel.
    """
    runtime = registry.runtimes[strategy.runtime]
    # A runtime's file that raised here is told by the process that needs it.
    needs_module = runtime.value is not None and runtime.value.needs_module
    model: Entry[Any] = registry.models[cell.model]
    return kind(
        folder=str(folder),
        imports=runtime_imports(registry, strategy, cell.model),
        threads=plan.policy.threads,
        paths=plan.paths if needs_module else (),
        runtime=strategy.runtime,
        runtime_file=str(runtime.path),
        kind=artifact["kind"],
        artifact=artifact["path"],
        device=cell.device,
        built=str(built.folder),
        input_names=tuple(artifact.get("input_names") or built.facts["inputs"]),
        sets=tuple(sets),
        measure_s=plan.policy.measure_s if timed else 0.0,
        batch=0 if timed else built.facts.get("batch", 0),
        model_file=str(model.path) if needs_module else "",
    )


def process_columns(done: Done) -> dict[str, Any]:
    """The columns that a serving process has told: what it was, and its memory."""
    columns: dict[str, Any] = {name: done.trail.fact(name) for name in OF_A_PROCESS}
    if done.trail.result is not None:
        columns |= {name: done.trail.result.get(name) for name in ("rss_peak_mb", "rss_source")}
    return columns


def runtime_told(done: Done) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a runtime alone can tell of itself: the columns of it, and the rest."""
    facts = dict((done.trail.result or {}).get("facts") or {})
    columns = {name: facts.pop(name) for name in _LIFTED if name in facts}
    if "service_rss_peak_mb" in facts:
        columns["service_rss_mb"] = facts["service_rss_peak_mb"]
    return columns, facts


def launch_of(done: Done, folder: Path, *, started: str, gpu_use: str | None = None) -> dict[str, Any]:
    """What is kept of a launch that was timed in `folder`: seconds a call in each round, and under what conditions.

    `gpu_use` is who used the GPU meanwhile, as `harness.bench.gpu_use` says it; None on the CPU.
    """
    result = done.trail.result or {}
    timing = result.get("timing", {})
    return {
        "started": started,
        "samples_s": [seconds / timing.get("calls", 1) for seconds in rounds_s(folder)],
        **timing,
        **{name: done.trail.fact(name) for name in OF_A_PROCESS if name != "provider"},
        "rss_peak_mb": result.get("rss_peak_mb"),
        "gpu_use": gpu_use,
    }


def rounds_s(folder: Path) -> list[float]:
    """What each round of a launch that served in `folder` took, in seconds."""
    benchmark = folder / BENCHMARK_FILE
    if not benchmark.exists() or not benchmark.stat().st_size:
        return []
    data: list[float] = json.loads(benchmark.read_text(encoding="utf-8"))["benchmarks"][0]["stats"]["data"]
    return data
