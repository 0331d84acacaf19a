"""Models of a user's own: the template, and models that come as saved files."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.matrix import template
from tests.real.conftest import ROOT

pytestmark = pytest.mark.real

Call = Callable[..., subprocess.CompletedProcess[str]]

SAVE = """
import torch
module = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.Tanh()).eval()
torch.save(module.state_dict(), "weights.pt")
torch.save({"anything": print, "weights": module}, "pickled.pt")
torch.jit.script(module).save("scripted.pt")
if hasattr(torch, "export"):
    torch.export.save(torch.export.export(module, (torch.zeros(2, 8),)), "exported.pt2")
"""

MODEL = """
from pathlib import Path
from harness.bench import Model, uniform
from harness.bench.saved import exported_program, state_dict, torchscript

HERE = Path(__file__).parent


def plain():
    import torch

    return torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.Tanh())


def changing():
    import torch

    class Changing(torch.nn.Module):
        def forward(self, x):
            return x.mul_(1.5).add_(1)  # what it is given is what it returns

    return Changing()


MODEL = Model(
    summary="saved", family="own", {source},
    example=lambda: {{"x": uniform((2, 8))}},
    probes={{"other": lambda: {{"x": uniform((2, 8), seed=1)}}, "more": lambda: {{"x": uniform((2, 8), seed=2)}}}},
)
"""

SOURCES = {
    "changes-its-input": "build=changing",
    "from-state-dict": 'build=plain, weights=lambda: state_dict(HERE / "weights.pt")',
    "from-torchscript": 'build=lambda: torchscript(HERE / "scripted.pt"), keep_weights=True',
    "from-export": 'build=lambda: exported_program(HERE / "exported.pt2"), keep_weights=True',
    "from-pickle": 'build=plain, weights=lambda: state_dict(HERE / "pickled.pt")',
    "wrong-weights": "build=plain, weights=lambda: {'0.weight': uniform((4, 8))}",
    "forward-raises": "build=lambda: __import__('torch').nn.Linear(9, 4)",
}


@pytest.fixture(scope="module")
def rows(bench: Call, pinned: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("models")
    subprocess.run([str(pinned("torch2.1")), "-c", SAVE], cwd=folder, check=True)
    for name, source in SOURCES.items():
        (folder / f"{name.replace('-', '_')}.py").write_text(MODEL.format(source=source), encoding="utf-8")
    strategies = ("--strategies=native", "--strategies=onnx-torchscript")
    done = bench("torch2.1", f"--models={folder}", *strategies, "--measure-s=0.05", "--out", folder / "out")
    assert done.returncode == 1, done.stdout + done.stderr
    found = [json.loads(path.read_text(encoding="utf-8")) for path in (folder / "out/records").glob("*.json")]
    rows = [{**record["row"], "details": record["details"]} for record in found]
    return {f"{row['model']}/{row['strategy']}": row for row in rows}


@pytest.mark.parametrize("name", ["from-state-dict", "from-torchscript"])
@pytest.mark.parametrize("strategy", ["native", "onnx-torchscript"])
def test_a_saved_model_runs_with_its_own_weights(rows: dict[str, Any], name: str, strategy: str) -> None:
    assert rows[f"{name}/{strategy}"]["outcome"] == "passed", rows[f"{name}/{strategy}"]
    assert rows[f"{name}/{strategy}"]["weights_digest"] == rows["from-torchscript/native"]["weights_digest"]


def test_a_model_that_changes_what_it_is_given_answers_the_same_however_often_it_is_asked(rows: dict[str, Any]) -> None:
    row = rows["changes-its-input/native"]
    assert row["outcome"] == "passed", row
    assert row["details"]["runtime"]["inputs_copied"] == 1
    assert "inputs_copied" not in rows["from-torchscript/native"]["details"].get("runtime", {})


def test_an_exported_program_runs(rows: dict[str, Any]) -> None:
    assert rows["from-export/native"]["outcome"] == "passed", rows["from-export/native"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("from-pickle", "Weights only load failed"),
        ("wrong-weights", "no value for 0.bias"),
        ("forward-raises", "shapes cannot be multiplied"),
    ],
)
def test_what_a_users_file_gets_wrong_is_told(rows: dict[str, Any], name: str, told: str) -> None:
    row = rows[f"{name}/native"]
    assert (row["outcome"], row["stage"]) == ("failed", "build"), row
    assert told in row["error"], row


def test_the_template_runs_as_it_is(bench: Call, tmp_path: Path) -> None:
    path = template.write("my-model", tmp_path / "models")
    done = bench("torch2.0", "--models", path, "--strategies=native", "--measure-s=0.05", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert ROOT not in path.parents


EXPORTED = """
import io
import torch
from harness.bench.binding import BindingError, bind, parameters_of

class Scaled(torch.nn.Module):
    def forward(self, a, mask=None, b=None):
        return a * 2 + b * 3

def answer(args, kwargs, names):
    file = io.BytesIO()
    torch.export.save(torch.export.export(Scaled(), args, kwargs), file)
    file.seek(0)
    program = torch.export.load(file).module()
    binding = bind(parameters_of(program), {name: numpy[name] for name in names}, {})
    return binding.caller(program, {})(*(torch.from_numpy(numpy[path]) for path in binding.paths))

given = {name: torch.full((2, 3), value) for name, value in (("a", 1.0), ("b", 2.0))}
numpy = {name: tensor.numpy() for name, tensor in given.items()}
a, b = given.values()
for args, kwargs in (((a,), {"b": b}), ((), {"b": b, "a": a})):
    for names in ("ab", "ba"):
        assert answer(args, kwargs, names)[0, 0] == 8, (args, kwargs, names)
try:
    answer((a,), {"b": b}, "a")
except BindingError as error:
    assert "'b'" in str(error), error
else:
    raise AssertionError("an input that lacks was not told")
"""


@pytest.mark.parametrize("environment", ["torch2.1", pytest.param("torch2.9+tools", marks=pytest.mark.long)])
def test_a_program_that_was_exported_with_keywords_is_called_with_them(
    pinned: Callable[[str], Path], environment: str
) -> None:
    done = subprocess.run(
        [str(pinned(environment)), "-c", EXPORTED], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
