"""Pairs on CUDA without a GPU: two processes that really take turns, and a stand-in for NVML that lists them."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.bench import gpu_use
from harness.duel.pairing import Pair, Pairing, Turns
from harness.duel.preparing import ReadyCell, prepare
from tests.attempts.conftest import Observer, make_ambient
from tests.bench.nvml import Device, Nvml, put, running, serving_below
from tests.duel.sides import task_of

THEIRS = 4_000_009


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReadyCell]:
    """A cell that waits to be served on CUDA."""
    folder = tmp_path_factory.mktemp("ready")
    task = task_of(folder, make_ambient(folder / "interpreter"), "none", {"numpy": "pass"})
    with contextlib.ExitStack() as holds:
        (found,) = prepare(folder, [task], Observer(), holds, side="a").cells.values()
        yield replace(found, cell=replace(found.cell, device="cuda"))


@pytest.fixture
def take(ready: ReadyCell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Pair]:
    """A pair, with as many processes of others on the GPU as `beside` says while ours are there."""

    def take(beside: int) -> Pair:
        scratch = tmp_path / "scratch"

        def listed() -> list[Any]:
            ours = serving_below(scratch, used=2**20)
            seen.append(len(ours))
            return [*ours, *(running(THEIRS + each, 2**20) for each in range(beside))] if ours else []

        seen: list[int] = []
        put(monkeypatch, Nvml(Device("GPU-aa", processes=listed)))
        monkeypatch.setattr(gpu_use, "in_first_namespace", lambda: True)
        turns = Turns(blocks=4, turn_s=0.004)
        with Pairing(scratch, marker=str(scratch), turns=turns) as pairing:
            pair = pairing.take((ready, ready), chance=random.Random(1))
        assert pair.difference is not None, pair.reason
        assert seen.count(2) == 1 + turns.blocks, "looked at before the first block and after each"
        return pair

    return take


def test_the_other_side_of_a_pair_is_nobody_else(take: Callable[..., Pair]) -> None:
    pair = take(0)
    assert (pair.gpu_use, pair.shared) == ("exclusive", False)


def test_a_pair_with_others_on_the_gpu_counts_and_says_so(take: Callable[..., Pair]) -> None:
    pair = take(2)
    assert (pair.gpu_use, pair.shared) == ("shared: 2 processes of others", True)
