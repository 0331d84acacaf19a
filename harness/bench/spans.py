"""When cells were at work, by what their events tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_NO_END = float("inf")


def spans_of(events: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """When each cell was at work, by model and strategy, in seconds since the epoch: run, and later timed.

    What counts is from the last time that it began. What is not over has no end: infinity.
    """
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for event in events:
        key, what, at = (event["model"], event["strategy"]), event["event"], event["at"]
        worked = [] if what == "started" else found.get(key, [])
        # Only the first end of a span is its end: what is told of a cell later is not of its work.
        if worked and worked[-1][1] == _NO_END:
            worked[-1] = worked[-1][0], at
        if what in ("started", "timing"):
            found[key] = [*worked, (at, _NO_END)]
        elif what == "carried":  # nobody worked on it
            found[key] = []
    return found
