"""Imports files that declare something, where they can do no harm, and tells what they declare.

This is a child (`main`), and what starts it (`described`). The child forks a worker that imports one file after the
other and tells each result as it comes. A worker that dies or hangs has named the file before it began with it: that
file is told as what it is, and another worker goes on with the next.

Each line of ``described.jsonl`` is ``{"index": i}`` before file i, or ``{"index": i, "card": …}``, ``{"error": …}``
(it raised: a result of its cells) or ``{"refused": …}`` (it is no such file, or ends the process that imports it).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.bench.cards import KINDS, card_of, to_json
from harness.bench.errors import UsageError
from harness.bench.requests import REQUEST_FILE, DescribeRequest, read_request

DESCRIBED_FILE = "described.jsonl"
LAUNCHER = Path(__file__).with_name("launch.py")
MOST_S = 60.0
"""How long a file may take to be imported, whatever longer time a policy gives to a cell."""

_GUIDE = "A file must be importable at any time, without side effects: move what it does into functions."


def described(files: Sequence[tuple[str, Path]], *, timeout_s: float = MOST_S) -> list[dict[str, Any]]:
    """What each of `files` (kind and path) declares, in order: a dict with one of `card`, `error` and `refused`."""
    if not files:
        return []
    with tempfile.TemporaryDirectory(prefix="harness-describe-") as name:
        folder = Path(name)
        request = DescribeRequest(
            folder=name, files=tuple((kind, str(path)) for kind, path in files), timeout_s=min(timeout_s, MOST_S)
        )
        request.write()
        environ = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TMPDIR": name, "PYTHONDONTWRITEBYTECODE": "1"}
        with (folder / "log.txt").open("wb") as log:
            done = subprocess.run(
                [sys.executable, str(LAUNCHER), "describe", name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environ,
                cwd=name,
                start_new_session=True,
                check=False,
            )
        lines = (folder / DESCRIBED_FILE).read_text(encoding="utf-8").splitlines() if done.returncode == 0 else []
        if not lines:
            tail = (folder / "log.txt").read_bytes()[-2000:].decode("utf-8", "replace")
            msg = f"models and strategies could not be read: the process ended with {done.returncode}: {tail}"
            raise RuntimeError(msg)
    found = {line["index"]: line for line in map(json.loads, lines)}
    return [found[index] for index in range(len(files))]


def main(folder: Path) -> None:
    """Describe every file of the request in `folder`."""
    request = read_request(folder / REQUEST_FILE)
    assert isinstance(request, DescribeRequest)
    with (folder / DESCRIBED_FILE).open("w", encoding="utf-8") as output:
        index = 0
        while index < len(request.files):
            index = _worker_round(request, index, output)


def _worker_round(request: DescribeRequest, first: int, output: Any) -> int:
    """Fork a worker for the files from `first` on; return the index of the next that is still to be described."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _work(request, first, writing)
    os.close(writing)
    index, told = first, {}
    try:
        for line in _lines(reading, request.timeout_s):
            index = line["index"]
            told = line
            if len(line) > 1:
                output.write(json.dumps(line) + "\n")
        finished = len(told) > 1 and index == len(request.files) - 1
    except TimeoutError:
        finished = False
        _end(pid)
        how = f"does not come to an end (not within {request.timeout_s:g} s)"
    else:
        how = _how_it_ended(pid)
    finally:
        os.close(reading)
        _end(pid)
    if finished:
        return len(request.files)
    if len(told) > 1:  # it died between two files
        return index + 1
    refused = f"{request.files[index][1]}: importing it {how}. {_GUIDE}"
    output.write(json.dumps({"index": index, "refused": refused}) + "\n")
    return index + 1


def _lines(descriptor: int, timeout_s: float) -> Any:
    """The lines of a pipe as they come; `TimeoutError` where the next takes too long."""
    buffer = b""
    deadline = time.monotonic() + timeout_s
    while True:
        if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError
        chunk = os.read(descriptor, 65536)
        if not chunk:
            return
        buffer += chunk
        *whole, buffer = buffer.split(b"\n")
        for line in whole:
            deadline = time.monotonic() + timeout_s
            yield json.loads(line)


def _end(pid: int) -> None:
    """Kill a worker and whatever it started in its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _how_it_ended(pid: int) -> str:
    try:
        _, status = os.waitpid(pid, 0)
    except ChildProcessError:
        return "ends the process"
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return f"ends the process by {signal.Signals(-code).name}"
    return f"ends the process with exit code {code}"


def _work(request: DescribeRequest, first: int, writing: int) -> None:
    """Import one file after the other; never returns."""
    os.setsid()
    try:
        for index in range(first, len(request.files)):
            os.write(writing, json.dumps({"index": index}).encode() + b"\n")
            kind, path = request.files[index]
            line = json.dumps({"index": index, **_described(kind, Path(path))})
            os.write(writing, line.encode() + b"\n")
    finally:
        os._exit(0)


def _described(kind: str, path: Path) -> Mapping[str, Any]:
    from harness.bench.registry import load

    constant, declared_type, _ = KINDS[kind]
    try:
        entry = load(path, constant, declared_type)
        if entry.value is None:
            return {"error": entry.error}
        return {"card": to_json(card_of(entry.value))}
    except UsageError as error:
        return {"refused": str(error)}
    except TypeError as error:
        return {"refused": f"{path}: {error}."}
    except BaseException as error:  # noqa: BLE001 - whatever it raises must not end the worker for the others
        return {"refused": f"{path}: importing it raises {type(error).__name__}, which ends a process. {_GUIDE}"}
