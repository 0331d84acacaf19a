"""PyTorch eager."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.bench import Artifact, Inputs, ModuleBuilder, Runtime
from harness.bench.tensors import flatten, to_arrays, to_tensors
from harness.runtimes._devices import set_up_torch, torch_devices, torch_tf32


class TorchServable:
    """A module on a device, run without gradients and to its end; `provider` is where its outputs were."""

    def __init__(self, call: Callable[..., Any], device: str) -> None:
        self._call = call
        self._device = device
        self.provider = "torch"

    def prepare(self, inputs: Inputs) -> Callable[[], Any]:
        """Copy the inputs to the device once; a call then runs the module and waits for the device."""
        import torch

        placed = tuple(tensor.to(self._device) for tensor in to_tensors(inputs))
        synchronize = torch.cuda.synchronize if self._device == "cuda" else None

        def call() -> Any:
            with torch.inference_mode():
                result = self._call(*placed)
            if synchronize is not None:
                synchronize()
            return result

        return call

    def outputs(self, result: Any) -> list[Any]:
        """The outputs on the CPU."""
        self.provider = "-".join(filter(None, ("torch", torch_devices(flatten(result)))))
        return to_arrays(result)

    def facts(self) -> Mapping[str, Any]:
        """Whether TF32 was allowed, on CUDA."""
        return torch_tf32(self._device)


def load(artifact: Artifact, device: str, threads: int, build: ModuleBuilder | None) -> TorchServable:
    """Build the module, read its state dict, and move it to the device."""
    import torch

    assert build is not None
    set_up_torch(device, threads)
    module = build()
    module.load_state_dict(torch.load(artifact.path, map_location="cpu", weights_only=True))
    return TorchServable(build.caller(module.to(device)), device)


RUNTIME = Runtime(summary="PyTorch eager", serves="state-dict", load=load, imports=("torch",), needs_module=True)
