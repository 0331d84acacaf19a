"""Whole reports against their expected text in `expected/`: a change of a report is seen as a reader sees it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from harness.report import markdown
from harness.report.terminal import print_comparison, print_foreseen, print_grid
from harness.verdict.gate import judge
from harness.verdict.policy import GatePolicy, Limits
from tests.report import comparisons

EXPECTED = Path(__file__).parent / "expected"


def console(*, width: int = 110) -> Console:
    return Console(file=io.StringIO(), width=width)


def printed(made: Console) -> str:
    assert isinstance(made.file, io.StringIO)
    return made.file.getvalue()


def expected(name: str) -> str:
    return (EXPECTED / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["mixed", "moved", "untold", "unresolvable", "clean", "same", "doubtful", "shifts"])
def test_gate(name: str) -> None:
    comparison = getattr(comparisons, name)()
    made = console()
    print_comparison(made, comparison, judge(comparison))
    assert printed(made) == expected(f"gate-{name}.txt")
    assert markdown.comparison(comparison, judge(comparison)) == expected(f"gate-{name}.md")


def test_a_gate_that_fails_on_memory() -> None:
    comparison = comparisons.shifts()
    verdict = judge(comparison, policy=GatePolicy(limits=Limits(memory_percent=10.0), source="nightly.toml"))
    made = console()
    print_comparison(made, comparison, verdict)
    assert printed(made) == expected("gate-memory.txt")
    assert markdown.comparison(comparison, verdict) == expected("gate-memory.md")


def test_a_comparison_without_a_verdict() -> None:
    made = console()
    print_comparison(made, comparisons.untold())
    assert printed(made) == expected("comparison-untold.txt")
    assert markdown.comparison(comparisons.untold()) == expected("comparison-untold.md")


def test_a_grid() -> None:
    made = console()
    print_grid(made, comparisons.candidate_table())
    assert printed(made) == expected("grid.txt")
    assert markdown.grid(comparisons.candidate_table()) == expected("grid.md")


def test_a_grid_with_latencies_that_are_to_be_taken_with_care() -> None:
    table = comparisons.doubtful().tables[1]
    made = console()
    print_grid(made, table)
    assert printed(made) == expected("grid-doubtful.txt")
    assert markdown.grid(table) == expected("grid-doubtful.md")


def test_a_grid_of_what_was_expected_and_what_was_not() -> None:
    made = console()
    print_grid(made, comparisons.candidate_table(), comparisons.foreseen())
    assert printed(made) == expected("grid-expected.txt")
    assert markdown.grid(comparisons.candidate_table(), comparisons.foreseen()) == expected("grid-expected.md")
    made = console()
    print_foreseen(made, [comparisons.candidate_table()], comparisons.foreseen())
    assert printed(made) == expected("expectations.txt")


def test_a_grid_that_is_too_wide_goes_on_below() -> None:
    made = console(width=60)
    print_grid(made, comparisons.unfinished_table())
    assert printed(made) == expected("grid-narrow.txt")
    assert markdown.grid(comparisons.unfinished_table()) == expected("grid-narrow.md")


def test_a_grid_of_many_strategies() -> None:
    made = console(width=100)
    print_grid(made, comparisons.large_table())
    assert printed(made) == expected("grid-large.txt")
    assert markdown.grid(comparisons.large_table()) == expected("grid-large.md")
