"""What is made of nodes that do not say what they are made of. What stands for Ray answers in this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from harness.executors import describing
from harness.executors.connecting import imported
from harness.executors.orders import Ended, Message, Part, Told

ORDER: Any = object()
ROOM = {"num_cpus": 2, "memory": 2**30, "num_gpus": 0}
BEGUN = Told(events=())
SURROUNDINGS = {"python": {"version": "3.10"}}
SAID = Part(path="surroundings/a.json", content=json.dumps(SURROUNDINGS).encode())

Said = Message | Callable[[], Message] | None
"""What a node sends, what it sends it by, or None where nothing comes any more."""


class Answer:
    """What comes of one node; whoever fetches what does not come would wait without an end."""

    def __init__(self, *said: Said) -> None:
        self._said = list(said)
        self.cancelled = False

    @property
    def silent(self) -> bool:
        return self._said[:1] == [None]

    def __next__(self) -> Said:
        assert not self.silent
        if not self._said:
            raise StopIteration
        return self._said.pop(0)

    def cancel(self) -> None:
        self.cancelled = True


class Ray:
    """Has the nodes answer by their names, and keeps what each was asked by."""

    exceptions = imported().exceptions

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self._answers = answers
        self.options: list[Mapping[str, Any]] = []

    def remote(self, called: object) -> Any:
        def options(**given: Any) -> Any:
            self.options.append(given)
            return SimpleNamespace(remote=lambda _: self._answers[given["label_selector"]["ray.io/node-id"]])

        assert called is describing._answer
        return SimpleNamespace(options=options)

    @staticmethod
    def wait(answers: list[Answer], *, timeout: float) -> tuple[list[Answer], list[Answer]]:
        assert 0 <= timeout <= describing._ANSWERS_S
        return [each for each in answers if not each.silent], [each for each in answers if each.silent]

    @staticmethod
    def get(said: Said) -> Message:
        assert said is not None
        return said() if callable(said) else said

    @staticmethod
    def cancel(answer: Answer, *, force: bool) -> None:
        assert force
        answer.cancel()


def asked(**answers: Answer) -> tuple[Ray, list[Any], list[str]]:
    """What was asked of nodes, what they are made of, and what was told."""
    ray, told = Ray(answers), list[str]()
    found = describing.ask(ray, ORDER, answers, room=ROOM, tell=told.append)  # type: ignore[arg-type]
    return ray, found, told


def lost() -> Message:
    msg = "the node died"
    raise imported().exceptions.NodeDiedError(msg)


def test_a_node_is_asked_when_it_has_room_for_a_cell_and_what_it_notes_is_told() -> None:
    """Whoever is alone on it has all its CPUs: nothing is installed beside that."""
    noted = Told(events=(), notes=("torch1.13 was removed to make room",))
    ray, found, told = asked(one=Answer(BEGUN, noted, SAID, BEGUN, Ended()))
    assert found == [SURROUNDINGS]
    assert told == ["node one: torch1.13 was removed to make room"]
    (options,) = ray.options
    assert options.items() >= ROOM.items()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer(None), "no room for 2 minutes, since others use it, or it is gone"),
        (Answer(BEGUN, None), "no answer within 30 minutes"),
        (Answer(lost), "the node died"),
        (Answer(BEGUN, Ended(trouble="no space left on device")), "no space left on device"),
    ],
    ids=["busy", "hanging", "dead", "full"],
)
def test_a_node_that_does_not_say_it_is_told_of_and_the_others_count(answer: Answer, why: str) -> None:
    silent = answer.silent or why.startswith("no answer")
    _, found, told = asked(**{"0123456789": answer, "other": Answer(BEGUN, SAID, Ended())})
    assert found == [SURROUNDINGS]
    (line,) = told
    assert line.startswith("node 01234567 does not say what it is made of, so that nothing is carried over for it: ")
    assert why in line
    assert answer.cancelled == silent, "what will not come is asked no more"
