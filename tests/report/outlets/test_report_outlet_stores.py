"""Figures in MLflow and in Weights & Biases: kept by their own clients, and read back by them."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.bench.errors import UsageError
from harness.report.outlets.facts import Facts
from harness.report.outlets.stores import STORES, metrics_of, require
from harness.report.outlets.telling import of_table
from tests.conftest import without_checkout
from tests.report.hostile import EVERYTHING, tables_of
from tests.tables.samples import passed, table

ROOT = Path(__file__).resolve().parents[3]
NAME = re.compile(r"[\w./ :-]{1,250}", re.ASCII)

KEEP_MANY_PINS = """
import sys
from pathlib import Path
from harness.report.outlets.facts import Facts
from harness.report.outlets.stores import to_mlflow
pins = {f"package-{number}": str(number) for number in range(250)}
to_mlflow(Facts(subject="many", decision="none", started="now", pins=pins), "", Path(sys.argv[1]))
"""

READ_MLFLOW = """
import json, sys, mlflow
client = mlflow.MlflowClient(tracking_uri=sys.argv[1])
experiment = client.get_experiment_by_name("conversion-harness")
(run,) = client.search_runs([experiment.experiment_id])
print(json.dumps([run.data.metrics, run.data.params, run.info.status]))
"""


def facts() -> Facts:
    return of_table(table(passed("m", "onnx-torchscript:16", latency_ms=2.0, artifact_bytes=1000)))


def test_a_metric_is_named_by_its_quantity_and_cell() -> None:
    found = metrics_of(facts())
    assert found["latency_ms/m/onnx-torchscript:16"] == 2.0
    assert found["artifact_bytes/m/onnx-torchscript:16"] == 1000.0
    assert found["cells/passed"] == 1.0


def test_a_hostile_name_is_one_that_stores_take() -> None:
    assert all(NAME.fullmatch(name) for name in metrics_of(of_table(tables_of(EVERYTHING)[1])))


@pytest.mark.parametrize("strategies", [("a+b", "a_b"), ("a+b", "a@b"), ("s" * 150 + "a", "s" * 150 + "b")])
def test_two_cells_are_two_metrics_by_names_that_do_not_depend_on_each_other(strategies: tuple[str, str]) -> None:
    cells = [passed("m" * 100, name, latency_ms=float(at)) for at, name in enumerate(strategies, start=1)]
    alone = [metrics_of(of_table(table(cell))) for cell in cells]
    both = metrics_of(of_table(table(*cells)))
    assert sorted(value for name, value in both.items() if name.startswith("latency_ms/")) == [1.0, 2.0]
    assert both == {**alone[0], **alone[1], "cells/passed": 2.0}
    assert all(NAME.fullmatch(name) for name in both)


@pytest.mark.parametrize("store", STORES)
def test_a_client_that_is_not_installed_is_wrong_use_with_the_remedy(store: str) -> None:
    if importlib.util.find_spec(store):
        pytest.skip(f"{store} is installed here")
    with pytest.raises(UsageError, match=rf"pip install 'conversion-harness\[{store}\]'"):
        require(store)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with both clients, and this checkout."""
    from uv import find_uv_bin

    folder = tmp_path_factory.mktemp("stores") / "venv"
    made = folder / "bin" / "python"
    for command in (
        ["venv", "--quiet", "-p", sys.executable, str(folder)],
        ["pip", "install", "--quiet", "-p", str(made), "-e", f"{ROOT}[mlflow,wandb]"],
    ):
        subprocess.run([find_uv_bin(), *command], check=True, env=without_checkout(), timeout=900)
    return made


def read_mlflow(python: Path, folder: Path) -> Any:
    """The metrics, the parameters and the status of the one run that is kept in `folder`."""
    read = [str(python), "-c", READ_MLFLOW, f"sqlite:///{folder}/mlflow.db"]
    printed = subprocess.run(read, capture_output=True, text=True, check=True).stdout
    return json.loads(printed.splitlines()[-1])


@pytest.mark.long
def test_more_pins_than_one_call_takes_are_all_kept(python: Path, tmp_path: Path) -> None:
    subprocess.run([str(python), "-c", KEEP_MANY_PINS, str(tmp_path)], check=True)
    _, params, _ = read_mlflow(python, tmp_path)
    assert len(params) == 250


@pytest.mark.long
def test_both_keep_a_comparison_and_give_it_back(python: Path, tmp_path: Path) -> None:
    (tmp_path / "matrices").mkdir()
    folders = [str(max((ROOT / "results" / name / "cpu-quick").iterdir())) for name in ("torch2.0", "torch2.1")]
    command = [str(python.with_name("harness")), "--root", str(tmp_path), "compare", *folders]
    hidden = ("MLFLOW_", "WANDB_")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    done = subprocess.run(
        [*command, "--to", "mlflow", "--to", "wandb"], env=variables, capture_output=True, text=True, check=True
    )
    assert "MLflow run " in done.stderr
    own = tmp_path / ".harness"

    metrics, params, status = read_mlflow(python, own)
    assert status == "FINISHED"
    assert params["pin.torch"] == "2.1.0"
    assert metrics["cells/passed"] > 40
    (kept,) = own.glob("wandb/offline-run-*/*.wandb")
    data = kept.read_bytes()
    for name, value in metrics.items():
        # The client has no reader of its own file: a key of the summary, field 16, its length and its value as JSON.
        found = re.search(re.escape(name.encode()) + rb"\x82\x01.([-+.0-9e]+)", data, re.DOTALL)
        assert found, name
        assert float(found[1]) == pytest.approx(value)
