"""ONNX Runtime, on the provider of the device and on no other."""

from __future__ import annotations

import contextlib
import ctypes
import site
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.bench import Artifact, Inputs, NotApplicable, Runtime

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxServable:
    """An inference session; on CUDA with inputs and outputs bound to the device, so that copies are not timed."""

    def __init__(self, session: Any, device: str) -> None:
        self._session = session
        self._device = device
        self._names = [output.name for output in session.get_outputs()]
        self.provider = session.get_providers()[0]

    def prepare(self, inputs: Inputs) -> Callable[[], Any]:
        """Feed by name on the CPU; on CUDA bind once and run bound."""
        if self._device == "cpu":
            feed = dict(inputs)
            return lambda: self._session.run(None, feed)
        import onnxruntime

        binding = self._session.io_binding()
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(value, "cuda", 0))
        for name in self._names:
            binding.bind_output(name, "cuda")

        def call() -> Any:
            binding.synchronize_inputs()
            self._session.run_with_iobinding(binding)
            binding.synchronize_outputs()
            return binding

        return call

    def outputs(self, result: Any) -> list[Any]:
        """The outputs on the CPU."""
        return list(result) if self._device == "cpu" else list(result.copy_outputs_to_cpu())


def _preload_cuda() -> None:
    """Load the CUDA libraries that the environment's own packages bring, so that the system's are never mixed in."""
    import onnxruntime

    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()
        return
    libraries = [p for folder in site.getsitepackages() for p in sorted(Path(folder).glob("nvidia/*/lib/*.so*"))]
    # Libraries need one another in an order that nobody lists: what fails now is tried again after the others.
    for _ in range(3):
        for library in libraries:
            with contextlib.suppress(OSError):
                ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


def load(artifact: Artifact, device: str, threads: int, build: Callable[[], Any] | None) -> OnnxServable:
    """Open a session; a provider that is asked for and not in use is an error, never the CPU in silence."""
    del build
    import onnxruntime

    wanted = _PROVIDERS[device]
    if wanted not in onnxruntime.get_available_providers():
        msg = f"onnxruntime {onnxruntime.__version__} is built without {wanted}"
        raise NotApplicable(msg)
    if device == "cuda":
        _preload_cuda()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(artifact.path), options, providers=[wanted])
    used = session.get_providers()
    if used[0] != wanted:
        msg = f"{wanted} was asked for and is not in use; the session runs on {used[0]}. Its libraries did not load."
        raise RuntimeError(msg)
    return OnnxServable(session, device)


RUNTIME = Runtime(summary="ONNX Runtime", serves="onnx", load=load, imports=("numpy", "onnxruntime"))
