"""What several tests of the bench share."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.children import Kept
from tests.bench.nvml import WithNvml, put


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    """Starts code as a child of a keeper, which ends with the test."""
    started = Kept(tmp_path)
    yield started
    started.keeper.close()


@pytest.fixture
def with_nvml(monkeypatch: pytest.MonkeyPatch) -> WithNvml:
    """Puts a stand-in in the place of NVML."""
    return functools.partial(put, monkeypatch)
