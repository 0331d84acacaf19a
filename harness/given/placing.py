"""Puts the file of each spec where a run finds it, and where it stays the same: by its content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from harness.bench.errors import UsageError
from harness.given.files import text_of
from harness.given.inputs import parse_all
from harness.given.specs import FACTORY, FORMS, Spec, parse
from harness.matrix.places import own_folder

FOLDER = "given"
"""In `.harness` of the root."""


class Placed(NamedTuple):
    """The values of `--models` with paths in the place of specs, and the folders that their factories lie in."""

    models: tuple[str, ...]
    paths: tuple[Path, ...]


def placed(root: Path, models: Sequence[str], inputs: Sequence[str]) -> Placed:
    """The values of `--models`, each once, with the path of its file in the place of each spec.

    Equal specs and inputs are always the same file, and other ones another: what a run was begun with is never
    rewritten. Raises `UsageError` before anything is written, where a spec or an input is wrong, where `--input` is
    given with anything but one spec, and where two specs would have one name.
    """
    models = list(dict.fromkeys(models))
    specs = [parse(value) for value in models]
    known = [spec for spec in specs if spec is not None]
    if inputs and (len(known) != 1 or len(specs) != 1):
        msg = (
            f"--input says what one model without a file takes: give --models one such model ({FORMS}), and nothing "
            "else. A file has its inputs in it."
        )
        raise UsageError(msg)
    _check_names(known)
    given = parse_all(inputs)
    texts = {spec.text: text_of(spec, given) for spec in known}
    values = (
        value if spec is None else str(_written(root, spec, texts[spec.text]))
        for value, spec in zip(models, specs, strict=True)
    )
    return Placed(tuple(values), tuple(dict.fromkeys(folder for spec in known for folder in folders_of(spec))))


def folders_of(spec: Spec) -> list[Path]:
    """Where the module of a factory lies in the folder that the command is called in, as people who call it expect.

    A package that the environment has comes before it.
    """
    top = spec.target.partition(":")[0].partition(".")[0]
    near = (Path.cwd(), Path.cwd() / "src") if spec.kind == FACTORY else ()
    return [folder for folder in near if (folder / top).is_dir() or (folder / f"{top}.py").is_file()][:1]


def _check_names(specs: Sequence[Spec]) -> None:
    named: dict[str, Spec] = {}
    for spec in specs:
        other = named.setdefault(spec.name, spec)
        if other.text != spec.text:
            unnamed = spec.text.removeprefix(f"{spec.name}=")
            msg = f"{other.text} and {spec.text} would both be called {spec.name!r}. Name one: other-name={unnamed}."
            raise UsageError(msg)


def _written(root: Path, spec: Spec, text: str) -> Path:
    """The file of a spec, written unless it is there already."""
    folder = own_folder(root) / FOLDER / hashlib.sha256(text.encode()).hexdigest()[:16]
    path = folder / f"{spec.stem}.py"
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    return path
