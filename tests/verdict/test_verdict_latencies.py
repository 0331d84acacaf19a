"""Latencies that moved together are told once, as what they are."""

from __future__ import annotations

from harness.bench.record import Record
from harness.verdict.latencies import LatencyChanges, latency_changes
from harness.verdict.together import Group
from tests.tables.samples import passed


def changes(ratios: dict[tuple[str, str], float], **values: str) -> LatencyChanges:
    def cell(model: str, strategy: str, latency_ms: float) -> Record:
        return passed(model, strategy, latency_ms=latency_ms, **{"provider": "cpu", **values})

    return latency_changes([(cell(*name, 2.0), cell(*name, 2.0 * ratio)) for name, ratio in ratios.items()])


def test_what_a_runtime_moved_by_is_one_finding() -> None:
    found = changes({(model, "native"): ratio for model, ratio in zip("abcd", (1.1, 1.2, 1.3, 0.9), strict=True)})
    (shift,) = found.together
    assert (shift.group, shift.cells) == (Group(runtime="cpu"), 4)
    assert 1.1 < shift.ratio < 1.2
    assert shift.low < shift.ratio < shift.high
    assert (found.cells, found.slower, found.faster) == (4, 2, 0)


def test_what_goes_either_way_or_hardly_at_all_did_not_move_together() -> None:
    assert not changes({(m, "native"): r for m, r in zip("abcd", (1.4, 1.3, 0.7, 0.8), strict=True)}).together
    assert not changes({(m, "native"): 1.04 for m in "abcd"}).together
    assert not changes({(m, "native"): 2.0 for m in "ab"}).together
    assert not changes({("a", f"onnx:{n}"): 2.0 for n in range(4)}).together
    assert not changes({(m, "native"): 2.0 for m in "abcd"}, provider="").together


def test_one_strategy_may_move_alone() -> None:
    ratios = {(m, "onnx:16"): 1.0 for m in "abcdef"} | {(m, "tf2onnx"): 0.8 for m in "abc"}
    (shift,) = changes(ratios).together
    assert (shift.group, shift.cells) == (Group(runtime="cpu", strategy="tf2onnx"), 3)
    both = changes(dict.fromkeys(ratios, 1.5))
    assert [each.group for each in both.together] == [Group(runtime="cpu")]


def test_what_is_no_latency_is_not_compared() -> None:
    names = [passed("m", "s", latency_ms=each) for each in (None, 0.0, float("nan"), float("inf"), 1.0)]
    assert latency_changes([(before, after) for before in names for after in names[:-1]]).cells == 0
