"""What a timed call returns is done: the device is waited for. Stand-ins of frameworks around a device that lags."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.bench import Artifact
from harness.bench.serve import checked_facts
from harness.runtimes import hybrid, service
from harness.runtimes import onnxruntime as onnx_runtime
from harness.runtimes import tensorflow as tensorflow_runtime
from harness.runtimes import torch as torch_runtime

INPUTS = {"x": np.ones(2, np.float32)}


class Stream:
    """The queue of a device: what is started there is done once somebody waits."""

    def __init__(self) -> None:
        self.started = 0
        self.pending = 0

    def start(self) -> None:
        self.started += 1
        self.pending += 1

    def wait(self) -> None:
        self.pending = 0


class Tensor:
    """A tensor on that device; reading it on the host waits."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.device = SimpleNamespace(type="cuda")

    def to(self, device: str) -> Tensor:
        return self

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        self._stream.wait()
        return self

    def numpy(self) -> Any:
        self._stream.wait()
        return INPUTS["x"]


@pytest.fixture
def stream() -> Stream:
    return Stream()


def started(stream: Stream) -> Callable[..., Tensor]:
    """Any operation of a framework's."""

    def operation(*_: Any, **__: Any) -> Tensor:
        stream.start()
        return Tensor(stream)

    return operation


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch, stream: Stream) -> Any:
    switch = SimpleNamespace(allow_tf32=True)
    fake = SimpleNamespace(
        set_num_threads=lambda threads: None,
        load=lambda path, **options: {},
        from_numpy=started(stream),
        inference_mode=contextlib.nullcontext,
        cuda=SimpleNamespace(
            is_available=lambda: True, synchronize=stream.wait, max_memory_allocated=lambda: 3 * 2**20
        ),
        backends=SimpleNamespace(cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=True)), cudnn=switch),
    )
    monkeypatch.setitem(sys.modules, "torch", fake)
    return fake


class Builder:
    """Makes a module whose call starts work on the device."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __call__(self) -> Any:
        module = SimpleNamespace(load_state_dict=lambda state: None)
        module.to = lambda device: module
        return module

    def caller(self, module: Any) -> Any:
        return started(self._stream)


def tensorflow(monkeypatch: pytest.MonkeyPatch, stream: Stream, *, waits: bool = True) -> Any:
    """With `waits`, a version that has a call to wait for its devices."""

    def operations(*_: Any, **__: Any) -> list[Tensor]:
        stream.start()
        return [Tensor(stream)]

    def signature(**_: Any) -> dict[str, Tensor]:
        return {"output_0": operations()[0]}

    signature.structured_input_signature = ((), {"x": None})  # type: ignore[attr-defined]
    experimental = SimpleNamespace(
        set_memory_growth=lambda gpu, on: None,
        enable_tensor_float_32_execution=lambda on: None,
        tensor_float_32_execution_enabled=lambda: False,
        get_memory_info=lambda device: {"peak": 5 * 2**20},
    )
    fake = SimpleNamespace(
        config=SimpleNamespace(
            threading=SimpleNamespace(
                set_intra_op_parallelism_threads=lambda n: None, set_inter_op_parallelism_threads=lambda n: None
            ),
            experimental=experimental,
            list_physical_devices=lambda kind: ["gpu 0"],
            set_soft_device_placement=lambda on: None,
        ),
        test=SimpleNamespace(experimental=SimpleNamespace(sync_devices=stream.wait)) if waits else SimpleNamespace(),
        saved_model=SimpleNamespace(load=lambda path: SimpleNamespace(signatures={"serving_default": signature})),
        device=lambda name: contextlib.nullcontext(),
        constant=started(stream),
        zeros=started(stream),
        function=lambda function, autograph: operations,
    )
    monkeypatch.setitem(sys.modules, "tensorflow", fake)
    return fake


def waited(stream: Stream, call: Callable[[], Any], times: int = 3) -> None:
    """Each call starts work, and leaves none of it undone."""
    for _ in range(times):
        before = stream.started
        call()
        assert stream.started > before
        assert stream.pending == 0


@pytest.mark.usefixtures("torch")
def test_pytorch_is_waited_for(stream: Stream) -> None:
    servable = torch_runtime.load(Artifact("state-dict", Path("x")), "cuda", 1, Builder(stream))
    waited(stream, servable.prepare(INPUTS))
    assert checked_facts(servable.facts())["host_copies"] == 0


@pytest.mark.parametrize("waits", [True, False])
def test_a_saved_model_is_waited_for_whatever_the_version(
    monkeypatch: pytest.MonkeyPatch, stream: Stream, waits: bool
) -> None:
    tensorflow(monkeypatch, stream, waits=waits)
    servable = tensorflow_runtime.load(Artifact("saved-model", Path("x")), "cuda", 1, None)
    waited(stream, servable.prepare(INPUTS))


@pytest.mark.usefixtures("torch")
def test_of_two_frameworks_the_last_one_is_waited_for_too(monkeypatch: pytest.MonkeyPatch, stream: Stream) -> None:
    tensorflow(monkeypatch, stream)
    servable = hybrid.load(Artifact("state-dict", Path("x")), "cuda", 1, Builder(stream))
    waited(stream, servable.prepare(INPUTS))
    facts = checked_facts(servable.facts())
    told = {name: facts[name] for name in ("host_copies", "tf32", "gpu_torch_peak_mb", "gpu_tensorflow_peak_mb")}
    assert told == {"host_copies": 1, "tf32": "off", "gpu_torch_peak_mb": 3.0, "gpu_tensorflow_peak_mb": 5.0}


@pytest.mark.usefixtures("torch")
def test_what_a_service_answers_has_left_the_device(stream: Stream) -> None:
    server = service._Server(started(stream), "cuda")
    waited(stream, lambda: server.run(service.pack([INPUTS["x"]]), None))


def test_onnxruntime_is_waited_for_with_inputs_and_outputs_bound(
    monkeypatch: pytest.MonkeyPatch, stream: Stream
) -> None:
    bound: dict[str, str] = {}

    def put(value: Any, device: str, index: int) -> str:
        return f"{device}:{index}"

    binding = SimpleNamespace(
        bind_ortvalue_input=bound.__setitem__,
        bind_output=bound.__setitem__,
        synchronize_inputs=lambda: None,
        synchronize_outputs=stream.wait,
    )

    def session(path: str, options: Any, providers: Any) -> Any:
        return SimpleNamespace(
            get_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
            get_inputs=lambda: [SimpleNamespace(name="x")],
            get_outputs=lambda: [SimpleNamespace(name="y")],
            io_binding=lambda: binding,
            run_with_iobinding=lambda binding: stream.start(),
        )

    fake: Mapping[str, Any] = {
        "__version__": "1.18.0",
        "get_available_providers": lambda: ["CUDAExecutionProvider"],
        "preload_dlls": lambda: None,
        "SessionOptions": lambda: SimpleNamespace(add_session_config_entry=lambda name, value: None),
        "InferenceSession": session,
        "OrtValue": SimpleNamespace(ortvalue_from_numpy=put),
    }
    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(**fake))
    servable = onnx_runtime.load(Artifact("onnx", Path("x")), "cuda", 1, None)
    waited(stream, servable.prepare(INPUTS))
    assert bound == {"x": "cuda:0", "y": "cuda"}
