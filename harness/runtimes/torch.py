"""PyTorch eager."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.bench import Artifact, Inputs, ModuleBuilder, Runtime
from harness.bench.tensors import as_array, flatten, to_arrays, to_tensors
from harness.runtimes._devices import set_up_torch, torch_devices, torch_facts


class TorchServable:
    """A module on a device, run without gradients and to its end; `provider` is where its outputs were.

    This process serves and does nothing else: it enters PyTorch's inference mode here, once. To enter it with every
    call takes 1.3 microseconds, a fifth of the smallest call.
    """

    def __init__(self, call: Callable[..., Any], device: str) -> None:
        import torch

        self._mode = torch.inference_mode()
        self._mode.__enter__()
        self._call = call
        self._device = device
        self._changes_inputs = False
        self.provider = "torch"

    def prepare(self, inputs: Inputs) -> Callable[[], Any]:
        """Copy the inputs to the device once; a call then runs the module and waits for the device.

        Where the first call changes what it is given (`x.mul_(2)`), each later one gets a copy, which its time then has
        in it: a service would have to make that copy too.
        """
        import torch

        run, placed = self._call, self._placed(inputs)
        synchronize = torch.cuda.synchronize if self._device == "cuda" else None
        changed: bool | None = None  # not known before the first call

        def call() -> Any:
            nonlocal placed, changed
            result = run(*([tensor.clone() for tensor in placed] if changed else placed))
            if synchronize is not None:
                synchronize()
            if changed is None:
                changed = not _hold(placed, inputs)
                if changed:  # anew, since the answer may share the memory of what was changed
                    placed, self._changes_inputs = self._placed(inputs), True
            return result

        return call

    def _placed(self, inputs: Inputs) -> tuple[Any, ...]:
        """Tensors as a caller has them, of which a module may still ask for gradients."""
        import torch

        with torch.inference_mode(False):
            return tuple(tensor.to(self._device) for tensor in to_tensors(inputs))

    def outputs(self, result: Any) -> list[Any]:
        """The outputs on the CPU."""
        self.provider = "-".join(filter(None, ("torch", torch_devices(flatten(result)))))
        return to_arrays(result)

    def facts(self) -> Mapping[str, Any]:
        """On CUDA, whether TF32 was allowed, and what tensors took; calls have inputs and outputs on the device.

        `inputs_copied` is 1 where each timed call had to copy its inputs.
        """
        placed = {"host_copies": 0, **torch_facts(self._device)} if self._device == "cuda" else {}
        return {**placed, **({"inputs_copied": 1} if self._changes_inputs else {})}


def _hold(placed: Sequence[Any], inputs: Inputs) -> bool:
    """Whether the tensors still are the inputs, bit by bit."""
    arrays = map(as_array, placed)
    return all(
        (array.shape, array.dtype, array.tobytes()) == (value.shape, value.dtype, value.tobytes())
        for array, value in zip(arrays, inputs.values(), strict=True)
    )


def load(artifact: Artifact, device: str, threads: int, build: ModuleBuilder | None) -> TorchServable:
    """Build the module, read its state dict, and move it to the device."""
    import torch

    assert build is not None
    set_up_torch(device, threads)
    module = build()
    module.load_state_dict(torch.load(artifact.path, map_location="cpu", weights_only=True))
    return TorchServable(build.caller(module.to(device)), device)


RUNTIME = Runtime(summary="PyTorch eager", serves="state-dict", load=load, imports=("torch",), needs_module=True)
