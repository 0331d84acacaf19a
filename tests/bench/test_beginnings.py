"""Which file is looked at for where a mismatch begins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.bench.beginnings import Mismatch, beginning_of, onnx_before
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


def test_the_folder_that_it_would_work_in_goes_also_where_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    folder = tmp_path / "locate"
    folder.mkdir()
    built: Any = SimpleNamespace(facts={"names": ["example"]})
    nothing: Any = None
    told = beginning_of(
        Mismatch(built=built, artifact={"kind": "arrays", "path": "weight.npy"}, index=0, tolerance=1e-3),
        strategy=Strategy(summary="of the test", steps=("one",), runtime="arrays"),
        children=nothing,
        plan=nothing,
        folder=folder,
        model_file=tmp_path / "model.py",
        imports=(),
        warm_imports=(),
    )
    assert told["not_located"] == "only ONNX files can be opened; this is arrays served by arrays, made without one"
    assert not folder.exists()
