"""PyTorch eager."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.bench import Artifact, Inputs, NotApplicable, Runtime
from harness.bench.tensors import to_arrays, to_tensors


class TorchServable:
    """A module on a device, run without gradients and to its end."""

    def __init__(self, module: Any, device: str) -> None:
        self._module = module
        self._device = device
        self.provider = f"torch-{device}"

    def prepare(self, inputs: Inputs) -> Callable[[], Any]:
        """Copy the inputs to the device once; a call then runs the module and waits for the device."""
        import torch

        placed = tuple(tensor.to(self._device) for tensor in to_tensors(inputs))
        synchronize = torch.cuda.synchronize if self._device == "cuda" else None

        def call() -> Any:
            with torch.inference_mode():
                result = self._module(*placed)
            if synchronize is not None:
                synchronize()
            return result

        return call

    def outputs(self, result: Any) -> list[Any]:
        """The outputs on the CPU."""
        return to_arrays(result)


def load(artifact: Artifact, device: str, threads: int, build: Callable[[], Any] | None) -> TorchServable:
    """Build the module, read its state dict, and move it to the device."""
    import torch

    assert build is not None
    torch.set_num_threads(threads)
    if device == "cuda" and not torch.cuda.is_available():
        msg = f"torch {torch.__version__} sees no usable CUDA device"
        raise NotApplicable(msg)
    module = build()
    module.load_state_dict(torch.load(artifact.path, map_location="cpu", weights_only=True))
    return TorchServable(module.to(device), device)


RUNTIME = Runtime(summary="PyTorch eager", serves="state-dict", load=load, imports=("torch",), needs_module=True)
