"""What every strategy, step and runtime declares, read without any framework."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.bench.definitions import Strategy
from harness.bench.places import PACKAGE
from harness.bench.plan import extension_of, spellings
from harness.bench.registry import discover

REGISTRY = discover()
MATRICES = PACKAGE.parent / "matrices"
FILES = [path for kind in ("steps", "strategies", "runtimes") for path in sorted((PACKAGE / kind).glob("*.py"))]


@pytest.fixture(params=list(REGISTRY.strategies))
def strategy(request: pytest.FixtureRequest) -> Strategy:
    return REGISTRY.strategies[request.param].declared


def module_level_imports(source: str) -> Iterator[str]:
    left: list[ast.AST] = [ast.parse(source, feature_version=(3, 10))]
    while left:
        node = left.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            left += ast.iter_child_nodes(node)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_files_import_no_framework(path: Path) -> None:
    ours = ("harness.bench", f"harness.{path.parent.name}")
    foreign = [
        name
        for name in module_level_imports(path.read_text(encoding="utf-8"))
        if not name.startswith(ours) and name.partition(".")[0] not in sys.stdlib_module_names
    ]
    assert foreign == []


def test_every_way_that_the_guides_name_is_there() -> None:
    assert set(REGISTRY.strategies) >= {
        "native",
        "onnx-torchscript",
        "onnx-dynamo",
        "onnx-simplified",
        "onnx-tf",
        "onnx2tf",
        "nobuco",
        "manual-recreation",
        "weight-transfer",
        "tf2onnx",
        "tflite",
        "litert",
        "jax",
        "coreml",
        "hybrid-service",
        "hybrid-in-process",
        "hybrid-in-process-release",
    }


def test_summaries_are_one_line(strategy: Strategy) -> None:
    assert strategy.summary.strip()
    assert "\n" not in strategy.summary + strategy.limits


def test_each_step_takes_what_the_one_before_it_leaves(strategy: Strategy) -> None:
    steps = [REGISTRY.steps[name].declared for name in strategy.steps]
    assert [step.consumes for step in steps] == ["module", *(step.produces for step in steps[:-1])]


def test_the_runtime_serves_what_the_last_step_leaves(strategy: Strategy) -> None:
    last = REGISTRY.steps[strategy.steps[-1]].declared
    assert REGISTRY.runtimes[strategy.runtime].declared.serves == last.produces


def test_a_route_from_the_twin_says_that_it_needs_one(strategy: Strategy) -> None:
    assert strategy.needs_twin == ("twin-to-saved-model" in strategy.steps)


def test_values_belong_to_a_parameter(strategy: Strategy) -> None:
    assert strategy.parameter is not None or not strategy.values


# Packages that every combination pins, and those that come with them; what is imported from none of them needs more.
PINNED = {"torch", "torchvision", "onnx", "onnxruntime", "tf2onnx", "tensorflow"}


def test_what_a_combination_pins_runs_by_default() -> None:
    by_default = {name for name, entry in REGISTRY.strategies.items() if not entry.declared.extension}
    assert by_default == {
        "native",
        "onnx-torchscript",
        "onnx-dynamo",
        "manual-recreation",
        "tf2onnx",
        "weight-transfer",
    }


def test_what_runs_by_default_imports_nothing_but_pins(strategy: Strategy) -> None:
    modules = [module for name in strategy.steps for module in REGISTRY.steps[name].declared.imports]
    modules += REGISTRY.runtimes[strategy.runtime].declared.imports
    imported = {module.partition(".")[0] for module in modules}
    if not strategy.extension:
        assert imported <= PINNED | {"numpy"}
        assert {tool.removesuffix("-gpu") for tool in strategy.tools} <= PINNED


@pytest.mark.parametrize(
    "combination", [path for path in sorted(MATRICES.glob("*.in")) if "+" not in path.stem], ids=lambda path: path.stem
)
def test_every_combination_pins_them(combination: Path) -> None:
    lines = combination.read_text(encoding="utf-8").splitlines()
    pinned = {line.partition("==")[0].removesuffix("-gpu") for line in lines if "==" in line}
    assert pinned >= PINNED


def test_tf2onnx_sweeps_the_opsets_of_the_claim_outside_the_quick_tier() -> None:
    strategy = REGISTRY.strategies["tf2onnx"].declared
    assert spellings("tf2onnx", strategy, "quick") == ["tf2onnx"]
    every = ["tf2onnx", *(f"tf2onnx:{opset}" for opset in (11, 13, 15, 16, 17, 18))]
    assert spellings("tf2onnx", strategy, "core") == every


@pytest.mark.parametrize("strategy", ["native", "tf2onnx", "weight-transfer"])
def test_a_model_that_needs_further_packages_stays_in_its_extension(strategy: str) -> None:
    known = {"tools"}
    assert extension_of(REGISTRY, "bert", strategy, known) == "tools"
    assert extension_of(REGISTRY, "resnet18", strategy, known) == ""
