from __future__ import annotations

import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.bench.consistency import contradictions
from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage
from harness.tables.reading import read_table
from harness.tables.schema import COLUMNS
from tests.tables.samples import failed, mismatched, not_applicable, passed, record

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = sorted(path.parent for path in (ROOT / "results").glob("*/*/2026*/run.json"))

PASSED = passed("m", "s")
CRASHED = record("m", "s", Outcome.CRASHED, Stage.MEASURE, error_type="SIGSEGV", relative_error=1e-7, tolerance=1e-4)
UNRESOLVABLE = record("m", "s", Outcome.UNRESOLVABLE, Stage.RESOLVE, error="no solution")
SERVICE = passed("m", "s", service_rss_mb=90.0, overhead_ms=-0.1, latency_ratio=1.0)
INFINITE = mismatched("m", "s", relative_error=math.inf, mse=math.nan, grade="investigate", tolerance=1e-4)


def but(good: Record, **values: Any) -> Record:
    """A record with values that its types would not let through."""
    return replace(good, **values)


@pytest.mark.parametrize(
    "good",
    [
        PASSED,
        CRASHED,
        UNRESOLVABLE,
        SERVICE,
        INFINITE,
        failed("m", "s"),
        failed("m", "s", Stage.LOAD, relative_error=1e-7, tolerance=1e-4, probes_total=4, probes_passed=4),
        mismatched("m", "s", Stage.PROBE, probes_total=4, probes_passed=3, probes_skipped=0),
        mismatched("m", "s", Stage.MEASURE),
        not_applicable("m", "s"),
        passed("m", "s", mse=1e-5, grade="excellent"),
        passed("m", "s", mse=1e-5, grade="acceptable"),
        passed("m", "s", latency_ms=None, launches=None, iterations=None),
        replace(passed("m", "s", latency_ms=None, launches=None, iterations=None), stage=Stage.PROBE),
        passed("m", "s", probes_total=0, probes_passed=0, probes_skipped=0),
        passed("m", "s", provider="torch-cpu over gRPC"),
        passed("m", "s", relative_error=1e-4),
        passed("m", "s", latency_ms=2),
    ],
)
def test_what_can_be_true_is_not_doubted(good: Record) -> None:
    assert contradictions(good) == []


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (
            replace(PASSED, stage=Stage.LOAD),
            "'stage' is load, where a passed cell ends in measure, or",
        ),
        (replace(PASSED, error_type="Fail", error="x"), "'error_type', 'error' say that something went wrong"),
        (replace(PASSED, fingerprint="f"), "'fingerprint' say that something went wrong"),
        (replace(PASSED, difference="d"), "'difference' say that something went wrong"),
        (replace(PASSED, relative_error=9.9e10), "'relative_error' 9.900e+10 is above 'tolerance' 1.000e-04"),
        (replace(PASSED, probes_relative_error=2e-4), "'probes_relative_error' 2.000e-04 is above 'tolerance'"),
        (replace(PASSED, relative_error=math.nan), "'relative_error' nan is above 'tolerance'"),
        (replace(PASSED, relative_error=None), "'relative_error' say that nothing was compared"),
        (replace(PASSED, tolerance=None), "'tolerance' say that nothing was compared"),
        (replace(PASSED, probes_passed=3), "make 3 of 'probes_total' 4"),
        (replace(PASSED, probes_passed=None, probes_skipped=None), "make 0 of 'probes_total' 4"),
        (replace(PASSED, probes_skipped=1), "make 5 of 'probes_total' 4"),
        (replace(PASSED, probes_derived=5), "'probes_derived' is 5 of 'probes_total' 4"),
        (failed("m", "s", probes_passed=1), "'probes_passed' count probes, and 'probes_total' is empty"),
        (replace(PASSED, mse=math.inf), "'mse' is inf, which is no measurement"),
        (replace(PASSED, latency_ms=math.nan), "'latency_ms' is nan, which is no measurement"),
        (replace(PASSED, latency_ms=-1.0), "'latency_ms' is -1.0, below 0"),
        (replace(PASSED, artifact_bytes=-1), "'artifact_bytes' is -1, below 0"),
        (replace(PASSED, cosine=1.5), "'cosine' is 1.5, beyond 1"),
        (replace(PASSED, accuracy_converted=1.5), "'accuracy_converted' is 1.5, above 1"),
        (replace(PASSED, mse=0.5, grade="excellent"), "'grade' is excellent, and 'mse' is 5.000e-01"),
        (replace(PASSED, grade="excellent"), "'grade' is excellent, and 'mse' is empty"),
        (replace(PASSED, mse=0.5, grade="good"), "'grade' is 'good', and there are excellent, acceptable, investigate"),
        (replace(PASSED, launches=None), "'latency_ms' is there, and 'launches' counts none"),
        (replace(PASSED, launches=0), "'latency_ms' is there, and 'launches' counts none"),
        (replace(PASSED, launches=2, iterations=1), "'iterations' is 1 over 'launches' 2"),
        (
            replace(PASSED, latency_ms=None),
            "'latency_ms' is empty, and 'latency_iqr_ms', 'launches', 'iterations' say that it was",
        ),
        (replace(SERVICE, service_rss_mb=None), "'overhead_ms' is there, and 'service_rss_mb' says"),
        (replace(PASSED, provider="CUDAExecutionProvider"), "'device' is cpu, and 'provider' is CUDAExecutionProvider"),
        (replace(PASSED, device="cuda", provider="CPUExecutionProvider"), "'device' is cuda, and 'provider' is CPU"),
        (mismatched("m", "s", difference=None), "'difference' does not say what differs"),
        (mismatched("m", "s", Stage.LOAD), "'stage' is load, where no outputs are compared"),
        (failed("m", "s", error_type=None), "'outcome' is failed, and 'error_type' does not say of what"),
        (replace(CRASHED, error_type=None), "'outcome' is crashed, and 'error_type' does not say of what"),
        (replace(CRASHED, stage=Stage.CONVERT), "'stage' is convert, and 'relative_error' are of later ones"),
        (failed("m", "s", Stage.INSTALL, weights_digest="w"), "'stage' is install, and 'weights_digest' are of later"),
        (replace(UNRESOLVABLE, error=None), "'error' does not give the reason"),
        (replace(UNRESOLVABLE, stage=Stage.LOAD), "'stage' is load, where nothing is resolved"),
        (replace(not_applicable("m", "s"), error=""), "'error' does not give the reason"),
        (replace(not_applicable("m", "s"), mse=0.0), "'mse' say that it ran"),
        (but(PASSED, opset="17"), "'opset' is a str, and its column takes int"),
        (but(PASSED, opset=True), "'opset' is a bool, and its column takes int"),
        (but(PASSED, rss_load_mb="large"), "'rss_load_mb' is a str, and its column takes float"),
        (but(PASSED, provider=3), "'provider' is a int, and its column takes str"),
        (but(PASSED, outcome="passed"), "'outcome' is a str, and its column takes Outcome"),
        (but(PASSED, model=None), "'model' is a NoneType, and its column takes str"),
    ],
)
def test_what_cannot_be_true_is_named_by_its_columns(bad: Record, told: str) -> None:
    found = contradictions(bad)
    assert any(told in each for each in found), found


def test_there_are_committed_tables() -> None:
    assert len(COMMITTED) >= 7


@pytest.mark.parametrize("folder", COMMITTED, ids=lambda folder: "-".join(folder.parts[-3:]))
def test_no_row_of_a_committed_table_can_be_turned_into_a_pass(folder: Path) -> None:
    """An outcome edited alone, with its stage, and with every word on the error taken away as well."""
    for row in read_table(folder).records:
        assert contradictions(row) == []
        if row.outcome is Outcome.PASSED:
            continue
        edited = replace(row, outcome=Outcome.PASSED)
        moved = replace(edited, stage=Stage.MEASURE)
        silent = replace(moved, error_type=None, error=None, fingerprint=None, difference=None)
        assert contradictions(edited)
        assert contradictions(moved)
        # A cell that came as far as a failed probe is a pass but for its count of probes.
        assert contradictions(silent), row.cell_id


def values_of(kind: type) -> st.SearchStrategy[Any]:
    kinds: dict[type, st.SearchStrategy[Any]] = {
        str: st.text(),
        int: st.integers(),
        float: st.floats(),
        Outcome: st.sampled_from(Outcome),
        Stage: st.sampled_from(Stage),
    }
    return kinds[kind]


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_record_can_be_asked(data: st.DataObject) -> None:
    """Whatever its values are: the answer is a list of texts, and a value of no column's type is always told."""
    wrong = st.none() | st.binary() | st.lists(st.integers()) | st.complex_numbers()
    values = {column.name: data.draw(st.none() | values_of(column.kind)) for column in COLUMNS if column.optional}
    whole = but(PASSED, **values)
    assert all(isinstance(each, str) for each in contradictions(whole))
    name = data.draw(st.sampled_from([each.name for each in fields(Record)]))
    value = data.draw(wrong)
    if value is not None:
        assert any(f"'{name}' is a" in each for each in contradictions(but(whole, **{name: value})))
