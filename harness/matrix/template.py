"""The file that `harness new-model` writes: it runs as it is, and says what to change."""

from __future__ import annotations

from pathlib import Path

from harness.bench.errors import UsageError

ABOUT_WEIGHTS = """\
# Weights of your own: `weights=lambda: state_dict(HERE / "weights.pt")`, from harness.bench.saved, or
# `build=lambda: torchscript(HERE / "model.pt")` with `keep_weights=True`. Without either, the bench fills them with the
# same bits under every version, which is all that telling versions apart needs.
"""
ABOUT_EXAMPLE = """\
    # What conversions see.
"""
ABOUT_PROBES = """\
    # What they do not: other values (take the other branch, if forward has one), and other sizes where they may vary.
"""
ABOUT_DYNAMIC = """\
    # Input name to dimension to its name; leave out what is always the size of the example.
"""

TEMPLATE = f'''"""What this model is for, in a sentence."""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, uniform


def build() -> Any:
    """Return the torch.nn.Module. Import frameworks in here, so that the file is read without any."""
    from torch import nn

    # Yours: from my_package import MyModel; return MyModel(…)
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))


def inputs(batch: int, seed: int) -> Inputs:
    """The inputs, as numpy arrays, by the names of the arguments of forward."""
    return {{"x": uniform((batch, 16), seed=seed)}}


{ABOUT_WEIGHTS}MODEL = Model(
    summary="a small perceptron",
    family="own",
    build=build,
{ABOUT_EXAMPLE}    example=lambda: inputs(2, seed=0),
{ABOUT_PROBES}    probes={{
        "other values": lambda: inputs(2, seed=1),
        "more values": lambda: inputs(2, seed=2),
        "one row": lambda: inputs(1, seed=3),
        "more rows": lambda: inputs(5, seed=4),
    }},
{ABOUT_DYNAMIC}    dynamic={{"x": {{0: "batch"}}}},
)
'''


def write(name: str, folder: Path, text: str = TEMPLATE) -> Path:
    """Write `text` as the file of the model `name` into `folder`; an existing file is never replaced."""
    stem = name.replace("-", "_")
    if not stem.isidentifier():
        msg = f"{name!r} cannot be a model's name: use letters, digits and '-', as in 'my-model'."
        raise UsageError(msg)
    path = folder / f"{stem}.py"
    if path.exists():
        msg = f"{path} exists already. Choose another name, or edit that file."
        raise UsageError(msg)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
