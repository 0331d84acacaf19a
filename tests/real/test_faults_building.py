"""What a model's file may do while it is built, in pinned environments: what is refused, what is kept, what is told."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.bench.group import MARKER
from harness.bench.requests import BuildRequest
from harness.bench.sketch import sampled
from harness.bench.tensors import load
from tests.real.conftest import ROOT
from tests.real.plugins import add_strategy

pytestmark = pytest.mark.real

Call = Callable[..., subprocess.CompletedProcess[str]]

# As the bench does: the framework is imported once, and each folder's request is worked on in a fork.
BUILD_ALL = """
import os, sys
from pathlib import Path
sys.path.append(sys.argv[1])
import torch
from harness.bench import building
for folder in map(Path, sys.argv[2:]):
    if os.fork() == 0:
        os.chdir(folder)
        building.main(folder)
    os.wait()
"""

HEAD = """
import sys
from pathlib import Path
import numpy as np
from harness.bench import Model, integers, uniform
from harness.bench.saved import exported_program, state_dict, torchscript

HERE = Path(__file__).parent
EXAMPLE = {"x": uniform((2, 8), seed="example")}


def linear():
    import torch

    return torch.nn.Linear(8, 4)


def module(forward):
    import torch

    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("last", torch.zeros(2, 8))

        def forward(self, *inputs):
            return forward(self, *inputs)

    return Module()


def model(build=linear, example=lambda: EXAMPLE, probes=None, **more):
    return Model(summary="", family="own", build=build, example=example, probes=probes or {}, **more)


def probes(*values):
    return {f"given-{index}": (lambda value=value: {"x": value}) for index, value in enumerate(values)}
"""

NAN_WEIGHTS = 'model(weights=lambda: {"weight": np.full((4, 8), np.nan, "f4"), "bias": np.zeros(4, "f4")}, probes=TWO)'
TWO = "\nTWO = probes(uniform((2, 8), seed=1), uniform((2, 8), seed=2))\n"

MODELS = {
    # No pass can come of these.
    "nan-weights": NAN_WEIGHTS,
    "nan-on-a-probe": "model(build=lambda: module(lambda self, x: x.sqrt()), example=lambda: {'x': abs(EXAMPLE['x'])}, "
    "probes=probes(-abs(EXAMPLE['x'])))",
    "one-output-nan": "model(build=lambda: module(lambda self, x: (x, x * float('nan'))), probes=TWO)",
    "bfloat16-output": "model(build=lambda: module(lambda self, x: (x, x.bfloat16())), probes=TWO)",
    "raising-forward": "model(build=lambda: module(lambda self, x: x.reshape(3, 5)), probes=TWO)",
    "text-output": "model(build=lambda: module(lambda self, x: (x, 'a label')), probes=TWO)",
    "infinite-output": "model(build=lambda: module(lambda self, x: (x, x.abs() * float('inf'))), probes=TWO)",
    "some-nan": "model(build=lambda: module(lambda self, x: x.sqrt()), probes=TWO)",
    # What must be recorded.
    "exits": "model(build=lambda: sys.exit(0), probes=TWO)",
    "interrupts": "model(build=lambda: (_ for _ in ()).throw(KeyboardInterrupt()), probes=TWO)",
    "rejected-probe": "model(build=lambda: module(lambda self, x: x.reshape(2, 8)), probes=probes(uniform((4, 8))), "
    "dynamic={'x': {0: 'batch'}})",
    "labels-of-another-length": "model(labelled=lambda: ({'x': uniform((4, 8))}, np.zeros(3, int)), probes=TWO)",
    "labels-of-another-batch": "model(labelled=lambda: ({'x': uniform((3, 8))}, np.zeros(3, int)), probes=TWO)",
    "pickled": "model(weights=lambda: state_dict(HERE / 'pickled.pt'), probes=TWO)",
    # Probes of its example's own values.
    "unprobed": "model()",
    "unprobed-ids": "model(build=lambda: __import__('torch').nn.Embedding(60, 4), "
    "example=lambda: {'ids': integers((3, 7), low=0, high=60)})",
    "unprobed-constant": "model(example=lambda: {'x': np.ones((2, 8), 'f4')})",
    "unprobed-in-order": "model(build=lambda: module(lambda self, x: in_order(x)), "
    "example=lambda: {'x': np.arange(16, dtype='f4').reshape(2, 8)})",
    "unprobed-nan": "model(build=lambda: module(lambda self, x: x if (x == ordered()).all() else x * float('nan')), "
    "example=lambda: {'x': ordered().numpy()})",
    # What a build tells.
    "buffer": "model(build=lambda: module(returned_buffer), probes=TWO)",
    "lazy": "model(build=lambda: __import__('importlib').import_module('lazily_there') and linear(), probes=TWO)",
    "own-tolerance": "model(tolerance=5e-3, tolerance_reason='half precision', train_mode=True, probes=TWO)",
    # Saved files that would run code.
    "scripted": "model(build=lambda: torchscript(HERE / 'scripted.pt'), keep_weights=True, probes=TWO)",
    "writing-state-dict": "model(weights=lambda: state_dict(HERE / 'writing.pt'), probes=TWO)",
    "writing-torchscript": "model(build=lambda: torchscript(HERE / 'writing.pt'), keep_weights=True, probes=TWO)",
    "writing-npz": "model(weights=lambda: state_dict(HERE / 'pickled.npz'), probes=TWO)",
    "exported": "model(build=lambda: exported_program(HERE / 'exported.pt2'), keep_weights=True, probes=TWO)",
    "writing-exported": "model(build=lambda: exported_program(HERE / 'writing.pt2'), keep_weights=True, probes=TWO)",
    "exported-script": "model(build=lambda: exported_program(HERE / 'script.pt2'), keep_weights=True, probes=TWO)",
}

MORE = """
def in_order(x):
    if not bool((x.flatten().diff() >= 0).all()):
        raise IndexError("positions have to ascend")
    return x


def ordered():
    import torch

    return torch.arange(1.0, 17.0).reshape(2, 8)


def returned_buffer(self, x):
    self.last.copy_(x)
    return self.last
"""

SAVE = """
import io, pickle, sys, zipfile
from typing import Tuple
import numpy as np
import torch

WRITTEN = sys.argv[1]


class Writing(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(8))
        self.written: str = WRITTEN

    @torch.jit.export
    def __getstate__(self) -> Tuple[torch.Tensor, str, bool]:
        return self.weight, self.written, self.training

    @torch.jit.export
    def __setstate__(self, state: Tuple[torch.Tensor, str, bool]):
        self.weight = state[0]
        self.written = state[1]
        self.training = state[2]
        torch.save(state[0], state[1])

    def forward(self, x):
        return x * self.weight


class Pickled:
    def __reduce__(self):
        return (open, (WRITTEN, "w"))


module = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.Tanh()).eval()
torch.jit.script(module).save("scripted.pt")
torch.jit.script(Writing()).save("writing.pt")
torch.save({"weight": Pickled()}, "pickled.pt")
np.savez("pickled.npz", weight=np.array([Pickled()], object))
if hasattr(torch, "export"):
    torch.export.save(torch.export.export(module, (torch.zeros(2, 8),)), "exported.pt2")
    content = io.BytesIO()
    torch.save({"weight": Pickled()}, content)
    bad = {"writing.pt2": content.getvalue(), "script.pt2": open("writing.pt", "rb").read()}
    for name, state in bad.items():
        with zipfile.ZipFile("exported.pt2") as good, zipfile.ZipFile(name, "w") as copy:
            for member in good.namelist():
                copy.writestr(member, state if "state_dict" in member else good.read(member))
"""


class Builds:
    """What became of each of `MODELS` in one environment."""

    def __init__(self, python: Path, folder: Path, environment: str) -> None:
        self.python = python
        self.folder = folder
        self.environment = environment
        self.written = folder / "written"
        # A file, since TorchScript is made of source code that can be found.
        (folder / "_save.py").write_text(SAVE, encoding="utf-8")
        subprocess.run(
            [str(python), "_save.py", str(self.written)], cwd=folder, check=True, capture_output=True, timeout=120
        )
        self.written.unlink(missing_ok=True)
        (folder / "lazily_there.py").write_text("import _further\n", encoding="utf-8")
        (folder / "_further.py").write_text("", encoding="utf-8")
        for name, source in MODELS.items():
            file = self.file(name)
            file.write_text(f"{HEAD}{MORE}{TWO}\nMODEL = {source}\n", encoding="utf-8")
            self.at(name).mkdir(parents=True)
            BuildRequest(
                folder=str(self.at(name)), imports=("torch",), threads=1, model=name, model_file=str(file)
            ).write()
        done = subprocess.run(
            [str(python), "-c", BUILD_ALL, str(ROOT), *(str(self.at(name)) for name in MODELS)],
            env={**os.environ, MARKER: str(folder / "attempt"), "PYTHONPATH": str(folder)},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        self.wrote = self.written.exists()
        self.written.unlink(missing_ok=True)

    def file(self, name: str) -> Path:
        return self.folder / f"{name.replace('-', '_')}.py"

    def at(self, name: str) -> Path:
        return self.folder / "attempt" / name

    def result(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.at(name) / "result.json").read_text(encoding="utf-8"))
        return found

    def built(self, name: str) -> dict[str, Any]:
        assert self.result(name)["outcome"] == "passed", self.result(name)
        found: dict[str, Any] = json.loads((self.at(name) / "built.json").read_text(encoding="utf-8"))
        return found


@pytest.fixture(scope="module", params=["torch2.0", "torch2.1"])
def builds(
    request: pytest.FixtureRequest, pinned: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Builds:
    return Builds(pinned(request.param), tmp_path_factory.mktemp(request.param), request.param)


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("nan-weights", "ValueError", "output on the example is NaN throughout"),
        ("nan-on-a-probe", "ValueError", "output on the probe 'given-0' is NaN throughout"),
        ("one-output-nan", "ValueError", "outputs[1] on the example is NaN throughout"),
        ("text-output", "UnsupportedValueError", "outputs[1] is of the type str"),
        (
            "bfloat16-output",
            "UnsupportedValueError",
            "outputs[1] is torch.bfloat16 (torch.strided), which",
        ),
        ("raising-forward", "RuntimeError", "own example: mend example() or forward"),
        ("exits", "SystemExit", "the tool ended the process: SystemExit(0)"),
        ("interrupts", "KeyboardInterrupt", "KeyboardInterrupt without a message"),
        ("rejected-probe", "ProbeRejectedError", "probe 'given-0' is rejected by forward: RuntimeError"),
        ("labels-of-another-length", "ValueError", "one row for each of its 3 labels"),
        ("labels-of-another-batch", "ValueError", "no multiple of the example's batch of 2"),
        ("pickled", "UnpicklingError", "Weights only load failed"),
        ("writing-npz", "ValueError", "Object arrays cannot be loaded when allow_pickle=False"),
        ("writing-state-dict", "ValueError", "writing.pt is a TorchScript program, and no state dict"),
        ("writing-torchscript", "ValueError", "writing.pt has code that runs when it is loaded (`__setstate__`)"),
    ],
)
def test_what_is_wrong_is_a_failed_build_that_says_what_to_do(builds: Builds, name: str, kind: str, told: str) -> None:
    result = builds.result(name)
    assert (result["outcome"], result["error_type"]) == ("failed", kind), result
    assert told in result["error"]
    assert ("mend example() or forward" in result["error"]) == (name == "raising-forward")
    assert not (builds.at(name) / "built.json").exists()


@pytest.mark.parametrize("name", ["exported", "writing-exported", "exported-script"])
def test_an_exported_program_is_read_without_running_what_is_pickled_in_it(builds: Builds, name: str) -> None:
    result = builds.result(name)
    if builds.environment == "torch2.0":
        assert result["outcome"] == "not-applicable"
    elif name == "exported":
        assert result["outcome"] == "passed", result
    else:
        assert result["outcome"] == "failed"
        assert "holds a TorchScript program" in result["error"] or "Weights only load failed" in result["error"]


def test_no_saved_file_wrote_anything(builds: Builds) -> None:
    """Whatever the files of `SAVE` would run writes to one path."""
    assert not builds.wrote


TRUSTED = """
import sys
from pathlib import Path
sys.path.append(sys.argv[1])
from harness.bench.saved import exported_program, state_dict, torchscript
what, file = sys.argv[2:]
{
    "torchscript": lambda: torchscript(Path(file), trust_code=True),
    "state_dict": lambda: state_dict(Path(file), trust_pickle=True),
    "exported": lambda: exported_program(Path(file), trust_pickle=True),
}[what]()
"""


@pytest.mark.parametrize(
    ("what", "file"), [("torchscript", "writing.pt"), ("state_dict", "writing.pt"), ("exported", "writing.pt2")]
)
def test_the_same_files_do_write_where_they_are_trusted(builds: Builds, what: str, file: str) -> None:
    """So that their not having written above says something."""
    if not (builds.folder / file).exists():
        pytest.skip("this torch has no torch.export.save")
    command = [str(builds.python), "-c", TRUSTED, str(ROOT), what, str(builds.folder / file)]
    subprocess.run(command, cwd=builds.folder, check=False, capture_output=True, timeout=120)
    assert builds.written.exists()
    builds.written.unlink()


def test_a_scripted_module_without_such_code_is_loaded(builds: Builds) -> None:
    assert builds.built("scripted")["paths"][0] == ["output"]


@pytest.mark.parametrize("name", ["infinite-output", "some-nan"])
def test_what_is_not_finite_in_part_or_infinite_can_be_matched(builds: Builds, name: str) -> None:
    kept = builds.built(name)["native"]["example"]
    assert any("special" in output for output in kept)


@pytest.mark.parametrize("name", ["unprobed", "unprobed-ids"])
def test_a_model_without_probes_gets_two_of_its_examples_own_values(builds: Builds, name: str) -> None:
    built = builds.built(name)
    assert built["names"] == ["example", "permuted-1", "permuted-2"]
    assert (built["derived"], built["dropped_probes"]) == (["permuted-1", "permuted-2"], {})
    assert built["same_shape"] == [True, True, True]
    (example,), (one,), (two,) = (load(builds.at(name) / f"inputs-{index}.npz") for index in range(3))
    assert len({example.tobytes(), one.tobytes(), two.tobytes()}) == 3
    assert sorted(example.ravel()) == sorted(one.ravel()) == sorted(two.ravel())
    outputs = [load(builds.at(name) / f"native-{index}.npz")[0] for index in range(3)]
    assert (outputs[0] != outputs[1]).any()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("unprobed-constant", "the example's values have no further order that differs"),
        ("unprobed-in-order", "IndexError: positions have to ascend"),
    ],
)
def test_a_derived_probe_that_a_model_cannot_take_is_dropped_and_told(builds: Builds, name: str, told: str) -> None:
    built = builds.built(name)
    assert (built["names"], built["derived"]) == (["example"], [])
    assert list(built["dropped_probes"]) == ["permuted-1", "permuted-2"]
    assert built["dropped_probes"]["permuted-1"].startswith(told)


def test_a_derived_probe_that_is_answered_by_nan_stays_and_is_told_by_its_mask(builds: Builds) -> None:
    """Whether another version still answers it so is the gate's to tell: an input set less would hide it."""
    built = builds.built("unprobed-nan")
    assert built["names"] == ["example", "permuted-1", "permuted-2"]
    assert built["dropped_probes"] == {}
    assert "special" not in built["native"]["example"][0]
    for name in built["derived"]:
        (kept,) = built["native"][name]
        assert np.isnan(kept["values"]).all()
        assert kept["special"]


def test_a_model_with_probes_gets_no_others(builds: Builds) -> None:
    built = builds.built("own-tolerance")
    assert built["names"] == ["example", "given-0", "given-1"]
    assert (built["derived"], built["dropped_probes"]) == ([], {})
    assert (built["tolerance"], built["train_mode"]) == (5e-3, True)


def test_native_outputs_are_in_memory_of_their_own(builds: Builds) -> None:
    """A module that returns its buffer answers to each input set for itself."""
    builds.built("buffer")
    for index in range(3):
        (inputs,), (outputs,) = (load(builds.at("buffer") / f"{what}-{index}.npz") for what in ("inputs", "native"))
        np.testing.assert_array_equal(inputs, outputs)


def test_every_saved_file_is_read_only_and_has_its_digest(builds: Builds) -> None:
    built = builds.built("unprobed")
    files = sorted(builds.at("unprobed").glob("*.npz"))
    assert [file.name for file in files] == [
        *(f"inputs-{i}.npz" for i in range(3)),
        *(f"native-{i}.npz" for i in range(3)),
    ]
    for file in files:
        assert file.stat().st_mode & 0o222 == 0
        assert built["digests"][file.name] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_what_is_kept_of_an_output_is_the_same_here_as_there(builds: Builds) -> None:
    """numpy is another version here, and both write what a table keeps."""
    for name in ("unprobed-ids", "some-nan", "infinite-output"):
        outputs = load(builds.at(name) / "native-0.npz")
        assert json.loads(json.dumps([sampled(each) for each in outputs])) == builds.built(name)["native"]["example"]


def test_the_code_that_a_model_imported_on_its_way_is_told(builds: Builds) -> None:
    modules = builds.built("lazy")["modules"]
    wanted = [builds.file("lazy"), builds.folder / "lazily_there.py", builds.folder / "_further.py"]
    assert modules == {str(path): hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in sorted(wanted)}
    assert list(builds.built("unprobed")["modules"]) == [str(builds.file("unprobed"))]


EDIT = (
    "import numpy; built = context.folder.parents[3] / 'built' / context.model_name; "
    "[(file.chmod(0o644), numpy.savez(file, numpy.zeros((2, 4), 'f4'))) for file in built.glob('native-*.npz')]"
)
BENCHED = ("nan-weights", "unprobed", "unprobed-in-order", "exits", "hangs")


@pytest.fixture(scope="module")
def rows(bench: Call, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The rows of a run of the bench over some of these models, by cell, in the order that the cells began in."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "models").mkdir()
    hangs = "model(build=lambda: __import__('time').sleep(3600), probes=TWO)"
    for name in BENCHED:
        file = folder / "models" / f"{name.replace('-', '_')}.py"
        source = MODELS.get(name, hangs)
        file.write_text(f"{HEAD}{MORE}{TWO}\nMODEL = {source}\n", encoding="utf-8")
    add_strategy(folder / "plugins", "edits-natives", EDIT)
    add_strategy(folder / "plugins", "well-behaved", "pass")
    selected = [f"--strategies={name}" for name in ("native", "edits-natives", "well-behaved")]
    options = [
        "--timeout-s=10",
        "--measure-s=0.05",
        "--models",
        folder / "models",
        "--plugin-folder",
        folder / "plugins",
    ]
    done = bench("torch2.1", *selected, *options, "--out", folder / "out")
    assert done.returncode == 1, done.stdout + done.stderr
    events = [json.loads(line) for line in (folder / "out/events.jsonl").read_text(encoding="utf-8").splitlines()]
    began = [(each["model"], each["strategy"]) for each in events if each["event"] == "started"]
    found = [json.loads(path.read_text(encoding="utf-8"))["row"] for path in (folder / "out/records").glob("*.json")]
    found.sort(key=lambda row: began.index((row["model"], row["strategy"])))
    return {f"{row['model']}/{row['strategy']}": row for row in found}


@pytest.mark.parametrize(
    ("model", "outcome", "kind"),
    [("nan-weights", "failed", "ValueError"), ("exits", "failed", "SystemExit"), ("hangs", "timed-out", "Timeout")],
)
def test_what_goes_wrong_while_building_is_recorded_in_every_cell(
    rows: dict[str, Any], model: str, outcome: str, kind: str
) -> None:
    assert len(rows) == 3 * len(BENCHED)
    for strategy in ("native", "edits-natives", "well-behaved"):
        row = rows[f"{model}/{strategy}"]
        assert (row["outcome"], row["stage"], row["error_type"]) == (outcome, "build", kind), row


def test_derived_probes_are_run_and_marked_so(rows: dict[str, Any]) -> None:
    for strategy in ("native", "well-behaved"):
        row = rows[f"unprobed/{strategy}"]
        assert row["outcome"] == "passed", row
        assert (row["probes_passed"], row["probes_total"], row["probes_derived"]) == (2, 2, 2)
        assert (rows[f"unprobed-in-order/{strategy}"]["probes_total"]) == 0


def test_a_step_that_edits_native_outputs_fails_alone(rows: dict[str, Any]) -> None:
    cells = list(rows)
    for model in ("unprobed", "unprobed-in-order"):
        assert cells.index(f"{model}/edits-natives") < cells.index(f"{model}/well-behaved")
        row = rows[f"{model}/edits-natives"]
        assert (row["outcome"], row["stage"], row["error_type"]) == ("failed", "convert", "ForeignFilesChanged"), row
        assert rows[f"{model}/well-behaved"]["outcome"] == "passed"
