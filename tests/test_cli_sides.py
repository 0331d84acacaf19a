"""The verdict on two sides stands, whatever comes of looking for who is to blame."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.bench.errors import HarnessError, PausedError, RunInterruptedError, UsageError
from harness.cli import sides
from harness.verdict.comparison import compare
from harness.verdict.duelled import Duelled
from harness.verdict.gate import judge
from harness.verdict.policy import GatePolicy, Limits
from tests.tables.samples import failed, passed, table


@pytest.mark.parametrize("kind", [PausedError, UsageError, RunInterruptedError])
def test_a_verdict_outlasts_what_trials_raise(
    kind: type[HarnessError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(*_args: object, **_options: object) -> None:
        msg = "files were edited\nwhile cells ran."
        raise kind(msg)

    monkeypatch.setattr(sides, "looked_into", raises)
    cell = ("model", "onnx-torchscript")
    before, after = table(passed(*cell)), table(failed(*cell), started="2026-01-31T13:00:00Z")
    comparison = compare(before, after)
    verdict = judge(comparison, policy=GatePolicy(), unfinished=())
    both = sides.Sides(tasks=(None, None), folders=(tmp_path, tmp_path))  # type: ignore[arg-type]

    def blamed() -> tuple[object, object]:
        return sides._with_blame(tmp_path, both, comparison, verdict, budget_s=1, quietly=True)

    if kind is RunInterruptedError:
        with pytest.raises(RunInterruptedError):
            blamed()
        return
    bump, judged = blamed()
    assert bump is None
    assert isinstance(judged, type(verdict))
    assert judged.exit_code == verdict.exit_code == 1
    assert "Who is to blame could not be told: files were edited while cells ran." in judged.notes


def test_the_verdict_as_plain_values_has_what_failed_of_memory_and_latency(tmp_path: Path) -> None:
    before, after = ([passed("model", "onnx", rss_peak_mb=peak)] for peak in (300.0, 600.0))
    comparison = compare(table(*before), table(*after, started="2026-01-31T13:00:00Z"))
    verdict = judge(comparison, policy=GatePolicy(limits=Limits(memory_percent=10.0)), duelled=Duelled(none="no lock"))
    told = json.loads(json.dumps(sides._as_json(tmp_path, comparison, verdict, None)))
    assert (told["exit_code"], told["latency"]["none"]) == (1, "no lock")
    assert [(each["cell"], each["fails"]) for each in told["memory"]["cells"]] == [("model/onnx", True)]


def test_a_verdict_takes_one_launch_unless_memory_is_judged() -> None:
    assert sides.launches_of(None, GatePolicy()) == 1
    assert sides.launches_of(None, GatePolicy(limits=Limits(memory_percent=10.0))) is None
    assert sides.launches_of(5, GatePolicy()) == 5
    assert sides.launches_of(0, GatePolicy(limits=Limits(memory_percent=10.0))) == 0
