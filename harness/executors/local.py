"""Units side by side on this machine."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from harness.bench.attempt import Attempt
from harness.bench.errors import UsageError
from harness.bench.group import end_leftovers
from harness.bench.plan import Policy
from harness.bench.signals import deaf
from harness.executors.control_groups import cores_limit, memory_limit
from harness.executors.processes import BenchProcess
from harness.executors.units import Unit, Work
from harness.tables.ingredients import Surroundings

_POLL_S = 0.2
_MIB = 2**20
_KEPT_MB = 1024
"""For benches, this process and the system; what a cell shares with the process it is forked from counts for it."""


@dataclass(frozen=True)
class Local:
    """`jobs` benches at a time, each a process that a thread waits for."""

    jobs: int

    @property
    def conditions(self) -> Mapping[str, Any]:
        """Those of this machine, which need not be told."""
        return {}

    def surroundings(self, unit: Unit, work: Work, here: Surroundings) -> Sequence[Surroundings]:
        """Those of this machine."""
        del unit, work
        return [here]

    def run(self, units: Sequence[Unit], work: Work, look: Callable[[], bool]) -> None:
        """As `harness.executors.units.Executor` says."""
        ahead = list(units)
        under_way: set[Future[None]] = set()
        ending = threading.Event()
        with ThreadPoolExecutor(self.jobs) as pool:
            try:
                while under_way or ahead:
                    while ahead and len(under_way) < self.jobs:
                        under_way.add(pool.submit(_run, ahead.pop(0), work, ending))
                    done, under_way = wait(under_way, _POLL_S, FIRST_COMPLETED)
                    for each in done:
                        each.result()
                    if not look():
                        ahead.clear()
            except BaseException:
                ending.set()
                with deaf():
                    wait(under_way)
                raise

    def alone(self, unit: Unit, work: Work, look: Callable[[], None], *, only_waiting: bool = False) -> int:
        """As `harness.executors.units.Executor` says."""
        bench = BenchProcess(
            work.python,
            unit.folder,
            pinned=bool(unit.plan.lock),
            fresh=work.fresh,
            only_waiting=only_waiting,
            shared=work.shared,
        )
        try:
            while (returncode := bench.ended(_POLL_S)) is None:
                look()
        except BaseException:
            bench.end()
            raise
        return returncode


def _run(unit: Unit, work: Work, ending: threading.Event) -> None:
    """One bench, from its start to its end, and what it left at work."""
    bench = BenchProcess(work.python, unit.folder, pinned=bool(unit.plan.lock), fresh=work.fresh, shared=work.shared)
    while bench.ended(_POLL_S) is None:
        if ending.is_set():
            bench.end()
            return
    attempt = Attempt(unit.folder)
    end_leftovers(str(attempt.folder))
    attempt.clear_scratch()


def jobs_here(policy: Policy, *, device: str, asked: int | None = None) -> int:
    """How many benches are run side by side on this machine: as many as asked for, or as cores and memory allow.

    Each has `policy.threads` cores, and may take `policy.memory_limit_mb`: together no more than there is, less what
    benches and the system need. Cells that are served on a GPU have it alone. Raises `UsageError` where more are asked
    for than memory allows.
    """
    by_memory = max(1, (memory_mb() - _KEPT_MB) // policy.memory_limit_mb)
    if asked is None:
        if device != "cpu":
            return 1
        return max(1, min(cores() // policy.threads, by_memory))
    if asked > 1 and device != "cpu":
        msg = f"--jobs {asked}: what is served on a GPU has it alone, one cell after another. Leave --jobs out."
        raise UsageError(msg)
    if asked > by_memory:
        msg = (
            f"--jobs {asked}: each may take {policy.memory_limit_mb} MiB (memory_limit_mb of [policy]), and this "
            f"machine has {memory_mb()} MiB, of which {_KEPT_MB} are kept for the rest. Ask for {by_memory} at most, "
            "or for a lower limit in the matrix file."
        )
        raise UsageError(msg)
    return asked


def cores() -> int:
    """The cores that this process may use: those of the machine, or as many as a container's quota comes to."""
    found = len(os.sched_getaffinity(0))
    return min(found, cores_limit() or found)


def memory_mb() -> int:
    """The memory that this process may use, in MiB: the machine's, or what a container is limited to."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(total, memory_limit() or total) // _MIB
