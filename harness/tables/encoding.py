"""What JSON has no form for as plain values; `decoding` reads them back."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any


def plain_value(value: object) -> Any:
    """The value of an enum, a mapping as a dict: the `default` of `json.dumps`. Raises `TypeError` for all else."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    msg = f"{type(value).__name__} has no place in JSON"
    raise TypeError(msg)
