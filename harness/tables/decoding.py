"""JSON to frozen dataclasses, strictly, with messages that say where a value is wrong."""

from __future__ import annotations

import functools
import json
from collections.abc import Hashable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from harness.bench.definitions import TIERS
from harness.bench.errors import UsageError, unknown

T = TypeVar("T")

DEVICES = ("cpu", "cuda")
"""Where an artifact can be served. `auto` is a wish that is settled before anything is recorded."""

_EXPECTED = {
    "bool_type": "bool",
    "dataclass_type": "object",
    "dict_type": "object",
    "float_type": "float",
    "int_from_float": "int",
    "int_type": "int",
    "mapping_type": "object",
    "string_type": "str",
    "tuple_type": "list",
}
_UNION_BRANCHES = ("int", "float")


def read_json(path: Path, *, where: str, remedy: str) -> Any:
    """The value in the JSON file `path`; a `UsageError` that ends with `remedy` where it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        msg = f"{where}: no such file. {remedy}"
    except OSError as error:
        msg = f"{where}: cannot be read ({error.strerror}). {remedy}"
    except (ValueError, RecursionError) as error:
        msg = f"{where}: not valid JSON, perhaps cut short ({error}). {remedy}"
    raise UsageError(msg)


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """Made once a type: making one costs more than using it."""
    return TypeAdapter(kind)


def decode(kind: type[T], value: Any, *, where: str, prefix: str = "", remedy: str = "") -> T:
    """`value`, parsed from JSON, as the dataclass `kind`.

    Raises `UsageError` with the path to the key, such as ``run.json: 'machine.cores': expected int, got str``.
    `where` names the file, `prefix` the key under which `value` was found; `remedy` ends the message.
    """
    # By way of JSON text, since strict validation takes a list for a tuple and a string for an enum only there. What a
    # tool printed may hold bytes that were no UTF-8; they become question marks.
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    try:
        decoded: T = _adapter(cast("Hashable", kind)).validate_json(text, strict=True)
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
    else:
        return decoded
    parts = list(details["loc"])
    if len(parts) > 1 and parts[-1] in _UNION_BRANCHES:
        parts.pop()
    path = ".".join(str(part) for part in ([prefix] if prefix else []) + parts)
    named = f"{where}: '{path}'" if path else where
    match details["type"]:
        case "missing":
            msg = f"{where}: the key '{path}' is missing"
        case "unexpected_keyword_argument":
            msg = f"{where}: the key '{path}' is not known"
        case code if code in _EXPECTED:
            msg = f"{named}: expected {_EXPECTED[code]}, got {_name(details['input'])}"
        case _:
            msg = f"{named}: {details['msg'][0].lower()}{details['msg'][1:]}, got {details['input']!r}"
    raise UsageError(f"{msg}. {remedy}" if remedy else msg)


def _name(value: Any) -> str:
    """The type's name, as the messages above spell types."""
    return "null" if value is None else "object" if isinstance(value, Mapping) else type(value).__name__


def moment(text: str, *, where: str, key: str) -> datetime:
    """The UTC time that `text` spells; a `UsageError` where it spells none, or one without its zone."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        value = None
    if value is None or value.tzinfo is None:
        msg = f"{where}: '{key}': expected a time in UTC, as in 2026-01-31T12:00:00Z, got {text!r}"
        raise UsageError(msg)
    return value.astimezone(timezone.utc)


def check_device(device: str) -> None:
    """Raise `UsageError` unless `device` is a concrete one."""
    if device not in DEVICES:
        raise UsageError(unknown("device", device, DEVICES))


def check_tier(tier: str) -> None:
    """Raise `UsageError` unless there is such a tier."""
    if tier not in TIERS:
        raise UsageError(unknown("tier", tier, TIERS))
