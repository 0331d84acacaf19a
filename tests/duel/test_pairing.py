"""How the processes of a pair are started and what they are asked, without any of them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from harness.bench.errors import InterpreterGoneError
from harness.duel.pairing import Pairing
from tests.duel.sides import ready


def test_which_side_is_started_first_is_left_to_chance(tmp_path: Path) -> None:
    sides = ready(tmp_path, "before"), ready(tmp_path, "after")
    first = set()
    with Pairing(tmp_path / "scratch", marker=str(tmp_path)) as pairing:
        for seed in range(8):
            with pytest.raises(InterpreterGoneError) as raised:
                pairing.take(sides, chance=random.Random(seed))
            first.add(str(raised.value).split()[4])
    assert first == {"before", "after"}
