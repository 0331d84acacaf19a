"""TensorFlow Lite, by the LiteRT interpreter, which needs no TensorFlow beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.bench import Artifact, Inputs, ModuleBuilder, NotApplicable, Runtime
from harness.runtimes._feeding import fed, in_order


class TfliteServable:
    """The signature of the file where it has one, else its inputs and outputs in their order.

    A new shape makes the interpreter allocate again; that belongs to `prepare`, not to the call.
    """

    provider = "tflite-cpu"

    def __init__(self, interpreter: Any) -> None:
        self._interpreter = interpreter
        self._inputs, self._outputs = _tensors(interpreter)

    def prepare(self, inputs: Inputs) -> Callable[[], Any]:
        """Resize and allocate where the shape is another one, and set the inputs with every call."""
        details = {detail["index"]: detail for detail in self._interpreter.get_input_details()}
        given = _by_index(self._inputs, inputs)
        for index, value in given.items():
            if tuple(details[index]["shape"]) != value.shape:
                self._interpreter.resize_tensor_input(index, value.shape, strict=True)
        self._interpreter.allocate_tensors()
        values = {index: _fitted(value, details[index]["dtype"]) for index, value in given.items()}

        return _calling(self._interpreter, tuple(values.items()), self._outputs)

    def outputs(self, result: Any) -> list[Any]:
        """Copies of the output tensors."""
        return list(result)


def _calling(interpreter: Any, values: Sequence[tuple[int, Any]], outputs: Sequence[int]) -> Callable[[], Any]:
    """A call that sets the inputs, runs, and has copies of the outputs.

    The smallest call takes a microsecond, of which loops over one input and one output would be a third.
    """
    set_tensor, invoke, get_tensor = interpreter.set_tensor, interpreter.invoke, interpreter.get_tensor
    if len(values) == len(outputs) == 1:
        (index, value), (output,) = *values, outputs

        def call_of_one() -> Any:
            set_tensor(index, value)
            invoke()
            return (get_tensor(output),)

        return call_of_one

    def call() -> Any:
        for index, value in values:
            set_tensor(index, value)
        invoke()
        return [get_tensor(output) for output in outputs]

    return call


def _fitted(value: Any, dtype: Any) -> Any:
    """Whole numbers as the file's own type: litert-torch makes int64 inputs int32, which its callers have to give.

    Only where every number stays what it is; any other difference is left for the interpreter to refuse.
    """
    import numpy as np

    if value.dtype == dtype or not (np.issubdtype(value.dtype, np.integer) and np.issubdtype(dtype, np.integer)):
        return value
    narrowed = value.astype(dtype)
    return narrowed if np.array_equal(narrowed, value) else value


_POSITION = re.compile(r"args_(\d+)")
_SERVED = re.compile(r"serving_default_(.*):\d+")


def _by_index(names: Mapping[str, int], inputs: Inputs) -> dict[int, Any]:
    """The inputs that the file has, by the index of their tensors.

    litert-torch calls them by position, `args_0`, `args_1`, …; all else goes by name.
    """
    ours = list(inputs)
    positions = {name: _POSITION.fullmatch(name) for name in names if name not in inputs}
    by_position = {name: int(found[1]) for name, found in positions.items() if found}
    if len(by_position) == len(names) and all(position < len(ours) for position in by_position.values()):
        return {names[name]: inputs[ours[position]] for name, position in by_position.items()}
    return {names[name]: value for name, value in fed(names, inputs).items()}


def _tensors(interpreter: Any) -> tuple[dict[str, int], list[int]]:
    """The tensors that inputs go to, by name, and those that hold the outputs, in the model's order."""
    ins, outs = interpreter.get_input_details(), interpreter.get_output_details()
    signatures = interpreter.get_signature_list()
    if not signatures:
        named = {_served_name(detail["name"]): detail["index"] for detail in ins}
        return named, [detail["index"] for detail in outs]
    runner = interpreter.get_signature_runner(next(iter(signatures)))
    by_output = {name: detail["index"] for name, detail in runner.get_output_details().items()}
    by_input = {name: detail["index"] for name, detail in runner.get_input_details().items()}
    return by_input, [by_output[name] for name in in_order(by_output)]


def _served_name(name: str) -> str:
    """What a file without a signature calls an input: `serving_default_x:0` is `x`."""
    found = _SERVED.fullmatch(name)
    return found[1] if found else name


def load(artifact: Artifact, device: str, threads: int, build: ModuleBuilder | None) -> TfliteServable:
    """Open the file; the interpreter of this package runs on the CPU."""
    del build
    if device != "cpu":
        msg = "the LiteRT interpreter of ai-edge-litert runs on the CPU; its GPU delegate is for phones"
        raise NotApplicable(msg)
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(artifact.path), num_threads=threads)
    return TfliteServable(interpreter)


RUNTIME = Runtime(
    summary="LiteRT, the TensorFlow Lite interpreter",
    serves="tflite",
    load=load,
    imports=("numpy", "ai_edge_litert.interpreter"),
)
