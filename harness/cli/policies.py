"""What files in `matrices/` say of outcomes, as the verdict takes it: the gate policy, and the expectations."""

from __future__ import annotations

import datetime
from pathlib import Path

from harness.bench.stages import Outcome, Stage
from harness.matrix import expecting, matrixfile
from harness.tables.schema import Table
from harness.verdict.comparison import Category
from harness.verdict.expectations import Expectation, Foreseen, foresee
from harness.verdict.policy import DEFAULT_POLICY, GatePolicy, GateRule, Limits


def gate_policy(root: Path, matrix: Path | None) -> GatePolicy:
    """The policy in the matrix file that is named, or in nightly.toml; the default one where neither has a `[gate]`.

    Raises `UsageError` where that file cannot be read.
    """
    path = matrixfile.path_of(root, matrix)
    table = matrixfile.read(path, known=None).gate if path else None
    if path is None or table is None:
        return DEFAULT_POLICY
    return GatePolicy(
        fail=DEFAULT_POLICY.fail if table.fail is None else frozenset(map(Category, table.fail)),
        moved_natives=table.moved_natives,
        limits=_limits(table),
        latency_must_be_told=table.latency_must_be_told,
        rules=tuple(map(_rule, table.rules)),
        source=path.name,
    )


def expectations(root: Path, given: Path | None = None) -> tuple[Expectation, ...] | None:
    """The expectations in the file `given`, or in the repository's own; None where there is none.

    Raises `UsageError` where that file cannot be read.
    """
    path = expecting.path_of(root, given)
    if path is None:
        return None
    return tuple(
        _expectation(entry, expecting.name_of(path, number)) for number, entry in enumerate(expecting.read(path))
    )


def foreseen_of(table: Table, known: tuple[Expectation, ...] | None) -> Foreseen | None:
    """What expectations make of one table, as of the day that its run started; None where there are none."""
    if known is None:
        return None
    return foresee([table], known, today=datetime.date.fromisoformat(table.run.started[:10]))


def _expectation(entry: expecting.Entry, name: str) -> Expectation:
    return Expectation(
        name=name,
        outcome=Outcome(entry.outcome),
        reason=entry.reason,
        expires=entry.expires,
        cells=tuple(entry.cells),
        models=tuple(entry.models),
        strategies=tuple(entry.strategies),
        devices=tuple(entry.devices),
        versions=entry.versions,
        tier=entry.tier,
        stage=Stage(entry.stage) if entry.stage else None,
        fingerprint=entry.fingerprint,
        link=entry.link,
    )


def _rule(table: matrixfile.GateRuleTable) -> GateRule:
    return GateRule(
        models=tuple(table.models),
        strategies=tuple(table.strategies),
        fail=frozenset(map(Category, table.fail)),
        ignore=frozenset(map(Category, table.ignore)),
        moved_natives=table.moved_natives,
        limits=_limits(table),
    )


def _limits(table: matrixfile.Limits) -> Limits:
    return Limits(
        accuracy_points=table.accuracy_points,
        latency_percent=table.latency_percent,
        memory_percent=table.memory_percent,
    )
