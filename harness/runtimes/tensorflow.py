"""TensorFlow, from a SavedModel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.bench import Artifact, Inputs, ModuleBuilder, Runtime
from harness.runtimes._devices import set_up_tensorflow, tensorflow_devices, tensorflow_facts, wait_for_tensorflow
from harness.runtimes._feeding import fed, in_order


class SavedModelServable:
    """The serving signature of a SavedModel; `provider` is where its outputs were."""

    def __init__(self, loaded: Any, device: str) -> None:
        self._loaded = loaded  # keeps the variables alive
        self._signature = loaded.signatures["serving_default"]
        self._inputs = list(self._signature.structured_input_signature[1])
        self._device = device
        self._place = "/GPU:0" if device == "cuda" else "/CPU:0"
        self.provider = "tensorflow"

    def prepare(self, inputs: Inputs) -> Callable[[], Any]:
        """Place the inputs once; a call runs the signature and waits for the device."""
        import tensorflow as tf

        with tf.device(self._place):
            placed = {name: tf.constant(value) for name, value in fed(self._inputs, inputs).items()}
        synchronize = self._device == "cuda"

        def call() -> Any:
            result = self._signature(**placed)
            if synchronize:
                wait_for_tensorflow()
            return result

        return call

    def outputs(self, result: Any) -> list[Any]:
        """`output_0`, `output_1`, … as numpy arrays."""
        self.provider = "-".join(filter(None, ("tensorflow", tensorflow_devices(result.values()))))
        return [result[name].numpy() for name in in_order(result)]

    def facts(self) -> Mapping[str, Any]:
        """On CUDA, whether TF32 was allowed, and what tensors took; calls have inputs and outputs on the device."""
        return {"host_copies": 0, **tensorflow_facts(self._device)} if self._device == "cuda" else {}


def load(artifact: Artifact, device: str, threads: int, build: ModuleBuilder | None) -> SavedModelServable:
    """Set TensorFlow up before its first operation, then load."""
    del build
    import tensorflow as tf

    set_up_tensorflow(device, threads)
    return SavedModelServable(tf.saved_model.load(str(artifact.path)), device)


RUNTIME = Runtime(summary="TensorFlow", serves="saved-model", load=load, imports=("tensorflow",))
