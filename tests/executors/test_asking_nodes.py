"""What becomes of a question where nodes are lost, or cannot answer. What stands for Ray answers in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from harness.bench.errors import EnvironmentChangedError, InfrastructureError, UsageError
from harness.executors.asking import Asking, NoNodeInTimeError
from harness.executors.connecting import ClusterError, imported
from harness.executors.orders import Begun, Post

ActorDiedError = imported().exceptions.ActorDiedError
POST = Post(module="", orders={}, told={})
RAY: Any = SimpleNamespace(
    put=lambda part: part,
    wait=lambda references, timeout: (references, []),
    get=lambda reference, timeout=None: reference(),
    kill=lambda station: station.over(),
)

Answer = Callable[[], Mapping[str, Any]]


class Station:
    """A node's process: `answers` are what comes of its beginning and then of each question."""

    def __init__(self, name: str, answers: Sequence[Answer]) -> None:
        self.name = name
        self.let_go = False
        self._answers = iter(answers)

    def __getattr__(self, called: str) -> Any:
        own = {"who": self._who, "answer": self._answer}.get(called, lambda *_: None)
        return SimpleNamespace(remote=lambda *given: lambda: own(*given))

    def _who(self) -> Begun:
        return Begun(node=self.name, node_id=f"{self.name}-of-ray")

    def _answer(self) -> Mapping[str, Any]:
        return next(self._answers)()

    def over(self) -> None:
        self.let_go = True


class Cluster:
    """Gives its stations, one after the other."""

    def __init__(self, *answers: Sequence[Answer], check: Callable[[Begun], None] = lambda _: None) -> None:
        self.stations = [Station(f"node{number}", each) for number, each in enumerate(answers)]
        self.avoided: list[list[str]] = []
        self._ahead = iter(self.stations)
        self._check = check

    def rooms(self, ray: Any) -> dict[str, int]:
        del ray
        return {station._who().node_id: 1 for station in self.stations}

    def station(self, ray: Any, avoided: Sequence[str]) -> Station:
        del ray
        self.avoided.append(list(avoided))
        return next(self._ahead)

    def check(self, ray: Any, begun: Begun) -> None:
        del ray
        self._check(begun)


def lost() -> Mapping[str, Any]:
    raise ActorDiedError


def said(**told: Any) -> Answer:
    return lambda: told


BEGUN = said(notes=[])
PAIR = said(pair=1)


def asked(cluster: Cluster, told: list[str] | None = None) -> tuple[Mapping[str, Any], str]:
    """The answer to a question, and the node that gave it."""
    with Asking(cluster, RAY, POST, [], (told if told is not None else []).append) as asking:
        return asking.ask({}), asking.node


@pytest.fixture(autouse=True)
def all_are_let_go(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    made: list[Station] = []
    begin = Cluster.station

    def noted(self: Cluster, ray: Any, avoided: Sequence[str]) -> Station:
        made.append(begin(self, ray, avoided))
        return made[-1]

    monkeypatch.setattr(Cluster, "station", noted)
    yield
    assert all(station.let_go for station in made)


def test_what_was_asked_of_a_lost_node_is_asked_of_another() -> None:
    told: list[str] = []
    cluster = Cluster([BEGUN, lost], [said(notes=["room was made"]), PAIR])
    assert asked(cluster, told) == ({"pair": 1}, "node1 (node1-of)")
    assert told[0].startswith("node node0 (node0-of) was lost, what it was doing is done again on another of its class")
    assert told[1] == "node node1 (node1-of): room was made"
    assert cluster.avoided == [[], []]


def test_a_process_that_somebody_killed_is_a_lost_node() -> None:
    cluster = Cluster([BEGUN, said(trouble="exit code -9", killed=True)], [BEGUN, PAIR])
    assert asked(cluster)[0] == {"pair": 1}


def test_the_third_loss_ends_it() -> None:
    with pytest.raises(ClusterError, match=r"node node2 \(node2-of\) was lost, as others were before it"):
        asked(Cluster([BEGUN, lost], [lost], [BEGUN, lost]))


def test_a_node_that_cannot_do_it_is_avoided_and_the_second_such_ends_it() -> None:
    full = said(trouble="no space left on device")
    told: list[str] = []
    cluster = Cluster([full], [BEGUN, PAIR])
    assert asked(cluster, told)[0] == {"pair": 1}
    assert told == ["node node0 (node0-of): no space left on device. It is asked no more."]
    assert cluster.avoided == [[], ["node0-of-ray"]]
    with pytest.raises(InfrastructureError, match=r"node node1 \(node1-of\): no space left"):
        asked(Cluster([full], [full], [BEGUN, PAIR]))
    with pytest.raises(InfrastructureError, match=r"node node0 \(node0-of\): no space left"):
        asked(Cluster([full]))


def test_in_the_place_of_a_lost_node_none_is_waited_for_beyond_the_time_that_is_given() -> None:
    told: list[str] = []
    cluster = Cluster([BEGUN, PAIR, lost], [BEGUN, PAIR])
    others_are_busy: dict[str, Any] = {
        "wait": lambda references, timeout: (references if len(cluster.avoided) == 1 else [], [])
    }
    ray: Any = SimpleNamespace(**{**vars(RAY), **others_are_busy})
    with Asking(cluster, ray, POST, [], told.append) as asking:
        assert asking.ask({}) == {"pair": 1}
        with pytest.raises(NoNodeInTimeError):
            asking.ask({}, until=time.monotonic())
    assert len(told) == 1
    assert told[0].startswith("node node0 (node0-of) was lost")


def test_a_changed_environment_ends_it() -> None:
    changed = said(trouble="torch2.0 changed there", changed=True)
    with pytest.raises(EnvironmentChangedError, match=r"node node0 \(node0-of\): torch2.0 changed there"):
        asked(Cluster([BEGUN, changed], [BEGUN, PAIR]))


def test_a_node_that_is_another_machine_is_asked_nothing() -> None:
    def check(begun: Begun) -> None:
        msg = f"node {begun.node} is another machine"
        raise UsageError(msg)

    with pytest.raises(UsageError, match="node node0 is another machine"):
        asked(Cluster([BEGUN, PAIR], check=check))


def test_a_process_that_does_not_end_in_time_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The node is free for others all the same."""
    late = imported().exceptions.GetTimeoutError

    def end(*_: Any) -> None:
        raise late

    answers = {"who": Station._who, "answer": Station._answer}

    def called(self: Station, name: str) -> Any:
        own = end if name == "end" else (lambda *given: answers[name](self, *given)) if name in answers else None
        return SimpleNamespace(remote=lambda *given: lambda: own(*given) if own else None)

    monkeypatch.setattr(Station, "__getattr__", called)
    assert asked(Cluster([BEGUN, PAIR]))[0] == {"pair": 1}
