"""Models that come as saved files. Loading one runs no code of the file's, unless it is told that the file is trusted.

Use them in a model's file: ``build=lambda: torchscript(HERE / "model.pt")`` with ``keep_weights=True``, or
``weights=lambda: state_dict(HERE / "weights.pt")`` beside a `build` of the class.
"""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

_ZIP = b"PK\x03\x04"
_TENSORS_ALONE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


def state_dict(path: Path, *, trust_pickle: bool = False) -> dict[str, Any]:
    """The state dict in a file of `torch.save` or of numpy (`.npz`), name to numpy array.

    With `trust_pickle` the file may hold any object, and loading it may run any code: only for files of your own.
    Raises `ValueError` where the file holds something else than a state dict, and where it is a TorchScript program,
    which `torch.load` would hand on to `torch.jit.load` and so run, whatever it was told of pickles.
    """
    if path.suffix == ".npz":
        import numpy as np

        with np.load(path) as archive:
            return {name: archive[name] for name in archive.files}
    import torch

    if not trust_pickle and _is_torchscript(_records(str(path))):
        msg = (
            f"{path.name} is a TorchScript program, and no state dict: loading it can run its code. Give the module by "
            f"torchscript(…) as `build`, with keep_weights=True, or save its state_dict() to a file; for a file of "
            f"your own, state_dict(…, trust_pickle=True) takes the state dict out of it."
        )
        raise ValueError(msg)
    loaded = torch.load(path, map_location="cpu", weights_only=not trust_pickle)
    if hasattr(loaded, "state_dict"):
        loaded = loaded.state_dict()
    if not isinstance(loaded, dict) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        msg = f"{path.name} holds no state dict; give the entry of it that is one, as in torch.load(…)['model']"
        raise ValueError(msg)
    return {name: value.detach().numpy() for name, value in loaded.items()}


def torchscript(path: Path, *, trust_code: bool = False) -> Any:
    """The module in a TorchScript file.

    Its `forward` is a program, and runs like one written in Python does; loading it runs nothing, unless a class in it
    has a `__setstate__`, which may do whatever TorchScript can, such as writing files. Raises `ValueError` for such a
    file, and for one of a format before PyTorch 1.0, without `trust_code`: only for files of your own.
    """
    import torch

    if not trust_code and (reason := _runs_on_loading(_records(str(path)))):
        msg = (
            f"{path.name} {reason}. If the file is your own, or you have read its code (it is a zip file, look under "
            f"code/), load it by torchscript(…, trust_code=True)."
        )
        raise ValueError(msg)
    return torch.jit.load(str(path), map_location="cpu")


def exported_program(path: Path, *, trust_pickle: bool = False) -> Any:
    """The module in a file of `torch.export.save` (from torch 2.1 on).

    `torch.export.load` unpickles what the file holds, and so may run any code. Here it reads tensors and plain
    containers alone, unless `trust_pickle` lets it: only for files of your own.
    Raises `NotApplicable` under a torch that cannot read such files, `ValueError` where one holds TorchScript, and
    `pickle.UnpicklingError` where it holds other objects.
    """
    import torch

    from harness.bench.definitions import NotApplicable

    if not hasattr(torch, "export") or not hasattr(torch.export, "load"):
        msg = f"torch.export.load exists from torch 2.1 on; this is {torch.__version__}"
        raise NotApplicable(msg)
    if trust_pickle:
        return torch.export.load(str(path)).module()
    _check_members(path)
    with _tensors_alone():
        return torch.export.load(str(path)).module()


def _records(file: str | BinaryIO) -> dict[str, bytes]:
    """The code in an archive of PyTorch's, and the names of all else: record to content, empty but for code.

    Read by PyTorch's own reader, since another may see other members in a file that was made to deceive. Empty where
    that takes the file for no archive: torch then does not either.
    """
    import torch

    try:
        reader = torch._C.PyTorchFileReader(file)
    except RuntimeError:
        return {}
    # Names are compared in small letters, as that reader finds them.
    return {
        name.lower(): reader.get_record(name) if name.lower().endswith(".py") else b""
        for name in reader.get_all_records()
    }


def _is_torchscript(records: dict[str, bytes]) -> bool:
    return any(name in ("constants.pkl", "model.json") or name.startswith("code/") for name in records)


def _runs_on_loading(records: dict[str, bytes]) -> str:
    """Why loading this archive could run its code; empty where it could not."""
    if "model.json" in records:
        return "is TorchScript of a format before PyTorch 1.0, whose code is not looked through"
    if any(b"__setstate__" in code for code in records.values()):
        return "has code that runs when it is loaded (`__setstate__`)"
    return ""


def _check_members(path: Path) -> None:
    """Raise `ValueError` where a member of a zip file is TorchScript, which loading by weights alone would run too."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            content = archive.read(name)
            if content.startswith(_ZIP) and _is_torchscript(_records(io.BytesIO(content))):
                msg = (
                    f"{path.name} holds a TorchScript program, {name!r}: loading it can run its code. If the file is "
                    f"your own, load it by exported_program(…, trust_pickle=True)."
                )
                raise ValueError(msg)


@contextlib.contextmanager
def _tensors_alone() -> Iterator[None]:
    """Let every `torch.load` underneath unpickle tensors and plain containers alone, by torch's own switch for it."""
    before = os.environ.get(_TENSORS_ALONE)
    os.environ[_TENSORS_ALONE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_TENSORS_ALONE]
        else:
            os.environ[_TENSORS_ALONE] = before
