"""`bump.json`: what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.bench.errors import UsageError
from harness.bump.bumpfile import read_bump, to_json
from harness.bump.schema import Bump


def test_an_unknown_key_and_a_newer_schema_are_refused(tmp_path: Path) -> None:
    value = to_json(Bump(base="a", candidate="b", moves=()))
    assert value["schema_version"] == 1
    for change, message in (({"extra": 1}, "the key 'extra' is not known"), ({"schema_version": 2}, "is of schema 2")):
        (tmp_path / "bump.json").write_text(json.dumps(value | change))
        with pytest.raises(UsageError, match=message):
            read_bump(tmp_path)
