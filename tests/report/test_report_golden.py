"""Whole reports against their expected text in `expected/`: a change of a report is seen as a reader sees it.

`pytest tests/report --remake` writes them.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from harness.report import markdown
from harness.report.comment import comment
from harness.report.terminal import print_comparison, print_foreseen, print_grid
from harness.verdict.gate import judge
from harness.verdict.policy import GatePolicy, Limits
from tests.report import comparisons
from tests.report.golden import golden

EXPECTED = Path(__file__).parent / "expected"

Held = Callable[[str, str], None]


@pytest.fixture
def held(request: pytest.FixtureRequest) -> Held:
    """Holds a text against the file of a name."""
    return partial(golden, request.config, EXPECTED)


def console(*, width: int = 110) -> Console:
    return Console(file=io.StringIO(), width=width)


def printed(made: Console) -> str:
    assert isinstance(made.file, io.StringIO)
    return made.file.getvalue()


@pytest.mark.parametrize("name", ["mixed", "moved", "untold", "unresolvable", "clean", "same", "doubtful", "shifts"])
def test_gate(name: str, held: Held) -> None:
    comparison = getattr(comparisons, name)()
    made = console()
    print_comparison(made, comparison, judge(comparison))
    held(f"gate-{name}.txt", printed(made))
    held(f"gate-{name}.md", comment(comparison, judge(comparison)))


def test_a_gate_that_fails_on_memory(held: Held) -> None:
    comparison = comparisons.shifts()
    verdict = judge(comparison, policy=GatePolicy(limits=Limits(memory_percent=10.0), source="nightly.toml"))
    made = console()
    print_comparison(made, comparison, verdict)
    held("gate-memory.txt", printed(made))
    held("gate-memory.md", comment(comparison, verdict))


def test_a_gate_in_80_columns(held: Held) -> None:
    comparison = comparisons.shifts()
    made = console(width=80)
    print_comparison(made, comparison, judge(comparison))
    held("gate-narrow.txt", printed(made))


def test_a_comparison_without_a_verdict(held: Held) -> None:
    made = console()
    print_comparison(made, comparisons.untold())
    held("comparison-untold.txt", printed(made))
    held("comparison-untold.md", comment(comparisons.untold()))


def test_a_grid(held: Held) -> None:
    made = console()
    print_grid(made, comparisons.candidate_table())
    held("grid.txt", printed(made))
    held("grid.md", markdown.grid(comparisons.candidate_table()))


def test_a_grid_with_latencies_that_are_to_be_taken_with_care(held: Held) -> None:
    table = comparisons.doubtful().tables[1]
    made = console()
    print_grid(made, table)
    held("grid-doubtful.txt", printed(made))
    held("grid-doubtful.md", markdown.grid(table))


def test_a_grid_of_what_was_expected_and_what_was_not(held: Held) -> None:
    made = console()
    print_grid(made, comparisons.candidate_table(), comparisons.foreseen())
    held("grid-expected.txt", printed(made))
    held("grid-expected.md", markdown.grid(comparisons.candidate_table(), comparisons.foreseen()))
    made = console()
    print_foreseen(made, [comparisons.candidate_table()], comparisons.foreseen())
    held("expectations.txt", printed(made))


def test_a_grid_that_is_too_wide_goes_on_below(held: Held) -> None:
    made = console(width=60)
    print_grid(made, comparisons.unfinished_table())
    held("grid-narrow.txt", printed(made))
    held("grid-narrow.md", markdown.grid(comparisons.unfinished_table()))


def test_a_grid_of_many_strategies(held: Held) -> None:
    made = console(width=100)
    print_grid(made, comparisons.large_table())
    held("grid-large.txt", printed(made))
    held("grid-large.md", markdown.grid(comparisons.large_table()))
