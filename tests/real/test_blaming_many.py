"""Blame where several packages moved at once: one of six that is guilty, and two that only break together."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.bump.bumpfile import read_bump
from harness.bump.schema import Answer, Bump, Status

pytestmark = [pytest.mark.real, pytest.mark.long]

Call = Callable[..., subprocess.CompletedProcess[str]]

MOST_ENVIRONMENTS = 12

REBUILDS = '''\
"""Makes the ONNX file anew by the onnx package, which writes its own IR version into it."""

from harness.bench import Artifact, Step


def run(context, source):
    import onnx

    before = onnx.load(str(source.path))
    path = context.folder / "model.onnx"
    onnx.save(onnx.helper.make_model(before.graph, opset_imports=before.opset_import), str(path))
    return Artifact("onnx", path)


STEP = Step(summary="onnx.helper.make_model", run=run, consumes="onnx", produces="onnx", imports=("onnx",))
'''
STRATEGY = '''\
"""An export that a step of one's own makes anew."""

from harness.bench import Strategy

STRATEGY = Strategy(
    summary="torch.onnx.export, made anew by onnx.helper",
    steps=("module-to-onnx-torchscript", "rebuilds"),
    runtime="onnxruntime",
)
'''


def bumped(harness: Call, root: Path, base: Sequence[str], moves: Sequence[str], *selected: str) -> Bump:
    """What a bump of requirements finds, which must come to an end that says: something is worse."""
    file = root / "requirements.txt"
    file.write_text("\n".join(["# python: 3.11", *base, ""]), encoding="utf-8")
    done = harness("--root", root, "bump", file, *moves, *selected, "--device=cpu", "--blame-budget=25", "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    return read_bump(Path(json.loads(done.stdout)["candidate"]["table"]))


def test_one_of_six_packages_is_named_after_few_environments(harness: Call, tmp_path: Path) -> None:
    base = (
        "torch==2.0.1",
        "torchvision==0.15.2",
        "numpy==1.24.4",
        "onnx==1.14.0",
        "onnxruntime-gpu==1.15.1",
        "pillow==9.5.0",
    )
    moves = (
        "torch==2.1.0",
        "torchvision==0.16.0",
        "numpy==1.26.4",
        "onnx==1.15.0",
        "onnxruntime-gpu==1.16.3",
        "pillow==10.4.0",
    )
    bump = bumped(
        harness, tmp_path, base, moves, "--models=embedding-new-zeros", "--strategies=onnx-torchscript", "--tier=quick"
    )
    (blame,) = bump.blames
    assert blame.status is Status.FOUND, blame.limits
    assert blame.culprits is not None
    assert [each.name for each in blame.culprits.packages] == ["torch"]
    assert all(each.answer is Answer.BREAKS for each in blame.culprits.enough)
    (versions,) = blame.versions
    assert versions.first_broken is not None
    assert versions.first_broken.version == "2.1.0"
    installed = [trial for trial in bump.trials if trial.installed and not trial.mix.without]
    print(f"\n{len(installed)} environments besides {len(bump.trials) - len(installed)} other trials")
    assert len(installed) <= MOST_ENVIRONMENTS


def test_two_that_break_together_are_both_named(harness: Call, tmp_path: Path) -> None:
    """The newer onnx writes an IR version that the older ONNX Runtime refuses; either by itself is well."""
    plugins = tmp_path / "plugins"
    for name, text in (("steps/rebuilds.py", REBUILDS), ("strategies/rebuilt.py", STRATEGY)):
        path = plugins / name
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    base = ("torch==2.1.2", "numpy==1.26.4", "onnx==1.15.0", "onnxruntime==1.18.1")
    bump = bumped(
        harness,
        tmp_path,
        base,
        ("onnx==1.16.2", "onnxruntime==1.17.3"),
        "--models=lstm",
        "--strategies=rebuilt",
        f"--plugin-folder={plugins}",
    )
    (blame,) = bump.blames
    assert blame.status is Status.FOUND, blame.limits
    assert blame.culprits is not None
    assert {each.name for each in blame.culprits.packages} == {"onnx", "onnxruntime"}
    assert [each.answer for each in blame.culprits.smaller] == [Answer.WORKS] * 2
