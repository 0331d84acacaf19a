"""PyTorch eager inside a TensorFlow process: what claim C14 calls hybrid deployment without a service.

A request is TensorFlow tensors, before and after; between them PyTorch runs. Both frameworks are imported, have
their thread pools and allocators, and have run operations before memory is read.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from typing import Any

from harness.bench import Artifact, Inputs, ModuleBuilder, Runtime
from harness.bench.memory import rss_mb
from harness.bench.tensors import as_array, flatten
from harness.runtimes._devices import (
    set_up_tensorflow,
    set_up_torch,
    tensorflow_devices,
    tensorflow_facts,
    torch_devices,
    torch_facts,
    wait_for_tensorflow,
)


class _Mallinfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks"),
            *("uordblks", "fordblks", "keepcost"),
        )
    ]


def heap() -> dict[str, float]:
    """What malloc holds, and how much of that lies idle, kept from the system by fragmentation; empty where unknown."""
    try:
        mallinfo = ctypes.CDLL(None).mallinfo2  # glibc 2.33 and later
    except (AttributeError, OSError):
        return {}
    mallinfo.restype = _Mallinfo
    info = mallinfo()
    return {"heap_mb": info.arena / 2**20, "heap_free_mb": info.fordblks / 2**20}


class HybridServable:
    """A module on a device, between two functions of TensorFlow's; `provider` is where both had their tensors."""

    def __init__(self, call: Callable[..., Any], device: str, *, release: Callable[[], None] | None) -> None:
        import tensorflow as tf

        self._call = call
        self._device = device
        self._release = release
        self._side = "/GPU:0" if device == "cuda" else "/CPU:0"
        # Whatever stands around the model: enough for TensorFlow to have traced, optimised and run a graph.
        self._around = tf.function(lambda *tensors: [tf.identity(tensor) for tensor in tensors], autograph=False)
        self._torch_devices = ""
        self.provider = "torch in tensorflow"

    def prepare(self, inputs: Inputs) -> Callable[[], Any]:
        """Make the request's tensors on TensorFlow's side."""
        import tensorflow as tf

        with tf.device(self._side):
            placed = [tf.constant(value) for value in inputs.values()]
        return lambda: self._answer(placed)

    def _answer(self, request: list[Any]) -> list[Any]:
        import numpy as np
        import tensorflow as tf
        import torch

        # By way of numpy: DLPack would share the memory, and several versions of the two refuse each other's.
        # TensorFlow gives a tensor without dimensions as a number, of which numpy has to make an array again.
        given = [torch.from_numpy(np.array(tensor.numpy())).to(self._device) for tensor in self._around(*request)]
        with torch.inference_mode():
            leaves = flatten(self._call(*given))
            self._torch_devices = self._torch_devices or torch_devices(leaves)
            result = [as_array(leaf) for leaf in leaves]
        with tf.device(self._side):
            answer = list(self._around(*(tf.constant(array) for array in result)))
        if self._device == "cuda":
            wait_for_tensorflow()  # PyTorch is waited for by the copies of what it answered
        if self._release is not None:
            del given, leaves, result
            self._release()
        return answer

    def outputs(self, result: Any) -> list[Any]:
        """The answer's tensors as numpy arrays."""
        self.provider = f"torch-{self._torch_devices} in tensorflow-{tensorflow_devices(result)}"
        return [tensor.numpy() for tensor in result]

    def facts(self) -> Mapping[str, Any]:
        """Memory after the last request, and how much of malloc's share lies idle.

        On CUDA also whether either framework allows TF32, and what the tensors of each took; a request goes from one to
        the other by way of the host.
        """
        told = {"rss_after_mb": rss_mb(), **heap()}
        if self._device != "cuda":
            return told
        ours, theirs = torch_facts(self._device), tensorflow_facts(self._device)
        tf32 = "on" if "on" in (ours["tf32"], theirs["tf32"]) else "off"
        return {**told, "host_copies": 1, **ours, **theirs, "tf32": tf32}


def open_servable(
    artifact: Artifact,
    device: str,
    threads: int,
    build: ModuleBuilder | None,
    *,
    release: Callable[[], None] | None,
) -> HybridServable:
    """Set both frameworks' threads before their first operation, then load the module."""
    import torch

    assert build is not None
    set_up_tensorflow(device, threads)
    set_up_torch(device, threads)
    module = build()
    module.load_state_dict(torch.load(artifact.path, map_location="cpu", weights_only=True))
    return HybridServable(build.caller(module.to(device)), device, release=release)


def load(artifact: Artifact, device: str, threads: int, build: ModuleBuilder | None) -> HybridServable:
    """Without any release: both frameworks keep what they have taken."""
    return open_servable(artifact, device, threads, build, release=None)


RUNTIME = Runtime(
    summary="PyTorch eager and TensorFlow in one process",
    serves="state-dict",
    load=load,
    imports=("torch", "tensorflow"),
    needs_module=True,
)
