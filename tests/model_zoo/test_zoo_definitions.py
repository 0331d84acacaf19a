"""What every file of the zoo declares, read without any framework."""

from __future__ import annotations

import ast
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.bench import Inputs, Model
from harness.bench.places import ZOO
from harness.bench.registry import discover, load

FILES = sorted(path for path in ZOO.glob("*.py") if not path.stem.startswith("_"))
NAMES = [path.stem.replace("_", "-") for path in FILES]
SHARED = [ZOO / "_digits.py"]
FAMILIES = {
    "vision": (
        "convnext-tiny digits-cnn efficientnet-b0 lraspp-mobilenet-v3-large mobilenet-v3-small resnet18 "
        "resnet50 ssdlite swin vgg11-bn vit"
    ),
    "transformer": ("bert causal-decoder fourier-mixing gpt2 masked-attention transformer-encoder"),
    "sequence": ("bidirectional-lstm gru lstm stft-front-end temporal-convolution"),
    "recommendation": ("embedding-bag feature-interactions"),
    "hard-to-export": (
        "autograd-function custom-operator data-dependent-if data-dependent-if-cond "
        "data-dependent-if-scripted deformable-attention grid-sample grid-sample-3d length-loop "
        "length-loop-scripted length-loop-while numpy-in-forward triton-kernel"
    ),
    "accuracy-trap": (
        "average-pool-padding digits-cnn-left-in-train-mode digits-cnn-swapped-statistics "
        "digits-cnn-train-mode digits-cnn-wrong-epsilon digits-cnn-wrong-momentum "
        "digits-cnn-wrong-momentum-tuned digits-cnn-wrong-preprocessing dropout-left-in-train-mode "
        "float64-timestamps"
    ),
    "canary": (
        "attention-fused attention-scale boolean-tril embedding-new-zeros float64-gemm layer-norm "
        "multihead-attention transformer-encoder-layer unflatten weight-norm"
    ),
}


@pytest.fixture(params=NAMES)
def model(request: pytest.FixtureRequest) -> Model:
    return load(discover().models[request.param].path, "MODEL", Model).declared


def shapes(inputs: Inputs) -> dict[str, tuple[int, ...]]:
    return {name: value.shape for name, value in inputs.items()}


def other_shaped(model: Model) -> list[Inputs]:
    example = shapes(model.example())
    return [inputs for inputs in (probe() for probe in model.probes.values()) if shapes(inputs) != example]


def module_level_imports(source: str) -> Iterator[str]:
    """The modules that are imported when the file is, function bodies left out."""
    left: list[ast.AST] = [ast.parse(source, feature_version=(3, 10))]
    while left:
        node = left.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            left += ast.iter_child_nodes(node)


def test_the_quick_tier_holds_what_it_must() -> None:
    quick = {name for name, entry in discover().models.items() if entry.declared.tier == "quick"}
    assert quick >= {
        "custom-operator",
        "data-dependent-if",
        "embedding-new-zeros",
        "grid-sample",
        "length-loop",
        "lstm",
        "resnet18",
        "transformer-encoder",
        "vgg11-bn",
    }
    assert {name for name in quick if discover().models[name].declared.has_twin} >= {"lstm", "resnet18"}


def test_module_level_imports_leaves_functions_out() -> None:
    source = "import os\nif os.name:\n    import torch.nn\nfrom . import near\ndef build():\n    import tensorflow\n"
    assert sorted(module_level_imports(source)) == [".", "os", "torch.nn"]


def test_the_zoo_spans_its_families() -> None:
    found: dict[str, set[str]] = {}
    for name, entry in discover().models.items():
        found.setdefault(entry.declared.family, set()).add(name)
    missing = {family: sorted(set(names.split()) - found.get(family, set())) for family, names in FAMILIES.items()}
    assert not any(missing.values()), missing
    assert sum(map(len, found.values())) >= 36


def test_canaries_say_where_they_break(model: Model) -> None:
    if model.family == "canary" and model.tier != "quick":
        assert model.expected_breaks
        assert "#" in model.summary


def test_labelled_rows_fill_whole_batches(model: Model) -> None:
    if model.labelled is None:
        pytest.skip("this model has no labelled data set")
    inputs, labels = model.labelled()
    assert labels.dtype.kind == "i"
    assert len(labels) >= 100
    for name, value in model.example().items():
        assert inputs[name].shape == (len(labels), *value.shape[1:])
        assert inputs[name].dtype == value.dtype
        assert len(labels) % len(value) == 0


@pytest.mark.parametrize("path", [*FILES, *SHARED], ids=lambda path: path.stem)
def test_files_import_no_framework(path: Path) -> None:
    foreign = [
        name
        for name in module_level_imports(path.read_text(encoding="utf-8"))
        if name != "harness.bench" and name.partition(".")[0] not in {"model_zoo", *sys.stdlib_module_names}
    ]
    assert foreign == []


def test_summary_is_one_line(model: Model) -> None:
    assert model.summary.strip()
    assert "\n" not in model.summary
    assert model.family


def test_inputs_are_the_same_at_every_call(model: Model) -> None:
    for make in (model.example, *model.probes.values()):
        for first, second in zip(make().values(), make().values(), strict=True):
            np.testing.assert_array_equal(first, second, strict=True)


def test_probes_have_the_example_s_names_types_and_ranks(model: Model) -> None:
    expected = [(name, value.dtype, value.ndim) for name, value in model.example().items()]
    for probe in model.probes.values():
        assert [(name, value.dtype, value.ndim) for name, value in probe().items()] == expected


def test_two_probes_have_the_example_s_shape(model: Model) -> None:
    assert len(model.probes) - len(other_shaped(model)) >= 2


def test_two_probes_have_other_shapes_where_dimensions_are_dynamic(model: Model) -> None:
    assert len(other_shaped(model)) >= (2 if model.dynamic else 0)


def test_dynamic_names_dimensions_that_exist(model: Model) -> None:
    example = model.example()
    for name, dimensions in model.dynamic.items():
        assert all(0 <= dimension < example[name].ndim for dimension in dimensions)


def test_probes_differ_from_the_example_in_dynamic_dimensions_only(model: Model) -> None:
    example = shapes(model.example())
    for inputs in other_shaped(model):
        for name, shape in shapes(inputs).items():
            moved = {index for index, size in enumerate(shape) if size != example[name][index]}
            assert moved <= set(model.dynamic.get(name, {}))


def test_every_dynamic_dimension_is_moved_by_a_probe(model: Model) -> None:
    example = shapes(model.example())
    for name, dimensions in model.dynamic.items():
        for dimension in dimensions:
            assert any(inputs[name].shape[dimension] != example[name][dimension] for inputs in other_shaped(model))


def test_no_two_inputs_are_equal(model: Model) -> None:
    every = [model.example(), *(probe() for probe in model.probes.values())]
    for one, other in itertools.combinations(every, 2):
        assert not all(np.array_equal(one[name], other[name]) for name in one)
