"""The gate policy of a command: what the matrix file says under `[gate]`, as the verdict takes it."""

from __future__ import annotations

from pathlib import Path

from harness.matrix import matrixfile
from harness.verdict.comparison import Category
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
        rules=tuple(map(_rule, table.rules)),
        source=path.name,
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
