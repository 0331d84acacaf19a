"""The serving process of a duel: its turns, its protocol, and its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.bench import tensors
from harness.bench.duelling import Turns
from harness.bench.pacing import ROUND_S
from harness.bench.processes import LAUNCHER
from harness.bench.progress import read_trail
from harness.bench.requests import AFTER_FILE, ANSWERS, ORDERS, DuelRequest

RUNTIME = """
from harness.bench import Runtime


class Loaded:
    provider = "numpy"
    calls = 0

    def prepare(self, inputs):
        def call():
            self.calls += 1
            return inputs["x"] * 2

        return call

    def outputs(self, result):
        return [result]


RUNTIME = Runtime(summary="", serves="array", load=lambda artifact, device, threads, build: Loaded(), imports=())
"""


def test_a_turn_takes_as_long_as_it_is_told_and_rounds_are_long_enough_for_the_clock() -> None:
    calls: list[int] = []
    turns = Turns(lambda: calls.append(1), measure_s=0.02)
    warm = turns.warm_up()["warm"]
    assert warm["calls"] == len(calls) >= 3
    began = time.perf_counter()
    told = turns.turn(0.02)
    assert time.perf_counter() - began >= 0.02
    assert told["calls"] * told["median_s"] > ROUND_S / 4, "a call got faster by no more than this since it was warm"
    assert len(calls) == warm["calls"] + told["rounds"] * told["calls"]


def test_a_call_that_is_slower_than_a_turn_is_timed_once() -> None:
    turns = Turns(lambda: time.sleep(0.02), measure_s=0.02)
    turns.warm_up()
    told = turns.turn(0.005)
    assert (told["rounds"], told["calls"]) == (1, 1)
    assert told["median_s"] >= 0.02


@pytest.fixture
def pipes(tmp_path: Path) -> Iterator[dict[str, int]]:
    found = {}
    for name in (ORDERS, ANSWERS):
        os.mkfifo(tmp_path / name)
        found[name] = os.open(tmp_path / name, os.O_RDWR)
    yield found
    for descriptor in found.values():
        os.close(descriptor)


def _started(folder: Path) -> subprocess.Popen[bytes]:
    (folder / "runtime.py").write_text(RUNTIME, encoding="utf-8")
    tensors.save(folder / "inputs-0.npz", [np.ones(4, np.float32)])
    DuelRequest(
        folder=str(folder),
        runtime="own",
        runtime_file=str(folder / "runtime.py"),
        kind="array",
        artifact=str(folder),
        device="cpu",
        built=str(folder),
        input_names=("x",),
        sets=(0,),
        measure_s=0.02,
    ).write()
    return subprocess.Popen([sys.executable, str(LAUNCHER), "duelling", str(folder)], stdout=subprocess.DEVNULL)


def _answer(pipes: dict[str, int], **order: Any) -> dict[str, Any]:
    if order:
        os.write(pipes[ORDERS], json.dumps(order).encode() + b"\n")
    answer: dict[str, Any] = json.loads(os.read(pipes[ANSWERS], 2**16))
    return answer


def test_orders_are_answered_one_by_one_and_nothing_is_done_between_them(tmp_path: Path, pipes: dict[str, int]) -> None:
    process = _started(tmp_path)
    assert _answer(pipes) == {"loaded": True}
    (before,) = tensors.load(tmp_path / "outputs-0.npz")
    assert _answer(pipes, warm_up=True)["warm"]["call_s"] > 0
    assert _answer(pipes, turn_s=0.005)["median_s"] > 0
    ticks = [Path("/proc", str(process.pid), "stat").read_text(encoding="utf-8").split()[13:15] for _ in _waited(0.3)]
    assert ticks[0] == ticks[1], "it sleeps in a read"
    os.write(pipes[ORDERS], b'{"end": true}\n')
    assert process.wait(30) == 0
    (after,) = tensors.load(tmp_path / AFTER_FILE)
    assert before.tolist() == after.tolist() == [2.0] * 4
    trail = read_trail(tmp_path)
    assert trail.fact("provider") == "numpy"
    assert trail.result is not None
    assert trail.result["outcome"] == "passed"
    assert trail.result["warm_up"]["calls"] >= 3


def _waited(seconds: float) -> Iterator[None]:
    yield
    time.sleep(seconds)
    yield


def test_it_ends_by_itself_where_nobody_gives_orders_any_more(tmp_path: Path, pipes: dict[str, int]) -> None:
    process = _started(tmp_path)
    assert _answer(pipes) == {"loaded": True}
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in pipes.values():
        os.dup2(null, descriptor)  # as they are closed where their holder dies
    os.close(null)
    assert process.wait(30) == 0
    result = read_trail(tmp_path).result
    assert result is not None
    assert (result["outcome"], result["error_type"]) == ("failed", "OrdersEndedError")
