"""What the runtimes ask of a framework on CUDA, and what they say executed. Stand-ins: there is no GPU here."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from harness.bench import Artifact, NotApplicable
from harness.bench.serve import WrongDeviceError, check_provider, checked_facts
from harness.runtimes import onnxruntime as onnx_runtime
from harness.runtimes import tensorflow as tensorflow_runtime
from harness.runtimes import torch as torch_runtime
from harness.runtimes._devices import tensorflow_devices, torch_devices
from harness.runtimes.onnxruntime import nodes_by_provider

LOOP = Path(__file__).with_name("profiles") / "onnxruntime-1.15.1-loop.json"
CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


@pytest.fixture(autouse=True)
def _environ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")  # what somebody's shell may have


def torch_tensor(kind: str) -> Any:
    return SimpleNamespace(device=SimpleNamespace(type=kind), detach=lambda: None)


def tensorflow_tensor(kind: str) -> Any:
    device = f"/job:localhost/replica:0/task:0/device:{kind}:0" if kind else ""
    return SimpleNamespace(device=device, numpy=lambda: np.zeros(2))


def test_devices_are_the_tensors_own() -> None:
    assert torch_devices([torch_tensor("cuda"), torch_tensor("cuda"), 3, np.zeros(2)]) == "cuda"
    assert torch_devices([torch_tensor("cuda"), torch_tensor("cpu")]) == "cpu+cuda"
    assert torch_devices([3]) == ""
    assert tensorflow_devices([tensorflow_tensor("GPU"), tensorflow_tensor("")]) == "cuda"
    assert tensorflow_devices([tensorflow_tensor("CPU"), tensorflow_tensor("GPU")]) == "cpu+cuda"


# --- PyTorch ---


class FakeModule:
    """A module whose outputs are where the test says."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def load_state_dict(self, state: Any) -> None: ...

    def to(self, device: str) -> FakeModule:
        return self


class FakeBuilder:
    """Makes such a module."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self) -> FakeModule:
        return FakeModule(self.kind)

    def caller(self, module: FakeModule) -> Any:
        return module


def fake_torch(*, available: bool) -> Any:
    switch = SimpleNamespace(allow_tf32=True)
    backends = SimpleNamespace(cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=True)), cudnn=switch)
    return SimpleNamespace(
        __version__="2.1.0",
        set_num_threads=lambda threads: None,
        load=lambda path, **options: {},
        cuda=SimpleNamespace(is_available=lambda: available, max_memory_allocated=lambda: 3 * 2**20),
        backends=backends,
        inference_mode=contextlib.nullcontext,
        from_numpy=lambda array: SimpleNamespace(to=lambda device: array),
    )


def torch_loaded(kind: str = "cuda") -> Any:
    return torch_runtime.load(Artifact("state-dict", Path("x")), "cuda", 1, FakeBuilder(kind))


def test_torch_is_told_to_leave_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = fake_torch(available=True)
    monkeypatch.setitem(sys.modules, "torch", fake)
    servable = torch_loaded()
    assert (fake.backends.cuda.matmul.allow_tf32, fake.backends.cudnn.allow_tf32) == (False, False)
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"
    assert checked_facts(servable.facts()) == {"tf32": "off", "gpu_torch_peak_mb": 3.0, "host_copies": 0}
    fake.backends.cudnn.allow_tf32 = True  # as a model's own code may do
    assert servable.facts()["tf32"] == "on"


@pytest.mark.parametrize(("kind", "fits"), [("cuda", True), ("cpu", False)])
def test_torch_reports_where_its_outputs_were(monkeypatch: pytest.MonkeyPatch, kind: str, fits: bool) -> None:
    monkeypatch.setitem(sys.modules, "torch", fake_torch(available=True))
    servable = torch_loaded()
    tensor = SimpleNamespace(
        device=SimpleNamespace(type=kind),
        detach=lambda: SimpleNamespace(
            cpu=lambda: SimpleNamespace(numpy=lambda: np.zeros(2), is_conj=lambda: False, is_neg=lambda: False)
        ),
    )
    servable.outputs((tensor,))
    assert servable.provider == f"torch-{kind}"
    with contextlib.nullcontext() if fits else pytest.raises(WrongDeviceError):
        check_provider(servable.provider, "cuda")


def test_torch_enters_inference_mode_once_and_its_inputs_are_made_outside_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    modes, at = [False], []

    @contextlib.contextmanager
    def inference_mode(mode: bool = True) -> Iterator[None]:
        modes.append(mode)
        yield
        modes.pop()

    def from_numpy(array: Any) -> Any:
        at.append(("input", modes[-1]))
        return SimpleNamespace(to=lambda device: array)

    def run(x: Any) -> Any:
        at.append(("call", modes[-1]))
        return x

    fake = fake_torch(available=False)
    fake.inference_mode, fake.from_numpy = inference_mode, from_numpy
    monkeypatch.setitem(sys.modules, "torch", fake)
    servable = torch_runtime.TorchServable(run, "cpu")
    call = servable.prepare({"x": np.ones(3)})
    assert [list(call()) for _ in range(2)] == [[1.0] * 3] * 2
    assert at == [("input", False), ("call", True), ("call", True)]
    assert modes == [False, True], "entered once"


def test_torch_without_a_gpu_is_not_applicable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", fake_torch(available=False))
    with pytest.raises(NotApplicable, match=r"torch 2\.1\.0 sees no usable CUDA device"):
        torch_loaded()


# --- TensorFlow ---


class FakeTensorFlow:
    """As much of TensorFlow as the runtime asks, and what it was told."""

    __version__ = "2.13.0"

    def __init__(self, gpus: list[str]) -> None:
        self.told: dict[str, Any] = {}
        self._tf32 = True
        threads = SimpleNamespace(
            set_intra_op_parallelism_threads=lambda n: self.told.update(intra=n),
            set_inter_op_parallelism_threads=lambda n: self.told.update(inter=n),
        )
        experimental = SimpleNamespace(
            set_memory_growth=lambda gpu, on: self.told.update({f"growth of {gpu}": on}),
            enable_tensor_float_32_execution=self._set_tf32,
            tensor_float_32_execution_enabled=lambda: self._tf32,
            get_memory_info=lambda device: {"current": 0, "peak": {"GPU:0": 5 * 2**20}[device]},
        )
        self.config = SimpleNamespace(
            threading=threads,
            experimental=experimental,
            list_physical_devices=lambda kind: gpus,
            set_soft_device_placement=lambda on: self.told.update(soft=on),
        )
        signature = SimpleNamespace(structured_input_signature=((), {}))
        loaded = SimpleNamespace(signatures={"serving_default": signature})
        self.saved_model = SimpleNamespace(load=lambda path: loaded)

    def _set_tf32(self, on: bool) -> None:
        self._tf32 = on


def test_tensorflow_may_neither_fall_back_nor_use_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTensorFlow(["gpu 0"])
    monkeypatch.setitem(sys.modules, "tensorflow", fake)
    servable = tensorflow_runtime.load(Artifact("saved-model", Path("x")), "cuda", 2, None)
    assert fake.told == {"intra": 2, "inter": 1, "growth of gpu 0": True, "soft": False}
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"
    assert checked_facts(servable.facts()) == {"tf32": "off", "gpu_tensorflow_peak_mb": 5.0, "host_copies": 0}
    servable.outputs({"output_0": tensorflow_tensor("GPU")})
    assert check_provider(servable.provider, "cuda") == "tensorflow-cuda"
    servable.outputs({"output_0": tensorflow_tensor("CPU")})
    with pytest.raises(WrongDeviceError, match="tensorflow-cpu executed it"):
        check_provider(servable.provider, "cuda")


def test_tensorflow_on_the_cpu_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTensorFlow([])
    monkeypatch.setitem(sys.modules, "tensorflow", fake)
    servable = tensorflow_runtime.load(Artifact("saved-model", Path("x")), "cpu", 2, None)
    assert fake.told == {"intra": 2, "inter": 1}
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "1"
    assert servable.facts() == {}
    with pytest.raises(NotApplicable, match="sees no GPU"):
        tensorflow_runtime.load(Artifact("saved-model", Path("x")), "cuda", 2, None)


# --- ONNX Runtime ---


def events(*nodes: tuple[str, str]) -> str:
    """A profile of nodes that ran on a provider each, with what else is in one."""
    listed: list[Mapping[str, Any]] = [{"cat": "Session", "name": "model_run", "args": {}}]
    for name, provider in nodes:
        listed += [
            {"cat": "Node", "name": f"{name}_fence_before", "args": {"op_name": "x"}},
            {"cat": "Node", "name": f"{name}_kernel_time", "args": {"op_name": "x", "provider": provider}},
            {"cat": "Kernel", "name": "void cutlass()", "args": {"parent": name}},
        ]
    return json.dumps(listed)


def test_nodes_are_counted_once_however_often_they_ran() -> None:
    # Of two runs of a loop of three turns, made by onnxruntime 1.15.1: loop, negate, and three nodes of its body.
    assert nodes_by_provider(LOOP.read_text(encoding="utf-8")) == {CPU: 5}


def test_nodes_are_counted_by_provider() -> None:
    profile = events(("conv", CUDA), ("shape", CPU), ("relu", CUDA), ("gather", CPU), ("relu", CUDA))
    assert nodes_by_provider(profile) == {CUDA: 2, CPU: 2}
    assert nodes_by_provider("[]") == {}


class FakeSession:
    """One of ONNX Runtime's; it counts how many are open at once, and the profiled one leaves a profile."""

    open: ClassVar[int] = 0
    most: ClassVar[int] = 0
    made: ClassVar[list[Any]] = []

    def __init__(self, path: str, options: Any, providers: Any) -> None:
        self.options, self.providers = options, providers
        self.runs = 0
        FakeSession.open += 1
        FakeSession.most = max(FakeSession.most, FakeSession.open)
        FakeSession.made.append((options.enable_profiling, providers))

    def __del__(self) -> None:
        FakeSession.open -= 1

    def get_providers(self) -> list[str]:
        return [CUDA, CPU]

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name="x")]

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(name="y")]

    def io_binding(self) -> Any:
        return SimpleNamespace(
            bind_ortvalue_input=lambda name, value: None,
            bind_output=lambda name, device: None,
            synchronize_inputs=lambda: None,
            synchronize_outputs=lambda: None,
            copy_outputs_to_cpu=lambda: [np.zeros(2)],
        )

    def run_with_iobinding(self, binding: Any) -> None:
        self.runs += 1

    def end_profiling(self) -> str:
        assert self.options.enable_profiling
        assert self.runs == 1
        return str(self.options.profile)


@pytest.fixture
def with_onnxruntime(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, str], None]:
    def put(version: str, profile: str) -> None:
        path = tmp_path / "profile.json"
        path.write_text(profile, encoding="utf-8")
        FakeSession.open = FakeSession.most = 0
        FakeSession.made = []
        fake = SimpleNamespace(
            __version__=version,
            get_available_providers=lambda: [CUDA, CPU],
            preload_dlls=lambda: None,
            SessionOptions=lambda: SimpleNamespace(
                profile=path, enable_profiling=False, add_session_config_entry=spinning.__setitem__
            ),
            InferenceSession=FakeSession,
            OrtValue=SimpleNamespace(ortvalue_from_numpy=lambda value, device, index: value),
        )
        monkeypatch.setitem(sys.modules, "onnxruntime", fake)

    return put


spinning: dict[str, str] = {}
"""What sessions were told of their threads."""


def onnx_served() -> Any:
    """As a serving process does it: execute, measure, let go of the answer, and ask for facts."""
    servable = onnx_runtime.load(Artifact("onnx", Path("x")), "cuda", 1, None)
    assert len(servable.outputs(servable.prepare({"x": np.zeros(2)})())) == 1
    assert spinning == {"session.intra_op.allow_spinning": "0", "session.inter_op.allow_spinning": "0"}
    assert check_provider(servable.provider, "cuda") == CUDA
    assert FakeSession.made[0][0] is False, "what is measured has no profile"
    return servable


def test_nodes_that_cuda_left_to_the_cpu_are_told(with_onnxruntime: Callable[[str, str], None]) -> None:
    with_onnxruntime("1.18.0", events(("conv", CUDA), ("shape", CPU)))
    servable = onnx_served()
    assert checked_facts(servable.facts()) == {"cpu_nodes": 1, "tf32": "off", "host_copies": 0}
    assert check_provider(servable.provider, "cuda") == CUDA
    assert [profiled for profiled, _ in FakeSession.made] == [False, True]
    assert FakeSession.most == 1, "two sessions at once would double the memory of the GPU"


def test_a_graph_that_ran_on_the_cpu_alone_says_so(with_onnxruntime: Callable[[str, str], None]) -> None:
    with_onnxruntime("1.18.0", events(("conv", CPU), ("shape", CPU)))
    servable = onnx_served()
    assert servable.facts()["cpu_nodes"] == 2
    with pytest.raises(WrongDeviceError, match=f"{CPU} executed it"):
        check_provider(servable.provider, "cuda")


def test_a_profile_without_nodes_is_no_count(with_onnxruntime: Callable[[str, str], None]) -> None:
    with_onnxruntime("1.18.0", "[]")
    servable = onnx_served()
    assert servable.facts() == {"tf32": "off", "host_copies": 0}
    assert servable.provider == CUDA


@pytest.mark.parametrize(
    ("version", "options"),
    [("1.15.1", {}), ("1.17.3", {}), ("1.18.0", {"use_tf32": "0"}), ("1.20.0.dev1", {"use_tf32": "0"})],
)
def test_tf32_is_refused_by_an_option_where_there_is_one(
    with_onnxruntime: Callable[[str, str], None], version: str, options: dict[str, str]
) -> None:
    with_onnxruntime(version, "[]")
    onnx_served()
    assert FakeSession.made[0][1] == [(CUDA, options)]
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"
