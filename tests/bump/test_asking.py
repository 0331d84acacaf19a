"""What ends a phase of blame or of the way out before its end."""

from __future__ import annotations

import pytest

from harness.bench.errors import InfrastructureError, RunInterruptedError, UsageError
from harness.bump.asking import carried_on
from harness.bump.trials import BudgetSpentError


def _ended_by(error: Exception) -> list[str]:
    def phase() -> None:
        raise error

    limits: list[str] = []
    carried_on(phase, before="the side was told", limit=limits.append)
    return limits


def test_what_ends_a_phase_is_said_once_and_what_a_person_ends_is_raised() -> None:
    assert _ended_by(BudgetSpentError("over")) == ["the time for trials was over before the side was told"]
    for error in (InfrastructureError("no\nnetwork."), UsageError("no network.")):
        (told,) = _ended_by(error)
        assert told.startswith("before the side was told a trial came to no end, which is no result: no network.")
    with pytest.raises(RunInterruptedError):
        _ended_by(RunInterruptedError("asked to"))
    limits: list[str] = []
    carried_on(lambda: None, before="the side was told", limit=limits.append)
    assert not limits
