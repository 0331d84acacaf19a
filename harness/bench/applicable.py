"""Whether a cell can exist at all, as far as that is known before anything is run."""

from __future__ import annotations

from harness.bench.definitions import Strategy
from harness.bench.failure import Failure, absent, lacking
from harness.bench.launching import runtime_imports
from harness.bench.plan import imports_of
from harness.bench.registry import Registry
from harness.bench.stages import Outcome, Stage

PYTORCH_ITSELF = ("state-dict", "torch-service")
"""Kinds of artifacts that mean nothing without the module, which each environment builds for itself."""


def not_applicable(
    registry: Registry, strategy: Strategy, model: str, *, converted_by: str | None, pinned: bool
) -> Failure | None:
    """Why a cell cannot exist; None where nothing speaks against it.

    `converted_by` is the strategy's spelling, None where it serves what was converted elsewhere. `pinned` says whether
    the environment is of a lock.
    """
    card = registry.models[model].value
    if strategy.needs_twin and card is not None and not card.has_twin:
        return _failure(Stage.CONVERT, "the model has no twin: nobody has recreated it in TensorFlow")
    if strategy.needs_implementation and card is not None and not card.has_tensorflow_implementation:
        text = "the model's file names no TensorFlow implementation that its weights could be transferred into"
        return _failure(Stage.CONVERT, text)
    runtime = registry.runtimes.get(strategy.runtime)
    itself = runtime is not None and runtime.value is not None and runtime.value.serves in PYTORCH_ITSELF
    if converted_by is None and itself:
        text = f"{strategy.runtime} serves PyTorch itself: there is no artifact that another version could serve"
        return _failure(Stage.LOAD, text)
    # A model's own imports may lie beside it: only its build can tell.
    declared = (*imports_of(registry, converted_by, []), *runtime_imports(registry, strategy, model, own=False))
    module = absent(declared)
    return lacking(module, pinned=pinned, stage=Stage.IMPORT) if module else None


def _failure(stage: Stage, text: str) -> Failure:
    return Failure(Outcome.NOT_APPLICABLE, stage, "NotApplicable", text)
