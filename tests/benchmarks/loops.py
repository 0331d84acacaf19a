"""``python loops.py FOLDER``: times an artifact by a loop, as somebody writes it who knows nothing of the harness.

It runs in a pinned environment and imports neither what the harness times with nor what it serves with. What it needs
is in ``asked.json`` in FOLDER: `runtime`, the `artifact`, the arrays of an example in an npz file (`inputs`) with their
`names`, `threads`, `measure_s` and, for PyTorch, the `model_file` and the `root` that it imports from.
It leaves ``told.json``, with the seconds of a call in `call_s`, `rounds` and `calls` of each, and ``outputs.npz``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

WARM_UP_S = 0.5
ROUND_S = 0.01
FEWEST_ROUNDS = 5


class Loop(NamedTuple):
    """`run` calls so many times, one call after the other; `answer` calls once and has numpy arrays of the outputs."""

    run: Callable[[int], None]
    answer: Callable[[], Sequence[Any]]


def torch_loop(asked: dict[str, Any], arrays: Sequence[Any]) -> Loop:
    import torch

    torch.set_num_threads(asked["threads"])
    module = _module(asked, Path(asked["artifact"]))
    tensors = [torch.from_numpy(array) for array in arrays]

    def run(count: int) -> None:
        with torch.inference_mode():
            for _ in range(count):
                module(*tensors)

    def answer() -> Sequence[Any]:
        with torch.inference_mode():
            return [module(*tensors).numpy()]

    return Loop(run, answer)


def _module(asked: dict[str, Any], state: Path) -> Any:
    """The model as its file builds it, with the weights that were kept."""
    import torch

    sys.path.append(asked["root"])
    spec = importlib.util.spec_from_file_location("model_by_hand", asked["model_file"])
    assert spec is not None
    assert spec.loader is not None
    file = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(file)
    module = file.MODEL.build().eval()
    module.load_state_dict(torch.load(state, map_location="cpu"))
    return module


def onnxruntime_loop(asked: dict[str, Any], arrays: Sequence[Any]) -> Loop:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = asked["threads"]
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(asked["artifact"], options, providers=["CPUExecutionProvider"])
    feed = dict(zip(asked["names"], arrays, strict=True))

    def run(count: int) -> None:
        for _ in range(count):
            session.run(None, feed)

    return Loop(run, lambda: session.run(None, feed))


def tensorflow_loop(asked: dict[str, Any], arrays: Sequence[Any]) -> Loop:
    import tensorflow as tf

    _limit_tensorflow(asked["threads"])
    loaded = tf.saved_model.load(asked["artifact"])
    function = loaded.signatures["serving_default"]
    given = {name: tf.constant(array) for name, array in zip(asked["names"], arrays, strict=True)}

    def run(count: int) -> None:
        assert loaded is not None  # which keeps the variables alive
        for _ in range(count):
            function(**given)

    return Loop(run, lambda: [value.numpy() for _, value in sorted(function(**given).items())])


def _limit_tensorflow(threads: int) -> None:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def tflite_loop(asked: dict[str, Any], arrays: Sequence[Any]) -> Loop:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=asked["artifact"], num_threads=asked["threads"])
    interpreter.allocate_tensors()
    (given,), (answered,) = interpreter.get_input_details(), interpreter.get_output_details()
    index, out = given["index"], answered["index"]
    (array,) = arrays

    def run(count: int) -> None:
        for _ in range(count):
            interpreter.set_tensor(index, array)
            interpreter.invoke()
            interpreter.get_tensor(out)

    def answer() -> Sequence[Any]:
        run(1)
        return [interpreter.get_tensor(out)]

    return Loop(run, answer)


def hybrid_loop(asked: dict[str, Any], arrays: Sequence[Any]) -> Loop:
    """PyTorch between two graphs of TensorFlow's, which pass on what they get."""
    import numpy as np
    import torch  # isort: skip - before TensorFlow: after it, torch 2.0 ends the process
    import tensorflow as tf

    _limit_tensorflow(asked["threads"])
    torch.set_num_threads(asked["threads"])
    module = _module(asked, Path(asked["artifact"]))
    passed_on = tf.function(lambda *tensors: [tf.identity(tensor) for tensor in tensors], autograph=False)
    requested = [tf.constant(array) for array in arrays]

    def request() -> Any:
        given = [torch.from_numpy(np.array(tensor.numpy())) for tensor in passed_on(*requested)]
        with torch.inference_mode():
            result = module(*given).numpy()
        return passed_on(tf.constant(result))

    def run(count: int) -> None:
        for _ in range(count):
            request()

    return Loop(run, lambda: [value.numpy() for value in request()])


def service_loop(asked: dict[str, Any], arrays: Sequence[Any]) -> Loop:
    """A client of the service that is the artifact, in the service's own words."""
    import grpc
    import tensorflow as tf

    sys.path.append(asked["root"])
    from harness.runtimes.service import SERVICE, SOCKET, pack, unpack

    _limit_tensorflow(asked["threads"])
    command = [
        sys.executable,
        "-m",
        "harness.runtimes.service",
        SOCKET,
        asked["artifact"],
        "cpu",
        str(asked["threads"]),
    ]
    subprocess.Popen(command, env={**os.environ, "PYTHONPATH": asked["root"]})
    unlimited = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    channel = grpc.insecure_channel(SOCKET, options=unlimited)
    grpc.channel_ready_future(channel).result(timeout=120)
    ask = channel.unary_unary(f"/{SERVICE}/Run")
    requested = [tf.constant(array) for array in arrays]

    def request() -> Any:
        answer = ask(pack([tensor.numpy() for tensor in requested]))
        return [tf.constant(array) for array in unpack(answer)]

    def run(count: int) -> None:
        for _ in range(count):
            request()

    return Loop(run, lambda: [value.numpy() for value in request()])


LOOPS = {
    "torch": torch_loop,
    "onnxruntime": onnxruntime_loop,
    "tensorflow": tensorflow_loop,
    "tflite": tflite_loop,
    "hybrid": hybrid_loop,
    "service": service_loop,
}
"""The runtimes of the harness that have a loop by hand."""


def timed(run: Callable[[int], None], measure_s: float) -> dict[str, Any]:
    """What a call takes, in seconds: the median over rounds of at least 10 ms, after half a second of warming up."""
    until = time.perf_counter() + WARM_UP_S
    while time.perf_counter() < until:
        run(1)
    calls, taken = 1, 0.0
    while taken < ROUND_S:
        before = time.perf_counter()
        run(calls)
        taken = time.perf_counter() - before
        calls = calls if taken >= ROUND_S else calls * 2
    rounds: list[float] = []
    began = time.perf_counter()
    while len(rounds) < FEWEST_ROUNDS or time.perf_counter() - began < measure_s:
        before = time.perf_counter()
        run(calls)
        rounds.append((time.perf_counter() - before) / calls)
    return {"call_s": statistics.median(rounds), "rounds": len(rounds), "calls": calls}


def main(folder: Path) -> None:
    """Load, time, and leave the outputs."""
    import numpy as np

    asked = json.loads((folder / "asked.json").read_text(encoding="utf-8"))
    with np.load(asked["inputs"]) as archive:
        arrays = [archive[f"arr_{index}"] for index in range(len(archive.files))]
    loop = LOOPS[asked["runtime"]](asked, arrays)
    told = timed(loop.run, asked["measure_s"])
    np.savez(folder / "outputs.npz", *loop.answer())
    (folder / "told.json").write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
