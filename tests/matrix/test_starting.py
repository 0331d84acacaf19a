"""`harness init`: what is laid out, that it is what its readers take, and that nothing that is there is touched."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from harness.bench.environment import pins_of
from harness.bench.errors import UsageError
from harness.bench.registry import discover
from harness.cli import cli
from harness.matrix import combination
from harness.matrix.locks import BENCH_REQUIREMENTS, lock, read_lock
from harness.matrix.places import REFERENCE
from harness.matrix.starting import WORKFLOW, lay_out, lines
from harness.matrix.starting.pins import found_in
from harness.matrix.starting.source import installed_from
from tests.matrix.wheels import wheel

BASE = """\
--index-url https://index.example/simple
torch==2.1.0 \\
    --hash=sha256:0123
numpy>=1.24,<2  # without it the newest would be taken, and torch 2.1 works with none of them
"""
REQUIREMENTS = """\
-r base.txt
-e .
fastapi==0.110.0
onnxruntime == 1.17.1 ; python_version < '3.13'
TorchVision==0.16.0
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "base.txt").write_text(BASE, encoding="utf-8")
    (tmp_path / "requirements.txt").write_text(REQUIREMENTS, encoding="utf-8")
    (tmp_path / ".python-version").write_text("3.11.7\n", encoding="utf-8")
    return tmp_path


def _files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_repository_begins_with_its_own_pins(repository: Path) -> None:
    start = lay_out(repository)
    assert [str(made.path) for made in start.made] == [
        "models/example.py",
        "matrices/current.in",
        ".github/workflows/conversions.yml",
        "renovate.json",
        ".github/dependabot.yml",
    ]
    assert (repository / "matrices" / "current.in").read_text(encoding="utf-8") == (
        "# python: 3.11\n# From requirements.txt.\n--index-url https://index.example/simple\ntorch==2.1.0\nnumpy<2,>=1.24\n"
        'onnxruntime==1.17.1 ; python_version < "3.13"\ntorchvision==0.16.0\n'
    )
    assert combination.read(repository, "current").pins["torch"] == "2.1.0"
    assert list(lines(start))[-1] == (
        "Next: `harness lock current`, `harness run current --models models`, and commit what was written."
    )
    assert list(discover(models=[repository / "models"]).models) == ["example"]


def test_nothing_that_is_there_is_touched(repository: Path) -> None:
    for name in ("models/mine.py", "matrices/ours.in", ".github/renovate.json5", ".github/dependabot.yaml"):
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text("# python: 3.11\n", encoding="utf-8")
    before = _files(repository)
    told = list(lines(lay_out(repository)))
    after = _files(repository)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {str(WORKFLOW)}
    for name in ("models/mine.py", "matrices/ours.in", ".github/renovate.json5", ".github/dependabot.yaml"):
        assert f"{name}: there already, left alone" in told
    lay_out(repository)
    assert _files(repository) == after


def test_without_pins_it_begins_with_the_newest_combination_of_the_harness(tmp_path: Path) -> None:
    start = lay_out(tmp_path)
    assert (start.combination, start.locked) == ("torch2.9", True)
    assert combination.own_names(tmp_path) == ["torch2.9"]
    for name in ("torch2.9", "torch2.9+tools"):
        lock = read_lock(tmp_path, combination.read(tmp_path, name))
        assert lock.text == (REFERENCE / "locks" / f"{name}.txt").read_text(encoding="utf-8")
    assert list(lines(start))[-1].startswith("Next: `harness run torch2.9 --models models`")


def test_a_combination_of_the_harness_is_copied_on_request(repository: Path) -> None:
    done = CliRunner().invoke(cli, ["--root", str(repository), "init", "--from", "torch2.0"])
    assert done.exit_code == 0, done.output
    assert "matrices/torch2.0.in: as it comes with the harness, and its lock" in done.output
    assert combination.own_names(repository) == ["torch2.0"]
    with pytest.raises(UsageError, match=r"--from torch1: the harness comes with torch2\.0, torch2\.1, torch2\.9\."):
        lay_out(repository, reference="torch1")


def test_pins_of_a_project_and_its_python(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\nrequires-python = ">=3.10,<3.11"\ndependencies = ["torch==2.2.*", "onnx==1.15.0"]\n'
        '[project.optional-dependencies]\nserving = ["tensorflow-cpu[and-more]==2.15.0", "flask==3"]\n',
        encoding="utf-8",
    )
    found = found_in(tmp_path)
    assert found.lines == ("torch==2.2.*", "onnx==1.15.0", "tensorflow-cpu[and-more]==2.15.0")
    assert (found.files, found.python) == (("pyproject.toml",), "3.10")


def test_pins_of_a_group_are_found_and_the_group_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\ndependencies = ["numpy==1.26.4"]\n[dependency-groups]\ndocs = ["onnx", "sphinx"]\n'
        'ml = ["torch==2.1.0"]\n',
        encoding="utf-8",
    )
    found = found_in(tmp_path)
    assert (found.lines, found.given) == (("numpy==1.26.4", "torch==2.1.0"), "pyproject.toml:ml")
    told = "pyproject.toml:docs is passed over: one group can be named, and that is ml. Put what is converted into one."
    assert found.passed_over == (told,)


_DYNAMIC = """\
[project]
name = "x"
dynamic = ["dependencies"]
[tool.setuptools.dynamic]
dependencies = {file = ["reqs/base.txt"]}
"""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[tool.poetry.dependencies]\npython = "^3.10"\ntorch = "2.1.0"\n', r"it is Poetry's.*poetry export -o"),
        ('[tool.poetry.group.ml.dependencies]\ntorch = "2.1.0"\n', r"it is Poetry's.*poetry export -o"),
        (
            _DYNAMIC,
            r"its dependencies are dynamic, from reqs/base\.txt\. Write them as a requirements file here",
        ),
    ],
)
def test_pins_that_lie_elsewhere_are_not_passed_over_in_silence(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    (tmp_path / "reqs").mkdir()
    (tmp_path / "reqs" / "base.txt").write_text("torch==2.1.0\n", encoding="utf-8")
    (message,) = found_in(tmp_path).passed_over
    assert re.search(rf"^pyproject\.toml is passed over: {told}", message)


def test_requirements_without_torch_are_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "requirements-docs.txt").write_text("numpy==1.26.4\nsphinx\n", encoding="utf-8")
    assert found_in(tmp_path).lines == ()


def test_pins_keep_their_index_and_their_bounds(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "constraints.txt").write_text(
        "onnx==1.15.0\nprotobuf<5\nflask==3\nonnxruntime==1.17.1 ; python_version < '3'\n", encoding="utf-8"
    )
    (tmp_path / "requirements.txt").write_text(
        "--extra-index-url https://${NAME}:${PASSWORD}@index.example/cpu\n-f wheels\n-c constraints.txt\n"
        "torch==2.1.0+cpu\nonnx\nonnxruntime>=1.17\nnumpy==1.21 ; python_version < '3.8'\nnumpy==1.26.4\n"
        "torchvision @ https://files.example/torchvision-0.16.0-py3-none-any.whl ; python_version > '3'\n",
        encoding="utf-8",
    )
    (tmp_path / "requirements-broken.txt").write_text("tensorflow = 2\n", encoding="utf-8")
    start = lay_out(tmp_path)
    assert (tmp_path / "matrices" / "current.in").read_text(encoding="utf-8").splitlines()[2:] == [
        "--extra-index-url https://${NAME}:${PASSWORD}@index.example/cpu",
        "--find-links ../wheels",
        "torch==2.1.0+cpu",
        "onnx==1.15.0",
        "onnxruntime>=1.17",
        "numpy==1.26.4",
        'torchvision @ https://files.example/torchvision-0.16.0-py3-none-any.whl ; python_version > "3"',
        "protobuf<5",
    ]
    combination.read(tmp_path, "current")
    assert "requirements-broken.txt is passed over: requirements-broken.txt, line 1: 'tensorflow = 2'" in (
        "\n".join(lines(start)).replace('"', "'")
    )


def test_a_combination_of_the_repositorys_pins_can_be_locked(tmp_path: Path) -> None:
    for name, version in (("torch", "2.1.0+cpu"), ("onnx", "1.15.0"), ("onnx", "1.16.0"), ("six", "1.16.0")):
        wheel(tmp_path / "wheels", name, version)
    (tmp_path / BENCH_REQUIREMENTS).parent.mkdir(parents=True)
    (tmp_path / BENCH_REQUIREMENTS).write_text("six\n", encoding="utf-8")
    (tmp_path / "constraints.txt").write_text("onnx==1.15.0\n", encoding="utf-8")
    text = "--no-index\n--find-links wheels\n-c constraints.txt\ntorch==2.1.0+cpu\nonnx\n"
    (tmp_path / "requirements.txt").write_text(text, encoding="utf-8")
    lay_out(tmp_path)
    made = lock(tmp_path, combination.read(tmp_path, "current"))
    assert {name: pins_of(made.text).get(name) for name in ("torch", "onnx")} == {
        "torch": "2.1.0+cpu",
        "onnx": "1.15.0",
    }


def test_no_password_is_copied(tmp_path: Path) -> None:
    text = "--extra-index-url https://bob:s3cretpw@index.example/cpu\ntorch==2.1.0\n"
    (tmp_path / "requirements.txt").write_text(text, encoding="utf-8")
    done = CliRunner().invoke(cli, ["--root", str(tmp_path), "init"])
    assert done.exit_code == 2
    assert "requirements.txt: '--extra-index-url https://…@index.example/cpu' has a password" in done.output
    assert "s3cretpw" not in done.output
    assert list(_files(tmp_path)) == ["requirements.txt"]


def test_a_workflow_without_a_verdict_says_why(tmp_path: Path, repository: Path) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    lay_out(folder)
    lay_out(repository)
    for root, base in ((folder, "base/matrices/torch2.9.in"), (repository, ".base/requirements.txt")):
        step = _step(root, "No verdict")
        assert step["if"] == f"hashFiles('{base}') == ''"
        assert _step(root, "The verdict")["if"] == f"hashFiles('{base}') != ''", "one of the two is run"
        summary = tmp_path / "summary.md"
        summary.write_text("", encoding="utf-8")
        environ = {**os.environ, "GITHUB_STEP_SUMMARY": str(summary)}
        done = subprocess.run(
            ["bash", "-e", "-c", step["run"]], env=environ, capture_output=True, text=True, check=True
        )
        assert done.stdout.startswith("::warning title=No verdict::No verdict: the target branch ")
        assert "Once this is merged, the next pull request has one." in summary.read_text(encoding="utf-8")
    unlocked = _step(folder, "A base without a lock is resolved")
    assert unlocked["run"] == "harness --root base lock torch2.9"
    assert "hashFiles('base/matrices/locks/torch2.9.*') == ''" in unlocked["if"]


def _step(root: Path, name: str) -> dict[str, Any]:
    workflow: Any = yaml.safe_load((root / WORKFLOW).read_text(encoding="utf-8"))
    return next(step for step in workflow["jobs"]["gate"]["steps"] if step.get("name") == name)


def test_the_workflow_gates_the_requirements_that_a_pull_request_changes(tmp_path: Path) -> None:
    for name, version, *requires in (
        ("torch", "1.0", "six==1"),
        ("torch", "2.0", "six==2"),
        ("six", "1"),
        ("six", "2"),
    ):
        wheel(tmp_path / "wheels", name, version, *requires)
    (tmp_path / BENCH_REQUIREMENTS).parent.mkdir(parents=True)
    (tmp_path / BENCH_REQUIREMENTS).write_text("six\n", encoding="utf-8")
    (tmp_path / ".python-version").write_text("3.12\n", encoding="utf-8")
    shutil.copytree(tmp_path / "wheels", tmp_path / ".base" / "wheels")
    # Neither has a solution, so that nothing needs to be installed.
    for place, torch, six in ((tmp_path, "2.0", "1"), (tmp_path / ".base", "1.0", "2")):
        (place / "requirements").mkdir()
        (place / "requirements" / "base.txt").write_text(f"torch=={torch}\n", encoding="utf-8")
        text = f"--no-index\n-f wheels\n-r requirements/base.txt\nsix=={six}\n"
        (place / "requirements.txt").write_text(text, encoding="utf-8")
    assert "runs the gate on pull requests that change requirements.txt" in "\n".join(lines(lay_out(tmp_path)))
    workflow: Any = yaml.safe_load((tmp_path / WORKFLOW).read_text(encoding="utf-8"))
    assert workflow[True] == {"pull_request": {"paths": ["requirements.txt", "requirements/base.txt"]}}
    step = _step(tmp_path, "The verdict")
    assert step["if"] == "hashFiles('.base/requirements.txt') != ''"
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "harness"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m harness.cli "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    summary = tmp_path / "summary.md"
    environ = {**os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}", "GITHUB_STEP_SUMMARY": str(summary)}
    done = subprocess.run(
        ["bash", "-e", "-c", step["run"]], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done.stderr
    told = summary.read_text(encoding="utf-8")
    headline, *_ = told.splitlines()
    assert headline.startswith("### Could not tell: the base did not get past installing, the candidate did not get")
    assert "six 2 → 1, torch 1.0 → 2.0" in told
    pin = "::warning file=requirements.txt,line=4,title=could not tell::"  # of six, the first that moved
    assert pin in done.stdout
    assert len(list((tmp_path / "tables").glob("requirements-*/cpu-quick+models-models/*/run.json"))) == 2


def test_the_workflow_takes_the_form_that_the_requirements_have(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "uv.lock").write_text("", encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\nrequires-python = ">=3.11"\ndependencies = ["torch==2.2.0"]\n'
        '[project.optional-dependencies]\nserving = ["onnxruntime"]\ndocs = ["sphinx"]\n'
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n',
        encoding="utf-8",
    )
    lay_out(tmp_path)
    workflow: Any = yaml.safe_load((tmp_path / WORKFLOW).read_text(encoding="utf-8"))
    assert workflow[True]["pull_request"]["paths"] == ["uv.lock", "pyproject.toml", "src/**"]
    told = _step(tmp_path, "The verdict")["run"]
    assert shlex.split(told)[:6] == [
        *("harness", "gate", "--base-requirements", ".base/uv.lock[serving]"),
        *("--candidate-requirements", "uv.lock[serving]"),
    ]


def test_the_workflow_runs_commands_that_there_are(repository: Path) -> None:
    (repository / "requirements.txt").unlink()
    lay_out(repository)
    workflow: Any = yaml.safe_load((repository / WORKFLOW).read_text(encoding="utf-8"))
    assert workflow[True] == {"pull_request": {"paths": ["matrices/**", "models/**"]}}, "`on` is a boolean to YAML 1.1"
    assert workflow["permissions"] == {"contents": "read"}
    steps = workflow["jobs"]["gate"]["steps"]
    told = "\n".join(step.get("run", "") for step in steps)
    assert 'pip install "$HARNESS"' in told
    assert workflow["jobs"]["gate"]["env"] == {"HARNESS": installed_from()}
    for command in re.findall(r"^harness .*$", told, re.MULTILINE):
        words = [word for word in command.split() if word not in ("--root", "base", "harness")]
        done = CliRunner().invoke(cli, [words[0], "--help"])
        assert done.exit_code == 0, command
        for option in (word for word in words if word.startswith("--")):
            assert option in done.output, command
    assert [step["uses"].partition("@")[0] for step in steps if "uses" in step] == [
        "actions/checkout",
        "actions/checkout",
        "actions/setup-python",
        "actions/upload-artifact",
    ]


def test_the_bots_find_the_combinations(repository: Path) -> None:
    lay_out(repository)
    renovate = json.loads((repository / "renovate.json").read_text(encoding="utf-8"))
    assert set(renovate) == {"$schema", "extends", "pip_requirements", "packageRules"}
    (pattern,) = renovate["pip_requirements"]["managerFilePatterns"]
    assert (pattern[0], pattern[-1]) == ("/", "/"), "what stands between slashes is a regular expression"
    assert re.search(pattern.strip("/"), "matrices/current.in")
    assert not re.search(pattern.strip("/"), "matrices/locks/current.txt")
    dependabot = yaml.safe_load((repository / ".github" / "dependabot.yml").read_text(encoding="utf-8"))
    (update,) = dependabot["updates"]
    assert (dependabot["version"], update["package-ecosystem"], update["directory"]) == (2, "pip", "/matrices")
    assert update["schedule"] == {"interval": "weekly"}
    assert update["exclude-paths"] == ["locks/**"], "it looks into the folders of its directory as well"
