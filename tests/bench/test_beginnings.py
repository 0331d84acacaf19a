"""Which file is looked at for where a mismatch begins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.bench.beginnings import onnx_before
from harness.bench.definitions import Strategy


@pytest.mark.parametrize(
    ("left", "step", "file", "after"),
    [
        # A check leaves nothing of its own, and is no step at which values could go wrong.
        (["model.onnx", "", "saved_model"], "one", "artifact-0/model.onnx", ("three", "tensorflow")),
        (["model.onnx", "model.onnx", "model.tflite"], "two", "artifact-1/model.onnx", ("three", "tensorflow")),
        (["saved_model", "model.onnx", ""], "two", "artifact-1/model.onnx", ("tensorflow",)),
        (["weights.npz", "saved_model", ""], None, "", ()),
        ([], None, "", ()),
    ],
)
def test_the_last_onnx_file_of_a_route_is_found(
    tmp_path: Path, left: Sequence[str], step: str | None, file: str, after: tuple[str, ...]
) -> None:
    for index, name in enumerate(left):
        folder = tmp_path / f"artifact-{index}"
        folder.mkdir()
        if name:
            (folder / name).write_bytes(b"")
    strategy = Strategy(summary="of the test", steps=("one", "two", "three"), runtime="tensorflow")
    assert onnx_before(tmp_path, strategy) == (None if step is None else (step, tmp_path / file, after))
