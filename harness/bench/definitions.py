"""What a file in `model_zoo`, `steps`, `strategies` and `runtimes` declares, and the types that pass between them.

One file, one module constant: ``MODEL = Model(…)``, ``STEP = Step(…)``, ``STRATEGY = Strategy(…)``,
``RUNTIME = Runtime(…)``. The file's stem, with ``_`` read as ``-``, is the thing's name. Nothing here imports a
framework, so the orchestrator reads the same files without any.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.bench.structure import has_number_keys, rebuilt

if TYPE_CHECKING:
    from harness.bench.binding import Binding

Inputs = Mapping[str, Any]
"""Input name to numpy array, or in a model's file to a dict, list, tuple, named tuple or dataclass of arrays."""

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
    `example` and each probe return the inputs as numpy arrays (`uniform`, `integers`), by the names of `forward`'s
    arguments; one may be a dict, a list or a tuple of arrays, or None (docs/adding.md). `constants` are the arguments
    that are no tensors, such as a flag: name to value, equal in every call.
    `dynamic` names the dimensions that may vary, by the path of an input: ``{"x": {0: "batch"}, "pair[1]": {0:
    "batch"}}``. A probe of another shape than the example's may differ in those dimensions only.
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
    constants: Mapping[str, Any] = field(default_factory=dict)
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

    `inputs` are the flat arrays that go into it, by the names that an artifact is to have them under, in the order of
    `forward`; `binding` says how they are its arguments. `output_count` counts the tensors that it returns.
    `parameters` holds what the strategy's spelling binds (``{"opset": 16}``), `folder` is an empty folder of the
    cell's own to write to, `model_file` the file that declares the model, `paths` folders that it may import from.
    """

    model_name: str
    model: Model
    module: Any
    inputs: Inputs
    output_count: int
    parameters: Mapping[str, Any]
    folder: Path
    binding: Binding
    model_file: Path = Path()
    paths: tuple[Path, ...] = ()

    @property
    def dynamic(self) -> dict[str, dict[int, str]]:
        """The model's dynamic dimensions, by the names of `inputs`."""
        named = zip(self.inputs, self.binding.paths, strict=True)
        return {name: dict(self.model.dynamic[path]) for name, path in named if path in self.model.dynamic}

    def tensors(self) -> tuple[Any, ...]:
        """The example as torch tensors, one after the other: what `flat_module` takes."""
        from harness.bench.tensors import to_tensors

        return to_tensors(self.inputs)

    def call(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The example as `forward` takes it: arguments and keyword arguments, tensors in their containers."""
        return self.binding.call(self.tensors(), self.model.constants)

    def positional_call(self) -> tuple[Any, tuple[Any, ...]] | None:
        """The module, and the example as it takes it without keywords; None where it cannot, or not without constants.

        None also where a dict has whole numbers for keys, which tracing to TorchScript does not take. What is left out
        is None in it.
        """
        positional = self.binding.positional
        if positional is None or self.binding.needs_wrapper or any(map(has_number_keys, positional)):
            return None
        tensors = self.tensors()
        return self.module, tuple(rebuilt(spec, tensors, {}) for spec in positional)

    def flat_module(self) -> Any:
        """A module that takes `tensors()`: `module` itself, or where `forward` is called otherwise a wrapper of it."""
        if self.binding.plain:
            return self.module
        from harness.bench.wrapping import wrapped

        return wrapped(self.module, self.binding, self.model.constants, tuple(self.inputs))

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

    It may have `facts()`, asked once in a process, and then nothing else: figures of this runtime alone (a second
    process's memory), name to finite number. Those of the last timed process count, else of the untimed one. They go
    into the record's details; `cpu_nodes` (a count), `tf32` ("on" or "off"), `host_copies` (0 or 1),
    `gpu_torch_peak_mb` and `gpu_tensorflow_peak_mb` are columns.
    """

    provider: str

    def prepare(self, inputs: Inputs) -> Callable[[], Any]:
        """Place `inputs` where the runtime wants them and return a call that runs once, to its end."""
        ...

    def outputs(self, result: Any) -> list[Any]:
        """What one call returned, as numpy arrays in the model's order."""
        ...


class ModuleBuilder(Protocol):
    """Makes the module of a model, for a runtime that serves PyTorch itself."""

    def __call__(self) -> Any:
        """The module in its mode; its weights are those of the artifact to come."""
        ...

    def caller(self, module: Any) -> Callable[..., Any]:
        """A function of the inputs, in order, that calls `module` by the names and in the containers of `forward`."""
        ...


@dataclass(frozen=True)
class Runtime:
    """What serves an artifact, in a process that imports nothing but `imports`.

    `load(artifact, device, threads, build)` returns a servable; `build` makes the module, for the runtime that serves
    PyTorch itself (`needs_module`), and is None for every other. `load` raises `NotApplicable` with what is
    missing where the runtime has no build for the device; it never falls back to another one in silence.
    """

    summary: str
    serves: str
    load: Callable[[Artifact, str, int, ModuleBuilder | None], Servable]
    imports: tuple[str, ...]
    needs_module: bool = False
