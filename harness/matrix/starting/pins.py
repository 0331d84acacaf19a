"""The pins of a repository that conversions depend on, from what it installs by."""

from __future__ import annotations

import contextlib
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

CONVERTING = frozenset(
    {
        *("torch", "torchvision", "torchaudio", "transformers", "timm", "numpy", "protobuf"),
        *(
            "onnx",
            "onnxscript",
            "onnxruntime",
            "onnxruntime-gpu",
            "onnxsim",
            "onnxslim",
            "onnx2tf",
            "onnx-tf",
            "tf2onnx",
        ),
        *(
            "nobuco",
            "tensorflow",
            "tensorflow-cpu",
            "tf-keras",
            "keras",
            "jax",
            "jaxlib",
            "litert-torch",
            "ai-edge-litert",
        ),
        *("litert-torch", "ai-edge-litert", "coremltools", "optimum"),
    }
)
"""The packages that say whether a conversion works."""

_PYTHONS = ("3.10", "3.11", "3.12", "3.13")
_INCLUDE = re.compile(r"^(?:-r|--requirement)[ =]?\s*(?P<file>\S+)$")


@dataclass(frozen=True, kw_only=True)
class Pins:
    """Requirement lines, the packages that they name, the files that they are from, and the Python version."""

    lines: tuple[str, ...]
    names: tuple[str, ...]
    files: tuple[str, ...]
    python: str


def found_in(root: Path) -> Pins:
    """What `root` asks for of `CONVERTING` packages; of a package that is asked for twice, the first counts.

    Ranges count, too: a combination without them is another one.

    Nothing where torch is not among them.
    """
    found: dict[str, str] = {}
    files: dict[str, None] = {}
    for where, requirement in _requirements(root):
        name = canonicalize_name(requirement.name)
        if name in CONVERTING and requirement.url is None and name not in found:
            extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
            marker = f" ; {requirement.marker}" if requirement.marker else ""
            found[name] = f"{name}{extras}{requirement.specifier}{marker}"
            files[where] = None
    if "torch" not in found:
        found, files = {}, {}
    return Pins(lines=tuple(found.values()), names=tuple(found), files=tuple(files), python=_python(root))


def _requirements(root: Path) -> Iterator[tuple[str, Requirement]]:
    patterns = ("requirements.txt", "requirements*.txt", "requirements*.in", "requirements/*.txt", "requirements/*.in")
    paths = dict.fromkeys(path for pattern in patterns for path in sorted(root.glob(pattern)))
    seen: set[Path] = set()
    for path in paths:
        for requirement in _of_file(path, seen):
            yield path.relative_to(root).as_posix(), requirement
    project = _project(root)
    told = [*project.get("dependencies", []), *_flat(project.get("optional-dependencies", {}))]
    for requirement in _parsed(text for text in told if isinstance(text, str)):
        yield "pyproject.toml", requirement


def _flat(groups: Any) -> list[Any]:
    return [each for group in groups.values() for each in group] if isinstance(groups, dict) else []


def _of_file(path: Path, seen: set[Path]) -> Iterator[Requirement]:
    """The requirements of a file and of those that it includes, each file once."""
    if path.resolve() in seen:
        return
    seen.add(path.resolve())
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return  # it says nothing that could be copied
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        content = re.split(r"(?:^|\s)(?:#|--hash)", line, maxsplit=1)[0].strip()
        included = _INCLUDE.match(content)
        if included:
            yield from _of_file(path.parent / included["file"], seen)
        elif content and not content.startswith("-"):
            yield from _parsed([content])


def _parsed(lines: Iterable[str]) -> Iterator[Requirement]:
    for line in lines:
        with contextlib.suppress(InvalidRequirement):  # a path, an address: no pin of a version
            yield Requirement(line)


def _project(root: Path) -> dict[str, Any]:
    try:
        value = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8")).get("project", {})
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _python(root: Path) -> str:
    """The version that the repository states, else the one that this command runs in."""
    stated = root / ".python-version"
    text = stated.read_text(encoding="utf-8", errors="replace") if stated.is_file() else ""
    if found := re.match(r"\s*(?:cpython-)?(3\.\d+)", text):
        return found[1]
    running = f"3.{sys.version_info.minor}"
    try:
        wanted = SpecifierSet(str(_project(root).get("requires-python", "")))
    except InvalidSpecifier:
        return running
    fitting = [version for version in _PYTHONS if wanted.contains(f"{version}.99")]
    return running if not fitting or running in fitting else fitting[-1]
