"""What a machine, and the environment on it, have of a say in the cells that run there: a part of their identity.

The machine that gives a command asks this of itself, and each node of a cluster does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.bench import inventory
from harness.bench.inventory import short
from harness.bench.places import CODE
from harness.bench.processes import child_environ
from harness.matrix.environment import clean_environ, told_by
from harness.matrix.places import home
from harness.matrix.variables import OF_FRAMEWORKS, PASS, any_of
from harness.tables.ingredients import Surroundings

READ_BY_FRAMEWORKS = (
    f"{OF_FRAMEWORKS} CC CXX CFLAGS CXXFLAGS CPPFLAGS LDFLAGS "
    "AOT* CUBLAS* DNNL_* GOTO_* LD_* MPS_* ONEDNN_* ORT* PYTHON*"
)
"""Patterns of the names of environment variables that frameworks, and libraries and compilers below them, read."""

_CREDENTIAL = re.compile(r"(?:^|_)(?:TOKEN|SECRET|PASSWORD|CREDENTIAL|KEY)S?(?:_|$)", re.IGNORECASE)
_PLAIN = re.compile(r"[\w.,:=+-]{0,40}")
_WHICH_GPU = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")
"""Which of a node's GPUs a cell was given says nothing: name and driver of the GPU are parts of their own."""

_LONGEST_S = 900.0
"""How long reading all packages of an environment may take that the harness has not installed: once, from a disk."""


def surroundings_of(
    python: Path,
    *,
    device: str,
    inside: Mapping[str, Any],
    pinned: bool,
    kept: Path,
    root: Path,
    code: Iterable[Path] = (),
) -> Surroundings:
    """Those of cells in the environment of an interpreter, on this machine.

    `inside` is what the machine says of itself, `kept` a file for what need not be read again, `root` the repository,
    and `code` where else the harness may lie on the interpreter's path. Raises what
    `harness.matrix.environment.inspect` does where it does not answer.
    """
    return {
        **inventory_of(python, pinned=pinned, kept=kept, root=root, code=code),
        "device": device_items(device, inside),
        "variables": variables(device, clean_environ(pinned=pinned)),
    }


def inventory_of(
    python: Path, *, pinned: bool, kept: Path, root: Path, code: Iterable[Path] = ()
) -> dict[str, dict[str, str]]:
    """What an environment is made of, as its interpreter tells now: see `harness.bench.inventory`."""
    places = {"root": str(root), "home": str(home() or "")}
    whole = {"whole": True, "kept": str(kept), "leave_out": [str(CODE), *map(str, code)], "places": places}
    return told_by(
        python,
        inventory.__file__,
        [json.dumps({} if pinned else whole)],
        kind=dict[str, dict[str, str]],
        pinned=pinned,
        timeout_s=_LONGEST_S,
    )


def device_items(device: str, inside: Mapping[str, Any]) -> dict[str, str]:
    """The device that cells are served on; of a GPU its name and its driver."""
    if device == "cpu":
        return {"device": device}
    gpu = inside.get("gpu") or {}
    return {"device": device, "gpu": str(gpu.get("name", "")), "driver": str(inside.get("driver") or "")}


def variables(device: str, around: Mapping[str, str]) -> dict[str, str]:
    """The variables that frameworks read, as a cell's processes have them, where those `around` are the bench's.

    Those that a user had passed on count too. Those that are made of the policy's threads are as for one: threads are a
    part of their own. What has been given for credentials is left out, and no value that may say more than a setting is
    told in plain: this is published with the table.
    """
    environ = child_environ(device, 1, base=around)
    read, passed = any_of(READ_BY_FRAMEWORKS), any_of(around.get(PASS, ""))
    return {
        name: value if read.fullmatch(name) and _PLAIN.fullmatch(value) else short(value)
        for name, value in sorted(environ.items())
        if (read.fullmatch(name) or passed.fullmatch(name)) and name not in _WHICH_GPU and not _CREDENTIAL.search(name)
    }
