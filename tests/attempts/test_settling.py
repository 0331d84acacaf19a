"""Ended attempts to tables, and what is refused of an attempt's folder."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from harness import __version__
from harness.attempts.settling import table_of, table_of_just_this, unfinished
from harness.attempts.tasks import Task
from harness.bench.attempt import Attempt, State
from harness.bench.errors import PausedError, UsageError
from harness.bench.latency import latency
from harness.bench.plan import Cell, Plan, Policy
from harness.tables.assembly import merge
from harness.tables.consistency import lock_digest
from harness.tables.finding import Series, Unfinished
from harness.tables.reading import read_table
from harness.tables.schema import Extended, Table
from harness.tables.writing import write_table
from tests.tables.samples import (
    PACKAGES,
    PINS,
    failed,
    native,
    not_applicable,
    output,
    passed,
    table,
    timing,
    write_attempt,
)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_what_the_bench_left_becomes_a_table(out: Path, tmp_path: Path) -> None:
    records = [
        passed("a", "onnx:16", latency_ms=3.0),
        passed("a", "native", latency_ms=2.0),
        failed("a", "twin"),
        passed("b", "onnx:16", latency_ms=3.0),
        failed("b", "native"),
        passed("c", "native", latency_ms=0.0),
    ]
    write_attempt(out, records, packages={"Torch_Vision": "0.15.2"})
    made = table_of([Attempt(out)], pins={"Typing.Extensions": "4.0"})
    assert [(r.model, r.strategy, r.latency_ratio) for r in made.records] == [
        ("a", "native", 1.0),
        ("a", "onnx:16", 1.5),
        ("a", "twin", None),
        ("b", "native", None),
        ("b", "onnx:16", None),
        ("c", "native", None),
    ]
    assert (made.run.planned, made.run.recorded, made.run.complete, made.run.missing) == (6, 6, True, ())
    assert made.run.pins == {"typing-extensions": "4.0"}
    assert made.run.packages == {"torch-vision": "0.15.2"}
    assert read_table(write_table(tmp_path, made)).run == made.run


def test_the_launches_of_a_cell_are_rows_beside_it(out: Path, tmp_path: Path) -> None:
    kept = [timing([0.002, 0.003, 0.004]), timing([]), timing([0.001, 0.001], steady=None, busy_cores=None)]
    cell = passed("a", "native", **latency(kept))
    stray = passed("b", "native", **latency(kept))
    details = {("a", "native"): {"launches": kept}, ("b", "native"): {"launches": kept}}
    write_attempt(out, [cell, stray], details=details, planned=[["a", "native"]])
    made = table_of([Attempt(out)], pins={})
    assert [(each.launch, each.latency_ms, each.rounds, each.steady) for each in made.launches] == [
        (0, 3.0, 3, True),
        (1, 1.0, 2, None),
    ]
    assert {each.model for each in made.launches} == {"a"}
    assert len(read_table(write_table(tmp_path, made)).launches) == 2


def test_planned_cells_without_a_record_are_missing_and_unplanned_records_are_passed_over(out: Path) -> None:
    stray = passed("a", "native", combination="torch2.1")
    write_attempt(
        out,
        [passed("b", "native"), passed("zoo", "stray"), stray],
        planned=[["a", "native"], ["b", "native"], ["b", "onnx:16"], ["b", "native"]],
        ended=None,
    )
    made = table_of([Attempt(out)], pins={})
    assert [r.cell_id for r in made.records] == ["torch2.0/b/native"]
    assert (made.run.planned, made.run.recorded, made.run.complete) == (3, 1, False)
    assert made.run.missing == ("a/native", "b/onnx:16")
    assert made.run.ended is None


def test_numbers_that_are_not_finite_and_bytes_that_are_no_text_come_through(out: Path) -> None:
    write_attempt(out, [failed("a", "native", relative_error=math.nan, max_abs_error=math.inf, error="bad \udc80")])
    (record,) = table_of([Attempt(out)], pins={}).records
    assert record.relative_error is not None
    assert math.isnan(record.relative_error)
    assert record.max_abs_error == math.inf
    assert record.error == "bad ?"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"machine": {"cpu": "x", "cores": "2", "memory_mb": 1, "os": "x"}}, "'machine.cores': expected int, got str"),
        ({"planned": 3}, "'planned': expected list, got int"),
        ({"planned": [["a"]]}, "'planned.0.1'"),
        ({"device": "auto"}, "unknown device 'auto'"),
        ({"started": None}, "'started': expected str, got null"),
        ({"started": "noon"}, "'started': expected a time in UTC"),
    ],
)
def test_a_wrong_attempt_is_told_by_key(out: Path, change: dict[str, Any], message: str) -> None:
    write_attempt(out, [passed("a", "native")], **change)
    with pytest.raises(UsageError) as caught:
        table_of([Attempt(out)], pins={})
    assert message in str(caught.value)


def test_keys_of_the_bench_s_own_are_passed_over(out: Path) -> None:
    write_attempt(out, [passed("a", "native")], plan_digest="abc")
    assert table_of([Attempt(out)], pins={}).run.complete


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "'row': expected object"),
        (
            json.dumps({"row": {**passed("a", "native").to_json(), "opset": 1.5}}),
            "'row.opset': expected int, got float",
        ),
        (json.dumps({"row": {**passed("a", "native").to_json(), "mood": 1}}), "the key 'row.mood' is not known"),
        (
            json.dumps({"row": {**passed("a", "native").to_json(), "outcome": "pased"}}),
            "'row.outcome': input should be",
        ),
        (json.dumps({"row": {"model": "a"}}), "the key 'row.combination' is missing"),
        (
            json.dumps(
                {"row": passed("a", "native").to_json(), "details": {"launches": [{"started": "", "samples_s": 1}]}}
            ),
            "'details.launches.0.samples_s': expected list, got int",
        ),
    ],
)
def test_a_wrong_record_is_told_by_file_and_key(out: Path, content: str, message: str) -> None:
    write_attempt(out, [passed("a", "native")])
    (out / "records" / "a--native.json").write_text(content)
    with pytest.raises(UsageError) as caught:
        table_of([Attempt(out)], pins={})
    assert message in str(caught.value)
    assert "a--native.json" in str(caught.value)


def test_a_folder_that_is_not_the_bench_s_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no attempt\.json in it. Name the folder"):
        table_of([Attempt(tmp_path)], pins={})
    with pytest.raises(UsageError, match="no such folder"):
        table_of([Attempt(tmp_path / "nowhere")], pins={})


SELDOM = {"launches": 1, "timeout_s": 300.0}


def of_extension(name: str, *records: Any, **values: Any) -> Table:
    conditions = {"packages": {**PACKAGES, name: "1.0"}, "lock_digest": f"lock of {name}", **values}
    return table(*records, extension=name, pins={name: "1.0"}, **conditions)


def test_a_combination_and_its_extensions_become_one_table(tmp_path: Path) -> None:
    often = {"launches": 3, "timeout_s": 300.0}
    own = table(passed("b", "native", latency_ms=2.0), passed("a", "native", latency_ms=4.0), policy=often)
    tools = of_extension(
        "tools",
        passed("b", "onnx2tf", extension="tools", latency_ms=3.0),
        missing=[("a", "onnx2tf")],
        ended="2026-01-31T12:30:00Z",
        policy=SELDOM,
    )
    late = "2026-01-31T12:20:00Z"
    other = of_extension("hf4", not_applicable("a", "weight-transfer"), ended=late, policy=often)
    made = merge([own, tools, other])
    assert [(r.model, r.strategy, r.latency_ratio) for r in made.records] == [
        ("a", "native", 1.0),
        ("a", "weight-transfer", None),
        ("b", "native", 1.0),
        ("b", "onnx2tf", 1.5),
    ]
    run = made.run
    assert (run.planned, run.recorded, run.complete, run.missing) == (5, 4, False, ("a/onnx2tf",))
    assert (run.extension, run.pins, run.packages, run.lock_digest) == ("", PINS, own.run.packages, own.run.lock_digest)
    assert (run.started, run.ended) == (own.run.started, "2026-01-31T12:30:00Z")
    assert run.extensions == {
        "tools": Extended(lock_digest="lock of tools", packages=tools.run.packages, policy=SELDOM),
        "hf4": Extended(lock_digest="lock of hf4", packages=other.run.packages, policy=own.run.policy),
    }
    assert [run.policy_of(name)["launches"] for name in ("", "tools", "hf4")] == [3, 1, 3]
    assert list(run.to_json()["extensions"]) == ["hf4", "tools"]
    assert read_table(write_table(tmp_path, made)).run == run


def test_a_run_that_was_killed_in_an_extension_has_no_end() -> None:
    tools = of_extension("tools", missing=[("a", "onnx2tf")], ended=None)
    assert merge([table(passed("a", "native")), tools]).run.ended is None


def test_one_table_alone_is_merged_as_it_is() -> None:
    alone = of_extension("tools", passed("a", "onnx2tf", extension="tools"))
    assert merge([alone]) is alone


def test_of_a_model_that_ran_in_several_environments_the_combination_s_own_native_outputs_count() -> None:
    mine, theirs = native(output(1.0)), native(output(2.0))
    own = table(passed("b", "native"), natives={"b": mine})
    tools = of_extension("tools", passed("b", "x"), passed("a", "x"), natives={"b": theirs, "a": theirs})
    made = merge([own, tools])
    assert dict(made.natives) == {"a": theirs, "b": mine}
    assert list(made.natives) == ["a", "b"]


@pytest.mark.parametrize("state", [state for state in State if state not in (State.ENDED, State.SETTLED)])
def test_what_did_not_come_to_its_end_makes_no_table(out: Path, state: State) -> None:
    attempt = write_attempt(out, [passed("a", "native")], state=state.value, cause="the disk is full.")
    with pytest.raises(PausedError, match=rf"is {state.value}, and only what came to its end.*: the disk is full"):
        table_of([attempt], pins={})


def test_a_table_keeps_the_lock_and_the_identity_that_it_is_of(out: Path, tmp_path: Path) -> None:
    attempt = write_attempt(out, [passed("a", "native")])
    attempt.lock.write_text("six==1.16.0\n", encoding="utf-8")
    made = table_of([attempt], pins={})
    assert dict(made.locks) == {"": "six==1.16.0\n"}
    assert len(made.run.identity) == 12
    assert (write_table(tmp_path, made) / "lock.txt").read_text(encoding="utf-8") == "six==1.16.0\n"


def test_attempts_of_a_whole_tier_that_have_no_table_are_told(tmp_path: Path) -> None:
    def there(name: str, **values: Any) -> None:
        write_attempt(tmp_path / ".harness" / "attempts" / name, [passed("a", "native")], **values)

    after = "2026-01-31T11:00:00Z"
    there("torch2.0/cpu-quick-1", state="paused", cause="the disk is full.")
    there("torch2.0/cpu-quick-2", state="settled")
    there("torch2.0/cpu-quick-3", state="running", selected=True)
    there("torch2.0/cpu-quick-4", state="running", started="2026-01-31T10:00:00Z")
    there("torch2.0/cpu-core-5", state="running")
    there("torch2.0+tools/cpu-quick-6", state="running", extension="tools")
    there("torch2.0/cpu-quick-8", state="paused", models="models/")
    there("torch2.00/cpu-quick-7", state="running", combination="torch2.00")

    def told(**series: Any) -> list[str]:
        return [
            str(each)
            for each in unfinished(tmp_path, "torch2.0", Series(tier="quick", device="cpu", **series), after=after)
        ]

    assert told() == ["a run of torch2.0 that began at 2026-01-31T12:00:00Z is paused (the disk is full)"]
    assert told(extensions=True) == [
        "a run of torch2.0 that began at 2026-01-31T12:00:00Z is paused (the disk is full)",
        "a run of torch2.0+tools that began at 2026-01-31T12:00:00Z is running",
    ]
    assert told(models="models/") == ["a run of torch2.0 that began at 2026-01-31T12:00:00Z is paused"]


@pytest.mark.parametrize(("over", "command"), [(True, "harness run torch2.0 --tier quick"), (False, "")])
def test_a_run_that_was_stopped_is_told_with_the_command_that_goes_on_with_it(
    tmp_path: Path, over: bool, command: str
) -> None:
    write_attempt(
        tmp_path / ".harness" / "attempts" / "torch2.0" / "cpu-quick-1",
        [passed("a", "native")],
        state="paused",
        cause="it was interrupted.",
    )
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    since, pid = "2026-01-31T12:00:00Z", process.pid if over else os.getpid()
    stated = {
        "run": "one",
        "since": since,
        "of": [["torch2.0", "", "cpu", "quick", False, ""]],
        "pid": pid,
        "command": "/venv/bin/harness run torch2.0 --tier quick",
    }
    (tmp_path / ".harness" / "runs").mkdir()
    (tmp_path / ".harness" / "runs" / "a.json").write_text(json.dumps(stated), encoding="utf-8")
    found = unfinished(tmp_path, "torch2.0", Series(tier="quick", device="cpu"), after="2026-01-31T11:00:00Z")
    reason = f"a run of torch2.0 that began at {since} is paused (it was interrupted)"
    assert found == [Unfinished(reason=reason, command=command)]


@pytest.mark.parametrize(
    ("asked", "timed", "taken"),
    [(1, 1, True), (1, 3, True), (2, 1, False), (3, 1, False), (3, 2, False), (3, 3, True), (7, 3, True), (0, 1, True)],
)
def test_a_table_is_taken_where_its_launches_tell_what_memory_varies_by(
    tmp_path: Path, asked: int, timed: int, taken: bool
) -> None:
    plan = Plan(
        combination="torch2.0",
        device="cpu",
        tier="quick",
        cells=tuple(Cell("torch2.0", "lstm", strategy, "cpu") for strategy in ("native", "onnx-torchscript")),
        policy=Policy(launches=asked),
    )
    digest = plan.registry().models["lstm"].digest
    made = table(
        passed("lstm", "native", launches=timed, model_digest=digest),
        failed("lstm", "onnx-torchscript", model_digest=digest),
        lock_digest=lock_digest(""),
        harness_version=__version__,
        policy=asdict(Policy(launches=timed, measure_s=0.01)),
    )
    folder = write_table(tmp_path, made)
    assert table_of_just_this(Task(plan=plan), [folder]) == (folder if taken else None)
