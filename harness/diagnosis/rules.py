"""Rules that say what a failure is: its cause, which versions have it, where it is reported, what to do instead.

They are data, in ``rules.toml`` beside this module; a new one needs no code. The first rule that fits a record counts.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, ClassVar, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion
from pydantic import ConfigDict, TypeAdapter, ValidationError

from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage

RULES_FILE = Path(__file__).with_name("rules.toml")

_GROUP = re.compile(r"\{(\w+)\}")


class RuleError(ValueError):
    """A rule that cannot be read; the message names it and what is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What is known of a failure.

    `affected` are the versions that have it, such as ``torch ==2.1.0``, empty where that is not known or the record's
    packages are not; `packages` are their names. `mended` is the first version that has not. `canary` is the zoo's
    model that is there for it, `is_canary` says that the record is that model's own, and `is_same` that it has the
    fingerprint of that model's.
    """

    rule: str
    cause: str
    remedy: str
    affected: str = ""
    packages: tuple[str, ...] = ()
    issues: tuple[str, ...] = ()
    mended: str = ""
    canary: str = ""
    is_canary: bool = False
    is_same: bool = False

    @property
    def known_as(self) -> str:
        """``the same as `embedding-new-zeros`, pytorch#110597, in torch ==2.1.0, mended in torch 2.1.1``, or less."""
        likeness = "the same as" if self.is_same else "like"
        parts = [f"{likeness} `{self.canary}`"] if self.canary and not self.is_canary else []
        parts += [issue.partition("/")[2] for issue in self.issues]
        parts += [f"in {self.affected}"] if self.affected else []
        parts += [f"mended in {self.mended}"] if self.mended else []
        return ", ".join(parts)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One known cause, and how a record is recognised.

    A record fits where all patterns that are given are found in it: `type` is the whole class of its error, `message`
    is looked for in the error, `difference` and `begins_at` in the columns of that name. `stages`, `outcomes`,
    `devices`, `strategies` and `models` (globs) bound it. `affected` are PEP 440 ranges by package: a record of an
    environment that has one of these packages in another version does not fit. `fingerprints` are those of the failure
    of `canary`. In `cause` and `remedy` a name in braces stands for the group of `message` that is called so.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    id: str
    cause: str
    remedy: str
    type: str = ""
    message: str = ""
    difference: str = ""
    begins_at: str = ""
    stages: tuple[Stage, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    devices: tuple[Literal["cpu", "cuda"], ...] = ()
    strategies: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()
    affected: Mapping[str, str] = field(default_factory=dict)
    mended: str = ""
    issues: tuple[str, ...] = ()
    canary: str = ""

    def diagnosis(self, record: Record, packages: Mapping[str, str]) -> Diagnosis | None:
        """What the rule says of `record`, whose environment had `packages` (name to version); None where it is other.

        Where no version of the packages that it is about is known, it is silent about versions.
        """
        found = self._found(record)
        if found is None:
            return None
        known: dict[str, str] = {canonicalize_name(name): version for name, version in packages.items()}
        inside = [_within(known[name], bounds) for name, bounds in self.affected.items() if name in known]
        if not all(inside):
            return None
        return Diagnosis(
            rule=self.id,
            cause=_filled(self.cause, found),
            remedy=_filled(self.remedy, found),
            affected=self._named(known) if inside else "",
            packages=tuple(name for name in map(canonicalize_name, self.affected) if name in known),
            issues=self.issues,
            mended=self.mended if inside or not self.affected else "",
            canary=self.canary,
            is_canary=record.model == self.canary,
            is_same=record.fingerprint in self.fingerprints,
        )

    def _found(self, record: Record) -> Mapping[str, str] | None:
        """The groups of the message where the record fits; None where it does not."""
        spelled = record.strategy.partition(":")[0]
        if (
            (self.stages and record.stage not in self.stages)
            or (self.outcomes and record.outcome not in self.outcomes)
            or (self.devices and record.device not in self.devices)
            or not _fits(spelled, self.strategies)
            or not _fits(record.model, self.models)
        ):
            return None
        if self.type and not re.fullmatch(self.type, record.error_type or ""):
            return None
        groups: dict[str, str] = {}
        for pattern, text in (
            (self.message, record.error),
            (self.difference, record.difference),
            (self.begins_at, record.begins_at),
        ):
            found = re.search(pattern, text or "")
            if found is None:
                return None
            groups.update({name: value or "" for name, value in found.groupdict().items()})
        return groups

    def _named(self, known: Mapping[str, str]) -> str:
        return ", ".join(f"{name} {bounds}" for name, bounds in self.affected.items() if name in known)


def _fits(name: str, globs: tuple[str, ...]) -> bool:
    return not globs or any(fnmatchcase(name, glob) for glob in globs)


def _within(version: str, bounds: str) -> bool:
    try:
        return SpecifierSet(bounds).contains(version, prereleases=True)
    except InvalidVersion:
        return False


def _filled(text: str, groups: Mapping[str, str]) -> str:
    return _GROUP.sub(lambda found: groups.get(found[1]) or "it", text)


def diagnose(record: Record, packages: Mapping[str, str]) -> Diagnosis | None:
    """What is known of a broken record; None where nothing is. `packages` are those of its environment."""
    if not record.outcome.broken:
        return None
    found = (rule.diagnosis(record, packages) for rule in rules())
    return next((each for each in found if each), None)


@functools.cache
def rules() -> tuple[Rule, ...]:
    """The rules, in the order in which they are tried. Raises `RuleError` where one cannot be read."""
    return read_rules(RULES_FILE.read_text(encoding="utf-8"))


def read_rules(text: str) -> tuple[Rule, ...]:
    """The rules in the text of a ``rules.toml``. Raises `RuleError` with the rule and what is wrong with it."""
    try:
        stated: Any = tomllib.loads(text).get("rule", [])
    except tomllib.TOMLDecodeError as error:
        msg = f"the rules are not valid TOML: {error}"
        raise RuleError(msg) from None
    found = tuple(_rule(each, number) for number, each in enumerate(stated, start=1))
    names = [each.id for each in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        msg = f"two rules are called {twice[0]!r}"
        raise RuleError(msg)
    return found


_ADAPTER = TypeAdapter(Rule)


def _rule(stated: Any, number: int) -> Rule:
    name = stated.get("id", f"number {number}") if isinstance(stated, dict) else f"number {number}"
    try:
        rule = _ADAPTER.validate_python(stated)
        groups = set(re.compile(rule.message).groupindex)
        for pattern in (rule.type, rule.difference, rule.begins_at):
            re.compile(pattern)
        for bounds in rule.affected.values():
            SpecifierSet(bounds)
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
        msg = f"rule {name}: {'.'.join(map(str, details['loc']))}: {details['msg']}"
        raise RuleError(msg) from None
    except (re.error, InvalidSpecifier) as error:
        msg = f"rule {name}: {error}"
        raise RuleError(msg) from None
    unknown = set(_GROUP.findall(rule.cause + rule.remedy)) - groups
    if unknown:
        msg = f"rule {name}: no group of `message` is called {', '.join(sorted(unknown))}"
        raise RuleError(msg)
    if not (rule.message or rule.type or rule.difference or rule.begins_at):
        msg = f"rule {name}: without a pattern it would fit whatever fails"
        raise RuleError(msg)
    return rule
