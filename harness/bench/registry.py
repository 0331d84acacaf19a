"""Finds models, steps, strategies and runtimes: one file each, registered by a module constant.

Listing a folder is all the registration there is. Files are imported in a guarded child (`harness.bench.describe`),
and known here by their cards; what runs a file loads it itself. A file that raises at import is kept, with its error:
its cells fail at `build`, and the rest runs.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from harness.bench import own_code
from harness.bench.cards import ModelCard, RuntimeCard, StepCard, from_json
from harness.bench.definitions import Model, Strategy
from harness.bench.errors import FilesRefusedError, UsageError, unknown
from harness.bench.explaining import hint_of, place_of, with_hint
from harness.bench.places import PACKAGE, ZOO
from harness.bench.text import one_line

T = TypeVar("T")

OWN = "own:"
"""What comes before the name of a user's own model where the zoo has one of that name."""


@dataclass(frozen=True)
class Entry(Generic[T]):
    """One file and what it declares, or its card. `value` is None where it raised at import: `error` says what.

    `where` is then ``FILE:LINE`` of the user's code that raised, `hint` what to do about it, and `raised` what was
    raised, where that was in this process. `own` says that it is a model of a user's own, which may import from
    `paths` and from its own folder.
    """

    name: str
    path: Path
    value: T | None
    error: str = ""
    where: str = ""
    hint: str = ""
    raised: BaseException | None = field(default=None, compare=False, repr=False)
    own: bool = False
    paths: tuple[Path, ...] = ()

    @property
    def declared(self) -> T:
        """What the file declares; raises an `ImportError` with what it raised at import."""
        if self.value is None:
            msg = f"{self.path.name} raised at import: {self.error}"
            raise ImportError(msg) from self.raised
        return self.value

    @property
    def digest(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the file and of the private files beside it that it imports.

        Of a user's own model that is all code of theirs that it imports: see `harness.bench.own_code`.
        """
        if self.own:
            return own_code.digest_of(self.path, self.paths)
        contents = b"".join(path.read_bytes() for path in [self.path, *_helpers(self.path)])
        return hashlib.sha256(contents).hexdigest()[:16]

    @property
    def files(self) -> tuple[Path, ...]:
        """The file and all that it imports beside it, as far down as that goes; of a user's own model, code of theirs.

        Nothing is imported: what is imported under a name that is made while it runs is not among these.
        """
        if self.own:
            return (self.path, *own_code.modules_of(self.path, self.paths).values())
        found = [self.path]
        for path in found:  # it grows meanwhile
            found += [each for each in _helpers(path) if each not in found]
        return tuple(found)

    @property
    def digest_here(self) -> str:
        """The same with the packages of theirs that are installed in this environment from a path of this machine."""
        return own_code.digest_of(self.path, self.paths, installed=True) if self.own else self.digest

    @property
    def mistake(self) -> str:
        """A line for whoever wrote the file, where it raised at import: place, error, what to do."""
        return with_hint(f"{self.where or self.path}: {one_line(self.error)}", self.hint)


def name_of(path: Path) -> str:
    """`onnx_torchscript.py` declares `onnx-torchscript`."""
    return path.stem.replace("_", "-")


def _assigns(path: Path, constant: str) -> bool | None:
    """Whether the file's top level assigns `constant`; None where it cannot be read or parsed."""
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except (SyntaxError, ValueError, RecursionError, OSError):
        return None
    for node in _top_level(tree.body):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        elif isinstance(node, ast.ImportFrom) and any((a.asname or a.name) in (constant, "*") for a in node.names):
            return True
        if any(isinstance(target, ast.Name) and target.id == constant for target in targets):
            return True
    return False


def _top_level(body: Iterable[ast.stmt]) -> Iterable[ast.stmt]:
    """The statements that a file's import runs, those under `if`, `try` and `with` among them."""
    for node in body:
        yield node
        if isinstance(node, (ast.If, ast.Try, ast.With)):
            inner = [part for part in ast.iter_child_nodes(node) if isinstance(part, ast.stmt)]
            handlers = [part for handler in getattr(node, "handlers", ()) for part in handler.body]
            yield from _top_level([*inner, *handlers])


def _helpers(path: Path) -> list[Path]:
    """The files beside `path` that it imports, anywhere in it: private ones, and others of the harness or the zoo."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return []
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            parts = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            parts = [part for alias in node.names for part in alias.name.split(".")]
        else:
            continue
        # `import torch` in `runtimes/onnxruntime.py` does not mean the `torch.py` beside it.
        own = parts[0] in ("harness", "model_zoo")
        names.update(part for part in parts if own or part.startswith("_"))
    beside = (path.with_name(f"{name}.py") for name in sorted(names) if name != "__init__")
    return [file for file in beside if file.is_file() and file != path]


def load(path: Path, constant: str, kind: type[T]) -> Entry[T]:
    """The entry of one file, imported here and now: only a child may do that to a user's file.

    Raises `UsageError` where the file does not declare `constant` at all: that is a mistake in the call, not a result.
    """
    if _assigns(path, constant) is False:
        msg = f"{path}: no {constant} in it. Add `{constant} = {kind.__name__}(…)` at the file's top level."
        raise UsageError(msg)
    module_name = f"harness_loaded_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}_{path.stem}"
    if kind is Model and ZOO not in path.parents:
        own_code.make_importable(own_code.roots_of(path), first=True)
        package, _ = own_code.package_of(path)  # so that `from .net import Net` finds it
        module_name = f"{package}.{module_name}" if package else module_name
    try:
        module = sys.modules.get(module_name) or _execute(path, module_name)
        value = getattr(module, constant)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a file that raises is a result of its cells
        told = f"{type(error).__name__}: {error}"
        return Entry(name_of(path), path, None, told, place_of(error), hint_of(error), error)
    if not isinstance(value, kind):
        msg = f"{path}: {constant} is of type {type(value).__name__}, and must be a {kind.__name__}."
        raise UsageError(msg)
    return Entry(name_of(path), path, value)


def _execute(path: Path, module_name: str) -> Any:
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        msg = f"{path} is not a Python file"
        raise ImportError(msg)
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def _files(folders: Iterable[Path]) -> list[Path]:
    return [path for folder in folders for path in sorted(folder.glob("*.py")) if not path.stem.startswith("_")]


@dataclass(frozen=True)
class Registry:
    """Everything there is to run, by name."""

    models: dict[str, Entry[ModelCard]]
    steps: dict[str, Entry[StepCard]]
    strategies: dict[str, Entry[Strategy]]
    runtimes: dict[str, Entry[RuntimeCard]]

    def strategy_digest(self, name: str) -> str:
        """Digest of the files of a strategy, its steps and its runtime."""
        strategy = self.strategies[name]
        entries: list[Entry[Any]] = [strategy]
        if strategy.value is not None:
            entries += [self.steps[step] for step in strategy.value.steps if step in self.steps]
            entries += [self.runtimes[strategy.value.runtime]] if strategy.value.runtime in self.runtimes else []
        return hashlib.sha256("".join(entry.digest for entry in entries).encode()).hexdigest()[:16]

    def digests(self) -> dict[str, str]:
        """The digest of every file, by kind and name."""
        kinds: dict[str, dict[str, Entry[Any]]] = {
            "model": {**self.models},
            "step": {**self.steps},
            "strategy": {**self.strategies},
            "runtime": {**self.runtimes},
        }
        return {f"{kind} {name}": entry.digest for kind, found in kinds.items() for name, entry in found.items()}


def _named(entries: Iterable[Entry[T]], what: str) -> dict[str, Entry[T]]:
    found: dict[str, Entry[T]] = {}
    for entry in entries:
        if entry.name in found:
            msg = f"two {what} files are called {entry.name!r}: {found[entry.name].path} and {entry.path}. Rename one."
            raise UsageError(msg)
        found[entry.name] = entry
    return found


def model_files(paths: Sequence[Path]) -> list[Path]:
    """The model files that `paths` (files and folders) stand for, each once.

    Of a folder those are the files that declare a model, or cannot be parsed, which is to be told: see `passed_over`.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            listed = _files([path])
            inside = [file for file in listed if _assigns(file, "MODEL") is not False]
            if not inside:
                others = f": there is no MODEL in {', '.join(file.name for file in listed)}" if listed else ""
                msg = f"{path}: no model file (*.py) in this folder{others}."
                raise UsageError(msg)
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            msg = f"{path}: no such file or folder of models. `harness new-model` writes one to begin with."
            raise UsageError(msg)
    unique: dict[Path, Path] = {}
    for path in found:
        unique.setdefault(path.resolve(), path)
    return list(unique.values())


def passed_over(paths: Iterable[Path]) -> list[Path]:
    """The files of the folders among `paths` that declare no model: helpers, as a rule."""
    return [file for path in paths if path.is_dir() for file in _files([path]) if _assigns(file, "MODEL") is False]


def zoo_names() -> frozenset[str]:
    """The names of the zoo's models."""
    return frozenset(name_of(path) for path in _files([ZOO]))


def discover(
    *,
    models: Sequence[Path] = (),
    paths: Sequence[Path] = (),
    plugins: Sequence[Path] = (),
    with_zoo: bool | None = None,
    strict: bool = False,
    timeout_s: float = 60.0,
) -> Registry:
    """List a user's own `models`, the zoo, and the steps, strategies and runtimes.

    The zoo is listed `with_zoo`, and where that is not said, unless there are models of a user's own. `paths` are
    folders that those may import from; `plugins` are folders of a user's own with the sub-folders `steps`, `strategies`
    and `runtimes`. A file that cannot be imported within `timeout_s` seconds, or that ends the process that imports it,
    is refused, and with `strict` so is a model of a user's own that raises at import; all of them are told at once.
    """
    for folder in plugins:
        if not folder.is_dir():
            msg = f"{folder}: no such plugin folder."
            raise UsageError(msg)
    for folder in paths:
        if not folder.is_dir():
            msg = f"{folder}: no such folder to import from (--path)."
            raise UsageError(msg)
    from harness.bench.describe import MOST_S

    roots = (PACKAGE, *plugins)
    own = model_files(models)
    files = {
        "model": [*own, *(_files([ZOO]) if with_zoo or (with_zoo is None and not models) else [])],
        "step": _files(root / "steps" for root in roots),
        "strategy": _files(root / "strategies" for root in roots),
        "runtime": _files(root / "runtimes" for root in roots),
    }
    stamped = tuple((kind, *_stamp(path)) for kind, found in files.items() for path in found)
    entries: dict[str, list[Entry[Any]]] = {kind: [] for kind in files}
    refused: list[tuple[Path | None, str]] = []
    for (kind, path, *_), told in zip(stamped, _cards(stamped, tuple(paths), min(timeout_s, MOST_S)), strict=True):
        entry = _entry(kind, path, told, own=kind == "model" and path in own, paths=tuple(paths))
        entries[kind].append(entry)
        if "refused" in told:
            refused.append((path if entry.own else None, told["refused"]))
        elif strict and entry.own and entry.value is None:
            refused.append((path, entry.mistake))
    if refused:
        raise FilesRefusedError("\n".join(line for _, line in refused), [path for path, _ in refused if path])
    return Registry(
        models=_named(entries["model"], "model"),
        steps=_named(entries["step"], "step"),
        strategies=_named(entries["strategy"], "strategy"),
        runtimes=_named(entries["runtime"], "runtime"),
    )


def _entry(kind: str, path: Path, told: Mapping[str, Any], *, own: bool, paths: tuple[Path, ...]) -> Entry[Any]:
    name = name_of(path)
    if own and name in zoo_names():
        name = f"{OWN}{name}"
    card = from_json(kind, told["card"]) if "card" in told else None
    error, where, hint = (told.get(part, "") for part in ("error", "where", "hint"))
    return Entry(name, path, card, error, where, hint, own=own, paths=paths if own else ())


def _stamp(path: Path) -> tuple[Path, int, int]:
    """A file as it is now: another content is another file to `_cards`."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        msg = f"{str(path).encode('utf-8', 'backslashreplace').decode()}: the file's name is no UTF-8. Rename it."
        raise UsageError(msg) from None
    if one_line(path.stem) != path.stem:
        msg = f"{one_line(str(path))}: the file's name has characters that cannot be shown. Rename it."
        raise UsageError(msg)
    status = path.stat()
    return path, status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=16)
def _cards(
    files: tuple[tuple[str, Path, int, int], ...], paths: tuple[Path, ...], timeout_s: float
) -> tuple[Mapping[str, Any], ...]:
    """What each file told of itself: see `harness.bench.describe`. A command asks for the same files several times."""
    from harness.bench.describe import described

    return tuple(described([(kind, path) for kind, path, *_ in files], paths=paths, timeout_s=timeout_s))


def get(entries: dict[str, Entry[T]], what: str, name: str) -> Entry[T]:
    """The entry called `name`; a `UsageError` with the nearest name where there is none."""
    if name not in entries:
        raise UsageError(unknown(what, name, entries))
    return entries[name]
