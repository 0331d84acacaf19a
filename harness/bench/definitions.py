"""What a file in `model_zoo`, `steps`, `strategies` and `runtimes` declares, and the types that pass between them.

One file, one module constant: ``MODEL = Model(…)``, ``STEP = Step(…)``, ``STRATEGY = Strategy(…)``,
``RUNTIME = Runtime(…)``. The file's stem, with ``_`` read as ``-``, is the thing's name. Nothing here imports a
framework, so the orchestrator reads the same files without any.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

Inputs = Mapping[str, Any]
"""Input name to numpy array, in the order of the module's `forward`."""

State = Mapping[str, Any]
"""Name in the state dict to numpy array, in the state dict's order."""

TIERS = ("quick", "core", "full")
"""From the smallest to the largest; each tier includes the ones before it."""


class NotApplicable(Exception):  # noqa: N818 - it is an outcome, no error
    """A step or a runtime raises this where a cell cannot exist; the message is the reason, in a user's terms."""


@dataclass(frozen=True)
class Model:
    """A reference model: a module, an example input, probes, and what is known of them.

    `build` returns the `torch.nn.Module`; the bench puts it into eval mode (unless `train_mode`) and fills its
    weights from `harness.bench.weights`, so `build` never loads or draws any. With `train_mode` it is deployed as
    somebody who forgot `model.eval()` does (claim C11): converted and served in train mode, and held against what it
    answers in eval mode.
    `example` and each probe return the inputs as numpy arrays (`uniform`, `integers`), in the order of `forward`.
    `dynamic` names the dimensions that may vary: ``{"x": {0: "batch"}}``. A probe of another shape than the
    example's may differ in those dimensions only.
    `gains` scales the weights: glob on the parameter's name to a factor (default 1.0; the first match counts).
    `twin` builds the same model by hand in TensorFlow: it takes the state dict as numpy arrays and returns a
    callable that takes the inputs, as tensors in `forward`'s order and layout, and returns the outputs likewise.
    `tensorflow_implementation` builds the same architecture from a TensorFlow library that nobody wrote for this model
    (`keras.applications`, Hugging Face's TF classes), for weights to be transferred into: a built Keras model.
    `tolerance` replaces the relative error from which a conversion counts as mismatched; `tolerance_reason` says why.
    `weights` gives a trained state dict, used instead of filling; with `keep_weights` the module keeps those that
    `build` gave it, as a model has that was loaded from a file (`harness.bench.saved`).
    `labelled` gives a held-out test set: the inputs of all its rows in one batch, and an integer label a row; output
    0 holds the logits. The number of rows is a multiple of the example's batch, and rows are served in batches of
    that size: accuracy is then to be had of artifacts that are static in shape, and comparable between strategies.
    `extension` names the extension that the model's own imports need; its cells run there.
    `expected_breaks` tells readers where the model should break, and since which issue; the bench never reads it.
    """

    summary: str
    family: str
    build: Callable[[], Any]
    example: Callable[[], Inputs]
    probes: Mapping[str, Callable[[], Inputs]]
    dynamic: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    gains: Mapping[str, float] = field(default_factory=dict)
    twin: Callable[[State], Any] | None = None
    tensorflow_implementation: Callable[[], Any] | None = None
    imports: tuple[str, ...] = ("torch",)
    tier: str = "quick"
    train_mode: bool = False
    tolerance: float | None = None
    tolerance_reason: str = ""
    weights: Callable[[], State] | None = None
    keep_weights: bool = False
    labelled: Callable[[], tuple[Inputs, Any]] | None = None
    extension: str = ""
    expected_breaks: str = ""

    def __post_init__(self) -> None:
        if self.tier not in TIERS:
            msg = f"tier is {self.tier!r}, and must be one of {', '.join(TIERS)}"
            raise ValueError(msg)
        if (self.tolerance is None) != (not self.tolerance_reason):
            msg = "tolerance and tolerance_reason go together: say why this model needs its own"
            raise ValueError(msg)


@dataclass(frozen=True)
class Artifact:
    """What a step leaves on disk: a file or a folder. `kind` is what the next step or the runtime looks for.

    `facts` are columns of the record that only the artifact itself can tell, such as `opset`.
    """

    kind: str
    path: Path
    facts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class StepContext:
    """What a step may use. `module` is built, filled and in the model's mode; `inputs` is the example.

    `parameters` holds what the strategy's spelling binds (``{"opset": 16}``), `folder` is an empty folder of the
    cell's own to write to, `model_file` the file that declares the model.
    """

    model_name: str
    model: Model
    module: Any
    inputs: Inputs
    output_count: int
    parameters: Mapping[str, Any]
    folder: Path
    model_file: Path = Path()

    def tensors(self) -> tuple[Any, ...]:
        """The example as torch tensors, in the order of `forward`."""
        from harness.bench.tensors import to_tensors

        return to_tensors(self.inputs)

    def state(self) -> dict[str, Any]:
        """The module's state dict as numpy arrays."""
        return {name: value.detach().numpy() for name, value in self.module.state_dict().items()}


@dataclass(frozen=True)
class Step:
    """Turns one artifact into another. `run` gets None as artifact where the step starts from the module itself.

    `stage` is `convert` or `validate`: what a failure in it is called.
    """

    summary: str
    run: Callable[[StepContext, Artifact | None], Artifact]
    produces: str
    consumes: str = "module"
    stage: str = "convert"
    imports: tuple[str, ...] = ()


@dataclass(frozen=True)
class Strategy:
    """A named route of steps and a runtime.

    `shapes` says whether the artifact takes other sizes in the model's dynamic dimensions: "dynamic" or "static".
    `parameter` is the name that ``strategy:value`` binds (an integer), with `values` its spellings per tier; the
    strategy without a value always exists and leaves the choice to the tool.
    `needs_twin` and `needs_implementation` say what a model's file must have for the strategy to exist for it: a twin,
    a TensorFlow implementation.
    `tools` names the distributions that do the work, whose versions are worth showing; `limits` says in a sentence
    what the route cannot do, whatever the model.
    """

    summary: str
    steps: tuple[str, ...]
    runtime: str
    shapes: str = "dynamic"
    parameter: str | None = None
    values: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    needs_twin: bool = False
    needs_implementation: bool = False
    extension: str = ""
    tools: tuple[str, ...] = ()
    limits: str = ""

    def __post_init__(self) -> None:
        if self.shapes not in ("dynamic", "static"):
            msg = f"shapes is {self.shapes!r}, and must be 'dynamic' or 'static'"
            raise ValueError(msg)


class Servable(Protocol):
    """A loaded artifact. `provider` is what executed it, as the runtime itself reports it; it is asked after `outputs`.

    It may have `facts()`, asked once, after measuring, and then nothing else: figures of this runtime alone (a second
    process's memory), name to finite number. They go into the record's details; `cpu_nodes` (a count) and `tf32`
    ("on" or "off") are columns.
    """

    provider: str

    def prepare(self, inputs: Inputs) -> Callable[[], Any]:
        """Place `inputs` where the runtime wants them and return a call that runs once, to its end."""
        ...

    def outputs(self, result: Any) -> list[Any]:
        """What one call returned, as numpy arrays in the model's order."""
        ...


@dataclass(frozen=True)
class Runtime:
    """What serves an artifact, in a process that imports nothing but `imports`.

    `load(artifact, device, threads, build)` returns a servable; `build` makes the filled module, for the runtime that
    serves PyTorch itself (`needs_module`), and is None for every other. `load` raises `NotApplicable` with what is
    missing where the runtime has no build for the device; it never falls back to another one in silence.
    """

    summary: str
    serves: str
    load: Callable[[Artifact, str, int, Callable[[], Any] | None], Servable]
    imports: tuple[str, ...]
    needs_module: bool = False
