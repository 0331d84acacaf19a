"""Core ML, which exists on macOS only."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

from harness.bench import Artifact, Inputs, ModuleBuilder, NotApplicable, Runtime
from harness.runtimes._feeding import fed


class CoremlServable:
    """A Core ML package; outputs in the order that its specification lists them in."""

    provider = "coreml"

    def __init__(self, model: Any) -> None:
        self._model = model
        description = model.get_spec().description
        self._inputs = [given.name for given in description.input]
        self._names = [output.name for output in description.output]

    def prepare(self, inputs: Inputs) -> Callable[[], Any]:
        """Feed by name."""
        feed = fed(self._inputs, inputs)
        return lambda: self._model.predict(feed)

    def outputs(self, result: Any) -> list[Any]:
        """The outputs, which are numpy arrays."""
        return [result[name] for name in self._names]


def load(artifact: Artifact, device: str, threads: int, build: ModuleBuilder | None) -> CoremlServable:
    """Load on macOS; elsewhere there is nothing that could run the package."""
    del threads, build
    if platform.system() != "Darwin":
        msg = f"Core ML runs on macOS only, and this is {platform.system()}; the package was converted and can be kept"
        raise NotApplicable(msg)
    if device != "cpu":
        msg = "Core ML chooses among its own compute units, and CUDA is none of them"
        raise NotApplicable(msg)
    import coremltools

    units = coremltools.ComputeUnit.CPU_ONLY
    return CoremlServable(coremltools.models.MLModel(str(artifact.path), compute_units=units))


RUNTIME = Runtime(summary="Core ML", serves="coreml", load=load, imports=())
