"""What one bench has built is there for the others, whole or not at all."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from harness.bench.builds import Builds, Built
from harness.bench.plan import Plan, expand
from harness.bench.reads import content_of
from harness.bench.registry import discover
from harness.bench.requests import BUILT_FILE
from harness.bench.shared_builds import SharedBuilds
from harness.bench.tensors import file_digest
from tests.attempts.conftest import MODEL

TOLD = {"seconds": {"build": 1.5}, "reads": {"/models/a.py": "0123"}}


def _left(folder: Path) -> Path:
    """What a build left: a file, and one in a folder."""
    (folder / "more").mkdir(parents=True)
    (folder / "inputs-0.npz").write_bytes(b"inputs")
    (folder / "more" / "log.txt").write_text("said", encoding="utf-8")
    return folder


def test_another_bench_takes_what_was_given(tmp_path: Path) -> None:
    left, own = _left(tmp_path / "left"), tmp_path / "own"
    own.mkdir()
    SharedBuilds(tmp_path / "shared").give("a:b", left, TOLD)
    assert SharedBuilds(tmp_path / "shared").take("a:b", own) == TOLD
    assert sorted(path.relative_to(own).as_posix() for path in own.rglob("*")) == [
        *("inputs-0.npz", "more", "more/log.txt"),
    ]
    assert (own / "inputs-0.npz").read_bytes() == b"inputs"


def test_what_nobody_gave_is_not_taken(tmp_path: Path) -> None:
    assert SharedBuilds(tmp_path / "shared").take("a", tmp_path) is None


def test_a_copy_is_the_benches_own(tmp_path: Path) -> None:
    left, own, others = _left(tmp_path / "left"), tmp_path / "own", tmp_path / "others"
    shared = SharedBuilds(tmp_path / "shared")
    shared.give("a", left, TOLD)
    shared.take("a", own)
    (own / "inputs-0.npz").write_bytes(b"spoilt")
    shared.take("a", others)
    digests = {"digests": {"inputs-0.npz": file_digest(left / "inputs-0.npz")}}
    assert Built(own, digests).edited() == ["inputs-0.npz"]
    assert Built(others, digests).edited() == []


class RebuiltError(Exception):
    """The bench has no other way than to build."""


class Children:
    """What would build."""

    def work(self, *_: object) -> None:
        raise RebuiltError


@pytest.mark.parametrize("edited", ["", "shared/one/inputs-0.npz", "data.bin", "shared/one/built.json"])
def test_a_copy_is_taken_unless_it_or_what_it_was_made_of_was_edited(tmp_path: Path, edited: str) -> None:
    (tmp_path / "one.py").write_text(MODEL.replace("WIDTH", "8"), encoding="utf-8")
    (tmp_path / "data.bin").write_bytes(b"data")
    registry = discover(models=[tmp_path / "one.py"], plugins=[])
    cells = expand(registry, combination="small", device="cpu", tier="quick", strategies=["native"])
    plan = Plan(combination="small", device="cpu", tier="quick", cells=cells)
    left, shared = _left(tmp_path / "left"), SharedBuilds(tmp_path / "shared")
    digests = {"digests": {"inputs-0.npz": file_digest(left / "inputs-0.npz")}}
    (left / BUILT_FILE).write_text(json.dumps(digests), encoding="utf-8")
    shared.give("one", left, {"seconds": {}, "reads": {str(tmp_path / "data.bin"): content_of(tmp_path / "data.bin")}})
    if edited:
        (tmp_path / edited).chmod(0o644)
        (tmp_path / edited).write_bytes(b"edited")
    children: Any = Children()
    builds = Builds(plan, registry, children, tmp_path / "own", shared)
    with pytest.raises(RebuiltError) if edited else contextlib.nullcontext():
        assert builds.built("one").facts == digests


def test_what_cannot_be_copied_as_a_whole_is_not_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = _left(tmp_path / "left")
    (left / "unreadable").symlink_to(left / "more", target_is_directory=True)
    shared = SharedBuilds(tmp_path / "shared")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.bench.shared_builds.write_json", full)
    shared.give("a", left, TOLD)
    assert list((tmp_path / "shared").iterdir()) == []
    assert shared.take("a", tmp_path / "own") is None


def test_a_model_is_built_by_one_bench_at_a_time_and_others_meanwhile(tmp_path: Path) -> None:
    """Two that want the same come one after the other; one that wants another does not wait."""
    shared, seen = SharedBuilds(tmp_path / "shared"), list[str]()
    inside, may_end = threading.Event(), threading.Event()

    def first() -> None:
        with shared.alone("a"):
            inside.set()
            may_end.wait(10)
            seen.append("first")

    def second() -> None:
        with SharedBuilds(tmp_path / "shared").alone("a"):
            seen.append("second")

    threads = [threading.Thread(target=each) for each in (first, second)]
    threads[0].start()
    assert inside.wait(10)
    threads[1].start()
    with SharedBuilds(tmp_path / "shared").alone("b"):
        seen.append("other")
    time.sleep(0.1)
    may_end.set()
    for thread in threads:
        thread.join(10)
    assert seen == ["other", "first", "second"]


def test_nobody_waits_for_a_build_that_others_have_failed_at(tmp_path: Path) -> None:
    shared = SharedBuilds(tmp_path / "shared")
    with shared.alone("a"):
        shared.fail("a")
    seen = threading.Barrier(2, timeout=10)

    def build() -> None:
        with SharedBuilds(tmp_path / "shared").alone("a"):
            seen.wait()  # broken unless both are inside at once

    threads = [threading.Thread(target=build) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not seen.broken
