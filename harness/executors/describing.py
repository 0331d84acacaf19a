"""What nodes have of a say in the cells that run there, asked of each of them before anything runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from harness.executors.connecting import imported, last_line
from harness.executors.orders import Ended, Message, Order, Part
from harness.tables.ingredients import Surroundings

_ANSWERS_S = 1800.0
"""How long nodes may take to install an environment and look at it."""


def ask(ray: ModuleType, order: Order, nodes: Iterable[str], *, tell: Callable[[str], None]) -> list[Surroundings]:
    """The surroundings on each of `nodes`, by Ray's identities; the environment is installed where a node has it not.

    A node that does not say it is told of, and left out.
    """
    remote = ray.remote(_answer)
    # Whatever has its CPUs, a node answers.
    asked = {
        node: remote.options(num_cpus=0, max_retries=0, label_selector={"ray.io/node-id": node}).remote(order)
        for node in nodes
    }
    until = time.monotonic() + _ANSWERS_S
    found = {node: _said(ray, reference, until) for node, reference in asked.items()}
    for node, told in found.items():
        if isinstance(told, str):
            tell(f"node {node[:8]} does not say what it is made of, so that nothing is carried over for it: {told}")
    return [told for told in found.values() if not isinstance(told, str)]


def _said(ray: ModuleType, reference: Any, until: float) -> Surroundings | str:
    """What a node says of itself by then, in seconds of the monotonic clock, or why it does not."""
    try:
        return surroundings_in(ray.get(reference, timeout=max(0.0, until - time.monotonic())))
    except ray.exceptions.GetTimeoutError:
        # One that was lost before it was asked would be waited for without an end.
        ray.cancel(reference, force=True)
        return f"no answer within {_ANSWERS_S / 60:.0f} minutes"
    except (ray.exceptions.RayError, LookupError) as error:
        return last_line(error)


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


def _answer(order: Order) -> list[Message]:
    """What comes of an order that asks, on a node; the harness that it imports is what travelled."""
    imported()
    from harness.executors.delivering import deliver

    return list(deliver(order))
