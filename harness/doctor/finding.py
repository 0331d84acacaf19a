"""A finding: what was looked at, what was found, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Severity(str, Enum):
    """`FAULT` would stop a run, `WARNING` would slow it, or make it tell less."""

    FINE = "fine"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """`remedy` is what to type or do. `mend` does what is safe to be done without asking, and says what it did."""

    what: str
    found: str
    severity: Severity = Severity.FINE
    remedy: str = ""
    mend: Callable[[], str] | None = None


def fine(what: str, found: str) -> Finding:
    """All right."""
    return Finding(what=what, found=found)


def warning(what: str, found: str, remedy: str, mend: Callable[[], str] | None = None) -> Finding:
    """Something that a person should know."""
    return Finding(what=what, found=found, severity=Severity.WARNING, remedy=remedy, mend=mend)


def fault(what: str, found: str, remedy: str) -> Finding:
    """Something that would stop a run."""
    return Finding(what=what, found=found, severity=Severity.FAULT, remedy=remedy)
