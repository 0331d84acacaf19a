"""The verdict on two sides stands, whatever comes of looking for who is to blame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.bench.errors import HarnessError, PausedError, RunInterruptedError, UsageError
from harness.bench.plan import Policy
from harness.cli import sides
from harness.cli.running import select
from harness.report.outlets.document import document
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


def test_the_verdict_as_plain_values_has_what_failed_of_memory_and_latency() -> None:
    before, after = ([passed("model", "onnx", rss_peak_mb=peak)] for peak in (300.0, 600.0))
    comparison = compare(table(*before), table(*after, started="2026-01-31T13:00:00Z"))
    verdict = judge(comparison, policy=GatePolicy(limits=Limits(memory_percent=10.0)), duelled=Duelled(none="no lock"))
    told = json.loads(document(comparison, verdict, None, file_of=lambda *_: ""))
    assert (told["exit_code"], told["latency"]["none"]) == (1, "no lock")
    assert [(each["cell"], each["fails"]) for each in told["memory"]["cells"]] == [("model/onnx", True)]


@pytest.mark.parametrize(
    ("asked", "stated", "limits", "timed"),
    [
        (None, None, Limits(), 1),
        (None, None, Limits(memory_percent=10.0), Policy().launches),
        (None, 0, Limits(), 0),
        (None, 5, Limits(), 5),
        (None, 5, Limits(memory_percent=10.0), 5),
        (2, 5, Limits(), 2),
        (0, None, Limits(memory_percent=10.0), 0),
    ],
)
def test_a_verdict_takes_one_launch_where_nobody_says_how_many_and_memory_is_not_judged(
    asked: int | None, stated: int | None, limits: Limits, timed: int, tmp_path: Path
) -> None:
    matrix = tmp_path / "own.toml"
    said = "" if stated is None else f"[policy]\nlaunches = {stated}\n"
    matrix.write_text(f'combinations = ["now"]\ndevices = ["cpu"]\n{said}', encoding="utf-8")
    given: dict[str, Any] = {"models": ["lstm"], "strategies": ["native"], "tier": "quick", "device": "cpu"}
    given |= {"plugins": (), "paths": (), "extensions": False, "launches": asked}
    _, (selection,) = select(tmp_path, (), matrix, instead=["now"], **given)
    (plan,) = sides.for_a_verdict(selection, GatePolicy(limits=limits)).plans("now", None)
    assert plan.policy.launches == timed
