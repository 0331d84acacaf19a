"""Packages that differ, a line a family: the 24 packages that CUDA comes in are one thing to a reader."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from harness.report.wording import package_text
from harness.verdict.comparison import listed
from harness.verdict.environments import PackageChange

_CUDA = "CUDA"
_OF_CUDA = re.compile(r"nvidia-(?!ml-py)[a-z0-9-]+|cuda-(?:bindings|core|pathfinder|python|toolkit)")
_RUNTIME = re.compile(r"nvidia-cuda-runtime(?:-cu\d+)?")
_SUFFIX = re.compile(r"-cu(\d+)$")
SHOWN_PACKAGES = 30
"""How many differing packages a line names where a screen has to hold it; the rest is only counted."""
_FEWEST = 3
"""Packages that share the first word of their names are a family from so many on."""


def family_lines(changes: Iterable[PackageChange], *, arrow: str = "->", most: int | None = None) -> list[str]:
    """A line each for CUDA, for packages that begin with one word, and for what is left: on both sides, on one.

    What differs in the environment of an extension is told apart from what differs in the combination's own. `most`
    packages are named in a line.
    """
    of: dict[str, list[PackageChange]] = {}
    for change in changes:
        of.setdefault(change.extension, []).append(change)
    return [
        f"{extension}: {line}" if extension else line
        for extension, found in of.items()
        for line in _lines(found, arrow=arrow, most=most)
    ]


def _lines(changes: Sequence[PackageChange], *, arrow: str, most: int | None) -> list[str]:
    cuda = [change for change in changes if _OF_CUDA.fullmatch(change.name)]
    words: dict[str, list[PackageChange]] = {}
    for change in changes:
        if change not in cuda:
            words.setdefault(change.name.partition("-")[0], []).append(change)
    families = {word: found for word, found in words.items() if len(found) >= _FEWEST}
    single = [change for change in changes if change not in cuda and change.name.partition("-")[0] not in families]
    return [
        *([_cuda(cuda, arrow=arrow)] if cuda else []),
        *(f"{word}-*: {_some([_bare(each, arrow=arrow) for each in found], most)}" for word, found in families.items()),
        *_singles(single, arrow=arrow, most=most),
    ]


def _cuda(changes: Sequence[PackageChange], *, arrow: str) -> str:
    """`CUDA 11.7 -> 12.1 (24 packages)`; where that did not move, what of it did."""
    before = _version({change.name: change.base for change in changes})
    after = _version({change.name: change.candidate for change in changes})
    count = f"({len(changes)} package{'' if len(changes) == 1 else 's'})"
    if before == after:
        return f"{_CUDA} libraries: {listed([_bare(each, arrow=arrow) for each in changes])}"
    return f"{_CUDA} {before or 'absent'} {arrow} {after or 'absent'} {count}"


def _version(versions: dict[str, str | None]) -> str:
    """Major and minor of the runtime, else what the names say; empty where a side has none of it."""
    there = {name: version for name, version in versions.items() if version}
    runtime = next((version for name, version in there.items() if _RUNTIME.fullmatch(name)), None)
    if runtime:
        return ".".join(runtime.split(".")[:2])
    named = {found[1] for name in there if (found := _SUFFIX.search(name))}
    return " and ".join(sorted(named))


def _bare(change: PackageChange, *, arrow: str) -> str:
    """`onnx2tf 1.17.5 -> 1.28.8`, whatever environment it is in."""
    return package_text(PackageChange(name=change.name, base=change.base, candidate=change.candidate), arrow=arrow)


def _singles(changes: Sequence[PackageChange], *, arrow: str, most: int | None) -> list[str]:
    both = [_bare(change, arrow=arrow) for change in changes if change.base and change.candidate]
    base = [f"{change.name} {change.base}" for change in changes if not change.candidate]
    candidate = [f"{change.name} {change.candidate}" for change in changes if not change.base]
    lists = (("", both), ("only in the base: ", base), ("only in the candidate: ", candidate))
    return [label + _some(texts, most) for label, texts in lists if texts]


def _some(texts: Sequence[str], most: int | None) -> str:
    rest = 0 if most is None else max(len(texts) - most, 0)
    return ", ".join(texts[:most]) + (f", and {rest} more" if rest else "")
