"""JUnit's XML, as CI systems read it: a case for each cell, a failure for each that fails the verdict."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter

from harness.report.outlets.facts import Cell, Facts, Finding, Level, Status


def junit(facts: Facts) -> str:
    """A suite of the cells.

    What could not be told is an error; what does not pass and fails nobody is skipped, with the reason. Findings that
    are no cell's are cases of their own; one that fails nobody passes, with its words as output.
    """
    others = [each for each in facts.findings if not each.cells]
    counts = Counter([cell.status for cell in facts.cells] + [_status(each) for each in others])
    totals = {
        "name": facts.subject,
        "tests": str(len(facts.cells) + len(others)),
        "failures": str(counts[Status.FAILS]),
        "errors": str(counts[Status.UNTOLD]),
        "skipped": str(counts[Status.ASIDE]),
        "time": f"{sum(cell.seconds for cell in facts.cells):.3f}",
    }
    suites = ET.Element("testsuites", totals)
    suite = ET.SubElement(suites, "testsuite", {**totals, **({"timestamp": facts.started} if facts.started else {})})
    properties = ET.SubElement(suite, "properties")
    for name, value in {**facts.labels, **{f"pin.{name}": version for name, version in facts.pins.items()}}.items():
        ET.SubElement(properties, "property", {"name": name, "value": value})
    for cell in facts.cells:
        _case(suite, cell)
    for finding in others:
        _own_case(suite, facts.subject, finding)
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _status(finding: Finding) -> Status:
    if finding.untold:
        return Status.UNTOLD
    return Status.FAILS if finding.level is Level.ERROR else Status.PASSED


def _own_case(suite: ET.Element, subject: str, finding: Finding) -> None:
    case = ET.SubElement(suite, "testcase", {"classname": subject, "name": finding.title, "time": "0.000"})
    status = _status(finding)
    if status is Status.PASSED:
        told = ET.SubElement(case, "system-out")
    else:
        kind = "failure" if status is Status.FAILS else "error"
        told = ET.SubElement(case, kind, {"message": finding.message, "type": finding.rule})
    told.text = "\n".join(filter(None, (finding.message, finding.cause, finding.remedy)))


def _case(suite: ET.Element, cell: Cell) -> None:
    attributes = {"classname": cell.model, "name": cell.name, "time": f"{cell.seconds:.3f}"}
    case = ET.SubElement(suite, "testcase", attributes)
    if cell.status is Status.ASIDE:
        ET.SubElement(case, "skipped", {"message": cell.words})
    elif cell.status is not Status.PASSED:
        kind = "failure" if cell.status is Status.FAILS else "error"
        told = ET.SubElement(case, kind, {"message": cell.words, "type": cell.words.partition(":")[0]})
        told.text = cell.error
