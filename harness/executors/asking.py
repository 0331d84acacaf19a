"""Questions to a process on a node that one has to oneself; where the node is lost, another of its class is asked."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import ModuleType, TracebackType
from typing import Any, Protocol, TypeVar

from harness.bench.errors import EnvironmentChangedError, InfrastructureError
from harness.bench.signals import deaf
from harness.executors.connecting import ClusterError, first_line, last_line
from harness.executors.flights import MOST_LOST
from harness.executors.orders import Begun, Part, Post
from harness.executors.patience import Patience

T = TypeVar("T")

_POLL_S = 1.0
_COUNT_S = 5.0
_NONE_S = 120.0
_END_S = 40.0
_MOST_FAILED = 2


class Stations(Protocol):
    """Who has nodes to give: `harness.executors.cluster.RayCluster`."""

    def rooms(self, ray: ModuleType) -> dict[str, int]:
        """How many units each node could run side by side now, where that is any."""

    def station(self, ray: ModuleType, avoided: Sequence[str]) -> Any:
        """Have a node to oneself."""

    def check(self, ray: ModuleType, begun: Begun) -> None:
        """Raise where a node that has begun is none that may be asked."""


class NoNodeInTimeError(Exception):
    """No node could be had by the time that was given."""


class _TroubleError(Exception):
    """The process on the node says why it does not answer."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        super().__init__(told["trouble"])
        self.killed = bool(told.get("killed"))
        self.changed = bool(told.get("changed"))


class Asking:
    """Has a process on a node, which begins as `post` says with the files `parts`, and asks it. A context.

    What was asked of a node that is lost is asked again, of another one. `tell` is told what a person should know.
    """

    def __init__(
        self, cluster: Stations, ray: ModuleType, post: Post, parts: Iterable[Part], tell: Callable[[str], None]
    ) -> None:
        self._cluster = cluster
        self._ray = ray
        self._post = post
        self._parts = parts
        self._tell = tell
        self._patience = Patience(tell, alone=True)
        self._given: list[Any] = []
        self._station: Any = None
        self._node_id = ""
        self._avoided: set[str] = set()
        self._lost = 0
        self._failed = 0
        self.node = ""
        """The node that is asked, for a person; empty while none is."""

    def __enter__(self) -> Asking:
        """Have a node, and the process on it begun. Raises as `ask` does."""
        self._given = [self._ray.put(part) for part in self._parts]
        try:
            self._done(lambda: self._have_a_node(math.inf))
        except BaseException:
            self._let_go()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._let_go()

    def ask(self, question: Mapping[str, Any], *, until: float = math.inf) -> Mapping[str, Any]:
        """The answer to a question, from whichever node.

        Raises `NoNodeInTimeError` where one was lost and no other could be had `until`, in seconds of the monotonic
        clock; `ClusterError` where no node can be had or too many are lost, `UsageError` for a node that is another
        machine than the class is of, `EnvironmentChangedError` for an environment that changed meanwhile, and
        `InfrastructureError` where nodes cannot do it.
        """

        def asked() -> Mapping[str, Any]:
            self._have_a_node(until)
            self._got(self._station.ask.remote(question))
            return self._answer()

        return self._done(asked)

    def _done(self, do: Callable[[], T]) -> T:
        """What `do` returns, done again on another node where one is lost, or fails."""
        while True:
            with self._going_on():
                return do()

    @contextlib.contextmanager
    def _going_on(self) -> Iterator[None]:
        """Let the node go that is lost, or cannot do it. Raises where another one is not to be tried."""
        from ray.exceptions import RayError, RayTaskError, RuntimeEnvSetupError

        try:
            yield
        except (RayTaskError, RuntimeEnvSetupError) as error:
            self._could_not(last_line(error))
        except RayError as error:
            self._was_lost(first_line(error))
        except _TroubleError as error:
            if error.changed:
                msg = f"node {self.node}: {error}"
                raise EnvironmentChangedError(msg) from None
            (self._was_lost if error.killed else self._could_not)(str(error))

    def _have_a_node(self, until: float) -> None:
        """Reserve a node in time, unless there is one, and have its process begin."""
        if self._station is not None:
            return
        self._station = self._cluster.station(self._ray, sorted(self._avoided))
        begun: Begun = self._got(self._station.who.remote(), look=self._look_for_a_node(until))
        self.node, self._node_id = f"{begun.node} ({begun.node_id[:8]})", begun.node_id
        self._cluster.check(self._ray, begun)
        self._got(self._station.begin_with.remote(self._post, self._given))
        for note in self._answer().get("notes", ()):
            self._tell(f"node {self.node}: {note}")

    def _answer(self) -> Mapping[str, Any]:
        told = None
        while told is None:
            told = self._got(self._station.answer.remote())
        if "trouble" in told:
            raise _TroubleError(told)
        return dict(told)

    def _got(self, reference: Any, look: Callable[[], None] | None = None) -> Any:
        """What a reference comes to; meanwhile it is looked whether there is any sense in waiting."""
        while not self._ray.wait([reference], timeout=_POLL_S)[0]:
            if look is not None:
                look()
        return self._ray.get(reference)

    def _look_for_a_node(self, until: float) -> Callable[[], None]:
        """Raises, when called, where none has been there for long or in time, or none free to be had alone."""
        asked = counted = had_rooms = time.monotonic()

        def look() -> None:
            nonlocal counted, had_rooms
            self._patience.look(asked)
            now = time.monotonic()
            if now > until:
                raise NoNodeInTimeError
            if now - counted > _COUNT_S:
                counted = now
                had_rooms = now if self._cluster.rooms(self._ray).keys() - self._avoided else had_rooms
            if now - had_rooms > _NONE_S:
                msg = f"for {_NONE_S / 60:g} minutes there has been no node of the machine class."
                raise ClusterError(msg)

        return look

    def _was_lost(self, trouble: str) -> None:
        """What it was asked is asked again. Raises `ClusterError` where others were lost before it."""
        self._lost += 1
        node = f"node {self.node}" if self.node else "a node"
        self._let_go()
        if self._lost > MOST_LOST:
            msg = f"{node} was lost, as others were before it: {trouble}."
            raise ClusterError(msg)
        self._tell(f"{node} was lost, what it was doing is done again on another of its class: {trouble}")

    def _could_not(self, trouble: str) -> None:
        """The node is asked no more. Raises `InfrastructureError` where it may not be the node's fault."""
        self._failed += 1
        told = f"node {self.node}: {trouble}" if self.node else f"a node could not begin: {trouble}"
        if self.node:
            self._avoided.add(self._node_id)
        begun = bool(self.node)
        self._let_go()
        if not begun or self._failed >= _MOST_FAILED or not self._cluster.rooms(self._ray).keys() - self._avoided:
            raise InfrastructureError(told)
        self._tell(f"{told.rstrip('.')}. It is asked no more.")

    def _let_go(self) -> None:
        """Have the process end, which leaves nothing on the node, and the node be free for others."""
        from ray.exceptions import RayError

        station, self._station = self._station, None
        begun, self.node = bool(self.node), ""
        if station is None:
            return
        with deaf():
            if begun:
                with contextlib.suppress(RayError):  # it may not end in time
                    self._ray.get(station.end.remote(), timeout=_END_S)
            with contextlib.suppress(RayError):
                self._ray.kill(station)
