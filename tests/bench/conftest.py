"""What several tests of the bench share."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.bench import tensors
from harness.bench.binding import Binding
from harness.bench.requests import BUILT_FILE
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


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a build leaves of a linear layer: inputs and native outputs of the example and of two probes."""
    folder = tmp_path_factory.mktemp("built")
    random = np.random.default_rng(0)
    weight = random.standard_normal((4, 8)).astype(np.float32)
    np.save(folder / "weight.npy", weight)
    binding = Binding(paths=("x",), args=({"leaf": 0},), names=("x",))
    (folder / BUILT_FILE).write_text(json.dumps({"binding": binding.to_json()}), encoding="utf-8")
    for index, rows in enumerate((2, 2, 3)):
        x = random.standard_normal((rows, 8)).astype(np.float32)
        tensors.save(folder / f"inputs-{index}.npz", [x])
        tensors.save(folder / f"native-{index}.npz", [x @ weight.T])
    return folder
