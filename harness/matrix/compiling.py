"""`uv pip compile`, and what the harness makes of its output: a lock that names nothing of one machine alone."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import subprocess
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename

from harness.bench.environment import ANY_VERSION, canonical, pins_of
from harness.bench.errors import ToolBrokenError, UsageError
from harness.matrix import tooling
from harness.matrix.contents import content_of
from harness.matrix.requirements.lines import Direct, Option
from harness.matrix.resolving import Fact, understand

_EDITABLE = re.compile(r"^-e (?P<place>\S.*?)(?P<extras>\[[^\]]*\])?\s*$")
_AT_FILE = re.compile(r"^[\w.-]+(?P<extras>\[[^\]]*\])? @ (?P<place>file:\S+)(?P<rest>.*)$")
_FILE = re.compile(r"^(?P<place>/\S.*?)(?P<extras>\[[^\]]*\])?(?P<rest>\s*\\?)$")


def compile_pins(
    root: Path,
    python: str,
    sources: Sequence[Path],
    output: Path,
    *options: str,
    shown: Sequence[str],
    doing: str,
    cwd: Path | None = None,
    interpreter: str = "",
) -> Fact | None:
    """Run `uv pip compile` into `output`; the fact of the pins where there is no solution, else nothing.

    uv writes its command line into the file, and is told to write `shown` after the options that all have, in which
    there are no paths of this machine. `interpreter` is the full version for which markers are evaluated, where that
    is not the first of `python`. Raises what `understand` does, and `ToolBrokenError` where uv was killed.
    """
    command = ["pip", "compile", "--python-version", interpreter or python, "--generate-hashes"]
    told = ["pip", "compile", "--python-version", python, "--generate-hashes"]
    environ = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(
        [tooling.uv(), *command, f"--output-file={output}", *options, *map(str, sources)],
        cwd=cwd or root,
        env={**environ, **tooling.UNWRAPPED, "UV_CUSTOM_COMPILE_COMMAND": shlex.join(["uv", *told, *shown])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return None
    if done.returncode < 0:
        msg = f"{doing}: uv was ended by signal {-done.returncode}. Nothing was written."
        raise ToolBrokenError(msg)
    return understand(done.stderr, doing)


INDEX_STRATEGY = "UV_INDEX_STRATEGY"


def index_strategy() -> str:
    """How versions are chosen among several indexes: as pip does, the best of all, unless a person told uv otherwise.

    uv itself takes a package from the first index that has its name, so that one with a few old files beside what it is
    for, as PyTorch's, hides all others.
    """
    return os.environ.get(INDEX_STRATEGY) or "unsafe-best-match"


@dataclass(frozen=True)
class Local:
    """A package on this machine: its name, its version as far as a name tells it, and a digest of its content."""

    name: str
    version: str
    content: str

    def __str__(self) -> str:
        """The line of a lock above the package's, by which it is verified and told from what it was before."""
        return f"# package: {self.name} {self.version}, content: {self.content}"


def local_package(path: Path) -> Local:
    """What the package in a folder, or in a wheel or another archive, is. Raises `UsageError` where it is none."""
    if path.is_dir():
        return Local(_name_in(path), ANY_VERSION, content_of(path))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    try:
        if path.suffix == ".whl":
            name, version, *_ = parse_wheel_filename(path.name)
            return Local(str(name), str(version), digest)
        name, version = parse_sdist_filename(path.name)
    except (InvalidWheelFilename, InvalidSdistFilename):
        msg = f"{path.name} is no package: it needs the name of a wheel or of a source archive, NAME-VERSION."
        raise UsageError(msg) from None
    return Local(str(name), str(version), digest)


def _name_in(folder: Path) -> str:
    """The name of the package that a folder builds: as its pyproject.toml says, or as uv finds out by building it."""
    try:
        told = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        return canonical(str(told["project"]["name"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, "package.in")
        source.write_text(f"{folder}\n", encoding="utf-8")
        command = [tooling.uv(), "pip", "compile", "--quiet", "--no-deps", "--no-header", "--no-annotate", str(source)]
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
    match = re.match(r"^(?P<name>[\w.-]+)(?:\[[^\]]*\])? @ ", done.stdout)
    if done.returncode != 0 or match is None:
        msg = f"{folder.name}: no package that can be built: it has no pyproject.toml with a name, and no setup.py."
        raise UsageError(msg)
    return canonical(match["name"])


def finished(compiled: str, *, root: Path, path: Path, options: Iterable[Option], beside: Path) -> str:
    """The text of the lock `path` from what uv compiled.

    What is on this machine is named relative to the root, with a line above it that says what it is; `options` are
    where packages come from, folders among them relative to `beside`.
    """
    lines = list(_portable(compiled.splitlines(), root))
    told = [str(_relative(option, path.parent, beside)) for option in dict.fromkeys(options) if option.name != "--pre"]
    head = next((number for number, line in enumerate(lines) if line and not line.startswith("#")), len(lines))
    # The line that says what is on this machine stays with it.
    head -= head > 0 and lines[head - 1].startswith("# package: ")
    return "\n".join([*lines[:head], *told, *lines[head:], ""])


def _portable(lines: Iterable[str], root: Path) -> Iterator[str]:
    for line in lines:
        match = _EDITABLE.match(line) or _AT_FILE.match(line) or _FILE.match(line)
        if match is None:
            yield line
            continue
        path = (root / Direct(match["place"]).path(root)).resolve()
        yield str(local_package(path))
        rest = match.groupdict().get("rest") or ""
        place = str(path)
        if path.is_relative_to(root):
            place = "." if path == root else f"./{path.relative_to(root)}"
        yield f"{'-e ' if path.is_dir() else ''}{place}{match['extras'] or ''}{rest}"


def _relative(option: Option, folder: Path, beside: Path) -> Option:
    if option.name != "--find-links" or "://" in option.value:
        return option
    return Option(option.name, os.path.relpath((beside / option.value).resolve(), folder))


def nearest(root: Path, python: str, requirement: str, options: str = "") -> str:
    """What to add on the nearest version that the package index has, where an exact one is asked for.

    `options` are lines of a requirements file that say where packages come from.
    """
    try:
        asked = Requirement(requirement)
    except InvalidRequirement:
        return ""
    exact = [specifier.version for specifier in asked.specifier if specifier.operator == "=="]
    if len(exact) != 1:
        return ""
    for operator, strategy in (("<=", "highest"), (">=", "lowest")):
        command = [tooling.uv(), "pip", "compile", "-", "--quiet", "--no-deps", "--no-header", "--no-annotate"]
        command += ["--python-version", python, "--prerelease=disallow", f"--resolution={strategy}"]
        command += [f"--index-strategy={index_strategy()}"]
        sought = f"{options}{asked.name}{operator}{exact[0]}\n"
        done = subprocess.run(command, cwd=root, input=sought, capture_output=True, text=True, check=False)
        found = pins_of(done.stdout).get(canonical(asked.name)) if done.returncode == 0 else None
        if found:
            return f" The nearest that it has is {asked.name}=={found.partition('+')[0]}."
    return ""


def preferences(lock: str) -> str:
    """A lock's text as uv may be given it for the versions to prefer: without what is relative to where it lies."""
    if not any(line.startswith(("-", ".", "/")) for line in lock.splitlines()):
        return lock
    pins = pins_of(lock)
    return "".join(f"{name}=={version}\n" for name, version in pins.items() if version != ANY_VERSION)
