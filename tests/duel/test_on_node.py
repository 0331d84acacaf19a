"""A node's side of a duel, without any cluster: real pairs, with a stand-in for torch."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.bench.attempt import Attempt
from harness.duel.pairing import Pair, Turns
from harness.duel.preparing import SIDES, Side, prepare
from harness.duel.reserving import post_of, shares_of
from harness.executors.answering import Answerer
from harness.executors.parcel import pack, parcel_of
from tests.attempts.conftest import Observer, running
from tests.duel.sides import BUSY, task_of
from tests.executors.orders import make_python, node_cache_in

TURNS = Turns(blocks=3, turn_s=0.001)
MODULE = "harness.duel.on_node"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_python(tmp_path_factory.mktemp("ambient"))


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with node_cache_in(tmp_path_factory.mktemp("node-cache")) as folder:
        yield folder


LIES = BUSY + "\n            if self.calls > 5: y = y * 2"


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory, python: Path) -> tuple[Side, Side]:
    """Two cells of each side, converted here; one of them begins to answer wrongly on the second."""
    root = tmp_path_factory.mktemp("root")
    tasks = [
        task_of(root, python, name, {"same": BUSY, "lying": body}) for name, body in (("before", BUSY), ("after", LIES))
    ]
    with contextlib.ExitStack() as holds:
        a, b = (prepare(root, [task], Observer(), holds, side=side) for task, side in zip(tasks, SIDES, strict=True))
        return a, b


@contextlib.contextmanager
def begun(sides: tuple[Side, Side], folder: Path) -> Iterator[Answerer]:
    """A node's process for all cells of `sides`, begun; what travels is unpacked below `folder`."""
    shares = shares_of(sides, list(sides[0].cells))
    parcel = parcel_of([share.plan for share in shares])
    pack(parcel, folder / "harness.zip")
    with zipfile.ZipFile(folder / "harness.zip") as file:
        file.extractall(folder / "unpacked")
    answerer = Answerer(folder / "unpacked")
    try:
        answerer.begin(post_of(shares, parcel, TURNS), [part for share in shares for part in share.parts()])
        yield answerer
    finally:
        answerer.end()


def answered(answerer: Answerer) -> Mapping[str, Any]:
    told = None
    while told is None:
        told = answerer.answer()
    return told


def ask(answerer: Answerer, strategy: str, seed: int = 1) -> Mapping[str, Any]:
    answerer.ask({"model": "linear", "strategy": strategy, "seed": seed})
    return answered(answerer)


@contextlib.contextmanager
def hidden(sides: tuple[Side, Side]) -> Iterator[None]:
    """What was converted lies elsewhere until the end."""
    attempts = [Attempt(side.attempts[0].folder) for side in sides]
    for attempt in attempts:
        attempt.waiting.rename(attempt.folder / "hidden")
    yield
    for attempt in attempts:
        (attempt.folder / "hidden").rename(attempt.waiting)


def test_a_node_takes_the_pairs_that_it_is_asked_for_of_what_travelled(
    sides: tuple[Side, Side], tmp_path: Path, cache: Path
) -> None:
    with begun(sides, tmp_path) as node, hidden(sides):
        assert answered(node) == {"notes": []}
        pairs = [Pair(**ask(node, name)["pair"]) for name in ("by-same", "by-lying", "by-same")]
    same, lying, again = pairs
    for each in (same, again):
        assert (each.failed, each.key) == ("", ("linear", "by-same"))
        assert len(each.turns_a_s) == len(each.turns_b_s) == len(each.first) == TURNS.blocks
        assert {process["provider"] for process in each.processes} == {"numpy"}
        assert each.difference is not None
    assert same.first == again.first, "chance is that of who asks"
    assert (lying.failed, lying.difference) == ("b", None)
    assert "values differ" in lying.reason
    assert not running(str(cache))
    assert not [path for path in (cache / "units").iterdir() if path.is_dir()], "nothing of it stays on the node"


def test_a_pair_of_an_environment_that_changed_does_not_count(
    sides: tuple[Side, Side], tmp_path: Path, python: Path
) -> None:
    (theirs,) = python.parent.parent.glob("lib/python*/site-packages/theirs.py")
    text = theirs.read_text(encoding="utf-8")
    with begun(sides, tmp_path) as node:
        answered(node)
        theirs.write_text(f"{text}# edited\n", encoding="utf-8")
        try:
            told = ask(node, "by-same")
        finally:
            theirs.write_text(text, encoding="utf-8")
    assert told["changed"]
    assert " changed there while a pair was taken, which does not count: edited" in told["trouble"]


def test_an_environment_that_is_another_one_there_is_told(sides: tuple[Side, Side], tmp_path: Path) -> None:
    shares = shares_of(sides, list(sides[0].cells))
    parcel = parcel_of([share.plan for share in shares])
    post = post_of(shares, parcel, TURNS)
    post.orders["b1"].attempt["packages"]["numpy"] = "1.0"
    pack(parcel, tmp_path / "harness.zip")
    with zipfile.ZipFile(tmp_path / "harness.zip") as file:
        file.extractall(tmp_path / "unpacked")
    node = Answerer(tmp_path / "unpacked")
    node.begin(post, [part for share in shares for part in share.parts()])
    try:
        assert answered(node)["trouble"] == "after has other packages there than here: numpy."
    finally:
        node.end()


def test_a_process_that_is_killed_there_says_that_it_was(sides: tuple[Side, Side], tmp_path: Path, cache: Path) -> None:
    with begun(sides, tmp_path) as node:
        answered(node)
        (pid,) = running(MODULE, under=os.getpid())
        os.kill(pid, signal.SIGKILL)
        told = ask(node, "by-same")
    assert told["killed"]
    assert "exit code -9" in told["trouble"]
    assert not running(str(cache))


def test_whoever_ends_it_in_the_middle_of_a_pair_leaves_nothing(
    sides: tuple[Side, Side], tmp_path: Path, cache: Path
) -> None:
    with begun(sides, tmp_path) as node:
        answered(node)
        node.ask({"model": "linear", "strategy": "by-same", "seed": 1})
        deadline = time.monotonic() + 30
        while not running("duelling", under=os.getpid()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert not running(str(cache))
    assert not [path for path in (cache / "units").iterdir() if path.is_dir()]
