"""How far a cell came, and what became of it."""

from __future__ import annotations

from enum import Enum


class Stage(str, Enum):
    """The stages of a cell, in order. A stage is written down before it begins."""

    RESOLVE = "resolve"
    INSTALL = "install"
    IMPORT = "import"
    BUILD = "build"
    CONVERT = "convert"
    VALIDATE = "validate"
    LOAD = "load"
    EXECUTE = "execute"
    MATCH = "match"
    PROBE = "probe"
    MEASURE = "measure"

    @property
    def rank(self) -> int:
        """0 for the first stage; a failure at a lower rank came earlier."""
        return _RANKS[self]


_RANKS = {stage: rank for rank, stage in enumerate(Stage)}


class Outcome(str, Enum):
    """What became of a cell. Every planned cell has exactly one."""

    PASSED = "passed"
    FAILED = "failed"
    MISMATCHED = "mismatched"
    CRASHED = "crashed"
    TIMED_OUT = "timed-out"
    OUT_OF_MEMORY = "out-of-memory"
    UNRESOLVABLE = "unresolvable"
    NOT_APPLICABLE = "not-applicable"

    @property
    def broken(self) -> bool:
        """Whether the cell was tried and does not work."""
        return self not in (Outcome.PASSED, Outcome.NOT_APPLICABLE)
