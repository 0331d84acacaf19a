"""ONNX Runtime, on the provider of the device and on no other."""

from __future__ import annotations

import contextlib
import ctypes
import json
import re
import site
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.bench import Artifact, Inputs, ModuleBuilder, NotApplicable, Runtime
from harness.runtimes._devices import forbid_tf32
from harness.runtimes._feeding import fed

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_TF32_OPTION_SINCE = (1, 18)
_RAN = "_kernel_time"


def nodes_by_provider(profile: str) -> dict[str, int]:
    """How many nodes ran on which provider, by the text of a profile of ONNX Runtime's.

    A profile is a JSON list of events; each run of a node is one of the category `Node`, called `<node>_kernel_time`,
    that names its provider. A node of a loop's body is one node, however often it ran. See
    https://onnxruntime.ai/docs/performance/tune-performance/profiling-tools.html.
    """
    ran = {
        (event["args"]["provider"], event["name"], event["args"].get("node_index"))
        for event in json.loads(profile)
        if event.get("cat") == "Node" and event["name"].endswith(_RAN) and event.get("args", {}).get("provider")
    }
    counts: dict[str, int] = {}
    for provider, _, _ in sorted(ran, key=str):
        counts[provider] = counts.get(provider, 0) + 1
    return counts


class OnnxServable:
    """An `InferenceSession`; on CUDA with inputs and outputs bound to the device, so that copies are not timed.

    `provider` is the one that the session has registered; on CUDA, after `facts`, the one that nodes really ran on:
    the CPU provider takes whatever CUDA's has no kernel for, so being registered says little.
    """

    def __init__(self, open_session: Callable[[bool], Any], device: str, tf32: str) -> None:
        self._open = open_session
        self._session = open_session(False)
        self._device = device
        self._tf32 = tf32
        self._names = [output.name for output in self._session.get_outputs()]
        self._inputs = [given.name for given in self._session.get_inputs()]
        self._feed: Inputs = {}
        self.provider = self._session.get_providers()[0]

    def prepare(self, inputs: Inputs) -> Callable[[], Any]:
        """Feed by name on the CPU; on CUDA bind once and run bound."""
        session = self._session
        if self._device == "cpu":
            feed = fed(self._inputs, inputs)
            return lambda: session.run(None, feed)
        self._feed = inputs
        return self._bound(session, inputs)

    def _bound(self, session: Any, inputs: Inputs) -> Callable[[], Any]:
        import onnxruntime

        binding = session.io_binding()
        for name, value in fed(self._inputs, inputs).items():
            binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(value, "cuda", 0))
        for name in self._names:
            binding.bind_output(name, "cuda")

        def call() -> Any:
            binding.synchronize_inputs()
            session.run_with_iobinding(binding)
            binding.synchronize_outputs()
            return binding

        return call

    def outputs(self, result: Any) -> list[Any]:
        """The outputs on the CPU."""
        return list(result) if self._device == "cpu" else list(result.copy_outputs_to_cpu())

    def facts(self) -> Mapping[str, Any]:
        """On CUDA, how many nodes run on the CPU (`cpu_nodes`), and `tf32`; it is the last that is asked of this.

        Inputs and outputs are bound to the device, so that no call copies them (`host_copies`).

        A profile costs time, and a second session memory. So the one that was measured is let go of, and another one
        runs the last inputs once, with its profile.
        """
        if self._device == "cpu":
            return {}
        self._session = None
        session = self._open(True)
        self._bound(session, self._feed)()
        counts = nodes_by_provider(Path(session.end_profiling()).read_text(encoding="utf-8"))
        told = {"host_copies": 0, "tf32": self._tf32}
        if not counts:
            return told  # a profile without nodes says nothing of them
        if _PROVIDERS[self._device] not in counts:
            self.provider = max(counts, key=lambda name: counts[name])
        return {"cpu_nodes": counts.get(_PROVIDERS["cpu"], 0), **told}


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


def _cuda_options(version: str) -> dict[str, str]:
    """TF32 off by the provider's own option, where this version knows it: another refuses what it does not know."""
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    return {"use_tf32": "0"} if numbers >= _TF32_OPTION_SINCE else {}


def load(artifact: Artifact, device: str, threads: int, build: ModuleBuilder | None) -> OnnxServable:
    """Open a session; a provider that is asked for and not in use is an error, never the CPU in silence."""
    del build
    import onnxruntime

    wanted = _PROVIDERS[device]
    if wanted not in onnxruntime.get_available_providers():
        msg = f"onnxruntime {onnxruntime.__version__} is built without {wanted}"
        raise NotApplicable(msg)
    given: dict[str, str] = {}
    if device == "cuda":
        forbid_tf32()
        _preload_cuda()
        given = _cuda_options(onnxruntime.__version__)

    def open_session(profiled: bool) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        for pool in ("intra_op", "inter_op"):
            # Threads that wait by spinning take a core from whoever else has work, and are most of a latency's noise.
            options.add_session_config_entry(f"session.{pool}.allow_spinning", "0")
        options.log_severity_level = 3
        options.enable_profiling = profiled
        session = onnxruntime.InferenceSession(str(artifact.path), options, providers=[(wanted, given)])
        used = session.get_providers()
        if used[0] != wanted:
            msg = f"{wanted} was asked for and is not in use; it runs on {used[0]}. Its libraries did not load."
            raise RuntimeError(msg)
        return session

    # Without the option it is `forbid_tf32` that keeps it off.
    return OnnxServable(open_session, device, "off")


RUNTIME = Runtime(summary="ONNX Runtime", serves="onnx", load=load, imports=("numpy", "onnxruntime"))
