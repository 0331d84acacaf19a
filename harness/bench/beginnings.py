"""Where a mismatch begins, asked of a child (`harness.bench.locating`). Whatever it says, the cell is what it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.bench.builds import Built
from harness.bench.children import Children
from harness.bench.definitions import Strategy
from harness.bench.disk import remove_tree
from harness.bench.plan import Plan
from harness.bench.requests import LocateRequest

TIME_S = 20.0
_GRACE_S = 10.0
"""What the child may take beyond that: it looks at the clock between runs of the model and of the artifact."""

_MOST_MB = 1024.0
_SHARE = 8
"""The intermediate values of PyTorch may take 1 GiB, and an eighth of what a process of the cell may use."""

KIND, RUNTIME = "onnx", "onnxruntime"


@dataclass(frozen=True)
class Mismatch:
    """An artifact, as its conversion told of it, that answered wrongly on the input set `index` of a build."""

    built: Built
    artifact: Mapping[str, Any]
    index: int
    tolerance: float


def beginning_of(
    mismatch: Mismatch,
    *,
    strategy: Strategy,
    children: Children,
    plan: Plan,
    folder: Path,
    model_file: Path,
    imports: tuple[str, ...],
    warm_imports: tuple[str, ...],
) -> dict[str, Any]:
    """What is known of where it begins: a `harness.bench.location.Begins` as plain values, or `not_located`, a reason.

    With it `input_set`, the name of the one it was seen on, and `seconds`. Of an artifact that is no ONNX file, or is
    served by another runtime, the last ONNX file before it is looked at, and `made_by` names the step that left it.
    The child works in `folder`, which is there and is removed; the cell's conversion left what it made beside it.
    Raises `InfrastructureError`.
    """
    try:
        built, artifact = mismatch.built, mismatch.artifact
        told: dict[str, Any] = {"input_set": built.facts["names"][mismatch.index]}
        path = Path(artifact["path"])
        after: tuple[str, ...] = ()
        if (artifact["kind"], strategy.runtime) != (KIND, RUNTIME):
            before = onnx_before(folder.with_name("convert"), strategy)
            if before is None:
                what = f"this is {artifact['kind']} served by {strategy.runtime}, made without one"
                return {**told, "not_located": f"only ONNX files can be opened; {what}"}
            told["made_by"], path, after = before
        request = LocateRequest(
            folder=str(folder),
            imports=imports,
            threads=plan.policy.threads,
            paths=plan.paths,
            model_file=str(model_file),
            artifact=str(path),
            input_names=artifact.get("input_names") or tuple(built.facts["inputs"]),
            built=str(built.folder),
            index=mismatch.index,
            tolerance=mismatch.tolerance,
            most_mb=min(_MOST_MB, plan.policy.memory_limit_mb / _SHARE),
            time_s=TIME_S,
        )
        done = children.look(request, warm_imports, timeout_s=TIME_S + _GRACE_S)
        told["seconds"] = done.seconds
        if done.failure is not None:
            return {**told, "not_located": f"{done.failure.error_type}: {done.failure.error}"}
        result = done.trail.result or {}
        if "begins" in result:
            begins = result["begins"]
            where = f", in the ONNX file of {told['made_by']}" if after else ""
            return {**told, **begins, "line": f"{begins['line']}{where}"}
        if after and result.get("answers_alike"):
            line = f"{' or '.join(after)}: the ONNX file of {told['made_by']} answers as PyTorch does"
            return {**told, "line": line, "signature": f"after {told['made_by']}", "seen": "later-step"}
        return {**told, "not_located": str(result.get("not_located", "the process said nothing"))}
    finally:
        remove_tree(folder)


def onnx_before(converted: Path, strategy: Strategy) -> tuple[str, Path, tuple[str, ...]] | None:
    """The step that left the last ONNX file of a route, the file, and the steps and the runtime that came after it."""
    left = [sorted((converted / f"artifact-{index}").glob("*")) for index in range(len(strategy.steps))]
    for index in reversed(range(len(left))):
        for path in left[index]:
            if path.suffix == ".onnx":
                # A step that leaves nothing of its own only looked at what it was given.
                later = [name for name, files in zip(strategy.steps, left, strict=True) if files]
                after = later[later.index(strategy.steps[index]) + 1 :]
                return strategy.steps[index], path, (*after, strategy.runtime)
    return None
