"""`--executor ray`: what it says before anything runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import cli
from tests.executors.orders import make_python


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--address", "head:6379"], "--address head:6379 names a Ray cluster: add --executor ray."),
        (["--executor", "ray", "--address", "ray://head:10001"], "ray://head:10001: what cells send"),
        (["--executor", "ray", "--jobs", "2"], "--jobs 2 is about this machine"),
        (
            ["--machine", "machine=fast"],
            "--machine machine=fast is a label of nodes of a Ray cluster: add --executor ray",
        ),
        (["--executor", "ray", "--machine", "fast"], "--machine fast: name a label of Ray's and its value"),
        (["--executor", "slurm"], "'slurm' is not one of 'local', 'ray'"),
    ],
)
def test_options_that_do_not_go_together_are_told(tmp_path: Path, arguments: list[str], told: str) -> None:
    done = CliRunner().invoke(cli.cli, ["--root", str(tmp_path), "run", *arguments])
    assert done.exit_code == 2
    assert told in done.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--machine", "machine=fast"], "--machine machine=fast is a label of nodes of a Ray cluster: add --executor"),
        (["--executor", "ray", "--machine", "fast"], "--machine fast: name a label of Ray's and its value"),
    ],
)
def test_a_duel_says_the_same(tmp_path: Path, arguments: list[str], told: str) -> None:
    done = CliRunner().invoke(cli.cli, ["--root", str(tmp_path), "duel", "torch2.0", "torch2.1", *arguments])
    assert done.exit_code == 2
    assert told in done.output


@pytest.mark.parametrize("command", [["gate", "torch2.0", "torch2.1"], ["bump", "torch2.0", "onnx==1.16.0"]])
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--duel-machine", "machine=fast"], "--duel-machine: only goes with --duel."),
        (["--duel", "--duel-address", "head:6379"], "--duel-address head:6379: add --duel-machine"),
        (["--duel", "--duel-machine", "fast"], "--duel-machine fast: name a label of Ray's and its value"),
    ],
)
def test_a_verdict_says_where_its_duel_cannot_be(
    tmp_path: Path, command: list[str], arguments: list[str], told: str
) -> None:
    done = CliRunner().invoke(cli.cli, ["--root", str(tmp_path), *command, *arguments])
    assert done.exit_code == 2
    assert told in done.output


def test_without_ray_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = make_python(tmp_path / "venv")
    (tmp_path / "matrices").mkdir()
    monkeypatch.setitem(sys.modules, "ray", None)  # as where it is not installed
    words = ["run", "--python", str(python), "--executor", "ray", "--device", "cpu", "--models", "unflatten"]
    done = CliRunner().invoke(cli.cli, ["--root", str(tmp_path), *words])
    assert done.exit_code == 2
    assert "--executor ray needs Ray. Install it: `pip install 'conversion-harness[ray]'`" in done.output
    assert not (tmp_path / ".harness" / "attempts").exists()
