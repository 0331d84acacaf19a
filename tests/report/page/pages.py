"""Tables and pages for tests of the page."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage
from harness.report.page.data import Shown, name_of, page_data
from harness.report.page.rendering import render
from harness.tables.schema import Table
from tests.tables.samples import failed, mismatched, not_applicable, passed, record, table

INVALID = (
    "[ONNXRuntimeError] : 10 : INVALID_GRAPH : Load model from <folder>/model.onnx failed: Type Error: Type "
    "'tensor(float)' of input parameter (/ConstantOfShape_output_0) of operator (Gather) in node (/Gather) is invalid."
)

HOSTILE = (
    "</script><script>window.ran = 1</script>",
    "<img src=x onerror='window.ran = 1'>",
    "<!--<script>window.ran = 1",
    "\x1b[2J\x1b]0;title\x07 cleared",
    "a\x00b \u202egnp.exe \u2066hidden",
    "'=1+1 \u2028 window.ran = 1 //",
    "javascript:window.ran=1",
    "x" * 10_000_000,
)
"""What an error text may hold, made by whoever wants to be run."""


def small_tables() -> list[Table]:
    """Two combinations, the second with a run before: every outcome, and something worse, better and differing."""
    before = [
        passed("embedding", "native", latency_ms=0.05, launches=3),
        passed("embedding", "onnx-torchscript", latency_ms=0.02, launches=3, latency_ratio=0.4),
        failed("grid", "onnx-torchscript", Stage.CONVERT, error_type="UnsupportedOperatorError", error="no grid"),
        not_applicable("grid", "onnx-dynamo"),
    ]
    after = [
        passed("embedding", "native", latency_ms=0.05),
        failed("embedding", "onnx-torchscript", error_type="InvalidGraph", error=INVALID, fingerprint="f46e33b6c2b0"),
        passed("grid", "onnx-torchscript"),
        not_applicable("grid", "onnx-dynamo"),
        mismatched("lstm", "onnx-torchscript", Stage.PROBE),
        record("lstm", "tflite", Outcome.CRASHED, Stage.EXECUTE, error_type="SIGSEGV", error="signal 11"),
        record("lstm", "native", Outcome.TIMED_OUT, Stage.BUILD, error_type="Timeout", error="after 300 s"),
        record("vgg", "native", Outcome.OUT_OF_MEMORY, Stage.EXECUTE, error_type="MemoryError", error="limit"),
        record("vgg", "litert", Outcome.UNRESOLVABLE, Stage.RESOLVE, error_type="Unresolvable", error="no solution"),
    ]
    of_after: dict[str, Any] = {"combination": "torch2.1", "pins": {"torch": "2.1.0"}}
    of_after["packages"] = {"torch": "2.1.0", "onnx": "1.14.0"}
    return [
        table(*before),
        table(*after[:-1], missing=[("vgg", "litert")], started="2026-02-01T12:00:00Z", **of_after),
        table(*after, started="2026-02-02T12:00:00Z", **of_after),
    ]


def many_cells(models: int, strategies: int) -> list[Table]:
    """Two tables of models x strategies: a third is broken, each with an error of its own."""

    def cell(model: str, strategy: str, number: int, broken: bool) -> Record:
        if number % 17 == 0:
            return not_applicable(model, strategy, f"{strategy} needs what {model} has not")
        if broken:
            error = f"{number}: Exporting the operator 'aten::op_{number % 40}' is not supported. {'detail ' * 50}"
            return failed(model, strategy, Stage.CONVERT, error=error[:480], fingerprint=f"{number % 40:08x}")
        return passed(model, strategy, latency_ms=0.1 + number / 1000, rss_peak_mb=100.0 + number / 10)

    names = list(
        itertools.product((f"model-{n:03}" for n in range(models)), (f"way-{n:02}" for n in range(strategies)))
    )
    made = []
    for at, combination in enumerate(("torch2.0", "torch2.1")):
        cells = [
            cell(*name, number, number % 3 == 0 or (at == 1 and number % 50 == 1)) for number, name in enumerate(names)
        ]
        made.append(table(*cells, combination=combination, started=f"2026-02-1{at + 1}T12:00:00Z"))
    return made


def hostile_tables() -> list[Table]:
    """Tables whose texts want to be run, each in every place that a page shows."""
    cells = []
    for number, text in enumerate(HOSTILE):
        said: dict[str, Any] = {
            "error_type": text[:80],
            "error": text,
            "operator": text[:80],
            "place": text[:80],
            "fingerprint": text[:80],
        }
        cells.append(failed(f"model{number}", "onnx-torchscript", **said))
        cells.append(mismatched(f"model{number}", "native", difference=text, begins_at=text[:200]))
    return [
        table(passed("model0", "onnx-torchscript"), passed("model1", "onnx-torchscript"), harness_version=HOSTILE[0]),
        table(
            *cells,
            combination="torch2.1",
            started="2026-02-01T12:00:00Z",
            pins={"torch": HOSTILE[0]},
            python=HOSTILE[1],
        ),
    ]


def data_of(tables: Iterable[Table], **others: Any) -> dict[str, Any]:
    """The data of the page of tables that lie in `results`."""
    tables = list(tables)
    names: Mapping[int, str] = {id(each): f"results/{name_of(each)}" for each in tables}
    return page_data(Shown(tables=tables, names=names, **others))


def write_page(folder: Path, tables: Iterable[Table], **others: Any) -> str:
    """Write the page of tables; its address."""
    file = folder / "page.html"
    file.write_text(render(data_of(tables, **others)), encoding="utf-8")
    return file.as_uri()


BROKEN = "torch2.1/cpu-quick/20260202T120000Z"
CELL = f"#/cell?table={BROKEN}&cell=embedding/onnx-torchscript"
VIEWS = {
    "overview": "#/",
    "grid": "#/grid",
    "matrix": "#/matrix",
    "matrix of a strategy": "#/matrix?strategy=onnx-torchscript",
    "compare": "#/compare",
    "list": "#/list?of=all",
    "broken cell": CELL,
    "passed cell": "#/cell?table=torch2.0/cpu-quick/20260131T120000Z&cell=embedding/onnx-torchscript",
}


def open_page(page: Page, address: str) -> None:
    """The page at an address, once it shows something."""
    page.goto(address)
    expect(page.locator("h1")).to_be_visible()
