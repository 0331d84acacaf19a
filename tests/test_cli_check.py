"""`harness check`: what is wrong with a model's file is told with its place and remedy, what is right is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness import cli
from tests.attempts.conftest import MODEL, make_ambient
from tests.matrix.test_choosing import environment

RIGHT = MODEL.replace("WIDTH", "9").replace("(8, 4)", "(9, 4)").replace("(2, 8)", "(2, 9)")


@pytest.fixture(scope="module")
def ambient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with all that the bench needs, and a stand-in for torch."""
    return make_ambient(tmp_path_factory.mktemp("ambient"))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of a user's own, with model files right and wrong, in which the command is called."""
    for name, text in {
        "right.py": RIGHT,
        "wrong_probe.py": RIGHT.replace('"x": uniform((2, 9), seed=1)', '"y": uniform((2, 9), seed=1)'),
        "syntax.py": "def build(:\n",
        "misspelt.py": RIGHT.replace("example=", "exmaple="),
        "importing.py": "import torch_like\n" + RIGHT,
        "raising.py": RIGHT.replace("import torch", "import lib.net as torch"),
        "lib/net.py": "class nn:\n    @staticmethod\n    def Linear(*sizes):\n        raise ValueError(sizes)\n",
        "narrow.py": RIGHT.replace("(2, 9)", "(2, 7)"),
        "unbound.py": RIGHT.replace('lambda: {"x": ', 'lambda: {"mask": uniform((2, 9)), "x": '),
        "lost.py": RIGHT.replace("import torch", "from layers import net as torch"),
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _check(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.cli, ["check", *map(str, arguments)], prog_name="harness")


def test_without_an_environment_files_are_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.matrix.choosing.installed", lambda root: [])
    done = _check("right.py", "raising.py", "zoo:lstm")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[:2] == ["right.py: can be read", "raising.py: can be read"]
    assert (
        "Nothing was built: no environment is installed. Name one by --combination, --requirements or --python."
        in done.stdout
    )


def test_all_that_cannot_be_read_is_told_at_once_and_nothing_is_installed(root: Path) -> None:
    done = _check("syntax.py", "misspelt.py", "right.py", "importing.py", "--combination", "torch2.0")
    assert done.exit_code == 2, done.output
    lines = done.stderr.removeprefix("harness: ").splitlines()
    assert lines[0].startswith(f"{root}/syntax.py:1: SyntaxError: ")
    assert lines[1].startswith(f"{root}/misspelt.py:")
    assert lines[1].endswith("unexpected keyword argument 'exmaple'. Did you mean 'example'?")
    assert lines[2].startswith(f"{root}/importing.py:1: ModuleNotFoundError: No module named 'torch_like'. Files of")
    assert not (root / ".harness").exists()


def test_what_cannot_be_read_hides_nothing_of_what_is_wrong_with_the_others(root: Path, ambient: Path) -> None:
    for name in ("right.py", "narrow.py", "syntax.py", "misspelt.py"):
        (root / "own" / name).parent.mkdir(exist_ok=True)
        (root / name).rename(root / "own" / name)
    done = _check("own", "--python", ambient)
    assert done.exit_code == 2, done.output
    assert done.stdout.startswith("own/right.py: nothing is wrong with it under")
    assert all(f"own/{name}.py" in done.stderr for name in ("syntax", "misspelt", "narrow")), done.stderr
    (root / "own" / "narrow.py").unlink()
    done = _check("own", "--python", ambient)
    assert done.exit_code == 2, "a file that is right excuses none that is not"
    assert "own/right.py: nothing is wrong" in done.stdout


def test_with_an_environment_models_are_built_and_shown(root: Path, ambient: Path) -> None:
    done = _check("right.py", "wrong_probe.py", "raising.py", "lost.py", "narrow.py", "unbound.py", "--python", ambient)
    assert done.exit_code == 2, done.output
    first, *rest = done.stdout.splitlines()
    assert first.startswith(f"right.py: nothing is wrong with it under {ambient} (Python 3.")
    shown = [line.split(maxsplit=1) for line in rest]
    assert ["input", "x float32[2, 9], dimension 1 is width"] in shown
    assert [each[1].rpartition(" f")[2] for each in shown if each[0] == "output"] == ["loat32[2, 4]"]
    assert ["probes", "other"] in shown
    assert ["parameters", "36"] in shown
    assert done.stderr.startswith("harness: 5 of 6 models are wrong under ")
    told = done.stderr.splitlines()[1:]
    assert told[0].startswith("wrong_probe.py: InputsError: probe 'other' gives the inputs y; the example gives")
    assert told[1] == f"raising.py: ValueError: (9, 4) ({root}/lib/net.py:4)"
    assert told[2].startswith("lost.py:6: ModuleNotFoundError: No module named 'layers'. If layers is your own, name")
    assert told[2].endswith("by --path DIR, or have it installed: `-e .`, a wheel or a URL in the requirements.")
    assert told[3].startswith("narrow.py: ValueError: ")
    assert ". forward raises this on the file's own example: mend example() or forward. (" in told[3]
    assert told[4].startswith("unbound.py: BindingError: ")
    (root / "own" / "layers").mkdir(parents=True)
    (root / "own" / "layers" / "net.py").write_text("from torch import nn\n", encoding="utf-8")
    done = _check("lost.py", "--path", "own", "--python", ambient)
    assert done.exit_code == 0, done.output


def test_what_cannot_be_told_in_an_environment_is_not_wrong(root: Path, ambient: Path) -> None:
    needing = RIGHT.replace("build=build", 'build=build, imports=("torch", "timm")')
    (root / "needing.py").write_text(needing, encoding="utf-8")
    filling = RIGHT.replace("    import torch\n", "    import numpy, torch\n    numpy.empty(2**50)\n")
    (root / "filling.py").write_text(filling, encoding="utf-8")
    done = _check("needing.py", "right.py", "filling.py", "--python", ambient)
    assert done.exit_code == 3, done.output
    assert "right.py: nothing is wrong with it under " in done.stdout
    first, *rest = done.stderr.splitlines()
    assert first.startswith("harness: 2 of 3 models cannot be told to be right under ")
    assert rest[0] == "needing.py: cannot be told here: timm is not installed in this environment"
    assert rest[1].startswith("filling.py: cannot be told here: Unable to allocate 8.00 PiB")
    assert rest[2].startswith("Name an environment that they can be built in by --combination, --requirements or")
    done = _check("needing.py", "wrong_probe.py", "--python", ambient)
    assert done.exit_code == 2, done.output
    first, *rest = done.stderr.splitlines()
    assert first.startswith("harness: 1 of 2 models is wrong under ")
    assert [line.partition(":")[0] for line in rest] == ["wrong_probe.py", "needing.py"]


def test_of_a_folder_what_declares_no_model_is_passed_over_and_said(root: Path) -> None:
    (root / "folder").mkdir()
    (root / "folder" / "right.py").write_text(RIGHT, encoding="utf-8")
    (root / "folder" / "net.py").write_text("WIDE = 9\n", encoding="utf-8")
    done = _check("folder", "folder/right.py", "--combination", "torch2.0+nothing")
    assert done.exit_code == 2, done.output
    assert done.stdout == "folder/net.py: passed over, since there is no MODEL in it\n"


def test_one_environment_at_a_time(root: Path, ambient: Path) -> None:
    done = _check("right.py", "--python", ambient, "--combination", "torch2.0")
    assert done.exit_code == 2
    assert "name one environment each: leave all but one out" in done.stderr


def test_what_another_environment_has_is_not_the_files_mistake(root: Path, ambient: Path) -> None:
    environment(root, "torch2.1", "layers")
    done = _check("lost.py", "right.py", "--python", ambient)
    assert done.exit_code == 3, done.output
    assert "lost.py: cannot be told here: layers is not installed in it, and is in torch2.1" in done.stderr
    assert "right.py: nothing is wrong with it under " in done.stdout


def test_what_is_made_of_requirements_needs_them(root: Path) -> None:
    done = _check("right.py", "--all")
    assert (done.exit_code, "name them by --requirements FILE" in done.stderr) == (2, True)
    (root / "reqs.txt").write_text("torch ==\n", encoding="utf-8")
    done = _check("right.py", "--requirements", "reqs.txt")
    assert (done.exit_code, "reqs.txt, line 1: 'torch ==' is no requirement" in done.stderr) == (2, True)


def test_a_table_says_which_folders_its_models_import_from(root: Path, ambient: Path) -> None:
    (root / "own" / "layers").mkdir(parents=True)
    (root / "own" / "layers" / "net.py").write_text("from torch import nn\n", encoding="utf-8")
    given = ["run", "--python", str(ambient), "--models", "lost.py", "--path", "own", "--strategies", "native"]
    done = CliRunner().invoke(cli.cli, [*given, "--device", "cpu", "--results", "tables"], prog_name="harness")
    assert done.exit_code == 0, done.output
    (table,) = (root / "tables").rglob("run.json")
    told = json.loads(table.read_text(encoding="utf-8"))
    assert (told["models"], told["paths"]) == ("lost.py", ["own"])
