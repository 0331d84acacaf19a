"""`harness advise` where nothing needs to be installed: wrong use, pins without a solution, and what tables have."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness import __version__
from harness.attempts.settling import cells_of_just_this
from harness.attempts.tasks import Task
from harness.bench.environment import machine
from harness.bench.plan import Policy
from harness.bench.record import Record
from harness.bench.registry import discover
from harness.bench.stages import Stage
from harness.cli import cli
from harness.cli.running import select, tasks_of
from harness.matrix import combination, locks
from harness.tables.consistency import lock_digest
from harness.tables.schema import Machine, Table
from harness.tables.writing import write_table
from tests.tables.samples import failed, passed, table

NAME = "now"
MODEL = """
from harness.bench import Model, uniform


def build():
    import torch

    return torch.nn.Linear(8, 4)


MODEL = Model(summary="one layer", family="own", build=build, example=lambda: {"x": uniform((2, 8))}, probes={})
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with a combination whose lock is empty, and a model of one's own."""
    (tmp_path / "matrices" / "locks").mkdir(parents=True)
    (tmp_path / "matrices" / "nightly.toml").write_text(f'combinations = ["{NAME}"]\n', encoding="utf-8")
    (tmp_path / "matrices" / f"{NAME}.in").write_text("# python: 3.11\n", encoding="utf-8")
    (tmp_path / "layer.py").write_text(MODEL, encoding="utf-8")
    return tmp_path


def without_solution(root: Path) -> None:
    reason = "# python: 3.11\n\nNo solution found: six==1.16.0 needs what there is not.\n"
    (root / "matrices" / "locks" / f"{NAME}.unresolvable").write_text(reason, encoding="utf-8")


def advise(root: Path, *arguments: str) -> Result:
    words = ["--root", str(root), "advise", str(root / "layer.py"), "--combination", NAME, "--device", "cpu"]
    return CliRunner().invoke(cli, [*words, *arguments], prog_name="harness")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--json", "--markdown"), "--json and --markdown are two forms of one thing"),
        (("--max-latency", "-1"), "-1.0 is not in the range"),
    ],
)
def test_wrong_use_is_refused(root: Path, arguments: tuple[str, ...], told: str) -> None:
    refused = advise(root, *arguments)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert told in refused.stderr


def test_names_that_are_not_there_are_wrong_use(root: Path) -> None:
    words = ["--root", str(root), "advise"]
    for more in (["resnet19", "--combination", NAME], ["resnet18", "--combination", "nwo"], ["resnet18"]):
        without_solution(root)
        assert CliRunner().invoke(cli, [*words, *more]).exit_code == 2


def test_pins_without_a_solution_have_no_way(root: Path) -> None:
    without_solution(root)
    found = advise(root)
    assert found.exit_code == 1, found.output
    assert "nothing: PyTorch itself does not run it here" in found.stdout
    assert "unresolvable" in found.stdout


def recorded(root: Path, *records: Record, **values: Any) -> Table:
    """A table of the model's cells under the combination's lock as it is, made on this machine."""
    lock = locks.read_lock(root, combination.read(root, NAME))
    registry = discover(models=[root / "layer.py"], with_zoo=False)
    own = [
        replace(
            each,
            model_digest=registry.models["layer"].digest,
            strategy_digest=registry.strategy_digest(each.strategy.partition(":")[0]),
        )
        for each in records
    ]
    conditions: dict[str, Any] = {
        "combination": NAME,
        "selected": True,
        "lock_digest": lock_digest(lock.text),
        "machine": Machine(**machine()),
        "policy": asdict(Policy()),
        "harness_version": __version__,
    }
    return table(*own, pins={}, **{**conditions, **values})


def test_what_tables_have_is_not_run_again(root: Path) -> None:
    path = root / "matrices" / "locks" / f"{NAME}.txt"
    path.write_text("#    uv pip compile --python-version 3.11 now.in\n", encoding="utf-8")
    made = recorded(
        root,
        passed("layer", "native"),
        passed("layer", "onnx-torchscript", opset=14),
        passed("layer", "onnx-torchscript:16", opset=16),
        failed("layer", "onnx-dynamo", Stage.CONVERT),
    )
    folder = write_table(root / ".harness" / "scratch", made)
    found = advise(root, "--json")
    assert found.exit_code == 0, found.output
    assert "4 cells" in found.stderr
    (only,) = json.loads(found.stdout)["models"]
    assert only["recommended"]["cell"] == "now/layer/onnx-torchscript"
    assert only["fallback"]["strategy"] == "onnx-torchscript:16"
    assert Path(only["recommended"]["record"]) == folder / "cells.csv"


@pytest.mark.parametrize(
    "values",
    [
        {"lock_digest": "0" * 16},
        {"machine": Machine(**{**machine(), "cores": 1000})},
        {"policy": {**asdict(Policy()), "timeout_s": 1.0}},
        {"harness_version": "0.0.1"},
        {"device": "cuda"},
    ],
)
def test_what_is_not_of_just_this_is_run_again(root: Path, values: dict[str, Any]) -> None:
    path = root / "matrices" / "locks" / f"{NAME}.txt"
    path.write_text("#    uv pip compile --python-version 3.11 now.in\n", encoding="utf-8")
    own = task(root)
    records = passed("layer", "native"), passed("layer", "onnx-torchscript")
    same, other = recorded(root, *records), recorded(root, *records, **values)
    assert set(cells_of_just_this(own, [other, same])) == {("layer", "native"), ("layer", "onnx-torchscript")}
    assert not cells_of_just_this(own, [other])
    changed = replace(same, records=tuple(replace(each, model_digest="other") for each in same.records))
    assert not cells_of_just_this(own, [changed])
    assert cells_of_just_this(own, [same, changed])["layer", "native"][0] is same


def task(root: Path) -> Task:
    """All that there could be of the model in the combination itself."""
    given: dict[str, Any] = {"inputs": (), "paths": (), "plugins": (), "strategies": ("*",)}
    given |= {"tier": "core", "device": "cpu", "extensions": True, "models": [str(root / "layer.py")]}
    _, (selection,) = select(root, [NAME], None, **given)
    ((own, *_),) = tasks_of(root, [selection.plans(NAME, root)])
    return own
