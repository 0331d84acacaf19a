"""Matrix files: TOML in `matrices/` that names combinations, tier, devices and policy for a run."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.bench.errors import UsageError, unknown
from harness.bench.places import MATRICES
from harness.bench.plan import Policy


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class PolicyTable(_Strict):
    """`[policy]`: how cells are run. Times in seconds, memory in MiB."""

    timeout_s: float = Field(default=Policy().timeout_s, gt=0)
    memory_limit_mb: int = Field(default=Policy().memory_limit_mb, gt=0)
    launches: int = Field(default=Policy().launches, ge=1)
    measure_s: float = Field(default=Policy().measure_s, gt=0)
    threads: int = Field(default=Policy().threads, ge=1)

    def policy(self) -> Policy:
        """The same for the bench."""
        return Policy(**self.model_dump())


class Matrix(_Strict):
    """A run: which combinations, how much of the zoo, where, and how.

    `paths` are folders that models of a user's own import from, relative to the root.
    """

    combinations: list[str] = Field(min_length=1)
    tier: Literal["quick", "core", "full"] = "quick"
    devices: list[Literal["cpu", "cuda", "auto"]] = Field(default=["auto"], min_length=1)
    models: list[str] = []
    strategies: list[str] = []
    paths: list[str] = []
    extensions: bool = False
    policy: PolicyTable = PolicyTable()


def parse(text: str, *, where: str, known: list[str] | None) -> Matrix:
    """The matrix of a file's text; `known` are the combinations that exist, None where the file's are not asked for.

    Raises `UsageError` with the path to each wrong key.
    """
    try:
        matrix = Matrix.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        msg = f"{where}: not valid TOML: {error}."
        raise UsageError(msg) from None
    except ValidationError as error:
        lines = [f"{where}: {_told(tuple(map(str, e['loc'])), e['type'], e['msg'])}" for e in error.errors()]
        raise UsageError("\n".join(lines)) from None
    for index, name in enumerate(matrix.combinations):
        if known is not None and name not in known:
            msg = f"{where}: 'combinations.{index}': {unknown('combination', name, known)}"
            raise UsageError(msg)
    return matrix


def _told(path: tuple[str, ...], kind: str, message: str) -> str:
    where = ".".join(path)
    if kind != "extra_forbidden":
        return f"'{where}': {message}."
    table = PolicyTable if path[0] == "policy" and len(path) > 1 else Matrix
    keys = list(table.model_fields)
    near = difflib.get_close_matches(path[-1], keys, n=1, cutoff=0.5)
    return f"'{where}': no such key. " + (f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(keys)}.")


def of(root: Path, given: Path | None, *, names: Sequence[str], known: list[str]) -> Matrix:
    """The matrix of a command that was given `names` of combinations: the one that it names, or nightly.toml.

    A repository without that file has what a matrix has by itself. Raises `UsageError` where nothing says which
    combinations are meant.
    """
    default = root / MATRICES / "nightly.toml"
    if given is not None or default.is_file():
        return read(given or default, known=None if names else known)
    if not names:
        msg = f"name a combination ({', '.join(known)}), or write {MATRICES}/nightly.toml, which names some."
        raise UsageError(msg)
    return Matrix(combinations=list(names))


def read(path: Path, *, known: list[str] | None) -> Matrix:
    """The matrix in the file `path`."""
    if not path.is_file():
        msg = f"{path}: no such matrix file."
        raise UsageError(msg)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path}: cannot be read as UTF-8 text ({error})."
        raise UsageError(msg) from None
    return parse(text, where=path.name, known=known)
