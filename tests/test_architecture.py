"""Which way imports point, and what the two worlds may use."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from harness.bench.registry import discover

ROOT = Path(__file__).resolve().parents[1]

PINNED = ("harness/bench", "harness/steps", "harness/strategies", "harness/runtimes", "model_zoo")
LONGEST = 450

# A Triton kernel is a decorated function of a module; the model's file imports that module when it builds.
IMPORTED_LATE = {"model_zoo/_triton_soft_clip.py"}

BENCH_ONLY = {"harness.bench", "harness.__version__"}
MAY_IMPORT = {
    "bench": BENCH_ONLY,
    "steps": BENCH_ONLY | {"harness.steps"},
    "strategies": BENCH_ONLY,
    "runtimes": BENCH_ONLY | {"harness.runtimes"},
    "tables": BENCH_ONLY | {"harness.tables"},
    "verdict": BENCH_ONLY | {"harness.tables", "harness.duel", "harness.verdict"},
    "diagnosis": BENCH_ONLY | {"harness.diagnosis"},
    "report": BENCH_ONLY | {f"harness.{name}" for name in ("tables", "verdict", "diagnosis", "bump", "duel", "report")},
    "matrix": BENCH_ONLY | {"harness.tables", "harness.matrix"},
    "executors": BENCH_ONLY | {f"harness.{name}" for name in ("tables", "matrix", "executors")},
    "attempts": BENCH_ONLY | {f"harness.{name}" for name in ("tables", "matrix", "executors", "attempts")},
    "bump": BENCH_ONLY
    | {f"harness.{name}" for name in ("tables", "verdict", "diagnosis", "matrix", "attempts", "bump")},
    "reproducing": BENCH_ONLY | {"harness.matrix", "harness.reproducing"},
    "given": BENCH_ONLY | {"harness.matrix", "harness.given"},
    "github": BENCH_ONLY | {"harness.matrix", "harness.report", "harness.github"},
    "duel": BENCH_ONLY | {f"harness.{name}" for name in ("tables", "matrix", "executors", "attempts", "duel")},
    "doctor": BENCH_ONLY | {f"harness.{name}" for name in ("tables", "matrix", "executors", "attempts", "doctor")},
    "cli": BENCH_ONLY
    | {
        f"harness.{name}"
        for name in (
            "tables",
            "verdict",
            "diagnosis",
            "report",
            "matrix",
            "executors",
            "attempts",
            "given",
            "doctor",
            "bump",
            "duel",
            "reproducing",
            "cli",
        )
    },
}


def _sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def _named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _imported(nodes: Iterable[ast.AST], path: Path) -> Iterator[str]:
    """The modules that statements import, `harness` followed by the name that is taken from it."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{_named(path)} imports relatively"
            if node.module == "harness":
                yield from (f"harness.{alias.name}" for alias in node.names)
            elif node.module:
                yield node.module


def _at_import(body: Iterable[ast.stmt]) -> Iterator[ast.AST]:
    """The statements that run when a module is imported; what is under TYPE_CHECKING counts too."""
    for node in body:
        yield node
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        for _, value in ast.iter_fields(node):
            if isinstance(value, list):
                yield from _at_import(part for part in value if isinstance(part, ast.stmt))
                yield from _at_import(
                    inner for part in value if isinstance(part, ast.ExceptHandler) for inner in part.body
                )


@pytest.mark.parametrize("path", _sources(*PINNED), ids=_named)
def test_what_runs_inside_is_python_3_10_and_imports_no_framework(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))
    if _named(path) in IMPORTED_LATE:
        return
    for name in _imported(_at_import(tree.body), path):
        top = name.partition(".")[0]
        assert top in {*sys.stdlib_module_names, "pytest", "harness", "model_zoo"}, (
            f"{_named(path)} imports {name} at module level"
        )


@pytest.mark.parametrize("path", _sources(*PINNED), ids=_named)
def test_what_runs_inside_uses_no_later_standard_library(path: Path) -> None:
    later = {"tomllib", "enum.StrEnum", "datetime.UTC", "typing.Self", "typing.assert_never", "typing.override"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not later & {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not later & {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert f"{node.value.id}.{node.attr}" not in later


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_one_way(package: str) -> None:
    for path in _sources(f"harness/{package}"):
        for name in _imported(ast.walk(ast.parse(path.read_text(encoding="utf-8"))), path):
            if name.startswith("harness."):
                layer = ".".join(name.split(".")[:2])
                assert layer in MAY_IMPORT[package], f"{_named(path)} imports {name}"


def test_of_a_duel_a_verdict_knows_what_it_decides_by_alone() -> None:
    for path in _sources("harness/verdict"):
        for name in _imported(ast.walk(ast.parse(path.read_text(encoding="utf-8"))), path):
            assert not name.startswith("harness.duel") or name.split(".")[2] in DUEL_STATISTICS, _named(path)


def test_the_zoo_knows_the_bench_alone() -> None:
    for path in _sources("model_zoo"):
        for name in _imported(ast.walk(ast.parse(path.read_text(encoding="utf-8"))), path):
            assert not name.startswith("harness.") or name.startswith("harness.bench"), f"{_named(path)} imports {name}"


def test_nobody_imports_the_command() -> None:
    for path in _sources("harness", "model_zoo"):
        names = set(_imported(ast.walk(ast.parse(path.read_text(encoding="utf-8"))), path))
        assert path.parent.name == "cli" or not {n for n in names if n.startswith("harness.cli")}, _named(path)


def test_every_layer_is_listed() -> None:
    layers = {path.parent.name for path in (ROOT / "harness").glob("*/__init__.py")}
    assert layers == set(MAY_IMPORT)


FILE_CALLS = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "exists", "is_file", "is_dir", "glob"}
FILE_CALLS |= {"iterdir", "mkdir", "unlink", "stat", "rglob"}
FILE_MODULES = {"os", "io", "pathlib", "shutil", "subprocess", "tempfile", "socket", "urllib", "click", "rich"}


# What a duel decides by; how its pairs are taken is another matter.
DUEL_STATISTICS = ("deciding", "pairs", "power", "sequential", "statistics", "thresholds")
PURE = [*_sources("harness/verdict"), *(ROOT / "harness" / "duel" / f"{name}.py" for name in DUEL_STATISTICS)]


@pytest.mark.parametrize("path", PURE, ids=_named)
def test_what_judges_touches_no_file(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tops = {name.partition(".")[0] for name in _imported(ast.walk(tree), path)}
    assert not tops & FILE_MODULES
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            assert called not in FILE_CALLS | {"print"}, f"{_named(path)}, line {node.lineno}: {called}()"


def test_nothing_is_called_utils() -> None:
    for path in _sources("harness", "model_zoo", "tests"):
        assert not {"utils", "util", "helpers", "misc", "common"} & {path.stem, *path.relative_to(ROOT).parts}


@pytest.mark.parametrize("path", [*_sources("harness", "model_zoo"), ROOT / "toxfile.py"], ids=_named)
def test_a_module_is_short_enough_to_read(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


def test_the_toxfile_needs_nothing_but_tox() -> None:
    path = ROOT / "toxfile.py"
    tops = {name.partition(".")[0] for name in _imported(ast.walk(ast.parse(path.read_text(encoding="utf-8"))), path)}
    assert tops - {"tox"} <= set(sys.stdlib_module_names)


def test_every_route_fits_together() -> None:
    registry = discover()
    for name, entry in registry.strategies.items():
        kind = "module"
        for step in entry.declared.steps:
            declared = registry.steps[step].declared
            assert declared.consumes in (kind, "module"), f"{name}: {step} takes {declared.consumes}, not {kind}"
            assert declared.stage in ("convert", "validate")
            kind = declared.produces
        assert registry.runtimes[entry.declared.runtime].declared.serves == kind, name


def test_names_of_test_files_are_unique() -> None:
    stems = [path.stem for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(stems) == len(set(stems))
