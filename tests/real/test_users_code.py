"""A user's own code under a real framework: found where it lies, followed by digests, told where it is wrong."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

Call = Callable[..., subprocess.CompletedProcess[str]]

MODEL = """
from harness.bench import Model, uniform


def build():
    {net}
    return Net()


MODEL = Model(
    summary="of the test",
    family="own",
    build=build,
    example=lambda: {{"x": uniform((2, 16))}},
    probes={{"other": lambda: {{"x": uniform((2, 16), seed=1)}}, "rows": lambda: {{"x": uniform((3, 16), seed=2)}}}},
    dynamic={{"x": {{0: "batch"}}}},
)
"""

NET = """
import torch


class Net(torch.nn.Linear):
    def __init__(self):
        super().__init__({inputs}, {outputs})

    def forward(self, x):
        return torch.tanh(super().forward(x))
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two folders of models that each have a `net.py`, and a package of which one model is a part."""
    for name, text in {
        "one/lstm.py": MODEL.format(net="from net import Net"),
        "one/net.py": NET.format(inputs=16, outputs=4),
        "two/raising.py": MODEL.format(net="from net import Net"),
        "two/net.py": NET.format(inputs=17, outputs=4),
        "src/mine/__init__.py": "",
        "src/mine/blocks.py": NET.format(inputs=16, outputs=3),
        "src/mine/models/__init__.py": "",
        "src/mine/models/packaged.py": MODEL.format(net="from ..blocks import Net"),
        "three/by_path.py": MODEL.format(net="from mine.blocks import Net"),
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def _rows(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, str]]:
    (table,) = (Path(line.partition(" ")[2]) for line in done.stdout.splitlines() if line.startswith("Table: "))
    with (table / "cells.csv").open(encoding="utf-8", newline="") as file:
        return {row["model"]: row for row in csv.DictReader(file)}


def test_own_code_is_found_followed_and_never_blamed_on_the_versions(
    harness: Call, pinned: Callable[[str], Path], repository: Path
) -> None:
    pinned("torch2.0")
    files = ["one/lstm.py", "two/raising.py", "src/mine/models/packaged.py", "three/by_path.py"]
    models = [argument for file in files for argument in ("--models", repository / file)]
    given = ("run", "torch2.0", "--path", repository / "src", "--strategies=native", "--device=cpu")
    first = harness(*given, *models, "--models=length-loop", "--results", repository / "results")
    assert first.returncode == 2, first.stdout + first.stderr
    rows = _rows(first)
    assert {name: row["outcome"] for name, row in rows.items()} == {
        "by-path": "passed",
        "length-loop": "passed",
        "own:lstm": "passed",
        "packaged": "passed",
        "raising": "failed",
    }
    assert "1 model raised wherever it was built (torch2.0), which no version explains." in first.stderr
    assert f"raising: {repository}/two/net.py:10: RuntimeError: mat1 and mat2 shapes" in first.stderr

    checked = harness("check", repository / "two" / "raising.py", "--combination=torch2.0")
    assert checked.returncode == 2, checked.stdout + checked.stderr
    assert f"{repository}/two/raising.py: RuntimeError: mat1 and mat2 shapes cannot be multiplied" in checked.stderr
    assert "forward raises this on the file's own example: mend example() or forward." in checked.stderr

    blocks = repository / "src" / "mine" / "blocks.py"
    blocks.write_text(blocks.read_text(encoding="utf-8").replace("torch.tanh", "torch.sin"), encoding="utf-8")
    changed = [argument for file in files[2:] for argument in ("--models", repository / file)]
    second = harness(*given, *changed, "--results", repository / "results")
    assert second.returncode == 0, second.stdout + second.stderr
    tables = [
        line.partition(" ")[2] for done in (first, second) for line in done.stdout.splitlines() if "Table: " in line
    ]
    judged = harness("gate", *tables)
    assert judged.returncode == 3, judged.stdout + judged.stderr
    assert judged.stdout.count("the model's code differs between the two runs") == 1, judged.stdout
    assert "packaged/native" in judged.stdout
    assert "by-path/native" in judged.stdout
