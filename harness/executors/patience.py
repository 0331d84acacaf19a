"""How long it is waited for room on a cluster that others use."""

from __future__ import annotations

import time
from collections.abc import Callable

from harness.executors.connecting import ClusterError

_TOLD_S = 60.0
_PATIENCE_S = 3600.0


class Patience:
    """Whoever waits for nodes to be free: after a minute a person is told, once, and after an hour it is an error.

    It is waited for a node to be had `alone`, or for the room of a cell.
    """

    def __init__(self, tell: Callable[[str], None], *, alone: bool) -> None:
        self._tell = tell
        self._alone = alone
        self._told = False

    def look(self, asked: float) -> None:
        """Nobody has begun since `asked`, by the monotonic clock. Raises `ClusterError` where that is an hour ago."""
        waited_s = time.monotonic() - asked
        if waited_s > _PATIENCE_S:
            what = "of the machine class was free to be had alone" if self._alone else "had room for a cell"
            msg = f"for {_PATIENCE_S / 60:g} minutes no node {what}."
            raise ClusterError(msg)
        if waited_s > _TOLD_S and not self._told:
            self._told = True
            if self._alone:
                what = "a node of the machine class to have alone: others use CPUs of each"
                remedy = "start one more node with its label"
            else:
                what = "room on a node: others use the CPUs or the memory of each"
                remedy = "start one more node"
            self._tell(
                f"waiting for {what} (`ray status`). End what is there or {remedy}; ended with Ctrl-C, the same "
                "command goes on."
            )
