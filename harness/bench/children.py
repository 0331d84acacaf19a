"""The children of the bench: made, watched to their end, and what they left read.

A child that builds or converts is forked from a warm process, which has imported the frameworks once; where that
crashes or hangs, the same request is worked on again in a fresh process, and that result counts. A child that serves
is always fresh.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.bench.disk import remove_tree
from harness.bench.failure import Failure, failure_of, infrastructure_of
from harness.bench.gpu_use import SAMPLE_S, ExclusiveGpu, GpuWatch
from harness.bench.pacing import most_s
from harness.bench.plan import Policy
from harness.bench.processes import Child, Ended, Limits, Warm, WarmError, Watch, child_environ, start, watch
from harness.bench.progress import Trail, read_trail
from harness.bench.record import now
from harness.bench.requests import Request, ServeRequest
from harness.bench.stages import Outcome, Stage
from harness.bench.turns import Imported

_OF_FORKS = (Outcome.CRASHED, Outcome.TIMED_OUT)
"""Outcomes that a fork may come to, and a fresh process not."""


@dataclass(frozen=True)
class Done:
    """What a child left behind, and the failure it came to, if any."""

    trail: Trail
    failure: Failure | None
    seconds: float


@dataclass(frozen=True)
class Launched:
    """What became of a launch that was timed: `started` is when its turn began.

    `import_s` are the seconds before that in which it imported, with those that come after it; `gpu` saw who used the
    GPU.
    """

    request: ServeRequest
    done: Done
    started: str
    import_s: float = 0.0
    gpu: GpuWatch | None = None


class Children:
    """Starts the children of one attempt, one at a time, in folders below `scratch`.

    `marker` is in the environment of each, so that the next start finds what outlived a killed bench. Raises
    `InfrastructureError` where the disk is full or the interpreter has gone: that is no result of any cell.
    """

    def __init__(self, scratch: Path, policy: Policy, device: str, *, marker: str, fresh: bool) -> None:
        self.scratch = scratch
        self.fresh = fresh
        self._timeout_s = policy.timeout_s
        self._limits = Limits(policy.timeout_s, policy.memory_limit_mb)
        self._serving_environ = child_environ(device, policy.threads, marker=marker)
        # Converting happens on the CPU, whatever serves.
        self._environ = child_environ("cpu", policy.threads, marker=marker)
        for environ in (self._serving_environ, self._environ):
            environ["TMPDIR"] = str(scratch)  # what tools leave there goes with the run
        self._warm: Warm | None = None
        self._cold: set[tuple[str, ...]] = set()

    def close(self) -> None:
        """End what is kept warm."""
        if self._warm is not None:
            self._warm.close()
            self._warm = None

    def warmed(self, imports: tuple[str, ...]) -> Warm | None:
        """The process that has imported these; None where that is not to be had. One is kept at a time."""
        if self.fresh or imports in self._cold:
            return None
        if self._warm is not None and self._warm.imports == imports:
            return self._warm
        self.close()
        try:
            self._warm = Warm(imports, self.scratch / "warm.log", environ=self._environ, timeout_s=self._timeout_s)
        except WarmError:
            # An import that kills its process: each cell meets it in a process of its own.
            self._cold.add(imports)
        return self._warm

    def work(self, request: Request, warm_imports: tuple[str, ...]) -> Done:
        """Build or convert: in a fork of the warm process, and where that crashes or hangs, in a fresh one.

        What the kernel ended for want of memory runs once more too: another program may have taken it.
        """
        folder = Path(request.folder)
        warm = self.warmed(warm_imports)
        if warm is not None:
            started = time.monotonic()
            request.write()
            try:
                done = self._watched(warm.fork(folder, cwd=folder), folder, started)
            except WarmError:
                self.close()
            else:
                if done.failure is None or not (done.failure.outcome in _OF_FORKS or done.failure.by_kernel):
                    return done
        else:
            done = self._work_afresh(request, folder)
            if done.failure is None or not done.failure.by_kernel:
                return done
        _empty(folder)
        return self._work_afresh(request, folder)

    def _work_afresh(self, request: Request, folder: Path) -> Done:
        started = time.monotonic()
        request.write()
        child = start(request.role, folder, cwd=folder, environ=self._environ)
        return self._watched(child, folder, started)

    def look(self, request: Request, warm_imports: tuple[str, ...], *, timeout_s: float) -> Done:
        """Look at what a cell left, for at most so many seconds: once, since its failure changes no result."""
        folder = Path(request.folder)
        limits = Limits(min(timeout_s, self._limits.timeout_s), self._limits.memory_limit_mb)
        warm = self.warmed(warm_imports)
        started = time.monotonic()
        request.write()
        try:
            child = warm.fork(folder, cwd=folder) if warm is not None else None
        except WarmError:
            self.close()
            child = None
        child = child or start(request.role, folder, cwd=folder, environ=self._environ)
        return self._watched(child, folder, started, limits=limits)

    def serve(self, request: ServeRequest, gpu: GpuWatch | None) -> Done:
        """Serve in a fresh process, which is hardly looked at while it is timed; `gpu` sees who uses the GPU.

        What timing may take comes on top of the limit of a process. What is only probed, on the CPU, and what the
        kernel ended for want of memory runs once more.
        """
        folder = Path(request.folder)
        done = self._serve_once(request, folder, gpu)
        if done.failure is not None and done.failure.by_kernel and not request.measure_s and gpu is None:
            _empty(folder)
            return self._serve_once(request, folder, gpu)
        return done

    def _serve_once(self, request: ServeRequest, folder: Path, gpu: GpuWatch | None) -> Done:
        started = time.monotonic()
        request.write()
        child = start(request.role, folder, cwd=folder, environ=self._serving_environ)
        return self._served(request, child, started, gpu)

    def in_turn(self, requests: Sequence[ServeRequest]) -> Generator[Launched, None, None]:
        """Launches in fresh processes that import side by side, and then serve one after the other, as `serve` does."""
        began = time.monotonic()
        requests = [replace(request, in_turn=True) for request in requests]
        with Imported(requests, self._limits, self._serving_environ) as imported:
            import_s = time.monotonic() - began
            for request in requests:
                at, started = now(), time.monotonic()
                child, seen, ended = imported.take()
                if ended is None:
                    done = self._served(request, child, started, None, seen)
                else:
                    done = self._done(Path(request.folder), ended, started, imported.limits, Stage.LOAD)
                yield Launched(request, done, at, import_s=import_s)
                import_s = 0.0

    def alone(self, requests: Sequence[ServeRequest], gpu: ExclusiveGpu) -> Generator[Launched, None, None]:
        """Launches one after the other, each of which has the GPU alone from its start."""
        for request in requests:
            at, watch = now(), gpu.watch(timed=True)
            yield Launched(request, self.serve(request, watch), at, gpu=watch)

    def _served(
        self, request: ServeRequest, child: Child, started: float, gpu: GpuWatch | None, seen: Watch | None = None
    ) -> Done:
        limits = replace(self._limits, timeout_s=self._limits.timeout_s + most_s(request.measure_s))
        quiet = request.measure_s > 0
        folder = Path(request.folder)
        return self._watched(child, folder, started, gpu, fallback=Stage.LOAD, quiet=quiet, limits=limits, seen=seen)

    def _watched(
        self,
        child: Child,
        folder: Path,
        started: float,
        gpu: GpuWatch | None = None,
        *,
        fallback: Stage = Stage.IMPORT,
        quiet: bool = False,
        limits: Limits | None = None,
        seen: Watch | None = None,
    ) -> Done:
        limits = limits or self._limits
        ended = watch(child, limits, sample=gpu, sample_s=SAMPLE_S, quiet=quiet, seen=seen)
        if gpu is not None:
            gpu.end()
        return self._done(folder, ended, started, limits, fallback)

    @staticmethod
    def _done(folder: Path, ended: Ended, started: float, limits: Limits, fallback: Stage) -> Done:
        trail = read_trail(folder)
        cause = infrastructure_of(trail, ended, folder)
        if cause is not None:
            raise cause
        failure = failure_of(trail, ended, limits, fallback=fallback)
        return Done(trail, failure, time.monotonic() - started)


def _empty(folder: Path) -> None:
    """Remove what a child left, for the next one."""
    remove_tree(folder)
    folder.mkdir(parents=True, exist_ok=True)
