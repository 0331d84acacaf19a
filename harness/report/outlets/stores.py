"""Figures for trackers of experiments, MLflow and Weights & Biases, by their own clients.

Both are extras of the package (`conversion-harness[mlflow]`, `conversion-harness[wandb]`). A run of theirs is a table:
the pins are its parameters, a metric is a quantity of a cell, and how many cells came to which outcome.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from harness.bench.errors import UsageError
from harness.report.outlets.facts import Facts, Quantity

Store = Callable[[Facts, str, Path], str]
"""Keeps facts, in the place that was named (empty for the default one) or below a folder; says where they are."""

_PROJECT = "conversion-harness"
_NOT_ALLOWED = re.compile(r"[^\w./ :-]", re.ASCII)
_UNITS = {
    Quantity.LATENCY: "latency_ms",
    Quantity.MEMORY: "peak_memory_mib",
    Quantity.SIZE: "artifact_bytes",
    Quantity.CONVERT: "conversion_s",
    Quantity.ERROR: "relative_error",
}
_LONGEST = 250
"""Characters of a name that MLflow takes."""


def metrics_of(facts: Facts) -> dict[str, float]:
    """The metrics by names that both take: `latency_ms/resnet18/onnx-torchscript:16`, `cells/passed`."""
    found = {_name(f"{_UNITS[each.quantity]}/{each.cell}"): float(each.value) for each in facts.figures}
    return found | {f"cells/{outcome}": float(count) for outcome, count in facts.counts.items()}


def to_mlflow(facts: Facts, place: str, folder: Path) -> str:
    """A run in a tracking store: `place`, else MLFLOW_TRACKING_URI, else an SQLite file in `folder`."""
    mlflow, entities = import_module("mlflow"), import_module("mlflow.entities")
    folder.mkdir(parents=True, exist_ok=True)
    # A store of plain files is one that MLflow does not take any more.
    where = place or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.resolve()}/mlflow.db"
    client = mlflow.MlflowClient(tracking_uri=where)
    known = client.get_experiment_by_name(_PROJECT)
    artifacts = (folder / "mlartifacts").resolve().as_uri()
    own = where.startswith("sqlite:")
    experiment = known.experiment_id if known else client.create_experiment(_PROJECT, artifacts if own else None)
    run = client.create_run(experiment, run_name=_name(f"{facts.subject} {facts.started}")).info
    values = [entities.Metric(name, value, run.start_time, 0) for name, value in metrics_of(facts).items()]
    for part in _parts(values, 1000):
        client.log_batch(run.run_id, metrics=part)
    params = [entities.Param(_name(f"pin.{name}"), version) for name, version in facts.pins.items()]
    tags = [entities.RunTag(_name(name), value) for name, value in {**facts.labels, "decision": facts.decision}.items()]
    for part in _parts(params, 100):
        client.log_batch(run.run_id, params=part)
    client.log_batch(run.run_id, tags=tags)
    client.set_terminated(run.run_id)
    return f"MLflow run {run.run_id} in {where}"


def to_wandb(facts: Facts, place: str, folder: Path) -> str:
    """A run of the project `place`, kept below `folder` and sent nowhere unless WANDB_MODE says so."""
    wandb = import_module("wandb")
    folder.mkdir(parents=True, exist_ok=True)
    run = wandb.init(
        project=place or _PROJECT,
        dir=str(folder),
        mode=os.environ.get("WANDB_MODE", "offline"),
        name=facts.subject,
        config={**facts.labels, "pins": dict(facts.pins), "started": facts.started, "decision": facts.decision},
        settings=wandb.Settings(silent=True, disable_git=True, disable_code=True, x_disable_stats=True),
    )
    # A summary has one value of each name; nothing here is a series by itself.
    run.summary.update(metrics_of(facts))
    kept = run.dir
    run.finish()
    return f"Weights & Biases run in {Path(kept).parent}"


STORES: Mapping[str, Store] = {"mlflow": to_mlflow, "wandb": to_wandb}


def require(package: str) -> None:
    """Raise `UsageError` where a client is not installed."""
    if importlib.util.find_spec(package) is None:
        msg = f"--to {package} needs it: `pip install 'conversion-harness[{package}]'`."
        raise UsageError(msg)


def _parts(values: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    """`values` in as many as one call of MLflow takes."""
    return (values[start : start + most] for start in range(0, len(values), most))


def _name(text: str) -> str:
    """`text` as a name that both take. One that is changed ends with a digest, so that two texts are two names."""
    name = _NOT_ALLOWED.sub("_", text)
    if name == text and len(name) <= _LONGEST:
        return name
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{name[: _LONGEST - len(digest) - 1]}-{digest}"
