"""Cells as the command line names them: in which table each is found, and what is said where it is in none."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

from harness import cli
from harness.bench.errors import UsageError
from harness.cli.cells import FoundCell, cell_command, find_cell
from harness.tables.schema import Extended
from harness.tables.writing import write_table
from tests.tables.samples import failed, passed, table

RECORDS = (passed("mlp", "native"), failed("mlp", "onnx-torchscript:16"))


def context_of(root: Path) -> click.Context:
    return click.Context(cli.cli, obj=root)


def found(root: Path, text: str, **options: Any) -> FoundCell:
    return find_cell(context_of(root), text, **options)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_table(tmp_path / "results", table(*RECORDS, combination="ambient9.0"))
    return tmp_path


def test_a_cell_is_found_in_the_table_that_its_combination_stands_for(root: Path) -> None:
    cell = found(root, "ambient9.0/mlp/onnx-torchscript:16")
    assert (cell.record.model, cell.record.strategy) == ("mlp", "onnx-torchscript:16")
    assert cell.table.folder is not None
    assert cell.details is None


def test_a_cell_is_found_by_its_tables_folder_and_the_command_that_is_told_names_it(root: Path) -> None:
    cell = found(root, "ambient9.0/mlp/native")
    words = shlex.split(cell_command(context_of(root), "explain", cell.table, cell.record, "--json"))
    assert words[:4] == ["harness", "--root", str(root), "explain"]
    assert words[-1] == "--json"
    assert found(root, words[4]).record == cell.record


def test_a_cell_that_the_table_lacks_is_found_in_those_of_extensions_of_own_models_and_of_selected_cells(
    root: Path,
) -> None:
    plain = table(*RECORDS, combination="ambient9.0").run
    extension = {"tools": Extended(lock_digest="", packages={})}
    others = {
        "tf2onnx": replace(plain, extensions=extension),
        "native": replace(plain, models="mine.py"),
        "onnx-dynamo": replace(plain, selected=True),
    }
    for strategy, run in others.items():
        store = root / ".harness" / "scratch" if run.selected else root / "results"
        write_table(
            store,
            replace(table(passed("mine", strategy), combination="ambient9.0"), run=replace(run, planned=1, recorded=1)),
        )
    for strategy, run in others.items():
        cell = found(root, f"ambient9.0/mine/{strategy}")
        assert (cell.table.run.extensions, cell.table.run.models, cell.table.run.selected) == (
            run.extensions,
            run.models,
            run.selected,
        )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ambient9.0/mpl/native", "Did you mean 'ambient9.0/mlp/native'?"),
        ("ambient9.0/mlp/native", ""),
        ("ambient9/mlp/native", "ambient9.0"),
        ("mlp/native", "names no cell"),
        ("ambient9.0//native", "names no cell"),
    ],
)
def test_what_is_in_no_table_is_refused_with_the_nearest(root: Path, text: str, said: str) -> None:
    if not said:
        assert found(root, text)
        return
    with pytest.raises(UsageError, match=said.replace("?", r"\?")):
        found(root, text)


def test_a_cell_of_another_tier_is_not_taken_for_one_of_this(root: Path) -> None:
    with pytest.raises(UsageError, match="core"):
        found(root, "ambient9.0/mlp/native", tier="core")
