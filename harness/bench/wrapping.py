"""A module around a module: what tools that take tensors one after the other are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.bench.binding import Binding


def wrapped(module: Any, binding: Binding, constants: Mapping[str, Any], names: Sequence[str]) -> Any:
    """A torch module whose `forward` takes the leaves, called `names`, and calls `module` with them as they are bound.

    Its `forward` is written out: tools read the names of arguments from its code, and know `*args` badly.
    """
    import torch

    class Flat(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        """Takes the leaves one after the other."""

        def __init__(self) -> None:
            super().__init__()
            self.module = module
            self.training = module.training

        def called(self, *leaves: Any) -> Any:
            args, kwargs = binding.call(leaves, constants)
            return self.module(*args, **kwargs)

    listed = ", ".join(names)
    scope: dict[str, Any] = {}
    exec(f"def forward(self, {listed}):\n    return self.called({listed})\n", scope)
    Flat.forward = scope["forward"]
    return Flat()
