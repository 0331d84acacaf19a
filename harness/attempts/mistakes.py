"""Models of a user's own that raise wherever they are built: no version explains that, and a person has to mend them.

What raises in some of a run's environments only is a result. So is what was built of the same code in an environment
of an earlier run, as an attempt or a table tells.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from harness.bench.attempt import Attempt
from harness.bench.plan import file_stem_of
from harness.bench.stages import Outcome
from harness.matrix.combination import extended


@dataclass(frozen=True, kw_only=True)
class Raised:
    """What a model raised while it was built. `place` is ``FILE:LINE`` of the user's own code, empty where unknown."""

    model: str
    place: str
    error_type: str
    error: str
    digest: str | None

    @property
    def line(self) -> str:
        """Model, place and error in one line."""
        return f"{self.place or self.model}: {self.error_type}: {self.error}"


def built_in(attempt: Attempt) -> dict[str, Raised | None]:
    """By each model of a user's own that an attempt came to build: what that raised, None where it did not.

    One that crashed, ran out of time or memory, or whose packages are not installed, is not among them.
    """
    found: dict[str, Raised | None] = {}
    for row, details in _records(attempt.records, "*"):
        if details.get("own") is not True:
            continue
        if "build_failed_at" not in details:
            found[row["model"]] = None
        elif row["outcome"] == Outcome.FAILED.value and found.get(row["model"], ()) is not None:
            found[row["model"]] = _raised(row, details)
    return found


def raised_by(record: Path) -> Raised | None:
    """What the model of a record raised while it was built; None where it did not, or is none of a user's own."""
    value = json.loads(record.read_text(encoding="utf-8"))
    row, details = value["row"], value["details"]
    failed = row["outcome"] == Outcome.FAILED.value and "build_failed_at" in details
    return _raised(row, details) if failed and details.get("own") is True else None


def _raised(row: Mapping[str, Any], details: Mapping[str, Any]) -> Raised:
    return Raised(
        model=row["model"],
        place=details["build_failed_at"],
        error_type=row["error_type"],
        error=row["error"],
        digest=row["model_digest"],
    )


def raised_everywhere(root: Path, attempts: Iterable[Attempt], *, results: Path) -> dict[str, tuple[Raised, list[str]]]:
    """By model: what it raised in each of the `attempts` that came to build it, and the names of those environments.

    Tables are looked for in `results`.
    """
    raised: dict[str, list[tuple[Raised, str]]] = {}
    passed: set[str] = set()
    for attempt in attempts:
        stated = attempt.read() or {}
        name = extended(stated.get("combination", ""), stated.get("extension", ""))
        for model, what in built_in(attempt).items():
            if what is None:
                passed.add(model)
            else:
                raised.setdefault(model, []).append((what, name))
    return {
        model: (found[0][0], [name for _, name in found])
        for model, found in raised.items()
        if model not in passed and not _was_built(root, found[0][0], results)
    }


def _was_built(root: Path, raised: Raised, results: Path) -> bool:
    """Whether any attempt or table that is still there is of a model that was built from the same code."""
    records = (root / ".harness" / "attempts").glob("*/*/records")
    rows = (row for folder in records for row, _ in _records(folder, f"{file_stem_of(raised.model)}--*"))
    tabled = (row for path in results.rglob("cells.csv") for row in _rows(path) if row.get("model") == raised.model)
    return any(row.get("model_digest") == raised.digest and row.get("weights_digest") for row in chain(rows, tabled))


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table as they stand; none where they cannot be read, which whoever asks for that table is told."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error):
        return []


def _records(folder: Path, pattern: str) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The rows of the records in a folder, and their details."""
    for path in sorted(folder.glob(f"{pattern}.json")):
        if path.name.startswith("."):
            continue
        value = json.loads(path.read_text(encoding="utf-8"))
        yield value["row"], value["details"]


def told_early(raised: Raised) -> str:
    """What a person is told of a model as soon as it is recorded that it raised, while other cells run."""
    line = here(raised.line).rstrip(".")
    return (
        f"{raised.model} raised while it was built, at {line}. If it does so in every environment, its file has to be "
        f"mended; a result is what only some do."
    )


def here(text: str) -> str:
    """A line that begins with a path, as a person would type that from here."""
    return text.removeprefix(f"{Path.cwd()}{os.sep}")


def told(raised: Mapping[str, tuple[Raised, list[str]]]) -> str:
    """What a person is told of them at the end of a run, and what to do."""
    where = ", ".join(dict.fromkeys(name for _, names in raised.values() for name in names))
    lines = "\n".join(f"  {model}: {here(each.line)}" for model, (each, _) in raised.items())
    one = len(raised) == 1
    return (
        f"{len(raised)} model{'' if one else 's'} raised wherever {'it was' if one else 'they were'} built ({where}), "
        f"which no version explains. All other cells are recorded.\n{lines}\n"
        f"Mend {'it' if one else 'them'}, look with `harness check FILE`, and run the same command again."
    )
