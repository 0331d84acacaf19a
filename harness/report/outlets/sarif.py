"""SARIF 2.1.0, for code scanning: a rule for each cause, a result where it shows.

That is at the pin that moved or the model's file, else at the file with the pins.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from harness import __version__
from harness.report.outlets.facts import Facts, Finding, Place

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_ESCAPES = str.maketrans({"{": "{{", "}": "}}", "[": r"\[", "]": r"\]", "\\": r"\\"})


def sarif(facts: Facts) -> str:
    """One run of the harness, with what it found."""
    rules: dict[str, dict[str, Any]] = {}
    for finding in facts.findings:
        rules.setdefault(finding.rule, _rule(finding))
    order = list(rules)
    driver = {"name": "conversion-harness", "version": __version__, "rules": list(rules.values())}
    results, notifications = [], []
    for finding in facts.findings:
        index, place = order.index(finding.rule), finding.place or facts.pinned_in
        if place:
            results.append(_result(finding, index, place))
        else:
            notifications.append(_notification(finding, index))
    told = {"executionSuccessful": True, **({"toolExecutionNotifications": notifications} if notifications else {})}
    run = {
        "tool": {"driver": driver},
        "invocations": [told],
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _rule(finding: Finding) -> dict[str, Any]:
    rule: dict[str, Any] = {"id": finding.rule, "shortDescription": _message(finding.title)}
    if finding.cause:
        rule["fullDescription"] = _message(finding.cause)
    if finding.remedy:
        rule["help"] = _message(finding.remedy)
    return rule


def _said(finding: Finding) -> dict[str, Any]:
    return {"level": finding.level.value, "message": _message(f"{finding.title}. {finding.message}")}


def _message(text: str) -> dict[str, str]:
    """A message that is only text: without placeholders (section 3.11.5) and embedded links (3.11.6)."""
    return {"text": text.translate(_ESCAPES)}


def _notification(finding: Finding, index: int) -> dict[str, Any]:
    """What points nowhere: code scanning refuses a file that has a result without a location."""
    return {**_said(finding), "associatedRule": {"id": finding.rule, "index": index}}


def _result(finding: Finding, index: int, place: Place) -> dict[str, Any]:
    where = {
        "artifactLocation": {"uri": quote(place.path), "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": place.line},
    }
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": index,
        **_said(finding),
        "locations": [{"physicalLocation": where}],
    }
    if finding.fingerprint:
        result["partialFingerprints"] = {"conversionHarness/v1": finding.fingerprint}
    return result
