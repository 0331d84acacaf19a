"""`harness init`: what is laid out, that it is what its readers take, and that nothing that is there is touched."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from harness import __version__
from harness.bench.errors import UsageError
from harness.bench.registry import discover
from harness.cli import cli
from harness.matrix import combination
from harness.matrix.locks import read_lock
from harness.matrix.places import REFERENCE
from harness.matrix.starting import WORKFLOW, lay_out, lines
from harness.matrix.starting.pins import found_in

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
        "# python: 3.11\n# From requirements.txt.\ntorch==2.1.0\nnumpy<2,>=1.24\n"
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


def test_requirements_without_torch_are_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "requirements-docs.txt").write_text("numpy==1.26.4\nsphinx\n", encoding="utf-8")
    assert found_in(tmp_path).lines == ()


def test_the_workflow_runs_commands_that_there_are(repository: Path) -> None:
    lay_out(repository)
    workflow: Any = yaml.safe_load((repository / WORKFLOW).read_text(encoding="utf-8"))
    assert workflow[True] == {"pull_request": {"paths": ["matrices/**", "models/**"]}}, "`on` is a boolean to YAML 1.1"
    assert workflow["permissions"] == {"contents": "read"}
    steps = workflow["jobs"]["gate"]["steps"]
    told = "\n".join(step.get("run", "") for step in steps)
    assert f'pip install "conversion-harness=={__version__}"' in told
    for command in re.findall(r"^harness .*$", told, re.MULTILINE):
        words = [word for word in command.split() if word not in ("--root", "base", "harness")]
        done = CliRunner().invoke(cli, [words[0], "--help"])
        assert done.exit_code == 0, command
        for option in (word for word in words if word.startswith("--")):
            assert option in done.output, command
    assert [step["uses"] for step in steps if "uses" in step] == [
        "actions/checkout@v5",
        "actions/checkout@v5",
        "actions/setup-python@v6",
        "actions/upload-artifact@v5",
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
