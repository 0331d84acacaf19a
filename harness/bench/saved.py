"""Models that come as saved files. Nothing here unpickles arbitrary objects unless it is told to.

Use them in a model's file: ``build=lambda: torchscript(HERE / "model.pt")`` with ``keep_weights=True``, or
``weights=lambda: state_dict(HERE / "weights.pt")`` beside a `build` of the class.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


def state_dict(path: Path, *, trust_pickle: bool = False) -> dict[str, Any]:
    """The state dict in a file of `torch.save` or of numpy (`.npz`), name to numpy array.

    With `trust_pickle` the file may hold any object, and loading it may run any code: only for files of your own.
    Raises `ValueError` where the file holds something else than a state dict.
    """
    if path.suffix == ".npz":
        import numpy as np

        with np.load(path) as archive:
            return {name: archive[name] for name in archive.files}
    import torch

    loaded = torch.load(path, map_location="cpu", weights_only=not trust_pickle)
    if hasattr(loaded, "state_dict"):
        loaded = loaded.state_dict()
    if not isinstance(loaded, dict) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        msg = f"{path.name} holds no state dict; give the entry of it that is one, as in torch.load(…)['model']"
        raise ValueError(msg)
    return {name: value.detach().numpy() for name, value in loaded.items()}


def torchscript(path: Path) -> Any:
    """The module in a TorchScript file."""
    import torch

    return torch.jit.load(str(path), map_location="cpu")


def exported_program(path: Path) -> Any:
    """The module in a file of `torch.export.save` (from torch 2.1 on).

    Raises `NotApplicable` under a torch that cannot read such files.
    """
    import torch

    from harness.bench.definitions import NotApplicable

    if not hasattr(torch, "export") or not hasattr(torch.export, "load"):
        msg = f"torch.export.load exists from torch 2.1 on; this is {torch.__version__}"
        raise NotApplicable(msg)
    return torch.export.load(str(path)).module()
