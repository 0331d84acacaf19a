"""What a child that builds or converts reads beside installed packages: a user's files, the zoo's, a plugin's.

Which data a model's file opens, and which folders it lists, only running it tells. An audit hook sees every file that
Python opens and every folder that it lists; what a library opens in code of its own (`safetensors`) is seen where a
model's file names it, by `named_in`.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import sys
import sysconfig
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
_OF_PYTHON = (".pth", "pyvenv.cfg")
_LONGEST_NAME = 255

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


def watch(folder: Path) -> None:
    """Write down, in `folder`, what this process reads from now on; what is part of its environment is left out.

    Each path is written at once, so that it is known however the process ends. An audit hook cannot be taken away
    again: only a child that ends with its request may begin this.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    sys.addaudithook(_hook(os.open(folder.resolve() / READS_FILE, flags, 0o600)))


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


def _hook(handle: int) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook that writes to the file `handle`; it runs at each event of the interpreter."""
    out = tuple({text for folder in _left_out() for text in (str(folder), str(folder.resolve()))})
    within = tuple(f"{text}{os.sep}" for text in out)
    seen: set[str] = set()

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
            text = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - a string, as cheap as can be
            if text in seen:
                return
            seen.add(text)
            text = _source_of(text)
            if text not in out and not text.startswith(within) and _counts(text):
                os.write(handle, os.fsencode(text) + b"\n")
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
    `/tmp`. What a model reads in any of these is seen.
    """
    found: set[Path] = set()
    for file in files:
        for text in _texts(file):
            path = file.parent / text
            try:
                if path.is_file():
                    found.add(path)
                elif os.path.isabs(text):  # noqa: PTH117 - a string
                    continue
                elif path.is_dir() and path.resolve() not in (file.parent.resolve(), *file.parent.resolve().parents):
                    found.update([path, *_below(path)])
            except OSError:
                continue
    return sorted(found)


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
