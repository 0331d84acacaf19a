"""A user's own code: which modules of theirs a model's file imports, and how they become importable in a child.

A file's own folder, the folder that holds its package and the folders of ``--path`` are its *roots*, in this order.
They stand at the end of `sys.path`, so that nothing of theirs shadows a pinned package.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import importlib.machinery
import importlib.metadata
import importlib.util
import json
import os
import re
import sys
import sysconfig
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from harness.bench.group import MARKER
from harness.bench.package_files import package_files
from harness.bench.places import CODE, PACKAGE, ZOO

INSTALLED = frozenset({"site-packages", "dist-packages"})
TESTED = frozenset(
    {"jax", "keras", "numpy", "onnx", "onnxruntime", "tensorflow", "torch", "torchvision", "transformers"}
)
"""What is tested is nobody's own code, though a checkout of it may be installed."""

_BENCH = "harness"
_INIT = "__init__.py"
_DECLARES = re.compile(r"^MODEL\b", re.MULTILINE)
_IMPORT = re.compile(r"^[ \t]*(?:import|from)\b[^\n(;#]*(?:\([^)]*\))?", re.MULTILINE)


@dataclass(frozen=True)
class _Parsed:
    """A file of theirs: its SHA-256, and what it imports: level, module, and names taken from it."""

    digest: bytes
    imports: tuple[tuple[int, str, tuple[str, ...]], ...]


def is_users(path: Path) -> bool:
    """Whether a Python file is a user's, or the zoo's: none of an installed package, the standard library, the harness.

    What a framework wrote into the attempt's own folder, to import it at once, is none either (torch does that, under
    another name each time).
    """
    attempt = os.environ.get(MARKER, "")
    left_out = [PACKAGE, *_standard_library(), *([Path(attempt).resolve()] if attempt else [])]
    return not INSTALLED & set(path.parts) and not any(folder in path.parents for folder in left_out)


@functools.lru_cache(maxsize=1)
def _standard_library() -> tuple[Path, ...]:
    return tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib"))


def package_of(file: Path) -> tuple[str, Path]:
    """The dotted name of the package that a file is part of, empty where it is in none, and the folder around it."""
    names: list[str] = []
    folder = file.parent
    while (folder / _INIT).is_file() and folder.name.isidentifier():
        names.insert(0, folder.name)
        folder = folder.parent
    return ".".join(names), folder


def roots_of(file: Path, paths: Sequence[Path] = ()) -> tuple[Path, ...]:
    """The folders from which a model's file may import: its own, that of its package, and `paths`."""
    package, holder = package_of(file)
    # A file of an installed package would bring along all that is installed beside it, in another environment.
    own = [file.parent, *([holder] if package else [])]
    own = [folder for folder in own if folder.name not in INSTALLED]
    return tuple(dict.fromkeys([*own, *paths]))


def modules_of(file: Path, paths: Sequence[Path] = (), *, installed: bool = False) -> dict[str, Path]:
    """The modules of theirs that a model's file imports, anywhere in it, and those that these import: name to file.

    They are found in the file's roots without importing anything. `installed` says to look for packages of theirs
    in this environment too: those that are installed editable or from a path of this machine.
    """
    roots = roots_of(file, paths)
    found: dict[str, Path] = {}
    package, holder = package_of(file)
    waiting = [(file, package)]
    while waiting:
        path, inside = waiting.pop()
        for name in _imported_names(path, inside):
            top = name.partition(".")[0]
            if name in found or top == _BENCH:
                continue
            at = _find(name, (holder, *roots) if package and top == package.partition(".")[0] else roots)
            if at is None and installed:
                root = _local_root(top)
                at = _find(name, (root,)) if root else None
            if at is None or at == file or _is_the_zoos(at):
                continue
            found[name] = at
            waiting.append((at, name if at.name == _INIT else name.rpartition(".")[0]))
    return dict(sorted(found.items()))


def others_of(file: Path, paths: Sequence[Path] = ()) -> set[str]:
    """The top-level modules that are not theirs, and that a model's file imports, or one of theirs that it imports.

    The standard library is left out, and so is the bench. Nothing is imported.
    """
    roots = roots_of(file, paths)
    tops = {
        module.partition(".")[0] for path in (file, *modules_of(file, paths).values()) for module in _absolute(path)
    }
    return {
        top
        for top in tops - {_BENCH, ZOO.name} - sys.stdlib_module_names
        if not any(_holds(root, top) for root in roots)
    }


def _is_the_zoos(path: Path) -> bool:
    """Whether a file is of this harness's own zoo; a user may well have a `model_zoo` too."""
    return ZOO in path.resolve().parents


def _holds(root: Path, top: str) -> bool:
    """Whether a top-level module lies in `root`; a folder without any Python in it is none.

    Nor is the file of a model that imports what bears its own name: `timm.py` is about the library of that name.
    """
    file = root / f"{top}.py"
    if file.is_file():
        itself = top in {module.partition(".")[0] for module in _absolute(file)}
        return not (itself and _DECLARES.search(file.read_text(encoding="utf-8", errors="replace")))
    return any((root / top).glob("*.py"))


def _absolute(path: Path) -> Iterator[str]:
    """The modules that a file imports by their whole names."""
    return (module for level, module, _ in _parsed(*_stamp(path)).imports if not level)


def digest_of(file: Path, paths: Sequence[Path] = (), *, installed: bool = False) -> str:
    """First 16 hexadecimal digits of the SHA-256 of the file and of the modules of theirs that it imports, by name.

    Where the code lies makes no difference, and a file that imports nothing of theirs has the digest of its bytes.
    With `installed` the data of their installed packages are part of it: what these read is as good as code.
    """
    modules = modules_of(file, paths, installed=installed)
    contents = {name: _parsed(*_stamp(path)).digest for name, path in modules.items()}
    if installed:
        package, _ = package_of(file)
        contents |= _data_of({name.partition(".")[0] for name in [*modules, package] if name})
    if not contents:
        return hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    digest = hashlib.sha256(_parsed(*_stamp(file)).digest)
    for name, content in contents.items():
        digest.update(f"\0{name}\0".encode() + content)
    return digest.hexdigest()[:16]


def _data_of(tops: Collection[str]) -> dict[str, bytes]:
    """The data of those of the packages `tops` that are installed here as a user's: each file's name to its SHA-256."""
    found: dict[str, bytes] = {}
    for top in sorted(tops):
        root = _local_root(top)
        if root is None:
            continue
        for path in package_files(root / top):
            if path.suffix != ".py":
                found[path.relative_to(root).as_posix()] = _content(*_stamp(path))
    return found


@functools.lru_cache(maxsize=4096)
def _content(path: Path, _mtime_ns: int, _size: int) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.digest()


def _stamp(path: Path) -> tuple[Path, int, int]:
    status = path.stat()
    return path, status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=4096)
def _parsed(path: Path, _mtime_ns: int, _size: int) -> _Parsed:
    """A file as it is now, parsed once: each record asks for the digest of its model."""
    content = path.read_bytes()
    imports: list[tuple[int, str, tuple[str, ...]]] = []
    try:
        nodes = list(ast.walk(ast.parse(content)))
    except (SyntaxError, ValueError, RecursionError):
        nodes = _import_statements(content)
    for node in nodes:
        if isinstance(node, ast.Import):
            imports += [(0, alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imports.append((node.level, node.module or "", tuple(alias.name for alias in node.names)))
    return _Parsed(hashlib.sha256(content).digest(), tuple(dict.fromkeys(imports)))


def _import_statements(content: bytes) -> list[ast.AST]:
    """The imports of a file in the grammar of another Python than this one, which may be the one that it is for."""
    found: list[ast.AST] = []
    for match in _IMPORT.finditer(content.decode("utf-8", "replace")):
        with contextlib.suppress(SyntaxError, ValueError):
            found += ast.parse(match[0].strip()).body
    return found


def _imported_names(path: Path, package: str) -> Iterator[str]:
    """The dotted names of the modules that a file may import, packages before what is in them."""
    for level, module, names in _parsed(*_stamp(path)).imports:
        base = module
        if level:
            parts = package.split(".") if package else []
            if level > len(parts):
                continue  # beyond its package: Python says so itself
            base = ".".join([*parts[: len(parts) - level + 1], *([module] if module else [])])
        for name in [base, *(f"{base}.{each}" for each in names if each != "*")] if base else names:
            parts = name.split(".")
            yield from (".".join(parts[: length + 1]) for length in range(len(parts)))


def _find(name: str, roots: Sequence[Path]) -> Path | None:
    """The file of a module, as importing it from `roots` would find it; None for a folder without a file of its own."""
    parts = name.split(".")
    for root in roots:
        folder = root.joinpath(*parts)
        for path in (folder / _INIT, folder.with_name(f"{parts[-1]}.py")):
            if path.is_file():
                return path
    return None


def module_file(name: str) -> Path | None:
    """The file of a module that is installed here, of its package where it is one; None where it is not there.

    Nothing is imported: Python's own look for ``package.module`` would import the package.
    """
    top, *inner = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return None
    if inner:
        return _find(".".join(inner), [Path(place) for place in spec.submodule_search_locations or ()])
    return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None


@functools.lru_cache(maxsize=1024)
def _local_root(name: str) -> Path | None:
    """The folder that holds the top-level module `name` where it is a user's: not in site-packages, or of a local path.

    The folder in which this process was started counts for nothing: its children do not import from there.
    """
    if name in sys.stdlib_module_names or name in TESTED:
        return None
    here = {str(Path.cwd()), "", str(CODE)}
    spec = importlib.machinery.PathFinder.find_spec(name, [entry for entry in sys.path if entry not in here])
    if spec is None:
        editable = (
            finder for finder in sys.meta_path if str(getattr(finder, "__module__", "")).startswith("__editable__")
        )
        spec = next((found for finder in editable if (found := finder.find_spec(name, None))), None)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    origin = Path(spec.origin)
    if not is_users(origin.resolve()) and name not in _local_names():
        return None
    return origin.parents[1] if origin.name == _INIT else origin.parent


@functools.lru_cache(maxsize=1)
def _local_names() -> frozenset[str]:
    """The top-level modules of distributions that were installed from a path of this machine."""
    found: set[str] = set()
    for distribution in importlib.metadata.distributions():
        text = distribution.read_text("direct_url.json")
        if not text:
            continue
        try:
            url = json.loads(text).get("url", "")
        except ValueError:
            continue
        if str(url).startswith("file:"):
            found.update(Path(str(file)).parts[0].removesuffix(".py") for file in distribution.files or ())
    return frozenset(found)


_added: list[str] = []
"""What this process has put at the end of its `sys.path`, in that order."""


def make_importable(folders: Sequence[Path], *, first: bool = False) -> list[str]:
    """Put folders at the end of `sys.path`, and return those that were not there yet.

    With `first` they come before what was put there earlier.
    """
    new = [text for text in map(str, folders) if text not in sys.path]
    at = 0 if first else len(_added)
    before = [entry for entry in sys.path if entry not in _added]
    _added[at:at] = new
    sys.path[:] = [*before, *_added]
    return new


def forget(folders: Sequence[Path], added: Sequence[str], before: Collection[str]) -> None:
    """Take what was `added` from `sys.path`, and drop the modules from `folders` that were not there `before`.

    One process describes several files, each of which may have its own `net.py`.
    """
    for text in added:
        _added.remove(text)
        sys.path.remove(text)
    for name, module in list(sys.modules.items()):
        if name in before or name.partition(".")[0] == _BENCH:
            continue
        place = _place(module)
        if (
            place is not None
            and is_users(place)
            and not _is_the_zoos(place)
            and any(folder in place.parents for folder in folders)
        ):
            del sys.modules[name]


def _place(module: ModuleType) -> Path | None:
    """The file of a module, or where that of a package without one would be."""
    values = vars(module) if hasattr(module, "__dict__") else {}
    file = values.get("__file__")
    if isinstance(file, str):
        return Path(file)
    try:
        return next((Path(place, _INIT) for place in values.get("__path__", ())), None)
    except Exception:  # noqa: BLE001 - a module may put anything there
        return None


def shadowing(name: str) -> tuple[Path, str] | None:
    """The user's own top-level module `name` and what comes before it here, where that is another one."""
    own = _find(name, [Path(text) for text in _added])
    if own is None:
        return None
    module = sys.modules.get(name)
    place = _place(module) if module is not None else None
    if module is None:
        spec = importlib.machinery.PathFinder.find_spec(name)
        place = Path(spec.origin) if spec and spec.origin else None
    if place is not None and place.resolve() == own.resolve():
        return None
    if place is None or (name in sys.stdlib_module_names and not INSTALLED & set(place.parts)):
        return own, "the standard library's"
    return own, str(place)
