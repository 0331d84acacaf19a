"""The comment on a pull request: what it shows at once, what it folds, and what it keeps within GitHub's limit."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.report.comment import LIMIT, comment, marker
from harness.report.families import family_lines
from harness.report.fitting import Block, fitted
from harness.tables.reading import read_table
from harness.verdict.comparison import Comparison, compare
from harness.verdict.environments import PackageChange
from harness.verdict.gate import judge
from tests.documents import committed_results
from tests.report import comparisons
from tests.report.test_report_outlets import MENTION, rendered
from tests.tables.samples import failed, passed, table


def outside_folds(text: str) -> list[str]:
    lines, depth = [], 0
    for line in text.splitlines():
        depth += line == "<details>"
        lines += [line] if depth == 0 else []
        depth -= line == "</details>"
    return lines


@pytest.fixture(scope="module")
def core() -> Comparison:
    """The committed comparison of the core tier: torch 2.0 to 2.1."""
    sides = (max((committed_results() / name / "cpu-core").iterdir()) for name in ("torch2.0", "torch2.1"))
    return compare(*map(read_table, sides))


def test_the_comment_of_the_core_tier_is_at_most_forty_lines_before_its_folds(core: Comparison) -> None:
    for text in (comment(core), comment(core, judge(core))):
        assert len(outside_folds(text)) <= 40
        assert len(text) < LIMIT
    hidden, decision = text.splitlines()[:2]
    assert hidden == "<!-- conversion-harness: torch2.0 cpu core -->"
    assert decision == "### Do not merge: 5 cells newly failing, of 399 cells"
    assert "\n- CUDA 11.7 → 12.1 (23 packages)\n" in text
    assert "nvidia-" not in text
    assert "[`pytorch#110597`](https://redirect.github.com/pytorch/pytorch/issues/110597), in torch ==2.1.0" in text
    assert not MENTION.search(rendered(text).running), "no issue is told of it"


def test_the_decision_comes_first_then_what_breaks_then_the_numbers_and_folds_last() -> None:
    mixed = comparisons.mixed()
    text = comment(mixed, judge(mixed))
    places = [text.index(words) for words in ("Do not merge", "What breaks", "asks.", "Numbers that count", "Next")]
    assert places == sorted(places)
    assert text.index("<details>") > places[-1]
    assert "details" in rendered(text).elements
    assert not re.search("^#+ #", text, re.MULTILINE)


def test_the_marker_is_the_same_after_another_push() -> None:
    run = comparisons.mixed().base
    assert marker(run) == "<!-- conversion-harness: torch2.0 cpu quick -->"
    given_names = ("requirements-0123abcd", "requirements-89efab01")
    assert len({marker(replace(run, combination=name)) for name in given_names}) == 1


@given(models=st.text("->!<\n x\x00é", max_size=12))
def test_nothing_ends_the_marker_before_its_end(models: str) -> None:
    found = marker(replace(comparisons.mixed().base, models=models))
    assert re.fullmatch(r"<!-- conversion-harness: [\w./+: -]+ -->", found, re.ASCII)
    assert "--" not in found[4:-3]


def many(causes: int) -> Comparison:
    """So many cells that pass and then fail, each with a cause of its own and a long error."""
    cells = [(f"model-{number:04}", "onnx-torchscript") for number in range(causes)]
    broken = [failed(*cell, error=f"{n} " + "x" * 400, fingerprint=f"{n:08x}") for n, cell in enumerate(cells)]
    return compare(table(*(passed(*cell) for cell in cells)), table(*broken, started="2026-01-31T13:00:00Z"))


def test_what_has_no_room_is_counted_and_where_it_is_is_said() -> None:
    comparison = many(400)
    text = comment(comparison, judge(comparison))
    assert LIMIT - 2000 < len(text) <= LIMIT
    cut = text.splitlines()[-1]
    assert cut.startswith("Left out: ")
    assert cut.endswith("The tables have all of it.")
    shown = sum(line.startswith("- **passed") for line in text.splitlines())
    assert f"{400 - shown} of 400 causes of what breaks" in cut
    assert "Next: " in text
    assert rendered(text).depth == 0


@given(
    blocks=st.lists(
        st.builds(
            Block,
            items=st.lists(st.text("ab\n", max_size=30), max_size=6).map(tuple),
            opening=st.sampled_from(["", "<details>"]),
            closing=st.sampled_from(["", "</details>"]),
            what=st.just("things"),
        ),
        max_size=6,
    ),
    limit=st.integers(200, 600),
)
@settings(max_examples=200)
def test_a_document_keeps_to_its_limit_and_says_what_it_cut(blocks: list[Block], limit: int) -> None:
    text = fitted(blocks, limit=limit, cut_line=lambda cut: f"Left out: {cut}.")
    assert len(text) <= limit
    whole = fitted(blocks, limit=10**6, cut_line=lambda _: "")
    assert text == whole or text.splitlines()[-1].startswith("Left out: ")


def test_packages_are_told_by_family() -> None:
    def moved(name: str, base: str | None, candidate: str | None, extension: str = "") -> PackageChange:
        return PackageChange(name=name, base=base, candidate=candidate, extension=extension)

    old = [moved(f"nvidia-{name}-cu11", "11.7.99", None) for name in ("cuda-runtime", "cudnn", "nccl")]
    new = [moved(f"nvidia-{name}-cu12", None, "12.1.105") for name in ("cuda-runtime", "cudnn", "nccl")]
    jax = [moved(f"jax-{name}", "1", "2") for name in ("a", "b", "c")]
    rest = [moved("onnx", "1", "2"), moved("cmake", "3", None), moved("tf", "1", "2", extension="tools")]
    assert family_lines([*old, *new, *jax, *rest], arrow="→") == [
        "CUDA 11.7 → 12.1 (6 packages)",
        "jax-*: jax-a 1 → 2, jax-b 1 → 2, jax-c 1 → 2",
        "onnx 1 → 2",
        "only in the base: cmake 3",
        "tools: tf 1 → 2",
    ]
    assert family_lines([moved(name, "1", "2") for name in ("onnx", "tf", "triton")], most=2) == [
        "onnx 1 -> 2, tf 1 -> 2, and 1 more"
    ]
    assert family_lines(new) == ["CUDA absent -> 12.1 (3 packages)"]
    assert family_lines([moved("nvidia-cudnn-cu12", "8", "9")]) == ["CUDA libraries: nvidia-cudnn-cu12 8 -> 9"]
    assert family_lines([moved("nvidia-cudnn-cu11", "8", None), moved("nvidia-cudnn-cu12", None, "8")]) == [
        "CUDA 11 -> 12 (2 packages)"
    ]
