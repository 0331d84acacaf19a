"""All checks, at the same time: most of it is waiting."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.bench.errors import HarnessError
from harness.doctor import leftovers, machine, pins, tools, variables
from harness.doctor.finding import Finding, Severity, warning

Check = Callable[[Path], list[Finding]]

CHECKS: Mapping[str, Check] = {
    "Pythons": tools.pythons,
    "Tools": tools.installers,
    "Package index": tools.index,
    "GPU": machine.graphics,
    "Memory": machine.memory,
    "Disks": machine.disks,
    "Locks": pins.locks,
    "Environments": pins.environments,
    "Runs": leftovers.leftovers,
    "Variables": variables.variables,
    "Limits": variables.limits,
    "Clock": machine.clock,
}


def examine(root: Path, checks: Mapping[str, Check] = CHECKS) -> dict[str, list[Finding]]:
    """What each check finds about `root` and this machine. Nothing is changed."""
    with ThreadPoolExecutor(max_workers=len(checks)) as pool:
        asked = {title: pool.submit(_looked, title, check, root) for title, check in checks.items()}
        return {title: future.result() for title, future in asked.items()}


def _looked(title: str, check: Check, root: Path) -> list[Finding]:
    """One check; what it could not look at is a finding too, and costs no other."""
    try:
        return check(root)
    except (HarnessError, OSError, subprocess.SubprocessError) as error:
        return [warning(title.lower(), f"this could not be looked at: {error}", "Mend that, and ask again.")]


def mend(findings: Sequence[Finding]) -> list[str]:
    """Do what is safe about what was found; a line for each that was done."""
    done = []
    for finding in findings:
        if finding.mend is not None:
            with contextlib.suppress(OSError):
                done.append(finding.mend())
    return done


def stops_a_run(found: Mapping[str, Sequence[Finding]]) -> bool:
    """Whether there is a fault among them."""
    return any(finding.severity is Severity.FAULT for findings in found.values() for finding in findings)
