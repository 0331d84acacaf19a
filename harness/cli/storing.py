"""Where the commands keep tables, and how they tell of it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from harness.bench.plan import Plan
from harness.bench.series import from_here, values_of
from harness.cli.context import shown
from harness.matrix.places import own_folder

RESULTS = "results"


def store_of(root: Path, results: Path | None, *, selected: bool) -> Path:
    """The folder that a table goes to: the one that was asked for, else `results`, or scratch for selected cells."""
    if results is not None:
        return results
    return own_folder(root) / "scratch" if selected else root / RESULTS


def gate_command(
    tables: Sequence[tuple[Plan, Path]], *, root: Path, given_root: Path | None, results: Path | None
) -> str:
    """What holds the last table of a run against the first, as it can be typed here; empty for a single one.

    `given_root` and `results` are as the run was given them. Names stand for whole runs of one device, paths for
    everything else.
    """
    if len(tables) < 2:  # noqa: PLR2004 - two sides
        return ""
    (base, before), (candidate, after) = tables[0], tables[-1]
    whole = not any(plan.selected for plan, _ in tables)
    if not whole or base.combination == candidate.combination or base.device != candidate.device:
        return shlex.join(["harness", "gate", str(shown(before)), str(shown(after))])
    words = ["harness", *(["--root", str(given_root)] if given_root else [])]
    words += ["gate", base.combination, candidate.combination]
    words += [word for value in values_of(base.series) for word in ("--models", from_here(root, value))]
    words += ["--tier", base.tier] if base.tier != "quick" else []
    words += ["--extensions"] if any("+extensions" in part for part in after.parts) else []
    words += ["--results", str(results)] if results else []
    return shlex.join(words)
