"""Models' files that are built in pinned environments, many at once: what is wrong in them, and what is saved."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.bench.group import MARKER
from harness.bench.requests import BuildRequest
from tests.real.conftest import ROOT

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
