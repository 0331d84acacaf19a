"""What a person is told of an error in code of theirs: where it is, and what to do about it."""

from __future__ import annotations

import contextlib
import difflib
import re
import traceback
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import ModuleType

from harness.bench import definitions, own_code
from harness.bench.places import ZOO

_ADVICE = "advice of the bench"
_LONGEST_CHAIN = 100
_UNEXPECTED = re.compile(r"(Model|Step|Strategy|Runtime)\.__init__\(\) got an unexpected keyword argument '(\w+)'")
_MISSING = re.compile(r"(Model|Step|Strategy|Runtime)\.__init__\(\) missing \d+ required .*arguments?: (.*)")


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from, the last first."""
    seen: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and len(seen) < _LONGEST_CHAIN and not any(following is each for each in seen):
        seen.append(following)
        yield following
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)


def place_of(error: BaseException) -> str:
    """``FILE:LINE`` of the innermost frame in a user's own code; empty where there is none, or it cannot be told."""
    try:
        return _place_of(error)
    except BaseException:  # noqa: BLE001 - an exception's attributes may be anything
        return ""


def _place_of(error: BaseException) -> str:
    for each in chain_of(error):
        if isinstance(each, SyntaxError) and each.filename and _is_users(each.filename):
            return f"{each.filename}:{each.lineno or 1}"
        frames = [frame for frame in traceback.extract_tb(each.__traceback__) if _is_users(frame.filename)]
        if frames:
            return f"{frames[-1].filename}:{frames[-1].lineno}"
    return ""


def _is_users(file: str) -> bool:
    return file.endswith(".py") and Path(file).is_absolute() and own_code.is_users(Path(file).resolve())


def advise(error: BaseException, advice: str) -> None:
    """Say what to do about an error where only whoever caught it knows; it is raised as it is."""
    with contextlib.suppress(Exception):  # an exception may take no attributes
        error.__dict__[_ADVICE] = advice


def hint_of(error: BaseException | None, *, describing: bool = False) -> str:
    """What to do about an error that code of a user's raised by itself; empty where nothing is known of it.

    `describing` says that the file was read outside of the environments that it runs in.
    """
    try:
        return "" if error is None else _hint_of(error, describing=describing)
    except BaseException:  # noqa: BLE001 - likewise
        return ""


def _hint_of(error: BaseException, *, describing: bool) -> str:
    for each in chain_of(error):
        if advice := getattr(each, "__dict__", {}).get(_ADVICE):
            hint = str(advice)
        elif isinstance(each, ImportError):
            hint = _import_hint(each, describing=describing)
        elif isinstance(each, AttributeError):
            module = getattr(each, "obj", None)
            hint = _shadow_hint(module.__name__) if isinstance(module, ModuleType) else ""
        elif isinstance(each, TypeError):
            hint = _declaration_hint(str(each))
        else:
            hint = ""
        if hint:
            return hint
    return ""


def with_hint(told: str, hint: str) -> str:
    """A message, and what to do as a sentence after it."""
    if not hint:
        return told
    return f"{told} {hint}" if told.endswith((".", "!", "?")) else f"{told}. {hint}"


def _import_hint(error: ImportError, *, describing: bool) -> str:
    name = (error.name or "").partition(".")[0]
    if not _is_raised_by_users(error):
        return ""
    if "relative import" in str(error):
        return (
            "A file imports relatively where its folder is a package: put an empty __init__.py beside it, or import "
            "by name, as in `from net import Net`; its own folder is importable."
        )
    shadowed = _shadow_hint(name)
    if shadowed or not isinstance(error, ModuleNotFoundError) or not name:
        return shadowed
    own = (
        f"If {name} is your own, name the folder that it lies in by --path DIR, or have it installed: `-e .`, a wheel "
        f"or a URL in the requirements."
    )
    if not describing:
        return own
    return (
        f"Files of models are read outside of the environments that they run in, without any framework: import {name}, "
        f"or what imports it, inside build() and the other functions. {own}"
    )


def _is_raised_by_users(error: ImportError) -> bool:
    """Whether the import that failed is one of a user's file, and not one of an installed package or of the zoo."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    return bool(frames) and _is_users(frames[-1].filename) and ZOO not in Path(frames[-1].filename).parents


def _shadow_hint(name: str) -> str:
    found = own_code.shadowing(name.partition(".")[0])
    if found is None:
        return ""
    own, other = found
    shown = own.parent if own.name == "__init__.py" else own
    return (
        f"{name.partition('.')[0]!r} is {other} here, which comes before your own {shown}: rename yours, or put it "
        f"into a package with a name of its own."
    )


def _declaration_hint(text: str) -> str:
    """What a declaration is lacking, or the nearest name of what it has too many."""
    unexpected, missing = _UNEXPECTED.search(text), _MISSING.search(text)
    if unexpected:
        kind, name = unexpected.groups()
        known = [each.name for each in fields(getattr(definitions, kind))]
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        return f"Did you mean {near[0]!r}?" if near else f"{kind} takes: {', '.join(known)}."
    if missing:
        return f"Give {missing[2]} to {missing[1]}(…); `harness new-model NAME` writes a file that has all it needs."
    return ""
