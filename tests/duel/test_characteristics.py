"""The simulated figures of the documents are what the simulation prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.duel.characteristics import TABLES

ROOT = Path(__file__).resolve().parents[2]
SHOWN = [*(ROOT / "docs" / "decisions").glob("0024-*.md"), ROOT / "docs" / "measuring.md"]


@pytest.mark.long
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_a_table_that_is_shown_was_printed(table: Callable[[], str]) -> None:
    assert any(table() in path.read_text(encoding="utf-8") for path in SHOWN), "python -m tests.duel.characteristics"
