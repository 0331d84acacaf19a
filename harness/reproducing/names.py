"""Keeps the names of a script and those of a model's file apart."""

from __future__ import annotations

import ast
import io
import itertools
import re
import tokenize
from collections.abc import Iterable, Mapping

from harness.reproducing.facts import NotReproducibleError
from harness.reproducing.slicing import Slice


def other_names(sliced: Slice, texts: Iterable[str]) -> dict[str, str]:
    """Other names for those of the script that the model's file has too. Raises where it has one of a generator."""
    theirs = {*sliced.names, *_bound(sliced.imports)}
    ours: dict[str, None] = {}
    for node in ast.parse("\n".join(texts)).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            ours[node.name] = None
            continue
        stored = (part for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store))
        ours.update({part.id: None for part in stored})
    if twice := sorted(theirs & sliced.pieces):
        msg = f"{twice[0]!r} is the harness's in one of the files and another thing in the other: rename yours."
        raise NotReproducibleError(msg)
    found: dict[str, str] = {}
    for name in ours:
        if name in theirs:
            others = (name + "_" * count for count in itertools.count(1))
            found[name] = next(each for each in others if each not in theirs and each not in ours)
    return found


def _bound(statements: Iterable[str]) -> dict[str, str]:
    """The names that import statements bind, with what each stands for."""
    found: dict[str, str] = {}
    for node in ast.parse("\n".join(statements)).body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                found[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom):
            found.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return found


def check_imports(sliced: Slice, statements: Iterable[str]) -> None:
    """Raise where the model's file has another thing under the name of a module that the script imports."""
    theirs = {**dict.fromkeys(sliced.names, ""), **_bound(sliced.imports)}
    for name, what in _bound(statements).items():
        if theirs.get(name, what) != what:
            msg = f"the model's file has {name!r} for another thing than the module {what}, which a script imports so: "
            msg += "rename it there, and reproduce again."
            raise NotReproducibleError(msg)


def renamed(text: str, names: Mapping[str, str]) -> str:
    """Code with other names, but for attributes, names of arguments in calls, and what stands in texts."""
    if not names:
        return text
    lines = text.split("\n")
    found = list(tokenize.generate_tokens(io.StringIO(text).readline))
    depth, edits = 0, []
    for before, token, after in zip([found[0], *found], found, [*found[1:], found[-1]], strict=False):
        if token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
        elif token.type == tokenize.NAME and token.string in names and before.string != ".":
            if depth and after.string == "=" and before.string in ("(", ",", "\n", ""):
                continue
            edits.append((token.start, token.end, names[token.string]))
    for (row, begin), (_, end), new in reversed(edits):
        line = lines[row - 1]
        lines[row - 1] = line[:begin] + new + line[end:]
    return "\n".join(lines)


def filled(text: str, taken: Mapping[str, str]) -> str:
    """Code with each name in `taken` replaced by what it stands for."""
    for name, own in taken.items():
        text = re.sub(rf"\b{name}\b", lambda _, own=own: own, text)  # type: ignore[misc]
    return text
