"""Each outlet against its golden file, against the reader or schema of its format, and with hostile texts."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_fd_to_metric_families
from rich.console import Console

from harness.report.comment import LIMIT, comment
from harness.report.outlets.annotations import inert, workflow_commands
from harness.report.outlets.benchmarks import bencher, github_action_benchmark
from harness.report.outlets.document import SCHEMA, document, schema
from harness.report.outlets.facts import Facts, Level, Place, Places
from harness.report.outlets.junit import junit
from harness.report.outlets.openmetrics import openmetrics
from harness.report.outlets.sarif import sarif
from harness.report.outlets.telling import of_comparison, of_table
from harness.report.terminal import print_comparison, print_grid
from harness.verdict.comparison import Comparison, compare
from harness.verdict.gate import Decision, judge
from harness.verdict.policy import GatePolicy
from tests.report import comparisons
from tests.report.golden import golden
from tests.report.hostile import ALIVE, EVERYTHING, HARMFUL, long_text, tables_of
from tests.report.test_report_outlets import rendered
from tests.tables.samples import failed, passed, table

HERE = Path(__file__).parent
LATER = "2026-01-31T13:00:00Z"
PLACES = Places(
    pins={"torch": Place(path="matrices/torch2.1.in", line=3)},
    models={"lstm": Place(path="model_zoo/lstm.py")},
)
OF_FACTS: dict[str, Callable[[Facts], str]] = {
    "annotations.txt": workflow_commands,
    "junit.xml": junit,
    "sarif.json": sarif,
    "github-action-benchmark.json": github_action_benchmark,
    "bencher.json": bencher,
    "openmetrics.txt": openmetrics,
}


def mixed() -> Facts:
    comparison = comparisons.mixed()
    return of_comparison(comparison, judge(comparison), places=PLACES)


def told_as_json(comparison: Comparison) -> str:
    return document(comparison, judge(comparison), None, file_of=lambda _, model, strategy: f"{model}--{strategy}.json")


@pytest.mark.parametrize("name", OF_FACTS)
def test_an_outlet_is_as_its_golden_file(request: pytest.FixtureRequest, name: str) -> None:
    golden(request.config, HERE / "golden", name, OF_FACTS[name](mixed()))


def test_a_table_has_outlets_too(request: pytest.FixtureRequest) -> None:
    facts = of_table(comparisons.candidate_table(), comparisons.foreseen(), PLACES)
    golden(request.config, HERE / "golden", "table-annotations.txt", workflow_commands(facts))
    golden(request.config, HERE / "golden", "table-junit.xml", junit(facts))


def test_what_fails_nobody_is_no_failure_of_junit(request: pytest.FixtureRequest) -> None:
    moved, allowing = comparisons.moved(), GatePolicy(moved_natives=False, fail=frozenset())
    verdict = judge(moved, policy=allowing)
    assert verdict.decision is Decision.MAY_MERGE
    text = junit(of_comparison(moved, verdict))
    golden(request.config, HERE / "golden", "warned-junit.xml", text)
    assert [ET.fromstring(text).get(name) for name in ("failures", "errors")] == ["0", "0"]
    failing = ET.fromstring(junit(of_comparison(moved, judge(moved))))
    assert len(failing.findall(".//failure")) == int(failing.get("failures", "")) > 0


def test_what_could_not_be_told_is_an_error_of_junit(request: pytest.FixtureRequest) -> None:
    untold = comparisons.untold()
    text = junit(of_comparison(untold, judge(untold)))
    golden(request.config, HERE / "golden", "untold-junit.xml", text)
    assert ET.fromstring(text).get("failures") == "0"
    assert len(ET.fromstring(text).findall(".//error")) == int(ET.fromstring(text).get("errors", "")) == 2


def test_a_failure_without_a_fingerprint_has_a_rule_too() -> None:
    of = {name: failed(name, "native", error=f"wrong {name}", error_type="E", fingerprint=None) for name in "ab"}
    rules = json.loads(sarif(of_table(table(*of.values()))))["runs"][0]["tool"]["driver"]["rules"]
    assert sorted(rule["id"] for rule in rules) == ["E|wrong a", "E|wrong b"]


def test_json_is_as_its_golden_file_and_its_schema_says(request: pytest.FixtureRequest) -> None:
    text = told_as_json(comparisons.mixed())
    golden(request.config, HERE / "golden", "verdict.json", text)
    published = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(published)
    jsonschema.validate(json.loads(text), published)
    assert published["$id"].startswith("urn:conversion-harness:verdict:")
    told = json.loads(text)
    untyped = {"memory": {**told["memory"], "cells": [{"cell": "a/b"}]}}
    changes: list[dict[str, Any]] = [{"exit_code": "1"}, untyped, {"latency": {}}]
    for wrong in changes:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**told, **wrong}, published)
    assert schema() == SCHEMA.read_text(encoding="utf-8"), "run `python -m tests.documents`"


def sides(harmful: str) -> Comparison:
    return compare(*tables_of(harmful))


def facts_of(harmful: str) -> Facts:
    comparison = sides(harmful)
    return of_comparison(comparison, judge(comparison), places=PLACES)


def check(name: str, text: str) -> None:
    """What every outlet has to be, whatever a record says: of its format, and text."""
    text.encode("utf-8")
    assert all(line.isprintable() for line in text.split("\n"))
    if name.endswith(".json"):
        json.loads(text)
    elif name.endswith(".xml"):
        ET.fromstring(text)
    elif name == "openmetrics.txt":
        assert text.endswith("\n# EOF\n")
        assert list(text_fd_to_metric_families(io.StringIO(text)))
    else:
        # A workflow hears one command a line, and each of them is ours.
        for line in text.splitlines():
            assert line.startswith(("::error ", "::warning ", "::notice "))
            assert "\r" not in line
            assert "title=" in line


@pytest.mark.parametrize("name", OF_FACTS)
@pytest.mark.parametrize("harmful", HARMFUL)
def test_hostile_texts_are_only_text_in_every_outlet(name: str, harmful: str) -> None:
    for facts in (facts_of(harmful), of_table(tables_of(harmful)[1], places=PLACES)):
        text = OF_FACTS[name](facts)
        check(name, text)
        assert not [mark for mark in ALIVE if len(mark) == 1 and mark in text]


@given(parts=st.lists(st.sampled_from(HARMFUL) | st.text(max_size=12), max_size=4))
@settings(max_examples=20)
def test_no_text_breaks_out_of_an_outlet(parts: list[str]) -> None:
    harmful = "".join(parts)
    facts = facts_of(harmful)
    for name, outlet in OF_FACTS.items():
        check(name, outlet(facts))
    jsonschema.validate(json.loads(told_as_json(sides(harmful))), json.loads(schema()))


def test_what_a_text_smuggles_is_data_of_the_annotation() -> None:
    text = workflow_commands(facts_of("one%0A::error::smuggled\n::add-mask::x\r::set-output name=a::b"))
    assert "%250A" in text
    assert not [line for line in text.splitlines() if line.startswith(("::add-mask", "::set-output", "::error::"))]


def test_ten_million_characters_of_error_are_few_in_every_outlet() -> None:
    harmful = long_text()
    base = table(passed("a", "native"), passed("b", "native"))
    broken = [failed(model, "native", error=harmful, error_type="E", fingerprint="f" * 8) for model in "ab"]
    comparison = compare(base, table(*broken, started="2026-01-31T13:00:00Z"))
    verdict = judge(comparison)
    facts = of_comparison(comparison, verdict, places=PLACES)
    for name, outlet in OF_FACTS.items():
        text = outlet(facts)
        check(name, text)
        assert len(text) < 20_000, name
    assert len(told_as_json(comparison)) < 20_000
    shown = comment(comparison, verdict)
    assert len(shown) < LIMIT
    assert rendered(shown).depth == 0
    console = Console(file=io.StringIO(), width=100)
    print_comparison(console, comparison, verdict)
    print_grid(console, comparison.tables[1])
    assert isinstance(console.file, io.StringIO)
    assert len(console.file.getvalue()) < 20_000
    assert all(line.isprintable() for line in console.file.getvalue().split("\n"))


def test_a_step_shows_ten_annotations_and_the_tenth_counts_the_rest() -> None:
    (first, *_) = mixed().findings
    many = replace(mixed(), findings=tuple(replace(first, title=f"number {n}") for n in range(25)))
    lines = workflow_commands(many).splitlines()
    assert len(lines) == 10
    assert "title=16 more of 25 are not shown here" in lines[-1]
    ten = replace(many, findings=many.findings[:10])
    assert "more of" not in workflow_commands(ten)


def test_the_worst_is_annotated_first_and_where_it_was_moved() -> None:
    facts = mixed()
    assert [each.level for each in facts.findings] == sorted(
        (each.level for each in facts.findings), key=list(Level).index
    )
    assert workflow_commands(facts).startswith("::error file=matrices/torch2.1.in,line=3,title=newly failing%3A ")


def test_a_line_of_a_log_in_which_a_workflow_hears_nothing() -> None:
    assert inert("  ::error::x") == "  : :error::x"
    assert inert("a ##[add-mask]b aten::x") == "a ## [add-mask]b aten::x"
    assert inert(EVERYTHING.splitlines()[0]) == EVERYTHING.splitlines()[0]


def test_sarif_is_as_its_schema_says() -> None:
    published = json.loads((HERE / "sarif-schema-2.1.0.json").read_text(encoding="utf-8"))
    for facts in (mixed(), facts_of(EVERYTHING), replace(mixed(), findings=())):
        jsonschema.validate(json.loads(sarif(facts)), published)
    wrong: dict[str, Any] = json.loads(sarif(mixed()))
    del wrong["runs"][0]["tool"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, published)


def messages(value: Any) -> Iterator[str]:
    """Every message of a SARIF document."""
    if isinstance(value, dict):
        yield from ([value["text"]] if "text" in value else [])
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from messages(each)


LINK_OR_PLACEHOLDER = re.compile(r"(?<!\\)(?:\\\\)*\[|(?<!\{)(?:\{\{)*\{(?!\{)|(?<!\})(?:\}\})*\}(?!\})")
"""What SARIF's grammar of messages makes something of: sections 3.11.5 and 3.11.6."""


@pytest.mark.parametrize("harmful", [*HARMFUL, "{0} {{1}} {", r"[a](1) \[b](https://evil.invalid) \\[c](2) d] \\"])
def test_a_message_of_sarif_links_nothing_and_waits_for_no_argument(harmful: str) -> None:
    facts = facts_of(harmful)
    found = list(messages(json.loads(sarif(facts))))
    assert not [text for text in found if LINK_OR_PLACEHOLDER.search(text)]
    read = [re.sub(r"\\([\\\[\]])", r"\1", text).replace("{{", "{").replace("}}", "}") for text in found]
    assert {f"{finding.title}. {finding.message}" for finding in facts.findings} <= set(read)


def test_every_result_of_sarif_has_a_location_without_which_code_scanning_refuses_the_file() -> None:
    comparison = comparisons.untold()
    verdict = judge(comparison)
    for places in (Places(), Places(pinned_in=Place(path="requirements.txt"))):
        told = json.loads(sarif(of_comparison(comparison, verdict, places=places)))["runs"][0]
        assert all(each["locations"] for each in told["results"])
        notified = told["invocations"][0].get("toolExecutionNotifications", [])
        assert bool(told["results"]) is not bool(notified)
        assert all(each["message"]["text"] for each in notified)


def test_what_no_pin_moved_points_at_the_model_and_at_no_pin() -> None:
    base, broken = table(passed("lstm", "native")), failed("lstm", "native")
    comparison = compare(base, table(broken, started="2026-01-31T13:00:00Z"))
    assert not comparison.bumped
    (found,) = of_comparison(comparison, judge(comparison), places=PLACES).findings
    assert found.place == PLACES.models["lstm"]
    (elsewhere,) = of_comparison(comparison, judge(comparison), places=replace(PLACES, models={})).findings
    assert elsewhere.place is None
    assert [each.place for each in of_table(table(broken), places=PLACES).findings] == [found.place]


def test_of_several_pins_that_moved_the_one_that_is_known_to_break_it_is_pointed_at() -> None:
    places = Places(pins={name: Place(path="p", line=line) for line, name in enumerate(("numpy", "torch"), start=1)})
    before, after = ({"numpy": "1.26.0", "torch": "2.0.1"}, {"numpy": "2.0.0", "torch": "2.1.0"})
    sides = [
        table(passed("embedding", "onnx-torchscript"), pins=before, packages=before),
        table(comparisons.invalid_graph("embedding", "onnx-torchscript"), pins=after, packages=after, started=LATER),
    ]
    comparison = compare(*sides)
    (found,) = of_comparison(comparison, judge(comparison), places=places).findings
    assert found.place == places.pins["torch"]
    (unknown,) = of_comparison(
        compare(sides[0], table(failed("embedding", "onnx-torchscript"), pins=after, packages=after, started=LATER)),
        places=places,
    ).findings
    assert unknown.place == places.pins["numpy"]


def test_figures_are_in_the_units_that_each_format_has() -> None:
    facts = of_table(table(passed("m", "s", latency_ms=2.0, rss_peak_mb=3.0, artifact_bytes=1000)))
    metrics = {each.name: each for each in text_fd_to_metric_families(io.StringIO(openmetrics(facts)))}
    (sample,) = metrics["harness_cell_latency_seconds"].samples
    assert sample.value == pytest.approx(0.002)
    assert sample.labels == {"combination": "torch2.0", "device": "cpu", "tier": "quick", "model": "m", "strategy": "s"}
    assert metrics["harness_cell_peak_memory_bytes"].samples[0].value == 3 * 2**20
    told = json.loads(bencher(facts))["m/s"]
    assert told["latency"]["value"] == pytest.approx(2e6)
    assert told["file-size"] == {"value": 1000.0}
    first = json.loads(github_action_benchmark(facts))[0]
    assert {name: first[name] for name in ("name", "unit", "value")} == {
        "name": "m/s latency",
        "unit": "ms",
        "value": 2.0,
    }


def test_a_spread_is_half_the_interquartile_range_where_that_is_recorded() -> None:
    facts = of_table(table(passed("m", "s", latency_ms=2.0, latency_iqr_ms=6.0), passed("n", "s", latency_iqr_ms=None)))
    told = {each["name"]: each.get("range") for each in json.loads(github_action_benchmark(facts))}
    assert (told["m/s latency"], told["n/s latency"]) == ("± 3", None)
    found = json.loads(bencher(facts))
    assert found["m/s"]["latency"] == {"value": 2e6, "lower_value": 0.0, "upper_value": 5e6}
    assert found["n/s"]["latency"] == {"value": 2e6}


def test_what_did_not_pass_has_no_figure() -> None:
    facts = of_table(table(failed("m", "s", latency_ms=2.0)))
    assert json.loads(github_action_benchmark(facts)) == []
    assert json.loads(bencher(facts)) == {}
