"""Columns: the fields of a frozen dataclass whose rows a CSV file holds, each with its meaning, unit and digits."""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Column:
    """One column of a CSV file. `digits` is the format that fixes a number's digits."""

    name: str
    kind: type
    optional: bool
    description: str
    unit: str
    digits: str


def about(description: str, *, unit: str = "", digits: str = "") -> dict[str, str]:
    """What a field's metadata say of it."""
    return {"description": description, "unit": unit, "digits": digits}


def columns_of(kind: type[Any]) -> tuple[Column, ...]:
    """The columns of a dataclass all of whose fields have `about` as their metadata."""
    hints = typing.get_type_hints(kind)
    columns = []
    for each in fields(kind):
        hint = hints[each.name]
        optional = isinstance(hint, types.UnionType)
        of = next(k for k in typing.get_args(hint) if k is not types.NoneType) if optional else hint
        columns.append(Column(each.name, of, optional, **each.metadata))
    return tuple(columns)
