"""Golden files: whole outputs, made by a run and never by hand (`pytest --remake`)."""

from __future__ import annotations

from pathlib import Path

import pytest


def golden(config: pytest.Config, folder: Path, name: str, text: str) -> None:
    """Hold `text` against the file `name` in `folder`, or write it there where that was asked for."""
    path = folder / name
    if config.getoption("--remake"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
