"""TensorFlow, from a SavedModel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.bench import Artifact, Inputs, NotApplicable, Runtime


class SavedModelServable:
    """The serving signature of a SavedModel."""

    def __init__(self, loaded: Any, device: str) -> None:
        self._loaded = loaded  # keeps the variables alive
        self._signature = loaded.signatures["serving_default"]
        self._device = "/GPU:0" if device == "cuda" else "/CPU:0"
        self.provider = f"tensorflow-{device}"

    def prepare(self, inputs: Inputs) -> Callable[[], Any]:
        """Place the inputs once; a call runs the signature and waits for its first output."""
        import tensorflow as tf

        with tf.device(self._device):
            placed = {name: tf.constant(value) for name, value in inputs.items()}
        synchronize = self._device == "/GPU:0"

        def call() -> Any:
            result = self._signature(**placed)
            if synchronize:
                tf.test.experimental.sync_devices()
            return result

        return call

    def outputs(self, result: Any) -> list[Any]:
        """`output_0`, `output_1`, … as numpy arrays."""
        return [result[name].numpy() for name in sorted(result, key=_position)]


def _position(name: str) -> tuple[int, str]:
    tail = name.rpartition("_")[2]
    return (int(tail), "") if tail.isdigit() else (0, name)


def load(artifact: Artifact, device: str, threads: int, build: Callable[[], Any] | None) -> SavedModelServable:
    """Set threads and memory growth before the first operation, then load."""
    del build
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if device == "cuda":
        gpus = tf.config.list_physical_devices("GPU")
        if not gpus:
            msg = (
                f"tensorflow {tf.__version__} sees no GPU: it is built without CUDA, or its CUDA libraries are missing"
            )
            raise NotApplicable(msg)
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    return SavedModelServable(tf.saved_model.load(str(artifact.path)), device)


RUNTIME = Runtime(summary="TensorFlow", serves="saved-model", load=load, imports=("tensorflow",))
