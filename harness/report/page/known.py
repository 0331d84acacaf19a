"""What is known of what broke, as the page has it: cause and remedy by rules, blame and way out by trials."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.bench.failure import signature_of
from harness.bench.record import Record
from harness.bump.schema import Bump
from harness.diagnosis.rules import Diagnosis, diagnose
from harness.report.bump import claims, effort, heading
from harness.report.diagnoses import told_of
from harness.report.page.texts import Once, Texts
from harness.report.wayout import offers
from harness.report.wording import SHORT_ERROR, detail
from harness.tables.schema import Run
from harness.verdict.expectations import packages_of

_FINGERPRINT = re.compile("[0-9a-f]{8,64}")

Told = tuple[tuple[str, str], ...]
"""Labels and texts."""


@dataclass
class Causes:
    """The causes of what is broken, each once: a rule where one fits, else the fingerprint or the error's own text."""

    texts: Texts
    told: Once[Told] = field(default_factory=Once)
    _numbers: dict[str, int] = field(default_factory=dict)
    _causes: list[dict[str, Any]] = field(default_factory=list)

    def of(self, record: Record, run: Run) -> tuple[int | None, int | None]:
        """The number of a record's cause, and that of what is told of it; None where it is not broken."""
        if not record.outcome.broken:
            return None, None
        found = diagnose(record, packages_of(run, record.extension))
        key = _key(found, record)
        if key not in self._numbers:
            self._numbers[key] = len(self._causes)
            self._causes.append({"key": key} | self._described(found, record))
        told = tuple(told_of(record, run))
        return self._numbers[key], self.told.number(told) if told else None

    def _described(self, found: Diagnosis | None, record: Record) -> dict[str, Any]:
        if found is None:
            label = detail(record, length=SHORT_ERROR) or "no error was recorded"
            return {"label": self.texts.of(label), "fingerprint": self.texts.of(record.fingerprint)}
        links = [_link(issue) for issue in found.issues]
        return {"label": self.texts.of(found.cause), "rule": found.rule, "issues": [link for link in links if link]}

    def to_json(self) -> list[dict[str, Any]]:
        """All causes, in the order of their numbers."""
        return self._causes

    def told_to_json(self) -> list[list[list[int]]]:
        """Labels and texts by their numbers."""
        return [[self.texts.all_of(list(pair)) for pair in told] for told in self.told.values]


def _key(found: Diagnosis | None, record: Record) -> str:
    """What addresses call a cause: the same over tables and pages, and harmless whatever a record says."""
    if found:
        return found.rule
    signature = signature_of(record)
    return signature if _FINGERPRINT.fullmatch(signature) else hashlib.sha256(signature.encode()).hexdigest()[:12]


def _link(issue: str) -> list[str] | None:
    """`pytorch#110597` and where that is; None for what is no issue of GitHub's."""
    repository, _, number = issue.partition("#")
    owner, _, name = repository.partition("/")
    if not (owner and name and number.isdecimal()):
        return None
    return [f"{name}#{number}", f"https://github.com/{owner}/{name}/issues/{number}"]


def blames_of(bump: Bump, texts: Texts) -> dict[str, Any]:
    """What `bump.json` beside a table says: of each cause who is to blame and what passes instead, by trials."""
    ways: Mapping[str, Any] = {out.cell: out for out in bump.ways_out}
    return {
        "base": texts.of(bump.base),
        "candidate": texts.of(bump.candidate),
        "effort": texts.of(effort(bump)),
        "causes": [
            {
                "heading": texts.of(heading(blame)),
                "cells": texts.all_of(list(dict.fromkeys([blame.cell, *blame.cells]))),
                "blame": _pairs(claims(blame), texts),
                "ways": _pairs(offers(ways[blame.cell], bump), texts) if blame.cell in ways else [],
            }
            for blame in bump.blames
        ],
    }


def _pairs(told: Sequence[tuple[str, str]], texts: Texts) -> list[list[int]]:
    return [texts.all_of([label, text]) for label, text in told]
