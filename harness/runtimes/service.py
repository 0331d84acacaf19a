"""PyTorch in a process of its own, called over gRPC from a process that has TensorFlow: claim C14's two services.

``python -m harness.runtimes.service ADDRESS FOLDER DEVICE THREADS`` is the PyTorch side. Methods are generic handlers
and messages raw bytes, so that no protobuf of anyone's is involved: a message is the length of a JSON head (8 bytes,
little endian), the head (``[[dtype, shape], …]``), and the tensors' bytes one after the other. TensorFlow Serving or
TorchServe would take the place of `_serve`.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from harness.bench import Artifact, Inputs, ModuleBuilder, NotApplicable, Runtime
from harness.runtimes._devices import set_up_tensorflow, set_up_torch, torch_devices, torch_facts

SERVICE = "conversion_harness.Model"
SOCKET = "unix:service.sock"
"""Relative to the working directory that both processes share: a path may not be longer than about 100 characters."""

_START_S = 240
_MESSAGE_BYTES = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


def pack(arrays: Sequence[Any]) -> bytes:
    """Numpy arrays as one message."""
    head = json.dumps([[array.dtype.str, list(array.shape)] for array in arrays]).encode()
    return b"".join([len(head).to_bytes(8, "little"), head, *(array.tobytes() for array in arrays)])


def unpack(message: bytes) -> list[Any]:
    """The inverse of `pack`; the arrays are read-only views of the message."""
    import numpy as np

    start = 8 + int.from_bytes(message[:8], "little")
    arrays = []
    for dtype, shape in json.loads(message[8:start]):
        count = int(np.prod(shape, dtype=np.int64))
        array = np.frombuffer(message, dtype, count, start).reshape(shape)
        arrays.append(array)
        start += array.nbytes
    return arrays


class ServiceServable:
    """The TensorFlow side: a request is TensorFlow tensors, before and after. `provider` is the service's word."""

    def __init__(self, channel: Any, process: subprocess.Popen[bytes]) -> None:
        self._run = channel.unary_unary(f"/{SERVICE}/Run")
        self._report = channel.unary_unary(f"/{SERVICE}/Report")
        self._process = process
        self._spent: list[float] = []
        self.provider = ""

    def prepare(self, inputs: Inputs) -> Callable[[], Any]:
        """Make the request's tensors; a call sends them, waits, and makes tensors of the answer."""
        import tensorflow as tf

        placed = [tf.constant(value) for value in inputs.values()]
        self._spent = []

        def call() -> Any:
            started = time.perf_counter()
            answer = self._run(pack([tensor.numpy() for tensor in placed]))
            result = [tf.constant(array) for array in unpack(answer)]
            self._spent.append(time.perf_counter() - started)
            return result

        return call

    def outputs(self, result: Any) -> list[Any]:
        """The answer's tensors as numpy arrays."""
        self.provider = self.provider or json.loads(self._report(b""))["provider"]
        return [tensor.numpy() for tensor in result]

    def facts(self) -> Mapping[str, Any]:
        """The other process's memory and its own time for the same requests: the rest of a request is overhead."""
        report = json.loads(self._report(str(len(self._spent)).encode()))
        self._process.terminate()
        request_ms = statistics.median(self._spent) * 1000
        overhead_ms = request_ms - report["model_ms"]
        return {
            **{f"service_{name}": value for name, value in report.items() if name not in ("provider", "gpu")},
            **({"host_copies": 1, **report["gpu"]} if report["gpu"] else {}),
            "request_ms": request_ms,
            "overhead_ms": overhead_ms,
        }


def load(artifact: Artifact, device: str, threads: int, build: ModuleBuilder | None) -> ServiceServable:
    """Start the service in this process's group, so that it is watched and ended with it, and wait for it."""
    del build
    import grpc
    import tensorflow as tf

    # The GPU is the service's: TensorFlow beside it would take what the model needs.
    tf.config.set_visible_devices([], "GPU")
    set_up_tensorflow("cpu", threads)
    command = [sys.executable, "-m", "harness.runtimes.service", SOCKET, str(artifact.path), device, str(threads)]
    root = str(Path(__file__).resolve().parents[2])
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}
    log = Path("service.log").resolve()  # a pipe that nobody reads would stop it at its 64th KiB of warnings
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environ, stdout=output, stderr=output)
    channel = grpc.insecure_channel(SOCKET, options=_MESSAGE_BYTES)
    ready = grpc.channel_ready_future(channel)
    deadline = time.monotonic() + _START_S
    while True:
        try:
            ready.result(timeout=0.2)
            return ServiceServable(channel, process)
        except grpc.FutureTimeoutError:
            if process.poll() is None and time.monotonic() < deadline:
                continue
        process.kill()
        process.wait()
        said = log.read_text(encoding="utf-8", errors="replace").strip()
        if process.returncode == _NO_DEVICE:
            raise NotApplicable(said.splitlines()[-1])
        msg = f"the service did not start, exit code {process.returncode}: {said[-400:]}"
        raise RuntimeError(msg)


_NO_DEVICE = 3


class _Server:
    """The PyTorch side: one module, one request at a time, and how long each took in the module."""

    def __init__(self, call: Callable[..., Any], device: str) -> None:
        self._call = call
        self._device = device
        self._spent: list[float] = []
        self._executed_on = ""

    def run(self, message: bytes, _: Any) -> bytes:
        """Answer one request."""
        import torch

        from harness.bench.tensors import as_array, flatten

        started = time.perf_counter()
        given = [torch.from_numpy(array.copy()).to(self._device) for array in unpack(message)]
        with torch.inference_mode():
            leaves = flatten(self._call(*given))
            result = [as_array(leaf) for leaf in leaves]
        self._executed_on = self._executed_on or torch_devices(leaves)
        self._spent.append(time.perf_counter() - started)
        return pack(result)

    def report(self, message: bytes, _: Any) -> bytes:
        """What this process took, and the model's own time over the last requests, as many as the message says."""
        from harness.bench import memory

        last = self._spent[-int(message or b"1") :] or [0.0]
        return json.dumps(
            {
                "provider": f"torch-{self._executed_on} over gRPC",
                "gpu": torch_facts(self._device),
                "rss_mb": memory.rss_mb(),
                "rss_peak_mb": memory.peak_rss_mb(),
                "model_ms": statistics.median(last) * 1000,
            }
        ).encode()


def _serve(address: str, folder: Path, device: str, threads: int) -> None:
    import grpc
    import torch

    from harness.bench.binding import from_json
    from harness.bench.definitions import Model
    from harness.bench.group import die_with_parent
    from harness.bench.own_code import make_importable
    from harness.bench.registry import load as load_file
    from harness.bench.tensors import ModuleBuilder

    die_with_parent()
    try:
        set_up_torch(device, threads)
    except NotApplicable as missing:
        print(missing, file=sys.stderr)  # noqa: T201 - the other side reads it from the log
        sys.exit(_NO_DEVICE)
    described = json.loads((folder / "service.json").read_text(encoding="utf-8"))
    make_importable([Path(path) for path in described["paths"]])
    model = load_file(Path(described["model_file"]), "MODEL", Model).declared
    build = ModuleBuilder(model, from_json(described["binding"]))
    module = build()
    module.load_state_dict(torch.load(folder / "state.pt", map_location="cpu", weights_only=True))
    served = _Server(build.caller(module.to(device)), device)
    handlers = {
        "Run": grpc.unary_unary_rpc_method_handler(served.run),
        "Report": grpc.unary_unary_rpc_method_handler(served.report),
    }
    server = grpc.server(ThreadPoolExecutor(max_workers=1), options=_MESSAGE_BYTES)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(address)
    server.start()
    server.wait_for_termination()


RUNTIME = Runtime(
    summary="PyTorch eager in a service of its own, called over gRPC by a process with TensorFlow",
    serves="torch-service",
    load=load,
    imports=("tensorflow", "grpc"),
)

if __name__ == "__main__":
    _serve(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
