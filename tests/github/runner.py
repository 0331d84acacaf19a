"""Runs steps of this repository's actions and workflows as a runner does: their scripts, with what they are given."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]


def read(path: str) -> Any:
    """A workflow or an action of this repository."""
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


ACTION = read("action.yml")
VERDICT = next(step for step in ACTION["runs"]["steps"] if step.get("id") == "verdict")


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a step came to."""

    code: int
    log: str
    outputs: dict[str, str]
    summary: str


def bash(script: str, folder: Path, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a script as `shell: bash` does, with nothing of this process's environment but what programs are found by."""
    own = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script],
        cwd=folder,
        env={**own, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )


def verdict(root: Path, **inputs: str) -> Done:
    """The step of `action.yml` that runs the harness, in the checkout `root`."""
    place = root.parent / "runner"
    python = place / "conversion-harness" / "bin" / "python"
    python.parent.mkdir(parents=True, exist_ok=True)
    if not python.exists():
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
        python.chmod(0o755)
    given = {name: str(each.get("default", "")) for name, each in ACTION["inputs"].items()} | inputs
    output, summary = place / "output", place / "summary"
    environ = {"RUNNER_TEMP": str(place), "GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary)}
    for name, value in VERDICT["env"].items():
        found = re.fullmatch(r"\$\{\{ inputs\.([\w-]+) \}\}", value)
        environ[name] = given[found[1]] if found else sys.executable
    for path in (output, summary):
        path.write_text("", encoding="utf-8")
    done = bash(VERDICT["run"], root, environ)
    told = output.read_text(encoding="utf-8").splitlines()
    return Done(
        code=done.returncode,
        log=done.stdout,
        outputs=dict(line.split("=", 1) for line in told),
        summary=summary.read_text(encoding="utf-8"),
    )
