"""What an environment is made of, told from inside: Python, the content of each package, system libraries, the CPU.

``python -m harness.bench.inventory {…}`` prints one line of JSON: `inventory` of these arguments. The harness's own
side runs this file by its path, in an interpreter that need not know of `harness`, so that nothing of ours is imported
at module level.
"""

from __future__ import annotations

import ast
import contextlib
import csv
import ctypes
import hashlib
import importlib.metadata
import json
import os
import re
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

OWN = "conversion-harness"
"""The harness's own distribution: what it does in an environment is said by the digest of the bench."""

_LIBRARIES = ("libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1", "libgomp.so.1", "libiomp5.so", "libz.so.1")
_LOOSE = (".py", ".so", ".pth", ".egg-link")
_WRITTEN_BY_INSTALLERS = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json")
_POINTING = re.compile(r"__editable__[^/]*|[^/]*\.(?:pth|egg-link)")
_INSTRUCTIONS = {
    "flags": re.compile(
        "mmx|s?sse|pni|avx|amx|fma|f16c|xop|3dnow|bmi|tbm|abm|popcnt|adx|movbe|movdir|erms|fsrm"
        "|v?aes|v?pclmul|sha|gfni|sm[34]|serialize|prefetchw|clflushopt|clwb|cldemote"
    ),
    "Features": re.compile(
        "fp|asimd|neon|vfp|sve|sme|bf16|i8mm|crc|aes|pmull|sha|sm[34]|atomics|lrcpc|jscvt|fcma|flagm"
    ),
}
"""How the flags begin that a library may choose by what it computes with, as x86 and as Arm are told in `cpuinfo`.

The others are of virtualization, power and mitigations: a kernel or a hypervisor that is newer tells others.
"""
_PASSED_OVER = ("__pycache__", "node_modules")


class Contents:
    """Digests of files, kept in a file by path, size, times and inode: what has not changed is not read again."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._known: dict[str, list[Any]] = {}
        self._met: dict[str, list[Any]] = {}
        if file is not None:
            try:
                self._known = dict(json.loads(file.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError):
                self._known = {}

    def of(self, path: str) -> str:
        """The first 16 digits of the SHA-256 of a file; empty for what cannot be read."""
        try:
            status = os.stat(path)  # noqa: PTH116 - tens of thousands of them
            stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
            known = self._known.get(path)
            digest = known[-1] if known and known[:-1] == stamp else _digest_of(path)
        except OSError:
            return ""
        self._met[path] = [*stamp, digest]
        return str(digest)

    def keep(self) -> None:
        """Keep them for the next time."""
        if self._file is None or self._met.items() <= self._known.items():
            return
        partial = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        partial.write_text(json.dumps({**self._known, **self._met}), encoding="utf-8")
        partial.replace(self._file)


def _digest_of(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:  # noqa: PTH123 - tens of thousands of them
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()[:16]


def short(value: object) -> str:
    """First 16 digits of the SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def python() -> dict[str, str]:
    """This interpreter: its full version with the build, and what its extension modules are compiled for."""
    return {
        "version": sys.version,
        "implementation": sys.implementation.name,
        "abi": str(sysconfig.get_config_var("SOABI")),
    }


def packages(
    contents: Contents, *, whole: bool, leave_out: Iterable[str] = (), places: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Each distribution's version and a digest of its content, by its canonical name.

    The content is what its RECORD says, where that is what is there: in an environment that the harness installed. Of
    what was installed from an address, and of everything in a `whole` environment, the files themselves are read.
    Beside the distributions stand folders of the path that belong to none, but for those to `leave_out`. Each is called
    by the one of `places` that it lies in, a name each, so that those of another clone are called the same.
    """
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"] or "").lower()
        if not name or name == OWN or name in found:
            continue
        address = distribution.read_text("direct_url.json") or ""
        record = _recorded(distribution)
        known = record and not whole and not address
        folder = _of_folder(distribution, address, contents)
        files = [] if known else _files_of(distribution, contents)
        if _is_editable(address):  # what says where its folder is: what that has is counted
            files = [file for file in files if not _POINTING.fullmatch(file[0])]
        found[name] = " ".join([distribution.version, short(record if known else files), *folder])
    if whole:
        named = {"env": sys.prefix, **(places or {})}
        found |= {f"path {_named(place, named)}": _folder(Path(place), contents) for place in _path(leave_out)}
        # Conda installs libraries of which Python knows no distribution, such as MKL: file names have their builds.
        of_conda = sorted(path.name for path in Path(sys.prefix, "conda-meta").glob("*.json"))
        found |= {"packages of conda": short(of_conda)} if of_conda else {}
    return dict(sorted(found.items()))


def _named(place: str, places: Mapping[str, str]) -> str:
    for name, folder in places.items():
        if folder and Path(place).is_relative_to(os.path.realpath(folder)):
            return f"{name}:{os.path.relpath(place, os.path.realpath(folder))}"
    return place


def _recorded(distribution: importlib.metadata.Distribution) -> list[list[str]]:
    """Files and digests of a RECORD, without what differs between two installations of one wheel."""
    text = distribution.read_text("RECORD") or ""
    rows = [row for row in csv.reader(text.splitlines()) if len(row) > 1 and row[1]]
    return sorted(
        row[:2]
        for row in rows
        if not row[0].startswith(("..", "/")) and row[0].rpartition("/")[2] not in _WRITTEN_BY_INSTALLERS
    )


def _files_of(distribution: importlib.metadata.Distribution, contents: Contents) -> list[list[str]]:
    paths = [(str(file), str(distribution.locate_file(file))) for file in distribution.files or ()]
    return sorted(
        [name, contents.of(path)]
        for name, path in paths
        if "__pycache__" not in name
        and not name.startswith("..")
        and name.rpartition("/")[2] not in _WRITTEN_BY_INSTALLERS
    )


def _is_editable(address: str) -> bool:
    try:
        told = json.loads(address) if address else {}
        return bool((told.get("dir_info") or {}).get("editable"))
    except (ValueError, AttributeError):
        return False


def _of_folder(distribution: importlib.metadata.Distribution, address: str, contents: Contents) -> list[str]:
    """The content of the folder that an editable distribution is imported from, and of what it has from elsewhere."""
    try:
        told = json.loads(address) if address else {}
        url = urlsplit(str(told.get("url", "")))
    except (ValueError, AttributeError):
        return [address]
    if url.scheme != "file" or not _is_editable(address):
        # What tells one commit or archive from another of the same version.
        return [short([told.get("vcs_info"), told.get("archive_info")])] if address else []
    folder = Path(os.path.realpath(unquote(url.path)))
    elsewhere = sorted(each for each in _pointed_to(distribution) if not Path(each).is_relative_to(folder))
    return [_folder(folder, contents), *(_at(place, contents) for place in elsewhere)]


def _pointed_to(distribution: importlib.metadata.Distribution) -> set[str]:
    """What an editable distribution puts on the path, and where its finder looks for a package or a module."""
    found = set()
    for file in distribution.files or ():
        path = Path(str(distribution.locate_file(file)))
        with contextlib.suppress(OSError, SyntaxError, ValueError, TypeError, AttributeError):
            if file.suffix == ".pth":
                lines = path.read_text(encoding="utf-8").splitlines()
                found |= {str(path.parent / line) for line in lines if line and not line.startswith(("#", "import "))}
            elif file.suffix == ".py" and _POINTING.fullmatch(str(file)):
                found.update(_named_by_finder(path.read_text(encoding="utf-8")))
    return {os.path.realpath(each) for each in found}


def _named_by_finder(text: str) -> Iterator[str]:
    """The places in `MAPPING`, module to place, and `NAMESPACES`, module to places, of a finder of setuptools'."""
    for node in ast.parse(text).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = {each.id for each in targets if isinstance(each, ast.Name)}
        if names & {"MAPPING", "NAMESPACES"} and isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value:
            for place in ast.literal_eval(node.value).values():
                yield from [place] if isinstance(place, str) else place


def _at(place: str, contents: Contents) -> str:
    """A digest of a folder, or of a module whose file has a suffix that `place` may lack."""
    if Path(place).is_dir():
        return _folder(Path(place), contents)
    files = sorted(Path(place).parent.glob(f"{Path(place).stem}.*"))
    return short([[file.name, contents.of(str(file))] for file in files if file.name.endswith(_LOOSE)])


def _path(leave_out: Iterable[str]) -> list[str]:
    """The folders that this interpreter imports from, but for those of the standard library and what to `leave_out`."""
    standard = {os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
    out = {*standard, *(os.path.join(each, "lib-dynload") for each in standard)}  # noqa: PTH118
    out |= {os.path.realpath(each) for each in leave_out}
    places = [os.path.realpath(place) for place in sys.path if place]
    return [place for place in dict.fromkeys(places) if place not in out and Path(place).is_dir()]


def _folder(folder: Path, contents: Contents) -> str:
    """A digest of what can be imported from a folder; where packages are installed, of what no distribution claims."""
    installed = bool(next(folder.glob("*.dist-info"), None)) or str(folder) in site.getsitepackages()
    claimed = _claimed() if installed else frozenset()
    found = [(path, contents.of(path)) for path in _importable(str(folder)) if path not in claimed]
    return short(sorted((os.path.relpath(path, folder), digest) for path, digest in found))


def _claimed() -> frozenset[str]:
    return frozenset(
        os.path.realpath(str(distribution.locate_file(file)))
        for distribution in importlib.metadata.distributions()
        for file in distribution.files or ()
    )


def _importable(folder: str) -> Iterator[str]:
    waiting = [folder]
    while waiting:
        try:
            entries = sorted(os.scandir(waiting.pop()), key=lambda entry: entry.name)
        except OSError:
            continue
        if any(entry.name == "pyvenv.cfg" for entry in entries):
            continue  # somebody's environment
        for entry in entries:
            if entry.name.startswith(".") or entry.name in _PASSED_OVER or entry.name.endswith(".dist-info"):
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            elif entry.name.endswith(_LOOSE) or ".so." in entry.name:
                yield os.path.realpath(entry.path)


def libraries(contents: Contents) -> dict[str, str]:
    """The libraries of the system that frameworks are linked to: by name, the file that is loaded and its content."""
    for name in _LIBRARIES:
        with contextlib.suppress(OSError):
            ctypes.CDLL(name)
    try:
        mapped = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    paths = {line.split(maxsplit=5)[5] for line in mapped.splitlines() if ".so" in line}
    stems = {_stem(name) for name in (*_LIBRARIES, "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "ld.so")}
    wanted = {path for path in paths if _stem(path) in stems}
    return {Path(path).name: contents.of(path) for path in sorted(wanted)}


def _stem(path: str) -> str:
    """The name of a library without its version; before glibc 2.34 that is in the file's name: `libc-2.31.so`."""
    return re.sub(r"-\d+(?:\.\d+)+$", "", Path(path).name.partition(".so")[0])


def cpu() -> dict[str, str]:
    """The instruction sets of the CPU, by which libraries choose what they compute with."""
    try:
        return instructions_in(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return {}


def instructions_in(text: str) -> dict[str, str]:
    """Those of a text such as `/proc/cpuinfo`, without flags of virtualization, power and mitigations."""
    found = re.search(r"^(flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    flags = sorted(flag for flag in found[2].split() if _INSTRUCTIONS[found[1]].match(flag)) if found else []
    return {"instructions": " ".join(flags)} if flags else {}


def inventory(
    *,
    whole: bool = False,
    kept: str = "",
    leave_out: Iterable[str] = (),
    places: Mapping[str, str] | None = None,
) -> dict[str, dict[str, str]]:
    """The parts of an environment, each by item. `whole` is for one that the harness did not install."""
    contents = Contents(Path(kept) if kept else None)
    told = {
        "python": python(),
        "packages": packages(contents, whole=whole, leave_out=leave_out, places=places),
        "libraries": libraries(contents),
        "cpu": cpu(),
    }
    contents.keep()
    return told


def main() -> int:
    """Print `inventory`."""
    print(json.dumps(inventory(**json.loads(sys.argv[1]))))  # noqa: T201 - this is the answer
    return 0


if __name__ == "__main__":
    sys.exit(main())
