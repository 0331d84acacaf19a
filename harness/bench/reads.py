"""What a child that builds or converts reads beside installed packages: a user's files, the zoo's, a plugin's.

Which data a model's file opens, and which folders it lists, only running it tells. An audit hook sees every file that
Python opens and every folder that it lists. What a library opens in code of its own (`safetensors`) is seen where it is
mapped or open as a stage begins or the child ends, and where the model's file names it or its folder, by `named_in`.
What is neither is not seen: a file by a whole path that is made, of which such code copied what it wanted and let go.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
import os
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.bench.group import MARKER
from harness.bench.own_code import INSTALLED
from harness.bench.places import PACKAGE

READS_FILE = "reads.txt"
"""What a watched child leaves in its folder: a path a line, as it was opened or listed."""

_LISTED = ("os.listdir", "os.scandir")
_IMPORTING = "<frozen importlib"
_PREFIXES = (Path("/"), Path("/usr"), Path("/usr/local"))
_OF_PREFIXES = ("bin", "include", "lib", "lib32", "lib64", "libexec", "sbin", "share")
_SYSTEM = (
    *(Path(place) for place in ("/dev", "/etc", "/proc", "/run", "/sys")),
    *(prefix / name for prefix in _PREFIXES for name in _OF_PREFIXES),
)
"""A user's own code may lie in what is left of `/usr`: that of containers often does, in `/usr/src`."""
_OF_SERVICES = tuple(map(Path, ("/var/cache", "/var/db", "/var/lib")))
"""What the system's services keep, such as who is a user, which libraries of the system map."""
_OF_PYTHON = (".pth", "pyvenv.cfg")
_DELETED = " (deleted)"
_LONGEST_NAME = 255

MOST_FILES = 256
"""A folder that a text names by its whole path counts with the files directly in it, if there are no more of them."""

TABLE_FILES = frozenset({"cells.csv", "run.json"})
"""What every folder of a table has (`harness.tables.layout`)."""

Reads = Mapping[str, str]
"""Path to what `content_of` says of it."""


def content_of(path: Path) -> str:
    """First 16 digits of the SHA-256 of a file, or of the names in a folder; empty for what is not there."""
    digest = hashlib.sha256()
    try:
        if path.is_dir():
            names = sorted(each.name for each in path.iterdir() if not each.name.startswith((".", "__pycache__")))
            digest.update("\0".join(["", *names]).encode("utf-8", "surrogateescape"))
        else:
            with path.open("rb") as file:
                while block := file.read(2**20):
                    digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()[:16]


def watch(folder: Path) -> Callable[[], None]:
    """Write down, in `folder`, what this process reads from now on; what is part of its environment is left out.

    Each path is written at once, so that it is known however the process ends. An audit hook cannot be taken away
    again: only a child that ends with its request may begin this. What is returned writes down the files that are
    mapped or open by then and were not before: to be called while a model that was loaded is alive.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    note = _notes(os.open(folder.resolve() / READS_FILE, flags, 0o600))
    before = held_open()
    sys.addaudithook(_hook(note))

    def look() -> None:
        for path in sorted(held_open() - before):
            with contextlib.suppress(OSError):  # somebody has closed the file that is written to, or the disk is full
                if not any(place in Path(path).parents for place in _OF_SERVICES):
                    note(path)

    return look


def held_open() -> set[str]:
    """The regular files that this process has mapped, or open for nothing but reading."""
    found: set[str] = set()
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/maps").read_bytes().splitlines():
            found.update(os.fsdecode(word) for word in line.split(maxsplit=5)[5:])
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names alone
            with contextlib.suppress(OSError, ValueError, IndexError):
                flags = Path("/proc/self/fdinfo", name).read_text(encoding="ascii").partition("flags:")[2].split()[0]
                if not int(flags, 8) & os.O_ACCMODE:
                    found.add(os.readlink(f"/proc/self/fd/{name}"))  # noqa: PTH115 - a string
    return {path for path in found if path.startswith("/") and not path.endswith(_DELETED) and Path(path).is_file()}


def reads_in(folder: Path) -> Reads:
    """What the child that worked in `folder` read, with the contents as they are now."""
    try:
        lines = (folder / READS_FILE).read_bytes().splitlines()
    except OSError:
        return {}
    paths = sorted({os.path.realpath(os.fsdecode(line)) for line in lines})
    return {path: content_of(Path(path)) for path in paths}


def together(one: Reads, other: Reads) -> Reads | None:
    """What two children read; None where a file had not the same content for both, so that it is not known whose."""
    if any(one[path] != other[path] for path in one.keys() & other.keys()):
        return None
    return {**one, **other}


def _notes(handle: int) -> Callable[[str], None]:
    """What writes a path to the file `handle`, once, unless it is left out."""
    out = tuple({text for folder in _left_out() for text in (str(folder), str(folder.resolve()))})
    within = tuple(f"{text}{os.sep}" for text in out)
    seen: set[str] = set()

    def note(path: str) -> None:
        if path in seen:
            return
        seen.add(path)
        text = _source_of(path)
        if text not in out and not text.startswith(within) and _counts(text):
            os.write(handle, os.fsencode(text) + b"\n")

    return note


def _hook(note: Callable[[str], None]) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook that notes what is read; it runs at each event of the interpreter."""

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = args
            if isinstance(flags, int) and flags & os.O_ACCMODE:
                return
        elif event in _LISTED:
            path = args[0]
        else:
            return
        # Imports list each folder of the path: what lies beside a module has no say in it.
        if not isinstance(path, (str, bytes)) or (event in _LISTED and _caller().startswith(_IMPORTING)):
            return
        try:
            note(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100 - a string, as cheap as can be
        except (OSError, ValueError):
            return  # the folder that it works in has gone, or somebody has closed the file

    return hook


def _source_of(path: str) -> str:
    """The file that bytecode was made of: what was compiled before is not opened again."""
    if not path.endswith(".pyc"):
        return path
    try:
        return importlib.util.source_from_cache(path)
    except ValueError:
        return path


def _counts(path: str) -> bool:
    return not INSTALLED & set(Path(path).parts) and "\n" not in path and not path.endswith(_OF_PYTHON)


def _caller() -> str:
    """The file of the code that called what the hook was told of."""
    return sys._getframe(2).f_code.co_filename


def _left_out() -> Iterable[Path]:
    """The folders of the system, of Python, of the environment, of the harness, and those that a run writes to."""
    yield from _SYSTEM
    yield PACKAGE
    for name in ("stdlib", "platstdlib", "purelib", "platlib", "scripts"):
        yield Path(sysconfig.get_path(name)).resolve()
    for text in (sys.prefix, sys.base_prefix, os.environ.get(MARKER, ""), os.environ.get("TMPDIR", "")):
        # An interpreter of the system's has a prefix that holds more than Python.
        if text and Path(text) not in _PREFIXES:
            yield Path(text).resolve()


def named_in(files: Iterable[Path]) -> list[Path]:
    """Files and folders that the texts in `files`, Python files, name beside them: `"model.safetensors"`, `"data"`.

    Of a folder, all files in it count too, as far down as they lie, but for tables: a run writes them after its cells,
    and a model that names `results` would be another one each time. One by its whole path may hold anything, such as
    `/home`: of that count the files directly in it, such as weights of `from_pretrained`, up to `MOST_FILES` of them,
    unless it is the system's, the home, of temporary files, or has the model's file in it.
    """
    found: set[Path] = set()
    for file in files:
        for text in _texts(file):
            path = file.parent / text
            try:
                if path.is_file():
                    found.add(path)
                elif os.path.isabs(text):  # noqa: PTH117 - a string
                    found.update(_directly_in(path, file))
                elif path.is_dir() and path.resolve() not in (file.parent.resolve(), *file.parent.resolve().parents):
                    found.update([path, *_below(path)])
            except OSError:
                continue
    return sorted(found)


def _directly_in(folder: Path, file: Path) -> list[Path]:
    """The files in a folder that `file` names by its whole path; none where it holds more than a model's data."""
    here = folder.resolve()
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - pathlib's raises where nobody has one
    places = {home.resolve(), Path(tempfile.gettempdir()).resolve(), *file.resolve().parents}
    if here in places or any(place in (here, *here.parents) for place in _SYSTEM) or not here.is_dir():
        return []
    found = [path for path in folder.iterdir() if not path.name.startswith(".")]
    files = sorted(path for path in found if path.is_file()) if len(found) <= MOST_FILES else []
    return [] if {path.name for path in files} >= TABLE_FILES else files


def _below(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        if set(files) >= TABLE_FILES:
            folders.clear()
            continue
        folders[:] = [name for name in folders if name != "__pycache__"]
        yield from (path for path in (Path(parent, name) for name in files) if path.is_file())


def _texts(file: Path) -> set[str]:
    """The constants of a Python file that could name something beside it."""
    try:
        nodes = list(ast.walk(ast.parse(file.read_bytes())))
    except (OSError, SyntaxError, ValueError, RecursionError):
        return set()
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {
        text
        for text in texts
        if text.strip("./ ") and len(text) <= _LONGEST_NAME and "\n" not in text and text.isprintable()
    }
