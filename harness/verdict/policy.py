"""The gate policy: which changes of a cell fail a gate, for all cells or by model and strategy.

How cells are run is another thing, the run's own policy. No gate policy makes up for evidence that is not there: what
two tables cannot tell stays untold, unless a policy has it fail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from harness.verdict.comparison import WORSE, Category

LATENCY_NOTE = "Latency does not decide: the tables of two runs are no evidence of it. `harness duel` tells."
NUMBERS_NOTE = (
    "Latency and memory do not decide: the tables of two runs are no evidence of latency, which `harness duel` tells, "
    "and no limit of memory is named."
)
_UNUSED_LIMIT = "[gate] names latency_percent: add --duel."
MEMORY_NOTE = "Memory does not decide: no limit of it is named."


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much may get worse without failing: accuracy in points, latency and memory in percent. None is no limit.

    No two tables fail on latency, whatever the limit: what a duel confirms does.
    """

    accuracy_points: float | None = None
    latency_percent: float | None = None
    memory_percent: float | None = None

    def words(self) -> list[str]:
        """A phrase for each limit that is named: `accuracy may drop 0.5 points`."""
        said = [] if self.accuracy_points is None else [f"accuracy may drop {self.accuracy_points:g} points"]
        said += [] if self.latency_percent is None else [f"latency may grow {self.latency_percent:g} %"]
        return said + ([] if self.memory_percent is None else [f"memory may grow {self.memory_percent:g} %"])


@dataclass(frozen=True, kw_only=True)
class GateRule:
    """What a policy says of some cells: of models and strategies that the globs match, of all where there are none.

    `moved_natives` is None where the rule says nothing of native outputs, which are a model's and no strategy's.
    """

    models: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()
    fail: frozenset[Category] = frozenset()
    ignore: frozenset[Category] = frozenset()
    moved_natives: bool | None = None
    limits: Limits = field(default_factory=Limits)

    def covers(self, model: str, strategy: str) -> bool:
        """Whether it is about a cell."""
        return self.covers_model(model) and _any(self.strategies, strategy)

    def covers_model(self, model: str) -> bool:
        """Whether it is about a model, whatever the strategy."""
        return _any(self.models, model)

    @property
    def scope(self) -> str:
        """Which cells it is about, in words."""
        parts = [
            f"{what} {' and '.join(globs)}"
            for what, globs in (("models", self.models), ("strategies", self.strategies))
            if globs
        ]
        return f"for {', '.join(parts)}" if parts else "for all cells"

    def words(self) -> str:
        """What it says, in words."""
        parts = [f"{' and '.join(_named(self.fail))} fails"] if self.fail else []
        parts += [f"{' and '.join(_named(self.ignore))} does not fail"] if self.ignore else []
        if self.moved_natives is not None:
            parts.append(f"moved native outputs {'fail' if self.moved_natives else 'do not fail'}")
        parts += self.limits.words()
        return f"{self.scope} {', '.join(parts)}"


@dataclass(frozen=True, kw_only=True)
class GatePolicy:
    """Which categories fail, whether a moved native output does, how much accuracy may drop, and rules for some cells.

    Of the rules that cover a cell and say something of the matter, the last one counts. With `latency_must_be_told` a
    duel that leaves a cell with a limit undecided leaves the verdict open. `source` names the file that the policy is
    from; empty for the default one.
    """

    fail: frozenset[Category] = WORSE
    moved_natives: bool = True
    limits: Limits = field(default_factory=Limits)
    latency_must_be_told: bool = False
    rules: tuple[GateRule, ...] = ()
    source: str = ""

    def fails(self, category: Category, *, model: str, strategy: str) -> bool:
        """Whether a cell that became `category` fails the gate. Nothing that is unchanged does."""
        if category is Category.UNCHANGED:
            return False
        for rule in reversed(self.rules):
            if category in rule.fail | rule.ignore and rule.covers(model, strategy):
                return category in rule.fail
        return category in self.fail

    def fails_natives(self, model: str) -> bool:
        """Whether the gate fails where the native output of `model` moved."""
        for rule in reversed(self.rules):
            if rule.moved_natives is not None and rule.covers_model(model):
                return rule.moved_natives
        return self.moved_natives

    def accuracy_points(self, model: str, strategy: str) -> float | None:
        """By how many points the accuracy of a cell may drop; None where that is not judged."""
        return self._limit("accuracy_points", model, strategy)

    def latency_percent(self, model: str, strategy: str) -> float | None:
        """By how many percent the latency of a cell may grow; None where that is not judged."""
        return self._limit("latency_percent", model, strategy)

    def memory_percent(self, model: str, strategy: str) -> float | None:
        """By how many percent the memory of a cell may grow; None where that is not judged."""
        return self._limit("memory_percent", model, strategy)

    def _limit(self, name: str, model: str, strategy: str) -> float | None:
        for rule in reversed(self.rules):
            limit: float | None = getattr(rule.limits, name)
            if limit is not None and rule.covers(model, strategy):
                return limit
        default: float | None = getattr(self.limits, name)
        return default

    def names(self, limit: str) -> bool:
        """Whether it names a limit anywhere: `latency_percent`."""
        return any(getattr(limits, limit) is not None for limits in (self.limits, *(r.limits for r in self.rules)))

    def differences(self) -> tuple[str, ...]:
        """A phrase for each thing in which it differs from the default policy."""
        more, less = self.fail - WORSE, WORSE - self.fail
        found = [f"{name} fails" for name in _named(more)]
        found += [f"{name} does not fail" for name in _named(less)]
        found += [] if self.moved_natives else ["moved native outputs do not fail"]
        found += ["a latency that a duel leaves inconclusive is not passed over"] if self.latency_must_be_told else []
        return (*found, *self.limits.words(), *(rule.words() for rule in self.rules))

    def notes(self, *, duelled: bool = False) -> tuple[str, ...]:
        """Sentences on what a verdict by this policy is judged by, and which numbers it is not judged by.

        `duelled` says whether it is judged by a duel as well.
        """
        said = []
        if self.source:
            different = "; ".join(self.differences())
            told = f"which differs from the default: {different}" if different else "which is the default policy"
            said.append(f"Judged by [gate] of {self.source}, {told}.")
        memory = self.names("memory_percent")
        if duelled:
            return (*said, *([] if memory else [MEMORY_NOTE]))
        note = LATENCY_NOTE if memory else NUMBERS_NOTE
        return (*said, f"{note} {_UNUSED_LIMIT}" if self.names("latency_percent") else note)


DEFAULT_POLICY = GatePolicy()


def _any(globs: Sequence[str], name: str) -> bool:
    return not globs or any(fnmatchcase(name, glob) for glob in globs)


def _named(categories: frozenset[Category]) -> list[str]:
    return [category.value for category in Category if category in categories]
