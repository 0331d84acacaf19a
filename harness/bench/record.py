"""The record: one cell's row, and what every column means.

The bench writes one JSON file a cell: the row under ``"row"`` and, under ``"details"``, what a table has no room
for (raw samples, the traceback, seconds by stage). Tables are made from the rows alone.
"""

from __future__ import annotations

import datetime
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from harness.bench.stages import Outcome, Stage

ERROR_LENGTH = 500


def _column(description: str, *, unit: str = "", digits: str = "") -> Any:
    """A column with its documentation; `digits` is the format that fixes a number's digits in a table."""
    return field(default=None, metadata={"description": description, "unit": unit, "digits": digits})


def _key(description: str) -> Any:
    return field(metadata={"description": description, "unit": "", "digits": ""})


@dataclass(frozen=True, kw_only=True)
class Record:
    """One row of `cells.csv`. None is "not measured" and is written as nothing, never as 0."""

    combination: str = _key("name of the combination")
    extension: str = _key("what the strategy needs on top of the combination; empty where that is nothing")
    model: str = _key("name of the model")
    strategy: str = _key("name of the strategy, with the parameter it was bound to")
    device: str = _key("`cpu` or `cuda`: where the artifact was served")
    tier: str = _key("tier of the run: `quick`, `core` or `full`")
    outcome: Outcome = _key("what became of the cell: " + ", ".join(f"`{o.value}`" for o in Outcome))
    stage: Stage = _key(
        "the stage that the cell ended in; of a passed cell `measure`, or `probe` where nothing was to be timed. "
        "In order: " + ", ".join(f"`{s.value}`" for s in Stage)
    )
    error_type: str | None = _column("class of the error, the signal's name, or what stopped the cell")
    error: str | None = _column(
        f"the error's message or the reason, at most {ERROR_LENGTH} characters, paths normalised"
    )
    fingerprint: str | None = _column(
        "signature of the failure, equal for one cause over versions, machines, shapes, opsets and names of nodes; a "
        "mismatch's, and that of an error without a message, is of its model too; empty where the cause was not "
        "recorded"
    )
    operator: str | None = _column("the operator that the error is about, such as `aten::unflatten` or `Gather`")
    place: str | None = _column("where in the model it failed: a module's path, a node of the graph, or `FILE:LINE`")
    difference: str | None = _column("the first difference from the native output: which output, where, how much")
    begins_at: str | None = _column(
        "where a mismatch begins: the first operator of the artifact whose output leaves the native one"
    )
    grade: str | None = _column(
        "`excellent` (MSE below 1e-5), `acceptable` (below 1e-3) or `investigate`; shown, never decides"
    )
    mse: float | None = _column("mean squared error against the native output, worst output", digits=".3e")
    max_abs_error: float | None = _column("largest absolute error, worst output", digits=".3e")
    relative_error: float | None = _column("‖a − b‖ / ‖b‖ against the native output, worst output", digits=".3e")
    cosine: float | None = _column("cosine of the angle to the native output, worst output", digits=".9f")
    noise_floor_mse: float | None = _column(
        "the native output's own noise: largest MSE between two eager runs, and against float64", digits=".3e"
    )
    tolerance: float | None = _column("relative error above which the cell counts as mismatched", digits=".3e")
    probes_relative_error: float | None = _column(
        "the same as `relative_error` over the probes, the worst", digits=".3e"
    )
    probes_passed: int | None = _column("probes whose outputs matched")
    probes_skipped: int | None = _column("probes of another shape, skipped since the artifact is static in shape")
    probes_total: int | None = _column("probes that the model has")
    probes_derived: int | None = _column(
        "those of them that were made from the example, by permuting its values, since the model's file has none"
    )
    accuracy_native: float | None = _column("accuracy of the native model on its labelled data", digits=".4f")
    accuracy_converted: float | None = _column("accuracy of the converted model on the same data", digits=".4f")
    convert_s: float | None = _column("time of all steps together", unit="s", digits=".3f")
    load_s: float | None = _column("time to load the artifact into the runtime", unit="s", digits=".3f")
    latency_ms: float | None = _column(
        "median over launches of each launch's median, for the example input", unit="ms", digits=".6f"
    )
    latency_iqr_ms: float | None = _column(
        "median over launches of each launch's interquartile range", unit="ms", digits=".6f"
    )
    latency_spread: float | None = _column(
        "largest less smallest of the launches' medians, over `latency_ms`; empty for a single launch", digits=".3f"
    )
    latency_quality: str | None = _column(
        "what speaks against the latency: `busy` (others used the machine), `shared` (others used the GPU, or it "
        "cannot be told), `unsteady` (never warm), `drift` (within a launch), `spread` (over launches); empty where "
        "nothing does"
    )
    launches: int | None = _column("fresh serving processes that were timed")
    iterations: int | None = _column("timed calls over all launches, those of a round each")
    latency_ratio: float | None = _column("latency over that of the `native` cell of the same run", digits=".3f")
    rss_base_mb: float | None = _column(
        "memory of the serving process before it imports the runtime", unit="MiB", digits=".1f"
    )
    rss_import_mb: float | None = _column("the same after importing the runtime", unit="MiB", digits=".1f")
    rss_load_mb: float | None = _column("the same after loading the artifact", unit="MiB", digits=".1f")
    rss_peak_mb: float | None = _column(
        "peak of the same while executing the example and the probes", unit="MiB", digits=".1f"
    )
    rss_source: str | None = _column("where these figures are from, and why there is no peak where that is empty")
    service_rss_mb: float | None = _column(
        "peak memory of the second process, where the model is a service of its own", unit="MiB", digits=".1f"
    )
    overhead_ms: float | None = _column(
        "latency of a request to such a service less that of the `native` cell of the same run", unit="ms", digits=".4f"
    )
    gpu_peak_mb: float | None = _column(
        "peak GPU memory while executing the example and the probes", unit="MiB", digits=".1f"
    )
    gpu_source: str | None = _column(
        "where that figure is from: `nvml-process`, `nvml-device` (in use less idle, of a GPU that nobody else used), "
        "or why there is none"
    )
    gpu_torch_peak_mb: float | None = _column(
        "what PyTorch's tensors took of it at most, by its own allocator; neither CUDA nor what is kept back is in it",
        unit="MiB",
        digits=".1f",
    )
    gpu_tensorflow_peak_mb: float | None = _column("the same of TensorFlow's", unit="MiB", digits=".1f")
    artifact_bytes: int | None = _column("size of what is served, with every file beside it", unit="B")
    opset: int | None = _column("opset of the default domain as written in the ONNX file")
    ir_version: int | None = _column("IR version as written in the ONNX file")
    provider: str | None = _column("what executed the artifact, as the runtime reports it")
    cpu_nodes: int | None = _column(
        "nodes of the graph that ran on the CPU although the cell's device is `cuda`, by ONNX Runtime's own profile"
    )
    tf32: str | None = _column("`on` or `off`: whether the runtime was allowed TF32 while serving; empty on the CPU")
    host_copies: int | None = _column(
        "whether a timed call copies inputs to the GPU and outputs from it: 1, or 0 where both stay there (ONNX "
        "Runtime: by I/O binding); empty on the CPU"
    )
    duration_s: float | None = _column(
        "wall time of the whole cell, the build of its model left out", unit="s", digits=".2f"
    )
    model_digest: str | None = _column("digest of the model's file and of the user's own code that it imports")
    weights_digest: str | None = _column("digest of the bits that the weights were filled with")
    strategy_digest: str | None = _column("digest of the files of the strategy, its steps and its runtime")
    identity: str | None = _column(
        "digest of everything with a say in what became of the cell: cells of equal identity are the same "
        "(`identity.json` has the parts); empty where not all of that is known"
    )
    carried_from: str | None = _column(
        "when the run started that saw the cell, in UTC, where this one carried it over; it has no figures of time and "
        "memory where that was on another machine; empty for a cell that this run ran"
    )

    @property
    def cell(self) -> tuple[str, str, str]:
        """What identifies the cell among the cells of any run: model, strategy, device."""
        return self.model, self.strategy, self.device

    @property
    def cell_id(self) -> str:
        """The cell's id, such as `torch2.1/resnet18/onnx-torchscript:16`."""
        return f"{self.combination}/{self.model}/{self.strategy}"

    def seen_at(self, started: str) -> str:
        """When the run started that ran the cell; `started` is when that of its table did."""
        return self.carried_from or started

    def to_json(self) -> dict[str, Any]:
        """The row as plain values."""
        row = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**row, "outcome": self.outcome.value, "stage": self.stage.value}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Record:
        """The inverse of `to_json`."""
        return cls(**{**row, "outcome": Outcome(row["outcome"]), "stage": Stage(row["stage"])})


def now(*, after: str = "") -> str:
    """The time in UTC, to the second, by which tables are called: in the second of `after` the next is waited for."""
    while True:
        moment = datetime.datetime.now(datetime.timezone.utc)
        told = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        if told != after:
            return told
        time.sleep(1 - moment.microsecond / 1e6)


def write_json(path: Path, value: Any) -> None:
    """Write `value` so that a reader finds the old file or the new one, never a part."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, allow_nan=True)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
