"""What outlets tell, as plain values: the cells, what there is to look at, and the figures; made once for all of them.

All texts in it are one line each of bounded length, and nothing in them acts in a terminal. What acts in the format of
an outlet is that outlet's to escape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Level(Enum):
    """How much there is to a finding, the worst first."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Status(Enum):
    """What a cell comes to for somebody who asks whether to merge."""

    PASSED = "passed"
    FAILS = "fails"
    UNTOLD = "not told"
    ASIDE = "set aside"


class Quantity(Enum):
    """A figure of a cell, with its unit. Less is better of each of them."""

    LATENCY = ("latency", "ms")
    MEMORY = ("peak memory", "MiB")
    SIZE = ("artifact size", "B")
    CONVERT = ("conversion time", "s")
    ERROR = ("relative error", "1")

    def __init__(self, words: str, unit: str) -> None:
        self.words = words
        self.unit = unit


@dataclass(frozen=True, kw_only=True)
class Place:
    """A line of a file of the repository, its path relative to the root."""

    path: str
    line: int = 1


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where the packages are asked for, and where the models are; empty where that is not known.

    `pinned_in` is the file that asks for packages, as a whole.
    """

    pins: Mapping[str, Place] = field(default_factory=dict)
    models: Mapping[str, Place] = field(default_factory=dict)
    pinned_in: Place | None = None


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell. `name` is MODEL/STRATEGY, `words` what became of it, `error` why; `seconds` is how long it took."""

    model: str
    strategy: str
    status: Status
    words: str
    error: str = ""
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """`resnet18/onnx-torchscript:16`."""
        return f"{self.model}/{self.strategy}"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something to look at. `rule` is the cause's name, equal for one cause; `remedy` what to do, where it is known.

    `place` is the pin that moved or the model's file, None where neither is known to have to do with it.
    `untold` is of what could not be told, which fails nobody and passes nobody.
    """

    level: Level
    rule: str
    title: str
    message: str
    cells: tuple[str, ...] = ()
    cause: str = ""
    remedy: str = ""
    fingerprint: str = ""
    place: Place | None = None
    untold: bool = False


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure of a cell that passed; `half_iqr` is half the interquartile range, where that is known.

    Of a skewed sample the median with that to both sides is not the middle half: the quartiles are not in a record.
    `care` are the words that speak against it.
    """

    model: str
    strategy: str
    quantity: Quantity
    value: float
    half_iqr: float | None = None
    care: str = ""

    @property
    def cell(self) -> str:
        """`resnet18/onnx-torchscript:16`."""
        return f"{self.model}/{self.strategy}"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All of it. `subject` is what was looked at, `decision` what it comes to in one line.

    `labels` say what the figures are of (combination, device, tier, started), `counts` how many cells came to which
    outcome. `pinned_in` is the file with the pins.
    """

    subject: str
    decision: str
    started: str
    cells: tuple[Cell, ...] = ()
    findings: tuple[Finding, ...] = ()
    figures: tuple[Figure, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    pins: Mapping[str, str] = field(default_factory=dict)
    pinned_in: Place | None = None
