"""What is made of nodes that do not say what they are made of. What stands for Ray answers in this process."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from harness.executors import describing
from harness.executors.connecting import imported

ORDER: Any = object()


def test_a_node_that_gives_no_answer_is_told_of_and_asked_no_more() -> None:
    """One that was lost before it was asked is waited for by Ray without an end."""
    cancelled: list[Any] = []

    def get(reference: str, *, timeout: float) -> Any:
        assert 0 <= timeout <= describing._ANSWERS_S
        raise imported().exceptions.GetTimeoutError

    asking = SimpleNamespace(options=lambda **given: SimpleNamespace(remote=lambda _: given["label_selector"]))
    ray: Any = SimpleNamespace(
        remote=lambda _: asking,
        get=get,
        cancel=lambda reference, force: cancelled.append(reference) if force else None,
        exceptions=imported().exceptions,
    )
    told: list[str] = []
    assert describing.ask(ray, ORDER, ["0123456789"], tell=told.append) == []
    assert cancelled == [{"ray.io/node-id": "0123456789"}]
    (line,) = told
    assert line.startswith("node 01234567 does not say what it is made of")
    assert line.endswith("no answer within 30 minutes")
