"""The rules that say what failures are, each on an error that a run recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.bench.fingerprint import fingerprint
from harness.bench.record import Record
from harness.bench.registry import discover
from harness.bench.stages import Outcome, Stage
from harness.diagnosis.rules import Rule, RuleError, diagnose, read_rules, rules
from harness.tables.reading import read_table
from harness.verdict.expectations import packages_of
from tests.tables.samples import failed, passed

ROOT = Path(__file__).resolve().parents[2]
RECORDED: list[dict[str, Any]] = json.loads(Path(__file__).with_name("recorded.json").read_text(encoding="utf-8"))
"""A record for each rule, and the packages of its environment, as runs left them."""

NEW_ZEROS = "new-zeros-float-index"


def _record(sample: Mapping[str, Any]) -> Record:
    return Record.from_json(sample["row"])


def _sample(rule: str) -> tuple[Record, dict[str, str]]:
    sample = next(each for each in RECORDED if each["rule"] == rule)
    return _record(sample), dict(sample["packages"])


def _rule(name: str) -> Rule:
    return next(each for each in rules() if each.id == name)


def test_every_rule_has_a_record_that_it_is_tested_on() -> None:
    assert sorted(each["rule"] for each in RECORDED) == sorted(rule.id for rule in rules())
    assert len(rules()) >= 25


@pytest.mark.parametrize("sample", RECORDED, ids=[each["rule"] for each in RECORDED])
def test_a_record_fits_its_own_rule_and_no_other(sample: Mapping[str, Any]) -> None:
    record = _record(sample)
    fitting = [rule.id for rule in rules() if rule.diagnosis(record, sample["packages"])]
    assert fitting == [sample["rule"]]
    found = diagnose(record, sample["packages"])
    assert found is not None
    assert "{" not in found.cause + found.remedy
    assert all(text.endswith(".") for text in (found.cause, found.remedy))
    assert bool(found.affected) == bool(_rule(found.rule).affected)


@pytest.mark.parametrize("sample", RECORDED, ids=[each["rule"] for each in RECORDED])
def test_a_recorded_fingerprint_is_that_of_today(sample: Mapping[str, Any]) -> None:
    record = _record(sample)
    if record.outcome is Outcome.MISMATCHED:
        assert record.fingerprint == fingerprint("Mismatch", record.difference or "", model=record.model)
    else:
        assert record.fingerprint == fingerprint(record.error_type or "", record.error or "")
    for other in rules():
        if record.fingerprint in other.fingerprints:
            assert other.id == sample["rule"]


@pytest.mark.parametrize("rule", [rule for rule in rules() if rule.canary], ids=lambda rule: rule.id)
def test_the_fingerprint_of_a_canarys_failure_is_known(rule: Rule) -> None:
    record, _ = _sample(rule.id)
    assert record.model == rule.canary
    # That of a mismatch is of its model, and can be no other model's.
    expected = () if record.outcome is Outcome.MISMATCHED else (record.fingerprint,)
    assert rule.fingerprints == expected


def test_canaries_are_models_of_the_zoo() -> None:
    zoo = set(discover().models)
    assert {rule.canary for rule in rules()} - {""} <= zoo


def test_a_users_model_that_fails_as_a_canary_does_is_told_so() -> None:
    record, packages = _sample(NEW_ZEROS)
    found = diagnose(replace(record, model="ranker"), packages)
    assert found is not None
    assert (
        found.known_as == "the same as `embedding-new-zeros`, pytorch#110597, in torch ==2.1.0, mended in torch 2.1.1"
    )
    other = diagnose(replace(record, model="ranker", fingerprint="0" * 12), packages)
    assert other is not None
    assert other.known_as.startswith("like `embedding-new-zeros`, pytorch#110597")
    own = diagnose(record, packages)
    assert own is not None
    assert own.known_as == "pytorch#110597, in torch ==2.1.0, mended in torch 2.1.1"


def test_versions_are_told_only_where_the_records_own_are_among_them() -> None:
    record, packages = _sample(NEW_ZEROS)
    assert diagnose(record, {**packages, "torch": "2.1.2"}) is None
    assert diagnose(record, {**packages, "torch": "2.1.0+cu121"}) is not None
    unknown = diagnose(record, {})
    assert unknown is not None
    assert (unknown.affected, unknown.mended) == ("", "")
    assert diagnose(record, {**packages, "torch": "no version"}) is None


def test_what_is_not_broken_or_not_known_has_no_diagnosis() -> None:
    assert diagnose(passed("lstm", "native"), {}) is None
    assert diagnose(failed("lstm", "native"), {}) is None


def test_a_message_fills_what_its_rule_says() -> None:
    record, packages = _sample("operator-of-a-later-opset")
    found = diagnose(record, packages)
    assert found is not None
    assert record.operator is not None
    assert found.cause.startswith(record.operator)


def test_the_opset_that_is_advised_is_the_one_that_knows_the_operator() -> None:
    record, packages = _sample("operator-of-a-later-opset")
    later = (record.error or "").replace("added in version 14", "added in version 18")
    found = diagnose(replace(record, error=later), packages)
    assert found is not None
    assert found.remedy == "Export at opset 18 or later, for instance `onnx-torchscript:18`."


_RUNNING = "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running"
_BROADCAST = (
    "axis == 1 || axis == largest was false. Attempting to broadcast an axis by a dimension other than 1. 6 by 9"
)


@pytest.mark.parametrize(
    ("error_type", "operator", "error"),
    [
        ("Fail", "MatMul", "matmul_helper.h:161 Compute MatMul dimension mismatch"),
        ("RuntimeException", "Where", f"Init(ptrdiff_t, ptrdiff_t) {_BROADCAST}"),
        (
            "Fail",
            "Concat",
            "Non concat axis dimensions must match: Axis 0 has mismatched dimensions of 5 and 2",
        ),
        (
            "RuntimeException",
            "Reshape",
            "The input tensor cannot be reshaped to the requested shape. Input shape:{5,16}, requested shape:{-1,32}",
        ),
    ],
)
def test_a_size_of_the_example_is_told_whatever_operator_refuses_another_one(
    error_type: str, operator: str, error: str
) -> None:
    """Errors as ONNX Runtime 1.15.1 wrote them, of models whose sizes went through int()."""
    record, packages = _sample("size-baked-in")
    text = f"probe 'longer': {_RUNNING} {operator} node. Name:'/{operator}' Status Message: {error}"
    refused = replace(record, error_type=error_type, error=text, fingerprint="0" * 12)
    found = diagnose(refused, packages)
    assert found is not None
    assert found.rule == "size-baked-in"
    assert f"what {operator} is given" in found.cause
    assert diagnose(replace(refused, stage=Stage.EXECUTE), packages) is None, "the example itself is refused"


_POOLED = "aten.avg_pool2d at pool (AvgPool2d)"
_RESHAPED = "Name:'/attention/Reshape_4'"
_NO_SOLUTION = "Because tf2onnx=={} depends on protobuf>=3.20,<4.dev0 and you require protobuf==3.19.6"


@pytest.mark.parametrize(
    ("rule", "column", "before", "after"),
    [
        (
            "average-pooling-ceil-mode",
            "begins_at",
            f"{_POOLED}; nodes /pool/Pad, /pool/AveragePool",
            "aten.avg_pool2d (model.py:7), to which the example does not come",
        ),
        (
            "average-pooling-ceil-mode",
            "begins_at",
            f"{_POOLED}; node /pool/AveragePool",
            f"{_POOLED}; node /pool/AveragePool, which ONNX's reference implementation computes as PyTorch does",
        ),
        (
            "average-pooling-ceil-mode",
            "begins_at",
            f"{_POOLED}; node /pool/AveragePool",
            f"{_POOLED}; node /pool/AveragePool, as ONNX Runtime's optimisation (all) left it",
        ),
        ("average-pooling-ceil-mode", "begins_at", f"{_POOLED}; node /pool/AveragePool", f"{_POOLED}; node /Mul"),
        (
            "average-pooling-ceil-mode",
            "begins_at",
            f"{_POOLED}; node /pool/AveragePool",
            f"{_POOLED}, run 2 of it: on the example there are 1",
        ),
        ("attention-length-baked-in", "error", "Name:'/layers.0/self_attn/Reshape_4'", "Name:'/Reshape'"),
        (NEW_ZEROS, "error", "/ConstantOfShape_output_0", "index"),
        (NEW_ZEROS, "error", "/types/ConstantOfShape_1_output_0", "/Mul_output_0"),
        ("left-in-train-mode", "device", "cpu", "cuda"),
        ("protobuf-tf2onnx", "error", _NO_SOLUTION.format("1.16.1"), _NO_SOLUTION.format("1.17.0")),
    ],
)
def test_a_rule_reaches_no_further_than_what_it_knows(rule: str, column: str, before: str, after: str) -> None:
    record, packages = _sample(rule)
    shown = {NEW_ZEROS: "/ConstantOfShape_output_0", "attention-length-baked-in": _RESHAPED}.get(rule)
    for text, fits in ((before, True), (after, False)):
        whole = (record.error or "").replace(shown, text) if shown else text
        changes: dict[str, Any] = {column: whole}
        found = diagnose(replace(record, model="own", **changes), packages)
        assert (found is not None and found.rule == rule) is fits


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cause = 'x'\nremedy = 'y'\nmesage = 'z'\n", "rule a: mesage: Unexpected keyword argument"),
        ("cause = 'x'\nremedy = 'y'\nmessage = '('\n", "rule a: missing )"),
        ("cause = 'x {b}'\nremedy = 'y'\nmessage = 'z'\n", "rule a: no group of `message` is called b"),
        ("cause = 'x'\nremedy = 'y'\n", "rule a: without a pattern"),
        ("cause = 'x'\nremedy = 'y'\ntype = 'E'\naffected = {torch = 'new'}\n", "rule a: Invalid spec"),
        ("cause = 'x'\nremedy = 'y'\ntype = 'E'\n[[rule]]\nid = 'a'\ncause = ''\nremedy = ''\ntype = 'E'", "two rules"),
        ("[[rule]\n", "the rules are not valid TOML"),
    ],
)
def test_a_rule_that_cannot_be_read_is_named(text: str, message: str) -> None:
    with pytest.raises(RuleError) as caught:
        read_rules(f"[[rule]]\nid = 'a'\n{text}")
    assert message in str(caught.value)


def test_what_is_broken_in_the_committed_tables_is_known() -> None:
    tables = [read_table(path.parent) for path in sorted((ROOT / "results").glob("*/*/*/run.json"))]
    broken = [(table.run, record) for table in tables for record in table.records if record.outcome.broken]
    unknown = [record for run, record in broken if diagnose(record, packages_of(run, record.extension)) is None]
    # Of the others an older run recorded no more than what was put around the error.
    assert {record.cell_id for record in unknown if record.fingerprint} == {"torch2.9/custom-operator/jax"}
    assert len(unknown) < 0.05 * len(broken)
