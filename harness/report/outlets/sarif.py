"""SARIF 2.1.0, for code scanning: a rule for each cause, a result where it shows, at the pin or the model's file."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from harness import __version__
from harness.report.outlets.facts import Facts, Finding

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def sarif(facts: Facts) -> str:
    """One run of the harness, with what it found."""
    rules: dict[str, dict[str, Any]] = {}
    for finding in facts.findings:
        rules.setdefault(finding.rule, _rule(finding))
    order = list(rules)
    driver = {"name": "conversion-harness", "version": __version__, "rules": list(rules.values())}
    results = [_result(finding, order.index(finding.rule)) for finding in facts.findings]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _rule(finding: Finding) -> dict[str, Any]:
    rule: dict[str, Any] = {"id": finding.rule, "shortDescription": {"text": finding.title}}
    if finding.cause:
        rule["fullDescription"] = {"text": finding.cause}
    if finding.remedy:
        rule["help"] = {"text": finding.remedy}
    return rule


def _result(finding: Finding, index: int) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": finding.level.value,
        "message": {"text": f"{finding.title}. {finding.message}"},
    }
    if finding.place:
        where = {
            "artifactLocation": {"uri": quote(finding.place.path), "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": finding.place.line},
        }
        result["locations"] = [{"physicalLocation": where}]
    if finding.fingerprint:
        result["partialFingerprints"] = {"conversionHarness/v1": finding.fingerprint}
    return result
