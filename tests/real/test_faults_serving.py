"""Serving by the real runtimes: what they hold in memory, what they say executed, and what a user's runtime may do."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.real

Bench = Callable[..., subprocess.CompletedProcess[str]]

MODEL = '''
"""Linear, then a ReLU, times a number; {where} imports torch."""
{top}
from harness.bench import Model, uniform
from scaling import scaled


def build():
    import torch

    class Scaled(torch.nn.Sequential):
        def forward(self, x, scale):
            return scaled(super().forward(x), scale)

    return Scaled(torch.nn.Linear(8, 4), torch.nn.ReLU())


def twin(state):
    import tensorflow as tf

    weight, bias = tf.constant(state["0.weight"].T), tf.constant(state["0.bias"])
    return lambda x, scale: scaled(tf.nn.relu(x @ weight + bias), scale)


MODEL = Model(
    summary="linear",
    family="test",
    build=build,
    example=lambda: {{"x": uniform((2, 8), seed="example"), "scale": uniform((), seed="example")}},
    probes={{"other values": lambda: {{"x": uniform((2, 8), seed="other"), "scale": uniform((), seed="other")}}}},
    twin=twin,
)
'''

STRATEGY = """
from harness.bench import Strategy

STRATEGY = Strategy(summary="of the test", steps=({step!r},), runtime={runtime!r}, shapes="static")
"""

RUNTIME = """
import ctypes, os
from harness.bench import Runtime
from harness.runtimes import onnxruntime as ours


class Wrapped:
    def __init__(self, inner):
        self.inner = inner
        self.provider = inner.provider
        self.calls = 0

    def prepare(self, inputs):
        call = self.inner.prepare(inputs)

        def counted():
            self.calls += 1
            return call()

        return counted

    def outputs(self, result):
        arrays = self.inner.outputs(result)
        {outputs}
        return arrays


def load(artifact, device, threads, build):
    servable = Wrapped(ours.load(artifact, device, threads, build))
    {load}
    return servable


RUNTIME = Runtime(summary="of the test", serves="onnx", load=load, imports=("numpy", "onnxruntime"))
"""

ON_STATE_DICT = {"in-one-process": "hybrid", "in-one-process-released": "hybrid-release"}
FAULTS = {
    "reports-cuda": ("servable.provider = 'CUDAExecutionProvider'", "pass", ("failed", "execute", "WrongDeviceError")),
    "crash-after-result": ("os._exit = lambda code: ctypes.string_at(0)", "pass", ("crashed", "probe", "SIGSEGV")),
    "wrong-at-last": (
        "pass",
        "arrays = [a * 1.01 for a in arrays] if self.calls > 100 else arrays",
        ("mismatched", "measure", None),
    ),
}


def rows(bench: Bench, out: Path, *arguments: str | Path) -> dict[tuple[str, str], Any]:
    """The rows of a run of the bench alone, by model and strategy."""
    done = bench("torch2.1", "--measure-s=0.1", "--launches=1", *arguments, "--out", out)
    found = [json.loads(path.read_text(encoding="utf-8"))["row"] for path in (out / "records").glob("*.json")]
    assert found, done.stdout + done.stderr
    return {(row["model"], row["strategy"]): row for row in found}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    theirs = folder / "theirs"
    theirs.mkdir()
    (theirs / "scaling.py").write_text("def scaled(x, scale):\n    return x * scale\n", encoding="utf-8")
    for name, where, top in (("at_top", "its top", "import torch"), ("inside", "its build", "")):
        (folder / f"{name}.py").write_text(MODEL.format(where=where, top=top), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def served(bench: Bench, models: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Any]:
    """One model by every runtime that the pins have, and by runtimes of a user's own that misbehave."""
    plugins = tmp_path_factory.mktemp("plugins")
    for part in ("strategies", "runtimes"):
        (plugins / part).mkdir()
    chosen = {name: ("module-to-state-dict", runtime) for name, runtime in ON_STATE_DICT.items()}
    chosen["by-service"] = ("module-to-service", "service")
    for name, (load, outputs, _) in FAULTS.items():
        chosen[name] = ("module-to-onnx-torchscript", name)
        runtime = plugins / "runtimes" / f"{name.replace('-', '_')}.py"
        runtime.write_text(RUNTIME.format(load=load, outputs=outputs), encoding="utf-8")
    for name, (step, runtime_name) in chosen.items():
        strategy = plugins / "strategies" / f"{name.replace('-', '_')}.py"
        strategy.write_text(STRATEGY.format(step=step, runtime=runtime_name), encoding="utf-8")
    selected = [f"--strategies={name}" for name in (*chosen, "native", "manual-recreation")]
    out = tmp_path_factory.mktemp("served")
    given = (f"--models={models / 'inside.py'}", f"--path={models / 'theirs'}")
    return rows(bench, out, *given, "--plugin-folder", plugins, *selected)


def test_onnxruntime_holds_no_torch_whatever_the_models_file_imports(
    bench: Bench, models: Path, tmp_path: Path
) -> None:
    def alone(name: str) -> Any:
        """A run of one model, so that nobody else's file is there to import anything."""
        files = (f"--models={models / name}.py", f"--path={models / 'theirs'}")
        (row,) = rows(bench, tmp_path / name, *files, "--strategies=onnx-torchscript").values()
        assert row["outcome"] == "passed", row
        return row

    at_top, inside = alone("at_top"), alone("inside")
    for part in ("rss_import_mb", "rss_load_mb"):  # of two processes of a kind within 2 MiB; torch is 150 and more
        assert abs(at_top[part] - inside[part]) < 20
    assert at_top["provider"] == "CPUExecutionProvider"
    assert (at_top["cpu_nodes"], at_top["tf32"]) == (None, None)


@pytest.mark.parametrize(
    ("strategy", "provider"),
    [
        ("native", "torch-cpu"),
        ("manual-recreation", "tensorflow-cpu"),
        ("in-one-process", "torch-cpu in tensorflow-cpu"),
        ("in-one-process-released", "torch-cpu in tensorflow-cpu"),
        ("by-service", "torch-cpu over gRPC"),
    ],
)
def test_a_runtime_says_what_executed(served: dict[tuple[str, str], Any], strategy: str, provider: str) -> None:
    row = served["inside", strategy]
    assert row["outcome"] == "passed", row
    assert (row["provider"], row["tf32"], row["cpu_nodes"]) == (provider, None, None)
    assert row["rss_base_mb"] < row["rss_import_mb"] <= row["rss_load_mb"] <= row["rss_peak_mb"]


def test_a_service_tells_the_memory_of_its_other_half(served: dict[tuple[str, str], Any]) -> None:
    assert served["inside", "by-service"]["service_rss_mb"] > 100


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_while_serving_becomes_its_outcome(served: dict[tuple[str, str], Any], name: str) -> None:
    row = served["inside", name]
    ends = FAULTS[name][2]
    assert (row["outcome"], row["stage"], row["error_type"]) == ends, row
    assert row["relative_error"] is not None, "the example's outputs were kept and held against the native ones"


PROFILE = """
import sys
import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper

nodes = [helper.make_node("Neg", ["x"], ["y"], name="first"), helper.make_node("Abs", ["y"], ["z"], name="second")]
ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [2])] for name in ("x", "z")]
model = helper.make_model(helper.make_graph(nodes, "two", *ends), opset_imports=[helper.make_opsetid("", 17)])
model.ir_version = 8
options = onnxruntime.SessionOptions()
options.enable_profiling = True
session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=[("CPUExecutionProvider", {})])
session.run(None, {"x": numpy.zeros(2, "float32")})
from harness.runtimes.onnxruntime import nodes_by_provider
from pathlib import Path
print(nodes_by_provider(Path(session.end_profiling()).read_text(encoding="utf-8")))
"""


def test_nodes_are_counted_in_a_profile_of_the_pinned_onnxruntime(
    pinned: Callable[[str], Path], tmp_path: Path
) -> None:
    root = str(Path(__file__).resolve().parents[2])
    command = [str(pinned("torch2.1")), "-c", PROFILE]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": root}, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "{'CPUExecutionProvider': 2}", done.stderr
