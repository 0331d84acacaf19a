from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path

from harness.bench.consistency import contradictions
from harness.bench.stages import Stage
from harness.tables.schema import COLUMNS, Run, columns_markdown, in_order, run_keys
from harness.verdict.comparison import categories_markdown
from tests.tables.samples import passed, table

README = Path(__file__).parents[2] / "results" / "README.md"


def between(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n(.*)\n<!-- /{name} -->", README.read_text(encoding="utf-8"), re.DOTALL)
    assert found, f"results/README.md has no {name} markers"
    return found[1]


def test_the_readme_documents_every_column_and_key() -> None:
    assert between("columns") == columns_markdown()


def test_the_readme_documents_the_categories() -> None:
    assert between("categories") == categories_markdown()


def test_run_keys_are_the_fields_of_a_run() -> None:
    assert sorted(run_keys()) == sorted(f.name for f in fields(Run))
    assert list(table().run.to_json()) == list(run_keys())


def test_columns_know_their_types_and_which_may_be_empty() -> None:
    kinds = {column.name: (column.kind, column.optional) for column in COLUMNS}
    assert kinds["model"] == (str, False)
    assert kinds["latency_ms"] == (float, True)
    assert kinds["opset"] == (int, True)
    assert all(column.digits for column in COLUMNS if column.kind is float)


def test_the_column_names_every_stage_that_a_passed_cell_may_end_in() -> None:
    untimed = passed("m", "s", latency_ms=None, launches=None, iterations=None)
    ends = [stage.value for stage in Stage if not contradictions(replace(untimed, stage=stage))]
    told = next(column.description for column in COLUMNS if column.name == "stage").partition("In order")[0]
    assert ends == re.findall("`(.+?)`", told)[::-1] == ["probe", "measure"]


def test_rows_are_ordered_by_model_then_strategy_then_the_parameter_as_a_number() -> None:
    names = ["b/native", "a/onnx:16", "a/onnx:9", "a/onnx", "a/native"]
    records = [passed(*name.split("/")) for name in names]
    assert [f"{r.model}/{r.strategy}" for r in in_order(records)] == [
        "a/native",
        "a/onnx",
        "a/onnx:9",
        "a/onnx:16",
        "b/native",
    ]
