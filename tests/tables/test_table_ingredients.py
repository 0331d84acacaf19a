"""What `identity.json` says of other machines is not believed where it cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from harness.bench.errors import UsageError
from harness.tables.ingredients import OF_A_MACHINE, SHARED, Ingredients, Seen, name_of, read_ingredients

HERE = {part: {"version": "1"} for part in OF_A_MACHINE}
NODE = {**HERE, "cpu": {"model": "other"}}
NAME = name_of(NODE)


def _stated() -> dict[str, Any]:
    found = Ingredients(
        shared={part: {"version": "1"} for part in SHARED}, models={"a": "0"}, strategies={"native": "0"}
    ).with_machines({NAME: NODE})
    return asdict(found.with_cells({("a", "native"): Seen(reads={}, ran_on=(NAME,))}))


def _file(folder: Path, value: dict[str, Any]) -> Path:
    path = folder / "identity.json"
    path.write_text(json.dumps({"": value}), encoding="utf-8")
    return path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    (found,) = read_ingredients(_file(tmp_path, _stated()), remedy="").values()
    assert found.machines_of("a", "native") == (NAME,)
    assert found.surroundings(NAME) == NODE


def _unknown(value: dict[str, Any]) -> None:
    value["ran_on"]["a/native"] = ["0123456789abcdef"]


def _nowhere(value: dict[str, Any]) -> None:
    value["ran_on"]["a/native"] = []


def _renamed(value: dict[str, Any]) -> None:
    value["elsewhere"][NAME]["cpu"]["model"] = "another"


def _of_no_machine(value: dict[str, Any]) -> None:
    value["elsewhere"][NAME]["policy"] = {"timeout_s": "1"}


@pytest.mark.parametrize("spoil", [_unknown, _nowhere, _renamed, _of_no_machine])
def test_machines_that_cannot_be_are_refused(tmp_path: Path, spoil: Callable[[dict[str, Any]], None]) -> None:
    value = _stated()
    spoil(value)
    with pytest.raises(UsageError, match=r"identity\.json: : (elsewhere|ran_on)"):
        read_ingredients(_file(tmp_path, value), remedy="")
