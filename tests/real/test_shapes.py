"""What people's models take and return, by the bench's own functions in pinned environments: right, or told."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.matrix.environment import clean_environ
from tests.real.conftest import ROOT
from tests.real.shapes.expected import REFUSED
from tests.real.shapes.files import SHAPES, write

pytestmark = pytest.mark.real

DOCUMENTED = "documented-wrapper"
"""The wrapper to copy in docs/adding.md."""


def taken(python: Path, folder: Path, strategies: Sequence[str]) -> dict[str, Any]:
    """What became of all shapes, and of the documented wrapper, in one process in an environment."""
    write(folder / "models")
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/adding.md").read_text(encoding="utf-8"), re.DOTALL)
    (wrapper,) = [block for block in blocks if "class Wrapped" in block]
    (folder / "models" / f"{DOCUMENTED.replace('-', '_')}.py").write_text(wrapper, encoding="utf-8")
    command = [
        str(python),
        "-m",
        "tests.real.shapes.in_environment",
        str(folder / "models"),
        str(folder / "report.json"),
    ]
    done = subprocess.run(
        [*command, *strategies],
        cwd=ROOT,
        env=clean_environ(),
        capture_output=True,
        text=True,
        timeout=3000,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert set(found) == {*SHAPES, DOCUMENTED}
    return found


def check(found: Mapping[str, Any], refused: Mapping[str, Mapping[str, tuple[str, str, str]]]) -> None:
    """Native is right in all, and each strategy does with each shape what was written down."""
    for name, shape in found.items():
        native = shape["native outputs"]
        assert (native["outcome"], native.get("wrong")) == ("built", []), (name, native)
    strange = []
    for strategy, ends in refused.items():
        assert set(ends) <= {*found, "*"}
        for name, shape in found.items():
            outcome, stage, told = ends.get(name, ends.get("*", ("passed", "measure", "")))
            cell = shape[strategy]
            if (cell["outcome"], cell["stage"]) != (outcome, stage) or told not in cell["error"]:
                strange.append(f"{name}/{strategy}: {cell['outcome']} at {cell['stage']}: {cell['error'][-600:]}")
    assert not strange, "\n".join(strange)


def test_each_shape_of_forward_is_right_natively_and_by_the_torchscript_exporter(
    pinned: Callable[[str], Path], tmp_path: Path
) -> None:
    assert len(SHAPES) >= 24
    refused = {name: REFUSED["torch2.1+tools"][name] for name in ("native", "onnx-torchscript")}
    check(taken(pinned("torch2.1"), tmp_path, list(refused)), refused)


@pytest.mark.long
@pytest.mark.parametrize("environment", REFUSED)
def test_each_shape_of_forward_is_right_or_refused_by_every_exporter(
    pinned: Callable[[str], Path], tmp_path: Path, environment: str
) -> None:
    refused = REFUSED[environment]
    found = taken(pinned(environment), tmp_path, list(refused))
    check(found, refused)


COMPILED = """
import torch
from harness.bench.binding import parameters_of

class Shaped(torch.nn.Module):
    def forward(self, a, mask=None, b=None):
        return a

for module in (torch.compile(Shaped(), backend="eager"), torch.nn.DataParallel(Shaped())):
    print(type(module).__name__, *parameters_of(module))
"""


def test_a_module_that_is_compiled_or_replicated_takes_what_it_takes_alone(pinned: Callable[[str], Path]) -> None:
    done = subprocess.run(
        [str(pinned("torch2.1")), "-c", COMPILED],
        cwd=ROOT,
        env=clean_environ(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout.splitlines() == [f"{name} a mask=… b=…" for name in ("OptimizedModule", "DataParallel")], done
