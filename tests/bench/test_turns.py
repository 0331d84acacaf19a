"""Serving processes that import side by side, and are timed in turn: real ones, of a runtime of the test's own."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness.bench.children import Children, Done
from harness.bench.plan import Policy
from harness.bench.progress import STAGES_FILE
from harness.bench.requests import TURN, ServeRequest
from tests.attempts.conftest import running
from tests.bench.test_serving import LIMITS, RUNTIME

SLOW_IMPORT = "import time\ntime.sleep(1.0)\n"


def _requests(
    built: Path, folder: Path, imports: Sequence[str], *, call: str = "pass", text: str = SLOW_IMPORT
) -> list[ServeRequest]:
    """A request for each of `imports`, modules of the test's own, `text` being that of ``slow``."""
    modules = folder / "modules"
    modules.mkdir()
    texts = {"slow": text, "dying": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", "hanging": HANGING}
    for name in imports:
        (modules / f"{name}.py").write_text(texts[name], encoding="utf-8")
    runtime = folder / "runtime.py"
    runtime.write_text(RUNTIME.format(top="", load="pass", call=call, more="", needs_module=False), encoding="utf-8")
    requests = []
    for number, name in enumerate(imports):
        served = folder / f"time-{number}"
        served.mkdir()
        request = ServeRequest(
            folder=str(served),
            imports=("numpy", name),
            paths=(str(modules),),
            runtime="own",
            runtime_file=str(runtime),
            kind="array",
            artifact=str(built / "weight.npy"),
            device="cpu",
            built=str(built),
            input_names=("x",),
            sets=(0,),
            measure_s=0.01,
        )
        requests.append(request)
    return requests


HANGING = "import time\ntime.sleep(99)\n"


def _served(folder: Path, requests: Sequence[ServeRequest], *, policy: Policy = LIMITS) -> list[Done]:
    children = Children(folder, policy, "cpu", marker=str(folder), fresh=True)
    return [launch.done for launch in children.in_turn(requests)]


def _entered(request: ServeRequest) -> dict[str, float]:
    """When each stage began."""
    lines = (Path(request.folder) / STAGES_FILE).read_text(encoding="utf-8").splitlines()
    return {stage["stage"]: stage["at"] for stage in map(json.loads, lines)}


def test_imports_are_side_by_side_and_what_comes_then_is_in_turn(built: Path, tmp_path: Path) -> None:
    requests = _requests(built, tmp_path, ["slow", "slow", "slow"])
    done = _served(tmp_path, requests)
    assert [each.failure for each in done] == [None, None, None]
    entered = [_entered(request) for request in requests]
    assert max(each["import"] for each in entered) < min(each["load"] for each in entered)
    for one, other in itertools.pairwise(entered):
        assert one["measure"] < other["load"]
    assert not list(tmp_path.rglob(TURN)), "no pipe is left that a copy would hang at"


def test_who_dies_or_hangs_while_it_imports_tells_so_in_its_turn_and_harms_no_other(
    built: Path, tmp_path: Path
) -> None:
    requests = _requests(built, tmp_path, ["slow", "dying", "hanging"], text="")
    done = _served(tmp_path, requests, policy=replace(LIMITS, timeout_s=2.0))
    ends = [each.failure and (each.failure.outcome.value, each.failure.stage.value) for each in done]
    assert ends == [None, ("crashed", "import"), ("timed-out", "import")]


def test_waiting_for_a_turn_takes_nothing_of_the_time_that_a_turn_has(built: Path, tmp_path: Path) -> None:
    policy = replace(LIMITS, timeout_s=4.0)
    requests = _requests(built, tmp_path, ["slow", "slow", "slow"], call="time.sleep(0.25)", text="")
    began = time.monotonic()
    done = _served(tmp_path, requests, policy=policy)
    assert [each.failure for each in done] == [None, None, None]
    assert time.monotonic() - began > policy.timeout_s


@pytest.mark.parametrize("turns", [1, 2])
def test_what_an_import_leaves_in_shared_memory_goes_with_its_process(built: Path, tmp_path: Path, turns: int) -> None:
    name = f"harness-test-{os.getpid()}-{tmp_path.name}"
    sharing = f"import os\nfile = open(f'/dev/shm/{name}-{{os.getpid()}}', 'wb')\nfile.write(bytes(2**26))\n"
    requests = _requests(built, tmp_path, ["slow", "slow"], text=sharing)
    children = Children(tmp_path, LIMITS, "cpu", marker=str(tmp_path), fresh=True)
    try:
        with contextlib.closing(children.in_turn(requests)) as launches:
            assert not any(next(launches).done.failure for _ in range(turns))
        assert not list(Path("/dev/shm").glob(f"{name}*"))
    finally:
        for left in Path("/dev/shm").glob(f"{name}*"):
            left.unlink()


def test_who_gets_no_turn_ends_with_the_cell(built: Path, tmp_path: Path) -> None:
    requests = _requests(built, tmp_path, ["slow", "slow"], text="")
    children = Children(tmp_path, LIMITS, "cpu", marker=str(tmp_path), fresh=True)
    with contextlib.closing(children.in_turn(requests)) as launches:
        assert next(launches).done.failure is None
        (other,) = running(str(tmp_path / "time-1"))
    assert not running(str(tmp_path / "time-1")), other
    # Who starts processes is there for the next cell.
    again = tmp_path / "again"
    again.mkdir()
    assert [each.failure for each in _served(tmp_path, _requests(built, again, ["slow", "slow"], text=""))] == [
        None
    ] * 2
