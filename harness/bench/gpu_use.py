"""Who uses the GPU that something is served or timed on, and how much of its memory; asked by the process that watches.

**Exclusive.** A latency holds where nobody else uses the GPU meanwhile. Before a process of ours starts, nobody may be
there: no process is listed, and it is idle. While ours runs, all that are listed have to be ours. Once ours has ended,
the GPU has to be as it was before. In a container NVML lists either all processes by the ids that the host knows them
by, or only those of the container, depending on the driver: what it cannot tell, `GpuWatch.use` does not claim.

**Memory** has a ladder: what NVML counts for the serving process; else what is in use on the device less what was in
use before, which holds only on an exclusive GPU. Which one it was is recorded; unknown is never 0. It is sampled every
15 ms of the process that serves untimed, and never while calls are timed: NVML and a call that starts kernels ask the
same driver. Nothing is lost by that. The untimed process serves the same artifact on the same inputs and on others,
and what a framework took from the device it keeps until it ends, so that samples between calls see it, too.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.bench.gpu import Opened, answer_or, opened
from harness.bench.latency import EXCLUSIVE

SAMPLE_S = 0.015
"""How often memory is sampled."""

_PATIENCE_S = 30.0
_SETTLE_S = 2.0
"""NVML's utilisation is of up to a second that has gone, and a process that ended may be listed a little longer."""

_AGAIN_S = 0.1
_BUSY_PERCENT = 5
"""From what utilisation the GPU counts as used when nothing of ours runs; a desktop at rest has less."""

_MORE_BYTES = 100 * 2**20
"""By how much more may be in use than before: a process that opens CUDA takes more than this."""

_FIRST_NAMESPACE = "pid:[4026531836]"
"""The machine's own namespace of process ids, as Linux numbers it (`PROC_PID_INIT_INO`); a container has another."""


@dataclass(frozen=True)
class _Look:
    """What NVML tells at one time; None is what it does not tell.

    `used` is the bytes in use on each GPU that is asked about, `processes` the bytes of each process on any of them, by
    its id, and `percent` how busy the busiest of them was of late.
    """

    used: tuple[int, ...] | None = None
    processes: Mapping[int, int] | None = None
    percent: int | None = None


class ExclusiveGpu:
    """The GPU of a run, which is to be had alone.

    Others are waited for at most `patience_s` seconds in all, so that one who stays does not cost that each time.
    """

    def __init__(self, *, patience_s: float = _PATIENCE_S) -> None:
        self._left_s = patience_s

    def watch(self, *, timed: bool) -> GpuWatch:
        """Watch the GPU from now on, when nothing of ours runs on it; where something is to be timed, wait for others.

        Never raises, also where there is no GPU.
        """
        found = GpuWatch(opened(), memory=not timed)
        waited_s = found.begin(max(_SETTLE_S, self._left_s if timed else 0.0))
        self._left_s -= max(0.0, waited_s - _SETTLE_S)
        return found


class GpuWatch:
    """Sees who uses the GPU while processes of ours run on it, and with `memory` how much of it they take.

    It is called with their pids again and again, and told once they have ended (`end`). It never raises: what it cannot
    tell, it says.
    """

    def __init__(self, asked: Opened, *, memory: bool) -> None:
        self._asked = asked
        self._memory = memory
        self._reason = asked.reason
        self._before = _Look()
        self._others = ""
        self._own: set[int] = set()
        self._seen: set[int] = set()
        self._own_peak = 0
        self._growth = 0

    def begin(self, limit_s: float) -> float:
        """Look until nobody is on the GPU, for at most so many seconds; how many it took."""
        began = time.monotonic()
        self._before, self._others = self._settled(limit_s)
        return time.monotonic() - began

    def __call__(self, pids: Sequence[int]) -> None:
        """Look at who is on the GPU, and take a sample of its memory; processes of the sessions of `pids` are ours."""
        self._own.update(pids)
        listed = self._processes() or {}
        own = {pid for pid in listed if pid in self._own or _session_of(pid) in self._own}
        self._own |= own
        self._seen.update(listed)
        if not self._memory:
            return
        self._own_peak = max(self._own_peak, sum(listed[pid] for pid in own))
        used = self._used()
        if used is not None and self._before.used is not None:
            grown = (now - before for now, before in zip(used, self._before.used, strict=True))
            self._growth = max([self._growth, *grown])

    def end(self) -> None:
        """Nothing of ours runs on the GPU any more: it has to become as it was before."""
        if not self._others:
            _, self._others = self._settled(_SETTLE_S)

    def use(self) -> str:
        """`exclusive`, or `exclusive before and after` where it cannot be told who came and went in between.

        Otherwise `shared: ` with who was there, or `unknown: ` with the reason.
        """
        if not self._asked.handles:
            return f"unknown: {self._reason}"
        others, doubt = self._others or self._beside(), self._asked.doubt
        if others:
            return f"unknown: {doubt}; on one of them {others}" if doubt else f"shared: {others}"
        if self._sees_all():
            return EXCLUSIVE
        if self._before.percent is None:
            return "unknown: NVML tells neither all processes nor how busy it is"
        return f"{EXCLUSIVE} before and after"

    def peak(self) -> tuple[float | None, str]:
        """Peak in MiB and where the figure is from: `nvml-process`, `nvml-device`, or why there is none."""
        if self._own_peak:
            return self._own_peak / 2**20, "nvml-process"
        if self._growth <= 0:
            return None, self._reason or "NVML saw no memory in use"
        use, doubt = self.use(), self._asked.doubt
        if not use.startswith(EXCLUSIVE):
            return None, f"NVML tells what the device has in use alone, and others may have a part in it: {use}"
        return self._growth / 2**20, f"nvml-device ({doubt})" if doubt else "nvml-device"

    def _settled(self, limit_s: float) -> tuple[_Look, str]:
        """The last look, and who was on the GPU still after so many seconds."""
        until = time.monotonic() + limit_s
        while True:
            look = _Look(self._used(), self._processes(), self._percent())
            others = self._others_in(look)
            if not others or time.monotonic() >= until:
                return look, others
            time.sleep(_AGAIN_S)

    def _others_in(self, look: _Look) -> str:
        """Who else is on the GPU when nothing of ours runs; empty where nobody is."""
        if there := set(look.processes or ()) - self._own:
            return _count(len(there))
        if (look.percent or 0) > _BUSY_PERCENT:
            return f"others kept it {look.percent} % busy"
        pairs = zip(look.used or (), self._before.used or (), strict=False)
        more = max((now - before for now, before in pairs), default=0)
        return f"{more // 2**20} MiB more were in use afterwards than before" if more > _MORE_BYTES else ""

    def _beside(self) -> str:
        """Who else was listed while ours ran; by ids of another namespace, as many of them may be ours as we are."""
        strangers = self._seen - self._own
        count = len(strangers) if self._seen & self._own else len(strangers) - len(self._own)
        return _count(count) if count > 0 else ""

    def _sees_all(self) -> bool:
        """Whether NVML lists every process: not where it lists ours by the ids of a container."""
        return bool(self._seen) and (not self._seen & self._own or in_first_namespace())

    def _used(self) -> tuple[int, ...] | None:
        nvml = self._asked.nvml
        try:
            return tuple(int(nvml.nvmlDeviceGetMemoryInfo(handle).used) for handle in self._asked.handles)
        except Exception as error:  # noqa: BLE001 - one sample that NVML refuses is none; the last reason is told
            self._reason = f"NVML: {error}"
            return None

    def _processes(self) -> dict[int, int] | None:
        found: Counter[int] = Counter()
        for handle in self._asked.handles:
            listed: list[Any] | None = answer_or(None, self._asked.nvml.nvmlDeviceGetComputeRunningProcesses, handle)
            if listed is None:
                return None
            for process in listed:
                # In a container, and on some drivers, NVML does not tell a process's memory.
                found[process.pid] += process.usedGpuMemory or 0
        return found

    def _percent(self) -> int | None:
        answers = [
            answer_or(None, self._asked.nvml.nvmlDeviceGetUtilizationRates, handle) for handle in self._asked.handles
        ]
        told = [int(answer.gpu) for answer in answers if answer is not None]
        return max(told) if told and len(told) == len(answers) else None


def in_first_namespace() -> bool:
    """Whether process ids here are the machine's own, as they are not in a container."""
    try:
        return str(Path("/proc/self/ns/pid").readlink()) == _FIRST_NAMESPACE
    except OSError:
        return False


def _session_of(pid: int) -> int:
    """The session of a process; 0 where there is no such process here."""
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def _count(processes: int) -> str:
    return "1 process of others" if processes == 1 else f"{processes} processes of others"
