"""What nodes have of a say in the cells that run there, asked of each of them before anything runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

from harness.executors.connecting import imported, last_line
from harness.executors.orders import Ended, Message, Order, Part, Told
from harness.tables.ingredients import Surroundings

_BEGINS_S = 120.0
"""How long a node may have no room: it is asked beside nobody who has it alone, and such a one may take hours."""

_ANSWERS_S = 1800.0
"""How long nodes may take to install an environment and look at it."""


def ask(
    ray: ModuleType, order: Order, nodes: Iterable[str], *, room: Mapping[str, Any], tell: Callable[[str], None]
) -> list[Surroundings]:
    """The surroundings on each of `nodes`, by Ray's identities; the environment is installed where a node has it not.

    A node is asked as soon as it has `room`, in Ray's options: as for a cell, since installing takes as much. One that
    does not say it is told of, and left out; so is what a node notes.
    """
    remote = ray.remote(_answer)
    given = {**room, "max_retries": 0, "num_returns": "streaming"}
    asked = {node: remote.options(**given, label_selector={"ray.io/node-id": node}).remote(order) for node in nodes}
    began = time.monotonic()
    found = [_said(ray, generator, began, f"node {node[:8]}", tell) for node, generator in asked.items()]
    return [told for told in found if told is not None]


def _said(ray: ModuleType, generator: Any, began: float, node: str, tell: Callable[[str], None]) -> Surroundings | None:
    try:
        return surroundings_in(_noted(_messages(ray, generator, began), node, tell))
    except (ray.exceptions.RayError, LookupError) as error:
        why = last_line(error)
        tell(f"{node} does not say what it is made of, so that nothing is carried over for it: {why}")
        return None


def _messages(ray: ModuleType, generator: Any, began: float) -> Iterator[Message]:
    """What a node that was asked at `began`, by the monotonic clock, says. Raises `LookupError` where it is silent."""
    within_s, silent = _BEGINS_S, f"no room for {_BEGINS_S / 60:.0f} minutes, since others use it, or it is gone"
    while True:
        # One that was lost before it was asked would be waited for without an end.
        if not ray.wait([generator], timeout=max(0.0, began + within_s - time.monotonic()))[0]:
            ray.cancel(generator, force=True)
            raise LookupError(silent)
        try:
            message: Message = ray.get(next(generator))
        except StopIteration:
            return
        within_s, silent = _ANSWERS_S, f"no answer within {_ANSWERS_S / 60:.0f} minutes"
        yield message


def _noted(messages: Iterable[Message], node: str, tell: Callable[[str], None]) -> Iterator[Message]:
    """The messages; what a person should know of them is told."""
    for message in messages:
        for note in message.notes if isinstance(message, Told) else ():
            tell(f"{node}: {note}")
        yield message


def surroundings_in(messages: Iterable[Message]) -> Surroundings:
    """The surroundings that a node's answer has. Raises `LookupError` with the reason where it has none."""
    content = b""
    for message in messages:
        if isinstance(message, Part):
            content += message.content
        elif isinstance(message, Ended) and message.trouble:
            raise LookupError(message.trouble)
    surroundings: Surroundings = json.loads(content)
    return surroundings


def _answer(order: Order) -> Iterator[Message]:
    """What comes of an order that asks, on a node, and before that that it has begun; the harness is what travelled."""
    imported()
    from harness.executors.delivering import deliver

    yield Told(events=())
    yield from deliver(order)
