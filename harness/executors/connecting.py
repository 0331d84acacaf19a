"""Ray: imported where it is installed, connected for as long as it is needed, and its errors in a line."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from harness.bench.errors import InfrastructureError, UsageError


class ClusterError(InfrastructureError):
    """The cluster could not be reached, or has no node that can run a unit."""

    remedy = "See that it is up (`ray status`), and run the same command again: it goes on with what is recorded."


def first_line(error: BaseException) -> str:
    """An error by its type, and the first line of what it says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def last_line(error: BaseException) -> str:
    """The last line of what an error says, which is what was raised on a node."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__


def imported() -> ModuleType:
    """Ray, without what it puts on the path of whoever imports it. Raises `UsageError` where it is not installed."""
    before = list(sys.path)
    try:
        import ray
        import ray.exceptions
    except ImportError:
        msg = "--executor ray needs Ray. Install it: `pip install 'conversion-harness[ray]'`, here and on every node."
        raise UsageError(msg) from None
    finally:
        sys.path[:] = before
    module: ModuleType = ray
    return module


@contextlib.contextmanager
def connected(address: str | None, archive: Path | None = None) -> Iterator[ModuleType]:
    """Ray, connected until the end of the context; what is in `archive` travels to each node that gets an order."""
    ray = imported()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    before = list(sys.path)
    runtime_env = {"working_dir": str(archive)} if archive else None
    try:
        ray.init(address=address, runtime_env=runtime_env, log_to_driver=False, logging_level="ERROR")
    except (ray.exceptions.RayError, ConnectionError, TimeoutError, RuntimeError, ValueError) as error:
        msg = f"Ray could not be reached{f' at {address}' if address else ''}: {first_line(error)}."
        raise ClusterError(msg) from None
    finally:
        sys.path[:] = before
        for number, handler in handlers.items():
            signal.signal(number, handler)
    try:
        with told_as_cluster_errors(ray):
            yield ray
    finally:
        ray.shutdown()


@contextlib.contextmanager
def told_as_cluster_errors(ray: ModuleType) -> Iterator[None]:
    """Raise as `ClusterError` what Ray raises to whoever asks it something once it is gone."""
    try:
        yield
    except (ray.exceptions.RayError, ConnectionError) as error:
        if not isinstance(error, ray.exceptions.RayError) and not _is_raised_in(ray, error):
            raise
        msg = f"the cluster does not answer any more: {first_line(error)}."
        raise ClusterError(msg) from error


def _is_raised_in(module: ModuleType, error: BaseException) -> bool:
    """Whether an error comes from the code of a module, or of one below it."""
    names = (frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(name.partition(".")[0] == module.__name__ for name in names)
