"""The hybrid runtime with an explicit release after every request: what the guides advise against fragmentation."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable

from harness.bench import Artifact, ModuleBuilder, Runtime
from harness.runtimes.hybrid import HybridServable, open_servable


def releaser(device: str) -> Callable[[], None]:
    """Collect garbage, empty PyTorch's CUDA cache, and give malloc's idle pages back to the system."""
    import torch

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)

    def release() -> None:
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()
        if trim is not None:
            trim(0)

    return release


def load(artifact: Artifact, device: str, threads: int, build: ModuleBuilder | None) -> HybridServable:
    """As the hybrid runtime, with a release."""
    return open_servable(artifact, device, threads, build, release=releaser(device))


RUNTIME = Runtime(
    summary="PyTorch eager and TensorFlow in one process, memory released after every request",
    serves="state-dict",
    load=load,
    imports=("torch", "tensorflow"),
    needs_module=True,
)
