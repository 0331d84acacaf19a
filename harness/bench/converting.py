"""The child that converts: it runs a strategy's steps one after the other.

It reads a `ConvertRequest`; its result has `kind`, `path`, `facts`, `artifact_bytes` and `convert_s`.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from pathlib import Path

from harness.bench import tensors
from harness.bench.binding import from_json
from harness.bench.child import begin, work_on
from harness.bench.definitions import Artifact, Model, Step, StepContext
from harness.bench.progress import Progress
from harness.bench.registry import load, name_of
from harness.bench.requests import BUILT_FILE, ConvertRequest
from harness.bench.stages import Stage

FACTS = frozenset({"opset", "ir_version"})
"""The columns of the record that an artifact tells."""


def main(folder: Path) -> None:
    """Work on the request in `folder` and end the process."""
    work_on(folder, ConvertRequest, convert, watched=True)


def convert(request: ConvertRequest, progress: Progress) -> None:
    """Import, build the module as its native outputs were made with, and run every step."""
    progress.enter(Stage.IMPORT)
    steps = [load(Path(path), "STEP", Step).declared for _, path in request.steps]
    begin(request)
    progress.enter(Stage.BUILD)
    entry = load(Path(request.model_file), "MODEL", Model)
    model = entry.declared
    module, _ = tensors.build(model)
    built = json.loads((Path(request.built) / BUILT_FILE).read_text(encoding="utf-8"))
    inputs = dict(zip(built["inputs"], tensors.load(Path(request.built) / "inputs-0.npz"), strict=True))
    folder = Path(request.folder)
    context = StepContext(
        model_name=name_of(entry.path),
        model=model,
        module=module,
        inputs=inputs,
        output_count=len(built["paths"][0]) - len(built["numbers"][0]),
        parameters=request.parameters,
        folder=folder,
        binding=from_json(built["binding"]),
        model_file=entry.path,
        paths=tuple(map(Path, request.paths)),
    )
    artifact: Artifact | None = None
    facts: dict[str, int] = {}
    started = time.monotonic()
    for index, step in enumerate(steps):
        progress.enter(Stage(step.stage))
        own = folder / f"artifact-{index}"
        own.mkdir()
        artifact = step.run(dataclasses.replace(context, folder=own), artifact)
        _check(step, artifact)
        facts.update(artifact.facts)
    assert artifact is not None
    progress.finish(
        kind=artifact.kind,
        path=str(artifact.path),
        facts=facts,
        artifact_bytes=_size(artifact.path if artifact.path.is_dir() else artifact.path.parent),
        convert_s=time.monotonic() - started,
    )


def _check(step: Step, artifact: Artifact) -> None:
    """Raise where a step did not leave what it said, or tells something of it that is no column's."""
    if artifact.kind != step.produces or not artifact.path.exists():
        msg = f"the step said that it leaves {step.produces} and left {artifact.kind} at {artifact.path.name}"
        raise RuntimeError(msg)
    strange = {str(name) for name in artifact.facts} - FACTS
    if strange:
        msg = f"the step told {', '.join(sorted(strange))}; an artifact's facts are {', '.join(sorted(FACTS))}"
        raise RuntimeError(msg)
    _check_types(artifact.facts)


def _check_types(facts: Mapping[str, object]) -> None:
    for name, value in facts.items():
        if not isinstance(value, int) or isinstance(value, bool):
            msg = f"the step told {name}={value!r:.80}, and it must be a whole number"
            raise TypeError(msg)


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size
