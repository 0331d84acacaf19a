"""A serving process of a duel: loads one artifact as `harness.bench.serve` does, and is timed when it is its turn.

Both sides of a pair are alive, each in such a process, and only one of them runs at a time. Orders come through the
named pipe ``orders`` in the process's folder, answers go through ``answers``: JSON objects, one a line, each order
answered by one line. Standard output belongs to the frameworks. Whoever asks makes both pipes before this starts.

====================== ===============================================================================================
``{"loaded": true}``    told once, unasked: the artifact is loaded, the example executed, and its outputs are saved
``{"warm_up": true}``   call until it is steady; answered by ``{"warm": {"call_s", "calls", "seconds", "steady"}}``
``{"turn_s": 0.025}``   be timed for that long; answered by ``{"median_s", "rounds", "calls"}``, seconds a call
``{"end": true}``       save outputs once more, as the last timed call returned them, and end; not answered
====================== ===============================================================================================

Between orders the process sleeps in a read, and nothing of it spins. What it is, what it died of and what it took is
told as every child of the bench does (`harness.bench.requests`). It ends by itself where nobody holds the other end of
a pipe any more.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from time import perf_counter  # bound before a runtime is loaded, which may put another in its place
from typing import Any

from harness.bench import memory, pacing, tensors
from harness.bench.child import work_on
from harness.bench.progress import Progress
from harness.bench.requests import AFTER_FILE, ANSWERS, ORDERS, DuelRequest
from harness.bench.serve import Serving, check_provider
from harness.bench.stages import Stage


class OrdersEndedError(RuntimeError):
    """Nobody gives orders any more: whoever did has died."""


def main(folder: Path) -> None:
    """Serve the request in `folder`, turn by turn, and end the process without running anyone's exit handlers."""
    work_on(folder, DuelRequest, _take_turns)


def _take_turns(request: DuelRequest, progress: Progress) -> None:
    serving = Serving(request, progress)
    servable, inputs = serving.ready()
    progress.enter(Stage.MEASURE, provider=check_provider(servable.provider, request.device))
    turns = Turns(servable.prepare(inputs), measure_s=request.measure_s)
    folder = Path(request.folder)
    with (folder / ANSWERS).open("w", encoding="utf-8") as answers, (folder / ORDERS).open(encoding="utf-8") as orders:
        _tell(answers, {"loaded": True})
        for line in orders:
            order = json.loads(line)
            if "end" in order:
                break
            _tell(answers, turns.warm_up() if "warm_up" in order else turns.turn(order["turn_s"]))
        else:
            msg = "nobody gives orders any more"
            raise OrdersEndedError(msg)
    peak_mb = memory.peak_rss_mb()
    tensors.save(folder / AFTER_FILE, servable.outputs(turns.answer()))
    progress.finish(warm_up=turns.warm, peak_mb=peak_mb)


def _tell(answers: Any, value: dict[str, Any]) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()


class Turns:
    """Times a call that runs once, to its end. It is to be warmed up first, as one that is timed for `measure_s` is."""

    def __init__(self, call: Callable[[], Any], *, measure_s: float) -> None:
        self.warm: dict[str, Any] = {}
        self._call = call
        self._measure_s = measure_s
        self._call_s = float("inf")
        self._answer: Any = None

    def warm_up(self) -> dict[str, Any]:
        """Call until it is steady, for four times `measure_s` at most, and know what a call takes."""
        warm = pacing.warm_up(self._call, measure_s=self._measure_s)
        self._call_s = warm.call_s
        self.warm = {**vars(warm)}
        return {"warm": self.warm}

    def turn(self, turn_s: float) -> dict[str, Any]:
        """The median over rounds of what a call took, in seconds, timed for `turn_s` seconds and one round at least."""
        calls = pacing.rounds_for(self._call_s, turn_s).calls
        of_calls = pacing.round_of(self._call, calls)
        answer = None
        taken: list[float] = []
        began = perf_counter()
        while not taken or perf_counter() - began < turn_s:
            before = perf_counter()
            answer = of_calls()
            taken.append((perf_counter() - before) / calls)
        median_s = statistics.median(taken)
        pacing.check_clock([median_s])
        self._answer = answer
        return {"median_s": median_s, "rounds": len(taken), "calls": calls}

    def answer(self) -> Any:
        """What the last timed call returned; of one that was never timed, a call's now."""
        return self._call() if self._answer is None else self._answer
