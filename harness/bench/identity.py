"""What makes two executions the same: the identity of an attempt.

Its parts are digests, kept apart so that a person can be told what differs. Two attempts of equal identity would record
the same, as far as can be told before anything is built; what only a build can tell (the modules that a model imports
inside functions) is recorded with the build, and compared when going on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.bench.kept import ARTIFACT_FILE
from harness.bench.places import PACKAGE
from harness.bench.plan import Plan
from harness.bench.reads import content_of
from harness.bench.registry import Registry

Identity = Mapping[str, str]
"""Part to digest, in the order of `PARTS`."""

PARTS: Mapping[str, str] = {
    "plan": "the planned cells",
    "policy": "the policy",
    "lock": "the lock",
    "packages": "the installed packages",
    "models": "a model's file",
    "routes": "a file of a strategy, a step or a runtime",
    "bench": "the bench itself",
}
"""The parts, and what a person is told where one differs."""


_NO_PART = ("policy", "lock", "keep", "keeping", "artifacts", "duel_side", "times")
"""What of a plan is a part of its own, or changes nothing of what is recorded."""


def short(value: str | bytes) -> str:
    """First 16 hexadecimal digits of the SHA-256."""
    return hashlib.sha256(value.encode() if isinstance(value, str) else value).hexdigest()[:16]


def identity(plan: Plan, registry: Registry, *, inside: Mapping[str, Any], lock: str) -> dict[str, str]:
    """The identity of an execution of `plan`.

    `inside` is what the environment says of itself: at least `packages`, as installed there, and `python`; ambient
    packages, which no lock holds, are among them. `lock` is the text of the lock; empty where there is none.
    """
    digests = registry.digests()
    models = {name: digest for name, digest in digests.items() if name.startswith("model ")}
    routes = {name: digest for name, digest in digests.items() if name not in models}
    described = {name: value for name, value in asdict(plan).items() if name not in _NO_PART}
    if plan.artifacts:
        described["artifacts"] = [[*names, _text(Path(folder, ARTIFACT_FILE))] for *names, folder in plan.artifacts]
    if plan.duel_side:
        described["duel_side"] = plan.duel_side
    return {
        "plan": short(json.dumps(described, sort_keys=True)),
        "policy": short(json.dumps(asdict(plan.policy), sort_keys=True)),
        "lock": short(lock) if lock else "",
        "packages": short(json.dumps([inside["packages"], inside["python"]], sort_keys=True)),
        "models": short(json.dumps(models, sort_keys=True)),
        "routes": short(json.dumps(routes, sort_keys=True)),
        "bench": bench_digest(),
    }


def bench_digest() -> str:
    """Digest of all files of the bench."""
    return short(b"".join(path.read_bytes() for path in sorted((PACKAGE / "bench").glob("*.py"))))


def _text(path: Path) -> str:
    """The text of a file that says what an artifact is; who serves that is told of one that is not there."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def name_of(parts: Identity) -> str:
    """12 hexadecimal digits that stand for all parts."""
    return short(json.dumps([parts[name] for name in PARTS]))[:12]


def differing(one: Identity, other: Identity) -> list[str]:
    """What differs, in a person's words."""
    return [words for name, words in PARTS.items() if one.get(name) != other.get(name)]


def changed_files(digests: Mapping[str, str]) -> list[str]:
    """The files of `digests` (path to the first 16 digits of its SHA-256) that are not any more what they were."""
    return [path for path, digest in digests.items() if content_of(Path(path)) != digest]
