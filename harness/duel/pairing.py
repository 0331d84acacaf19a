"""Pairs: a serving process of each side, both alive, that are timed in turns, and only one of which runs at a time.

The processes are those of `harness.bench.duelling`, each in the interpreter of its own environment. Both load at once,
since loading is not timed. Then each warms up alone, and they are timed block by block, a short turn of each side in
random order. Outputs are held against the native ones as they were before and after, once both have ended.

On CUDA the pair waits until nobody else is on the GPU, and it is looked at again before the first block and after each,
when neither side computes. A pair that was disturbed counts all the same, and says so: whoever else is there slows both
turns of a block, and makes a pair noisier, not one side slower.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.bench.answers import hold_against
from harness.bench.disk import remove_tree
from harness.bench.errors import BenchBrokenError, InterpreterGoneError
from harness.bench.failure import Failure, failure_of, infrastructure_of
from harness.bench.gpu_use import ExclusiveGpu, GpuWatch
from harness.bench.latency import doubts_of
from harness.bench.launching import OF_A_PROCESS
from harness.bench.places import PACKAGE
from harness.bench.processes import Child, Keeper, KeeperError, Limits, Watch
from harness.bench.progress import described, read_trail
from harness.bench.record import now
from harness.bench.requests import ANSWERS, ORDERS, DuelRequest
from harness.bench.stages import Outcome, Stage
from harness.duel.answers import LOOK_S, Answers, BadAnswerError
from harness.duel.pairs import pair_difference
from harness.duel.preparing import Key, ReadyCell

_LAUNCHER = PACKAGE / "bench" / "launch.py"


@dataclass(frozen=True, kw_only=True)
class Turns:
    """How a pair is timed: so many blocks of a turn of each side, of `turn_s` seconds at least."""

    blocks: int = 10
    turn_s: float = 0.025


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One pair of a cell. Turns are in seconds a call, in the order of time; `first` has the side that began, a block.

    `difference` is ln(B / A), None where a side failed: then `failed` is that side's letter, and `reason` says of what.
    `processes` has what each process told of itself. `gpu_use` is who used the GPU meanwhile, as
    `harness.bench.gpu_use` says it; empty on the CPU. `node` is the node of a cluster that it was taken on, if any.
    """

    model: str
    strategy: str
    started: str
    seconds: float
    turns_a_s: tuple[float, ...] = ()
    turns_b_s: tuple[float, ...] = ()
    first: str = ""
    difference: float | None = None
    noise: float | None = None
    failed: str = ""
    reason: str = ""
    processes: tuple[Mapping[str, Any], ...] = ()
    gpu_use: str = ""
    node: str = ""

    @property
    def key(self) -> Key:
        """The cell that it is of."""
        return self.model, self.strategy

    @property
    def shared(self) -> bool:
        """Whether others used the GPU meanwhile, or it cannot be told that none did."""
        return bool(doubts_of({"gpu_use": self.gpu_use}))

    @property
    def is_unsteady(self) -> bool:
        """Whether a side never came to take equally long before it was timed; where that is not known, it did."""
        return any(each.get("steady") is False for each in self.processes)


def unsteady(pairs: Iterable[Pair]) -> list[Key]:
    """The cells of which more than half of the pairs are unsteady: what they tell may be of warming up.

    They are evidence all the same. One such pair tells of the machine: the next ones see past it.
    """
    found: dict[Key, list[bool]] = {}
    for pair in pairs:
        if pair.difference is not None:
            found.setdefault(pair.key, []).append(pair.is_unsteady)
    return [key for key, told in found.items() if 2 * sum(told) > len(told)]


class FellOutError(Exception):
    """A side of a pair cannot go on; `failure` says why."""

    def __init__(self, letter: str, failure: Failure) -> None:
        super().__init__(failure.error)
        self.letter = letter
        self.failure = failure


class Pairing:
    """Takes pairs, one at a time, in folders below `scratch`. A context: in the end nothing of it runs any more.

    `marker` is in the environment of every process, so that the next start finds what outlived a killed one.
    """

    def __init__(self, scratch: Path, *, marker: str, turns: Turns | None = None) -> None:
        self.turns = turns or Turns()
        self._scratch = scratch
        self._marker = marker
        self._keepers: dict[str, Keeper] = {}
        self._gpu = ExclusiveGpu()

    def __enter__(self) -> Pairing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for keeper in self._keepers.values():
            keeper.close()
        self._keepers.clear()

    def take(self, sides: tuple[ReadyCell, ReadyCell], *, chance: random.Random, until: float = math.inf) -> Pair:
        """A pair of one cell, begun at once. Raises `InfrastructureError` where that is no result of the cell."""
        del until
        began, started = time.monotonic(), now()
        contenders = [self._contender(letter, side) for letter, side in zip("ab", sides, strict=True)]
        contenders[0].beside, contenders[1].beside = contenders[1], contenders[0]
        cell = sides[0].cell
        pair: dict[str, Any] = {"model": cell.model, "strategy": cell.strategy, "started": started}
        gpu = self._gpu.watch(timed=True) if cell.device == "cuda" else None
        try:
            with contextlib.ExitStack() as stack:
                for each in chance.sample(contenders, 2):
                    stack.enter_context(each.running(self._keeper(each.letter, each.ready)))
                timed = self._timed(contenders, chance, gpu)
            for each in contenders:
                each.require_same_answers()
            pair |= timed
        except KeeperError as error:
            msg = f"what starts the processes of a duel {error}."
            raise BenchBrokenError(msg) from error
        except FellOutError as fell:
            at = fell.failure.stage.value
            pair |= {"failed": fell.letter, "reason": f"{fell.failure.outcome.value} at {at}: {fell.failure.error}"}
        if gpu is not None:
            gpu.end()
            pair["gpu_use"] = gpu.use()
        pair["processes"] = tuple(each.told() for each in contenders)
        for each in contenders:
            remove_tree(each.folder)
        return Pair(seconds=time.monotonic() - began, **pair)

    def _contender(self, letter: str, ready: ReadyCell) -> _Contender:
        folder = self._scratch / letter
        remove_tree(folder)
        folder.mkdir(parents=True)
        return _Contender(letter, ready, folder, marker=self._marker)

    def _keeper(self, letter: str, ready: ReadyCell) -> Keeper:
        """What starts the processes of a side; anew where one of them has killed it."""
        keeper = self._keepers.get(letter)
        if keeper is None or not keeper.is_alive():
            if keeper is not None:
                keeper.close()
            keeper = self._keepers[letter] = Keeper(None, environ=ready.environ(marker=self._marker))
        return keeper

    def _timed(self, contenders: Sequence[_Contender], chance: random.Random, gpu: GpuWatch | None) -> dict[str, Any]:
        """Warm both up, and time them block by block; `gpu` is looked at between blocks."""
        for each in contenders:
            each.answer("loaded")
        for each in chance.sample(contenders, 2):
            each.order(warm_up=True)
            each.answer("warm")
        _look_at(gpu, contenders)
        turns: dict[str, list[float]] = {each.letter: [] for each in contenders}
        first = ""
        for _ in range(self.turns.blocks):
            order = chance.sample(contenders, 2)
            first += order[0].letter
            for each in order:
                each.order(turn_s=self.turns.turn_s)
                turns[each.letter].append(each.answer_s("median_s"))
            _look_at(gpu, contenders)
        for each in contenders:
            each.order(end=True)
        for each in contenders:
            each.end()
        found = pair_difference(turns["a"], turns["b"])
        return {
            "turns_a_s": tuple(turns["a"]),
            "turns_b_s": tuple(turns["b"]),
            "first": first,
            "difference": found.difference,
            "noise": found.noise,
        }


def _look_at(gpu: GpuWatch | None, contenders: Sequence[_Contender]) -> None:
    if gpu is not None:
        gpu([pid for each in contenders for pid in each.pids()])


class _Contender:
    """One process of a pair."""

    def __init__(self, letter: str, ready: ReadyCell, folder: Path, *, marker: str) -> None:
        self.letter, self.ready, self.folder = letter, ready, folder
        self._marker = marker
        self._limits = Limits(ready.policy.timeout_s, ready.policy.memory_limit_mb)
        self.beside: _Contender | None = None

    @contextlib.contextmanager
    def running(self, keeper: Keeper) -> Iterator[None]:
        """Started; in the end it has ended, with all that it started."""
        ready = self.ready
        ready.request(self.folder, kind=DuelRequest).write()
        if not ready.python.exists():
            msg = f"the interpreter {ready.python} of {ready.plan.combination} has gone."
            raise InterpreterGoneError(msg)
        environ = {**ready.environ(marker=self._marker), "TMPDIR": str(self.folder)}
        command = [str(ready.python), str(_LAUNCHER), "duelling", str(self.folder)]
        with _pipe(self.folder / ORDERS) as self._orders, _pipe(self.folder / ANSWERS) as answers:
            self._answers = Answers(answers)
            self._child: Child = keeper.child(self.folder, cwd=self.folder, command=command, environ=environ)
            self._watch = Watch(self._child, self._limits)
            try:
                yield
            finally:
                self._watch.end()

    def order(self, **what: Any) -> None:
        """Tell the process what to do."""
        os.write(self._orders, json.dumps(what).encode() + b"\n")

    def answer(self, name: str) -> Any:
        """What the process says next, which has to be `name`; raises `FellOutError` where it says nothing any more."""
        with self._falling_out():
            return self._answers.next(name, self._look)

    def answer_s(self, name: str) -> float:
        """The same of a time in seconds, which has to be above 0."""
        with self._falling_out():
            return self._answers.seconds(name, self._look)

    @contextlib.contextmanager
    def _falling_out(self) -> Iterator[None]:
        try:
            yield
        except BadAnswerError as error:
            raise FellOutError(self.letter, Failure(Outcome.CRASHED, Stage.MEASURE, "NoResult", str(error))) from None

    def _look(self) -> None:
        """See whether it is still there, and the other one, which may be loading meanwhile."""
        for each in filter(None, (self, self.beside)):
            each.require_there()

    def pids(self) -> list[int]:
        """The process, and all that it started."""
        return self._watch.look()

    def require_there(self) -> None:
        """Raise `FellOutError` where the process has ended, or must be ended for what it takes."""
        if self._is_running(0.0):
            return
        self._watch.end()
        failure = self._failure()
        if failure is None:
            failure = Failure(Outcome.CRASHED, Stage.MEASURE, "NoResult", "the process ended before it was told to")
        raise FellOutError(self.letter, failure)

    def end(self) -> None:
        """Wait until the process, which was told to, has ended. Raises `FellOutError` where that is no good end."""
        while self._is_running(LOOK_S):
            pass
        self._watch.end()
        failure = self._failure()
        if failure is not None:
            raise FellOutError(self.letter, failure)

    def _is_running(self, wait_s: float) -> bool:
        """Whether it runs on after so many seconds, and may."""
        try:
            if self._child.poll(wait_s) is not None:
                return False
        except KeeperError:
            return False
        self._watch.look()
        return not self._watch.stopped

    def _failure(self) -> Failure | None:
        ended, trail = self._watch.ended(), read_trail(self.folder)
        cause = infrastructure_of(trail, ended, self.folder)
        if cause is not None:
            raise cause
        return failure_of(trail, ended, self._limits, fallback=Stage.LOAD)

    def require_same_answers(self) -> None:
        """Raise `FellOutError` unless it answered as PyTorch does, before it was timed and after."""
        ready, built = self.ready, self.ready.built
        try:
            answers = hold_against(built.folder, self.folder, built.facts, [0], ready.tolerance, {}, own=ready.own)
        except Exception as error:  # a process may leave anything; it costs one cell
            told = described(error)
            text = f"what it left cannot be used: {told['error']}"
            failure = Failure(Outcome.FAILED, Stage.MEASURE, told["error_type"], text)
            raise FellOutError(self.letter, failure) from error
        if answers.failure is not None:
            raise FellOutError(self.letter, answers.failure)

    def told(self) -> dict[str, Any]:
        """What the process told of itself."""
        trail = read_trail(self.folder)
        result = trail.result or {}
        facts = {name: trail.fact(name) for name in OF_A_PROCESS}
        return {**facts, **result.get("warm_up", {}), "rss_peak_mb": result.get("peak_mb")}


@contextlib.contextmanager
def _pipe(path: Path) -> Iterator[int]:
    """A named pipe with both ends open here, so that neither side's opening waits, and none reads its end too early."""
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
