"""TensorFlow Lite, by the LiteRT interpreter, which needs no TensorFlow beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.bench import Artifact, Inputs, NotApplicable, Runtime


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
        indices = self._inputs(list(inputs))
        for index, value in zip(indices, inputs.values(), strict=True):
            if tuple(details[index]["shape"]) != value.shape:
                self._interpreter.resize_tensor_input(index, value.shape, strict=True)
        self._interpreter.allocate_tensors()
        values = [
            _fitted(value, details[index]["dtype"]) for index, value in zip(indices, inputs.values(), strict=True)
        ]

        def call() -> Any:
            for index, value in zip(indices, values, strict=True):
                self._interpreter.set_tensor(index, value)
            self._interpreter.invoke()
            return [self._interpreter.get_tensor(index) for index in self._outputs]

        return call

    def outputs(self, result: Any) -> list[Any]:
        """Copies of the output tensors."""
        return list(result)


def _fitted(value: Any, dtype: Any) -> Any:
    """Whole numbers as the file's own type: litert-torch makes int64 inputs int32, which its callers have to give.

    Only where every number stays what it is; any other difference is left for the interpreter to refuse.
    """
    import numpy as np

    if value.dtype == dtype or not (np.issubdtype(value.dtype, np.integer) and np.issubdtype(dtype, np.integer)):
        return value
    narrowed = value.astype(dtype)
    return narrowed if np.array_equal(narrowed, value) else value


def _tensors(interpreter: Any) -> tuple[Callable[[list[str]], list[int]], list[int]]:
    """Which tensors the inputs go to, given the model's names, and which hold the outputs, in the model's order."""
    signatures = interpreter.get_signature_list()
    ins = [detail["index"] for detail in interpreter.get_input_details()]
    outs = [detail["index"] for detail in interpreter.get_output_details()]
    if not signatures:
        return (lambda _: ins), outs
    runner = interpreter.get_signature_runner(next(iter(signatures)))
    by_input = {name: detail["index"] for name, detail in runner.get_input_details().items()}
    by_output = {name: detail["index"] for name, detail in runner.get_output_details().items()}

    def inputs(names: list[str]) -> list[int]:
        # litert-torch names them by position, `args_0`, `args_1`, …; we name them as the model does.
        keys = names if set(names) == set(by_input) else sorted(by_input, key=_position)
        return [by_input[key] for key in keys]

    return inputs, [by_output[name] for name in sorted(by_output, key=_position)]


def _position(name: str) -> tuple[int, str]:
    tail = name.rpartition("_")[2]
    return (int(tail), "") if tail.isdigit() else (0, name)


def load(artifact: Artifact, device: str, threads: int, build: Callable[[], Any] | None) -> TfliteServable:
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
