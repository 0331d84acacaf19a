"""What a script needs of a model's file: its own definitions, as they are written there, and nothing of the harness.

From the expressions that a script uses (`build()`, `example()`) every name is followed through the top level of the
file, and through the harness's own code where the file imports that. Nothing is imported or run.
"""

from __future__ import annotations

import ast
import os
import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from harness.bench.places import CODE
from harness.reproducing.facts import NotReproducibleError

GENERATORS = frozenset({"uniform", "integers"})
"""What scripts have a short form of: see `harness.reproducing.pieces`."""

_TYPES = frozenset({"Inputs", "State", "Model"})
_REASON = "NotApplicable"
_LOADERS = frozenset(
    {"load", "fromfile", "from_pretrained", "load_state_dict_from_url", "loadtxt", "open", "read_bytes", "read_text"}
    | {"download_url_to_file", "genfromtxt", "getenv", "hf_hub_download", "imread", "listdir", "load_dataset"}
    | {"load_file", "memmap", "open_memmap", "read_csv", "read_excel", "read_feather", "read_hdf", "read_json"}
    | {"read_parquet", "read_pickle", "read_table", "safe_open", "scandir", "snapshot_download", "urlopen"}
    | {"urlretrieve"}
)
_OF_PATHS = frozenset({"join", "Path", "PurePath", "PosixPath", "exists", "isfile", "isdir", "glob", "rglob"})
"""What takes paths: an absolute one is one of this machine, whatever it looks like."""

ROOTS = (
    r"/(?:data|datasets|etc|home|media|mnt|nfs|opt|private|root|scratch|srv|tmp|Users|usr|var|Volumes|work|workspace)"
)
"""Where folders lie that people keep files in."""

_USUAL_PATH = re.compile(rf"(?:{ROOTS}(?:/|$)|[A-Za-z]:[\\/])")
_ADDRESS = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'`)>]+")
_REMARK = re.compile(r"\s+# (?:noqa|type: ignore)[^\n]*$", re.MULTILINE)

Edit = tuple[int, int, str]
"""Where text ends and begins in a file, in bytes, and what comes in its place."""


@dataclass
class _File:
    """A file whose top level is looked through; `own` says that it is a user's."""

    path: Path
    own: bool
    text: bytes = b""
    names: dict[str, ast.stmt] = field(default_factory=dict)
    aliases: dict[str, ast.alias] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, *, own: bool) -> _File:
        text = path.read_bytes()
        found = cls(path, own, text)
        for node in ast.parse(text).body:
            found._declare(node, node)
        return found

    def _declare(self, node: ast.stmt, whole: ast.stmt) -> None:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            self.names[node.name] = whole
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                self.names[name], self.aliases[name] = whole, alias
        elif isinstance(node, (ast.If, ast.Try, ast.With)):
            for part in ast.walk(node):
                if isinstance(part, ast.stmt) and part is not node:
                    self._declare(part, whole)
        else:
            for target in ast.walk(node):
                if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store):
                    self.names[target.id] = whole

    @cached_property
    def _starts(self) -> list[int]:
        starts = [0]
        for line in self.text.split(b"\n"):
            starts.append(starts[-1] + len(line) + 1)
        return starts

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Where a node is in the file, decorators with it."""
        decorators: list[ast.expr] = getattr(node, "decorator_list", [])
        first = min([node, *decorators], key=lambda each: each.lineno)  # type: ignore[attr-defined]
        begin = self._starts[first.lineno - 1] + first.col_offset - (1 if decorators else 0)  # type: ignore[attr-defined]
        return begin, self._starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]

    def written(self, node: ast.AST, edits: Iterable[Edit]) -> str:
        """The text of a node with some of it replaced."""
        begin, end = self.span(node)
        text = self.text[begin:end]
        for at, until, new in sorted(edits, reverse=True):
            text = text[: at - begin] + new.encode() + text[until - begin :]
        return _REMARK.sub("", text.decode("utf-8"))


@dataclass
class Slice:
    """What was found: whole import statements, definitions in their order, and the names that a script has itself."""

    imports: dict[str, None] = field(default_factory=dict)
    definitions: list[str] = field(default_factory=list)
    names: dict[str, Path] = field(default_factory=dict)
    pieces: set[str] = field(default_factory=set)


class Slicer:
    """Follows names from one model's file; `modules` are those of the user's own that it could import, by name."""

    def __init__(self, path: Path, modules: Iterable[str], *, own: bool) -> None:
        self.file = _File.read(path, own=own)
        self.modules = frozenset(modules)
        self.found = Slice()
        self._files = {path: self.file}
        self._order: list[tuple[int, int, str]] = []
        self._seen: set[tuple[Path, int]] = set()
        self._ranks: dict[Path, int] = {}
        self.declared = self._declaration()

    def _declaration(self) -> Mapping[str, ast.expr]:
        """The arguments of `MODEL = Model(…)`."""
        node = self.file.names.get("MODEL")
        value = getattr(node, "value", None)
        named = [each.arg for each in value.keywords] if isinstance(value, ast.Call) else []
        if not isinstance(value, ast.Call) or value.args or None in named or "build" not in named:
            msg = f"{self.file.path.name}: MODEL is not written as Model(summary=…, build=…, …). Write it so."
            raise NotReproducibleError(msg)
        return {each.arg: each.value for each in value.keywords if each.arg is not None}

    def called(self, argument: str, entry: str = "") -> str | None:
        """The code of a call of what MODEL was given as `argument`, or of an entry of that dict; None where not found.

        Everything that it needs goes into the script.
        """
        node = self.declared.get(argument)
        if entry and isinstance(node, ast.Dict):
            keyed = zip(node.keys, node.values, strict=True)
            node = next((value for key, value in keyed if isinstance(key, ast.Constant) and key.value == entry), None)
        elif entry:
            return None
        if node is None:
            return None
        if isinstance(node, ast.Lambda) and not node.args.args:
            return self._expression(node.body)
        return f"{self._expression(node)}()"

    def named(self, argument: str) -> str | None:
        """The code of what MODEL was given as `argument`, by itself."""
        node = self.declared.get(argument)
        return None if node is None else self._expression(node)

    def sliced(self) -> Slice:
        """Everything that was needed so far, what others need first."""
        self.found.definitions = [text for *_, text in sorted(self._order, key=lambda each: each[:2])]
        return self.found

    def _expression(self, node: ast.expr) -> str:
        """The text of an expression that may be called or have an attribute taken; its lines are kept."""
        self._refuse_addresses(self.file, node)
        text = self._take(self.file, node)
        texts = (part for part in ast.walk(node) if isinstance(part, (ast.Constant, ast.JoinedStr)))
        if "\n" in text and all(part.lineno == part.end_lineno for part in texts):
            first, _, rest = text.partition("\n")
            text = f"{first}\n{textwrap.dedent(rest)}"
        # What stood in the brackets of a call without any of its own would end with its first line.
        if not isinstance(node, (ast.Call, ast.Name, ast.Attribute, ast.Subscript)) or not _is_expression(text):
            return f"({text})"
        return text

    def _take(self, file: _File, node: ast.AST) -> str:
        """The text of a node; what it names is taken first."""
        edits: list[Edit] = []
        skipped: set[ast.AST] = set()
        for part in ast.walk(node):
            if isinstance(part, ast.arg) and part.annotation is not None and self._is_ours(file, part.annotation):
                edits.append((file.span(part)[0] + len(part.arg.encode()), file.span(part.annotation)[1], ""))
                skipped.update(ast.walk(part.annotation))
            elif isinstance(part, ast.FunctionDef) and part.returns is not None and self._is_ours(file, part.returns):
                begin, end = file.span(part.returns)
                arrow = file.text.rindex(b"->", 0, begin)
                edits.append((len(file.text[:arrow].rstrip()), end, ""))
                skipped.update(ast.walk(part.returns))
        for part in ast.walk(node):
            if part in skipped:
                continue
            self._refuse_files(file, part)
            if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
                other = self._module_of_ours(file, part.value.id)
                if other is not None:
                    skipped.add(part.value)
                    edits.append((*file.span(part), part.attr))
                    self._define(other, part.attr)
            elif isinstance(part, (ast.Import, ast.ImportFrom)):
                self._check_import(file, part)
            elif isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load):
                self._define(file, part.id)
        return file.written(node, edits)

    def _is_ours(self, file: _File, annotation: ast.expr) -> bool:
        return any(
            isinstance(part, ast.Name) and part.id in _TYPES and part.id in file.aliases
            for part in ast.walk(annotation)
        )

    def _define(self, file: _File, name: str) -> None:
        node = file.names.get(name)
        if node is None:
            return
        if name in file.aliases:
            self._import(file, node, file.aliases[name], name)
            return
        if (file.path, node.lineno) in self._seen:
            return
        self._seen.add((file.path, node.lineno))
        for each in [other for other, whole in file.names.items() if whole is node]:
            if self.found.names.setdefault(each, file.path) != file.path:
                msg = f"{each!r} is defined in {file.path.name} and in {self.found.names[each].name}: rename one."
                raise NotReproducibleError(msg)
        self._refuse_addresses(file, node)
        text = self._take(file, node)
        rank = self._ranks.setdefault(file.path, len(self._ranks) if file is not self.file else 1_000_000)
        self._order.append((rank, node.lineno, text))

    def _import(self, file: _File, node: ast.stmt, alias: ast.alias, name: str) -> None:
        self._check_import(file, node)
        if isinstance(node, ast.Import):
            if alias.name.partition(".")[0] in ("harness", "model_zoo"):
                msg = (
                    f"{file.path.name}, line {node.lineno}: it needs {alias.name} as a module, which no script has. "
                    f"Name what you take from it, as in `from harness.bench import uniform`."
                )
                raise NotReproducibleError(msg)
            text = f"import {alias.name}" + (f" as {alias.asname}" if alias.asname else "")
            self.found.imports[text] = None
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            top = module.partition(".")[0]
            if top not in ("harness", "model_zoo"):
                if module != "__future__":
                    text = f"from {module} import {alias.name}" + (f" as {alias.asname}" if alias.asname else "")
                    self.found.imports[text] = None
                return
            if top == "harness" and alias.name in (*GENERATORS, _REASON):
                if alias.asname:
                    msg = f"{file.path.name} imports {alias.name} as {alias.asname}: use its own name."
                    raise NotReproducibleError(msg)
                self.found.pieces.add(alias.name)
                return
            other = self._ours(module)
            if other is None or alias.asname:
                msg = f"{file.path.name} needs {name} of {module}, which no script can have: write it into the file."
                raise NotReproducibleError(msg)
            self._define(other, alias.name)

    def _module_of_ours(self, file: _File, name: str) -> _File | None:
        """The harness's own file that a name stands for, as after `from model_zoo import _digits`."""
        node, alias = file.names.get(name), file.aliases.get(name)
        if isinstance(node, ast.ImportFrom) and alias is not None and (node.module or "").startswith("model_zoo"):
            return self._ours(f"{node.module}.{alias.name}")
        return None

    def _ours(self, module: str) -> _File | None:
        if module == "harness.bench":
            return None
        path = CODE.joinpath(*module.split(".")).with_suffix(".py")
        if not path.is_file():
            return None
        return self._files.setdefault(path, _File.read(path, own=False))

    def _check_import(self, file: _File, node: ast.stmt) -> None:
        """Raise where a user's own module is imported, or the harness's inside a function."""
        if isinstance(node, ast.ImportFrom):
            names = ["." * node.level + (node.module or "")]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            return
        for name in names:
            own = name.startswith(".") or name in self.modules or name.partition(".")[0] in self.modules
            if own and file.own:
                told = f"{file.path.name}, line {node.lineno}: it needs your own module {name}, which nobody else has."
                msg = f"{told} Write what it takes from there into the file in place of the import."
                raise NotReproducibleError(msg)
            if name.partition(".")[0] in ("harness", "model_zoo") and node.col_offset:
                msg = f"{file.path.name}, line {node.lineno}: it needs {name}, which no script has."
                raise NotReproducibleError(msg)

    def _refuse_addresses(self, file: _File, node: ast.AST) -> None:
        """Raise where a text or a remark of a user's has an address: it may be a private one, or have a password."""
        begin, end = file.span(node)
        found = _ADDRESS.search(file.text[begin:end].decode("utf-8", errors="replace")) if file.own else None
        if found:
            line = 1 + file.text.count(b"\n", 0, begin) + found.string.count("\n", 0, found.start())
            msg = (
                f"{file.path.name}, line {line}: it has an address, which a script for others may not tell. Put the "
                f"values into the file in place of what is read from there, or leave the address out of a remark, and "
                f"reproduce again."
            )
            raise NotReproducibleError(msg)

    def _refuse_files(self, file: _File, part: ast.AST) -> None:
        """Raise where code reads files, which are on this machine alone."""
        told = ""
        if isinstance(part, ast.Name) and part.id == "__file__":
            told = "reads files beside it"
        elif isinstance(part, ast.Call):
            function = part.func
            name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
            told = f"loads something by {name}()" if name in _LOADERS else ""
            given = [each.value for each in part.args if isinstance(each, ast.Constant)] if name in _OF_PATHS else []
            if any(isinstance(value, str) and value.startswith("/") for value in given):
                told = "names a path of this machine"
        elif isinstance(part, ast.Constant) and isinstance(part.value, str):
            told = "names a path of this machine" if _is_path(part.value) else ""
        if told:
            line = getattr(part, "lineno", 0)
            msg = (
                f"{file.path.name}, line {line}: it {told}, which nobody else has. Put the values into the file, or "
                f"values drawn from a seed in their place, and reproduce again."
            )
            raise NotReproducibleError(msg)


def _is_expression(text: str) -> bool:
    try:
        ast.parse(text, mode="eval")
    except SyntaxError:
        return False
    return True


def _is_path(text: str) -> bool:
    """Whether a text is a path of this machine, and no name that only looks like one, such as `/device:CPU:0`."""
    if text.startswith("~/") or _USUAL_PATH.match(text):
        return True
    if not text.startswith("/") or "\n" in text or not text.strip("/"):
        return False
    parent = os.path.dirname(text)  # noqa: PTH120 - of a text that may be anything, longer than any path
    return os.path.exists(text) or (parent != "/" and os.path.isdir(parent))  # noqa: PTH110, PTH112 - likewise
