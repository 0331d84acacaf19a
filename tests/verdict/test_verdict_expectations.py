"""Expectations: what they cover and meet, what they leave, and that no gate hears of them."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.bench.definitions import TIERS
from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage
from harness.tables.assembly import merge
from harness.tables.schema import Table
from harness.verdict import comparison, evidence, gate, policy
from harness.verdict.expectations import Expectation, Foreseen, foresee
from tests.tables.samples import PACKAGES, failed, mismatched, not_applicable, passed, table
from tests.verdict.test_verdict_property import Side, often, sides

TODAY = datetime.date(2026, 2, 1)
GRU = failed("gru", "onnx-torchscript:16", Stage.CONVERT, fingerprint="abc")


def expectation(**values: Any) -> Expectation:
    usual: dict[str, Any] = {
        "name": "expect.0",
        "outcome": Outcome.FAILED,
        "reason": "upstream",
        "expires": datetime.date(2026, 3, 1),
        "cells": ("torch2.0/gru/onnx-torchscript:16",),
    }
    return Expectation(**{**usual, **values})


def of(made: Table, *expectations: Expectation, today: datetime.date = TODAY) -> Foreseen:
    return foresee([made], expectations, today=today)


@pytest.mark.parametrize(
    ("values", "fits"),
    [
        ({}, True),
        ({"cells": ("torch2.*/gru/onnx-torchscript*",)}, True),
        ({"cells": ("*/*/*",)}, True),
        ({"cells": ("torch2.1/gru/*", "torch2.0/gru/*")}, True),
        ({"cells": ("torch2.1/gru/onnx-torchscript:16",)}, False),
        ({"cells": ("*/lstm/*",)}, False),
        ({"cells": ("*/gru/onnx-torchscript",)}, False),
        ({"cells": (), "models": ("gr*",)}, True),
        ({"cells": (), "models": ("gr*",), "strategies": ("onnx-*",)}, True),
        ({"cells": (), "models": ("gr*",), "strategies": ("tflite",)}, False),
        ({"models": ("lstm",)}, False),
        ({"devices": ("cpu",)}, True),
        ({"devices": ("cuda",)}, False),
        ({"versions": {"torch": "==2.0.1"}}, True),
        ({"versions": {"torch": ">=2.0,<2.1"}}, True),
        ({"versions": {"torch": ">=2.1"}}, False),
        ({"versions": {"torch": "==2.0.1", "onnx": ">=1.15"}}, False),
        ({"versions": {"numpy": "<1.25"}}, True),
        ({"versions": {"jax": ">=0.1"}}, False),
        ({"stage": Stage.CONVERT}, True),
        ({"stage": Stage.LOAD}, False),
        ({"fingerprint": "abc"}, True),
        ({"fingerprint": "abd"}, False),
        ({"outcome": Outcome.MISMATCHED}, False),
        ({"expires": TODAY}, True),
        ({"expires": TODAY - datetime.timedelta(days=1)}, False),
    ],
)
def test_a_broken_cell_is_expected_where_all_that_is_said_fits(values: dict[str, Any], fits: bool) -> None:
    known = expectation(**values)
    found = of(table(GRU, passed("lstm", "native")), known)
    assert [record.model for record, _ in found.expected] == ["gru"] * fits
    assert [record.model for record in found.unexpected] == ["gru"] * (not fits)
    assert found.broken == 1


@pytest.mark.parametrize(
    ("version", "text", "fits"),
    [
        ("2.0.1+cu117", "==2.0.1", True),
        ("2.1.0rc1", ">=2.1", False),
        ("2.1.0rc1", ">=2.1.0rc0", True),
        ("2.1.1", ">=2.1,<2.1.1", False),
        ("2.1.0.post1", "==2.1.0", False),
        ("no-version", "==2.1.0", False),
    ],
)
def test_ranges_are_those_of_pep_440(version: str, text: str, fits: bool) -> None:
    made = table(GRU, packages={**PACKAGES, "torch": version})
    assert bool(of(made, expectation(versions={"torch": text})).expected) is fits


def test_a_cell_of_an_extension_has_the_versions_of_its_environment() -> None:
    own = table(passed("gru", "native"))
    tools = table(
        failed("gru", "onnx2tf", extension="tools"),
        extension="tools",
        packages={**PACKAGES, "onnx2tf": "1.17.5", "torch": "2.0.0"},
    )
    made = merge([own, tools])
    known = expectation(cells=(), strategies=("onnx2tf",), versions={"onnx2tf": "==1.17.5", "torch": "==2.0.0"})
    assert of(made, known).expected
    assert not of(made, replace(known, versions={"torch": "==2.0.1"})).expected


def test_an_environment_that_could_not_be_had_has_its_pins() -> None:
    made = table(failed("gru", "native", Stage.INSTALL), packages={}, python="")
    assert of(made, expectation(cells=("*/*/*",), versions={"torch": "==2.0.1"})).expected


def test_what_passes_though_it_was_to_break_is_told() -> None:
    known = expectation(cells=("torch2.0/gru/*",))
    made = table(GRU, passed("gru", "onnx-torchscript"), passed("gru", "native"), not_applicable("gru", "tflite"))
    found = of(made, known)
    assert {record.strategy for record, _ in found.passing} == {"onnx-torchscript", "native"}
    assert not found.never
    assert not of(made, replace(known, expires=datetime.date(2026, 1, 1))).passing


def test_what_breaks_otherwise_is_unexpected_and_says_so() -> None:
    found = of(table(mismatched("gru", "onnx-torchscript:16")), expectation())
    assert [record.model for record in found.unexpected] == ["gru"]
    assert [each.name for _, each in found.otherwise] == ["expect.0"]
    second = expectation(name="expect.1", outcome=Outcome.MISMATCHED)
    assert of(table(mismatched("gru", "onnx-torchscript:16")), expectation(), second).expected[0][1].name == "expect.1"


def test_the_first_that_meets_a_cell_has_it_and_the_others_were_matched_all_the_same() -> None:
    found = of(table(GRU), expectation(), expectation(name="expect.1", cells=("*/*/*",)))
    assert [each.name for _, each in found.expected] == ["expect.0"]
    assert not found.never
    assert not found.elsewhere


@pytest.mark.parametrize(
    ("values", "conditions", "which"),
    [
        ({"cells": ("torch2.0/gruu/onnx-torchscript:16",)}, {}, "never"),
        ({"cells": ("torch2.*/gru/onnx-torchscript:17",)}, {}, "elsewhere"),
        ({"cells": ("torch2.*/lstm/onnx-torchscript:16",)}, {}, "never"),
        ({"cells": ("torch2.1/gruu/onnx-torchscript:16",)}, {}, "elsewhere"),
        ({"cells": ("*/gruu/*",), "versions": {"torch": ">=2.1"}}, {}, "elsewhere"),
        ({"cells": ("*/gruu/*",), "devices": ("cuda",)}, {}, "elsewhere"),
        ({"cells": ("*/gruu/*",), "tier": "core"}, {}, "elsewhere"),
        ({"cells": ("*/gruu/*",), "tier": "core"}, {"tier": "full"}, "never"),
        ({"cells": ("*/gruu/*",)}, {"selected": True}, "elsewhere"),
        ({"cells": ("*/gruu/*",)}, {"missing": [("a", "b")]}, "elsewhere"),
        ({"cells": ("*/gruu/*",)}, {"models": "mine/"}, "elsewhere"),
        ({"cells": ("*/lstm/*16",)}, {"models": "mine/"}, "never"),
        ({"cells": (), "models": ("gruu",)}, {}, "never"),
        ({"cells": (), "strategies": ("onnx2tf",)}, {}, "elsewhere"),
    ],
)
def test_what_met_nothing_is_told_apart_by_whether_it_could_have(
    values: dict[str, Any], conditions: dict[str, Any], which: str
) -> None:
    made = table(GRU, passed("lstm", "native"), **conditions)
    found = of(made, expectation(**values))
    assert {"never": bool(found.never), "elsewhere": bool(found.elsewhere)} == {
        "never": which == "never",
        "elsewhere": which == "elsewhere",
    }
    assert len(found.unexpected) == 1


def test_several_tables_are_looked_at_together() -> None:
    other = table(GRU, combination="torch2.1", missing=[("a", "b")])
    known = expectation(cells=("torch2.1/gru/*",))
    found = foresee([table(GRU), other], [known], today=TODAY)
    assert [record.combination for record, _ in found.expected] == ["torch2.1"]
    assert [record.combination for record in found.unexpected] == ["torch2.0"]
    assert found.missing == 1


EXPECTATIONS = st.builds(
    expectation,
    cells=st.sampled_from([("*/*/*",), ("*/*/*",), ("torch2.0/a/*",), ("*/b/onnx*",), ("*/nothing/*",), ()]),
    models=often(("*",), ("a",)),
    strategies=often((), ("onnx*",)),
    devices=often((), ("cpu",), ("cuda",)),
    outcome=st.sampled_from([Outcome.FAILED, Outcome.FAILED, Outcome.MISMATCHED, Outcome.CRASHED]),
    stage=often(None, Stage.LOAD, Stage.CONVERT),
    fingerprint=often("", "f", "ffffffff"),
    versions=often({}, {"torch": ">=2"}, {"torch": ">=3"}),
    tier=st.sampled_from(TIERS),
    expires=st.sampled_from([TODAY, TODAY, datetime.date(2020, 1, 1)]),
)


def test_every_broken_cell_is_expected_or_not_and_never_both() -> None:
    seen = {"expected": 0, "unexpected": 0, "passing": 0, "never": 0, "expired": 0}

    @given(sides(), st.lists(EXPECTATIONS, max_size=4))
    @settings(max_examples=300, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    def check(pair: tuple[Side, Side], expectations: list[Expectation]) -> None:
        tables = [side.table() for side in pair]
        found = foresee(tables, expectations, today=TODAY)

        def cells(records: Any) -> list[tuple[str, tuple[str, str, str]]]:
            return sorted((record.combination, record.cell) for record in records)

        broken = [record for each in tables for record in each.records if record.outcome.broken]
        assert cells(broken) == cells([*(record for record, _ in found.expected), *found.unexpected])
        assert all(_as_said(record, each) for record, each in found.expected)
        assert all(record.outcome is Outcome.PASSED for record, _ in found.passing)
        unmatched = [*found.never, *found.elsewhere, *found.expired]
        spoken = [each for _, each in (*found.expected, *found.passing, *found.otherwise)]
        assert not [each for each in spoken if each in found.expired]
        assert all(each in unmatched or each in spoken or _met_second(each, found) for each in expectations)
        for name in seen:
            seen[name] += bool(getattr(found, name))

    check()
    assert min(seen.values()) >= 20, seen


def _as_said(record: Record, each: Expectation) -> bool:
    """What an expectation that meets a cell says of it, once more and otherwise."""
    return (
        each.expires >= TODAY
        and each.outcome is record.outcome
        and (each.stage is None or each.stage is record.stage)
        and each.fingerprint in ("", record.fingerprint)
    )


def _met_second(each: Expectation, found: Foreseen) -> bool:
    """Whether another expectation came first at each cell that this one meets."""
    return any(_as_said(record, each) for record, _ in found.expected)


def test_no_gate_knows_of_expectations() -> None:
    """Whatever is expected, a comparison and its verdict are made of the tables and a policy alone."""
    for module in (comparison, evidence, gate, policy):
        assert "expectations" not in vars(module)
        assert not any(value in vars(module).values() for value in (Expectation, Foreseen, foresee))
