"""Series of a user's own models: what a run of them is called, so that the next run of the same is found beside it."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

_PLAIN = re.compile(r"\w[\w.-]{0,60}", re.ASCII)
_LONGEST = 40


def series_of(values: Iterable[str], *, root: Path) -> str:
    """The name of the series that a run with the `--models` of `values` is of.

    It is these values, sorted, each path relative to `root` and so the same on every machine with that layout; joined
    as a shell would have them.
    """
    return shlex.join(sorted({_stable(value, root) for value in values}))


def path_names(paths: Iterable[Path], *, root: Path) -> tuple[str, ...]:
    """The folders of `--path` as they would be given from `root`, so that a command can be told that works there."""
    return tuple(dict.fromkeys(Path(os.path.relpath(path.resolve(), root.resolve())).as_posix() for path in paths))


def values_of(series: str) -> list[str]:
    """The `--models` of a series, to be given from its root."""
    return shlex.split(series)


def from_here(root: Path, value: str) -> str:
    """A value of a series or a folder of `--path`, which is relative to the root, as it can be typed here."""
    path = root / value
    if not path.exists():
        return value
    here = os.path.relpath(path)
    return f"{here}{os.sep}" if path.is_dir() and os.sep not in here else here


def folder_name(series: str) -> str:
    """What stands for a series in the name of a folder: a plain name as it is, others with eight digits of a digest."""
    plain = series.rstrip(os.sep)
    if _PLAIN.fullmatch(plain):
        return plain
    digest = hashlib.sha256(series.encode()).hexdigest()[:8]
    told = re.sub(r"[^\w.-]+|^\W+", "-", series, flags=re.ASCII).strip("-.")[:_LONGEST].rstrip("-.")
    return f"{told}-{digest}" if told else digest


def _stable(value: str, root: Path) -> str:
    """A value as it would be given from `root`; what is no path stays what it is."""
    if not (value.endswith(".py") or os.sep in value or Path(value).is_dir()) or "*" in value:
        return value
    relative = Path(os.path.relpath(Path(value).resolve(), root.resolve())).as_posix()
    # A folder that bears the name of a model would be taken for that.
    return relative if os.sep in relative or relative.endswith(".py") else f"{relative}{os.sep}"
