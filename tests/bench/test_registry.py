"""Listing a folder is all the registration there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.bench import Model, Strategy
from harness.bench.errors import UsageError
from harness.bench.plan import expand
from harness.bench.registry import _helpers, discover, get, load, model_files, name_of, passed_over

MODEL = """
from harness.bench import Model, uniform

MODEL = Model(summary="", family="own", build=dict, example=lambda: {"x": uniform((1,))}, probes={})
"""

STEP = """
from harness.bench import Step

STEP = Step(summary="", run=lambda context, source: None, produces="thing")
"""

STRATEGY = """
from harness.bench import Strategy

STRATEGY = Strategy(summary="", steps=("carry-over",), runtime="own-runtime")
"""

RUNTIME = """
from harness.bench import Runtime

RUNTIME = Runtime(summary="", serves="thing", load=lambda *arguments: None, imports=("json",))
"""


def _written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_is_named_by_its_stem(tmp_path: Path) -> None:
    path = _written(tmp_path / "my_own_model.py", MODEL)
    assert name_of(path) == "my-own-model"
    entry = load(path, "MODEL", Model)
    assert (entry.name, entry.declared.family, entry.error) == ("my-own-model", "own", "")


def test_a_file_without_the_constant_is_told(tmp_path: Path) -> None:
    path = _written(tmp_path / "none.py", "def build():\n    MODEL = 1\n\nclass A:\n    MODEL = 2\n")
    with pytest.raises(UsageError, match=r"none.py: no MODEL in it. Add `MODEL = Model\(…\)`"):
        load(path, "MODEL", Model)


def test_a_file_without_the_constant_is_not_even_run(tmp_path: Path) -> None:
    path = _written(tmp_path / "script.py", f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(UsageError):
        load(path, "MODEL", Model)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "body",
    [
        "MODEL: Model = MADE",
        "if True:\n    MODEL = MADE",
        "try:\n    import nothing_like_it\nexcept ImportError:\n    MODEL = MADE",
        "with open('/dev/null'):\n    MODEL = MADE",
    ],
)
def test_the_constant_may_be_anywhere_that_import_runs(tmp_path: Path, body: str) -> None:
    path = _written(tmp_path / "nested.py", MODEL.replace("MODEL =", "MADE =") + body + "\n")
    assert load(path, "MODEL", Model).value is not None


def test_a_constant_of_another_type_is_told(tmp_path: Path) -> None:
    path = _written(tmp_path / "wrong.py", "MODEL = 3\n")
    with pytest.raises(UsageError, match="MODEL is of type int, and must be a Model"):
        load(path, "MODEL", Model)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("raise OSError('no disk')\nMODEL = None\n", "OSError: no disk"),
        ("import sys\nsys.exit(3)\nMODEL = None\n", "SystemExit: 3"),
        ("MODEL = = 3\n", "SyntaxError: "),
        ("import torch_that_is_not_there\nMODEL = None\n", "ModuleNotFoundError: "),
        ("from harness.bench import Model\nMODEL = Model()\n", "TypeError: "),
        ("from harness.bench import *\n", "AttributeError: "),
        ("\0", "SyntaxError: "),
    ],
)
def test_a_file_that_raises_is_kept_with_its_error(tmp_path: Path, text: str, error: str) -> None:
    entry = load(_written(tmp_path / "broken_file.py", text), "MODEL", Model)
    assert entry.value is None
    assert entry.name == "broken-file"
    assert entry.error.startswith(error)
    assert len(entry.digest) == 16
    with pytest.raises(ImportError, match=r"broken_file\.py raised at import"):
        _ = entry.declared


def test_two_files_of_one_name_are_told(tmp_path: Path) -> None:
    files = [_written(tmp_path / folder / "twice.py", MODEL) for folder in ("a", "b")]
    with pytest.raises(UsageError, match=r"two model files are called 'twice': .*a/twice\.py and .*b/twice\.py"):
        discover(models=files)
    _written(tmp_path / "plugins" / "strategies" / "native.py", STRATEGY)
    with pytest.raises(UsageError, match="two strategy files are called 'native'"):
        discover(plugins=[tmp_path / "plugins"])


def test_adding_a_step_a_strategy_and_a_runtime_is_adding_files(tmp_path: Path) -> None:
    before = discover()
    _written(tmp_path / "steps" / "carry_over.py", STEP)
    _written(tmp_path / "steps" / "_shared.py", "raise OSError\n")
    _written(tmp_path / "strategies" / "own_route.py", STRATEGY)
    _written(tmp_path / "runtimes" / "own_runtime.py", RUNTIME)
    registry = discover(plugins=[tmp_path])
    assert set(registry.steps) - set(before.steps) == {"carry-over"}
    assert set(registry.strategies) - set(before.strategies) == {"own-route"}
    assert set(registry.runtimes) - set(before.runtimes) == {"own-runtime"}
    assert set(registry.models) == set(before.models)
    cells = expand(registry, combination="c", device="cpu", tier="quick", strategies=["own-route"])
    assert len(cells) > 0
    assert {cell.strategy for cell in cells} == {"own-route"}


def test_a_strategys_digest_changes_with_its_steps_and_runtime(tmp_path: Path) -> None:
    _written(tmp_path / "strategies" / "own_route.py", STRATEGY)
    digests = [discover(plugins=[tmp_path]).strategy_digest("own-route")]
    step = _written(tmp_path / "steps" / "carry_over.py", STEP)
    digests.append(discover(plugins=[tmp_path]).strategy_digest("own-route"))
    runtime = _written(tmp_path / "runtimes" / "own_runtime.py", RUNTIME)
    digests.append(discover(plugins=[tmp_path]).strategy_digest("own-route"))
    for path in (step, runtime):
        path.write_text(path.read_text(encoding="utf-8") + "# more\n", encoding="utf-8")
        digests.append(discover(plugins=[tmp_path]).strategy_digest("own-route"))
    assert len(set(digests)) == len(digests)


def test_files_and_folders_of_a_users_own(tmp_path: Path) -> None:
    one, other = _written(tmp_path / "one.py", MODEL), _written(tmp_path / "more" / "other.py", MODEL)
    _written(tmp_path / "more" / "_helper.py", "")
    assert model_files([one, tmp_path / "more"]) == [one, other]
    assert list(discover(models=[one, tmp_path / "more"]).models) == ["one", "other"]
    again = tmp_path / "more" / ".." / "more" / "other.py"
    assert model_files([tmp_path / "more", again, one, one]) == [other, one], "each file once"
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"empty: no model file \(\*.py\) in this folder"):
        model_files([tmp_path / "empty"])
    with pytest.raises(UsageError, match=r"nothing\.py: no such file or folder of models"):
        model_files([tmp_path / "nothing.py"])
    with pytest.raises(UsageError, match="no such plugin folder"):
        discover(plugins=[tmp_path / "nothing"])


def test_of_a_folder_only_files_that_declare_a_model_are_taken(tmp_path: Path) -> None:
    one, broken = _written(tmp_path / "one.py", MODEL), _written(tmp_path / "two.py", "def build(:\n")
    net = _written(tmp_path / "net.py", "WIDE = 8\n")
    assert model_files([tmp_path]) == [one, broken], "what cannot be parsed is to be told"
    assert passed_over([tmp_path, one]) == [net]
    broken.unlink()
    assert list(discover(models=[tmp_path]).models) == ["one"]
    with pytest.raises(UsageError, match=r"net\.py: no MODEL in it"):
        discover(models=[net])
    one.unlink()
    with pytest.raises(UsageError, match=r"no model file \(\*\.py\) in this folder: there is no MODEL in net\.py\."):
        model_files([tmp_path])


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown strategy 'natve'\. Did you mean 'native'\?"):
        get(discover().strategies, "strategy", "natve")


def test_definitions_say_what_is_wrong_with_them() -> None:
    with pytest.raises(ValueError, match="tier is 'huge'"):
        Model(summary="", family="", build=dict, example=dict, probes={}, tier="huge")
    with pytest.raises(ValueError, match="tolerance and tolerance_reason go together"):
        Model(summary="", family="", build=dict, example=dict, probes={}, tolerance=0.1)
    with pytest.raises(ValueError, match="shapes is 'any'"):
        Strategy(summary="", steps=(), runtime="", shapes="any")


def test_a_step_that_builds_on_another_changes_with_it() -> None:
    steps = discover().steps
    beside = [path.name for path in _helpers(steps["module-to-onnx-torchscript-static"].path)]
    assert beside == ["module_to_onnx_torchscript.py"]
