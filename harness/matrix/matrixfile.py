"""Matrix files: TOML in `matrices/` that names combinations, tier, devices and policy for a run."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.bench.errors import UsageError, unknown
from harness.bench.places import MATRICES
from harness.bench.plan import Keeping, Policy


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class PolicyTable(_Strict):
    """`[policy]`: how cells are run. Times in seconds, memory in MiB."""

    timeout_s: float = Field(default=Policy().timeout_s, gt=0)
    memory_limit_mb: int = Field(default=Policy().memory_limit_mb, gt=0)
    launches: int | None = Field(default=None, ge=0)
    measure_s: float = Field(default=Policy().measure_s, gt=0)
    threads: int = Field(default=Policy().threads, ge=1)

    def policy(self) -> Policy:
        """The same for the bench, which has defaults for what is left out."""
        return Policy(**self.model_dump(exclude_none=True))


class KeepTable(_Strict):
    """`[keep]`, in MiB: how much is kept of cells that broke, of one of them and of all together on this machine.

    Of what cells that passed have converted, `artifacts_mb` are kept, for duels and trials that need not convert it
    again. Before an environment is installed, `free_mb` have to be free, or others make room for it.
    """

    cell_mb: int = Field(default=Keeping().cell_mb, ge=0)
    all_mb: int = Field(default=Keeping().all_mb, ge=0)
    artifacts_mb: int = Field(default=4096, ge=0)
    free_mb: int = Field(default=Keeping().free_mb, ge=0)

    def keeping(self) -> Keeping:
        """The same for the bench."""
        return Keeping(**self.model_dump())


Told = Literal[
    "newly-failing",
    "mismatched",
    "failing-earlier",
    "no-longer-applicable",
    "fixed",
    "failing-later",
    "newly-applicable",
    "failing-differently",
]
"""What a rule may ignore: what could not be told stays untold."""

Category = Literal[Told, "not-comparable", "missing-in-candidate", "missing-in-base"]
"""What a comparison may call a change, `unchanged` left out: the verdict's own names, which a test holds equal."""


class Limits(_Strict):
    """What may get worse without failing the gate: accuracy in points, latency and memory in percent of the base's."""

    accuracy_points: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    latency_percent: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    memory_percent: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class GateRuleTable(Limits):
    """`[[gate.rules]]`: what the gate makes of the cells of some models and strategies."""

    models: list[str] = []
    strategies: list[str] = []
    fail: list[Category] = []
    ignore: list[Told] = []
    moved_natives: bool | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if both := sorted(set(self.fail) & set(self.ignore)):
            msg = f"fail and ignore both have {', '.join(both)}"
            raise ValueError(msg)
        if self.moved_natives is not None and self.strategies:
            msg = "moved_natives is of a model, whatever the strategy: give it a rule without strategies"
            raise ValueError(msg)
        if not self.model_fields_set - {"models", "strategies"}:
            msg = "says nothing: give it fail, ignore, moved_natives or a limit"
            raise ValueError(msg)
        return self


class GateTable(Limits):
    """`[gate]`: what fails a gate. `fail` takes the place of the default categories; of the rules the last counts."""

    fail: list[Category] | None = None
    moved_natives: bool = True
    latency_must_be_told: bool = False
    rules: list[GateRuleTable] = []


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
    keep: KeepTable = KeepTable()
    gate: GateTable | None = None


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
        return f"'{where}': {message.removeprefix('Value error, ')}."
    keys = list(_table_of(path).model_fields)
    near = difflib.get_close_matches(path[-1], keys, n=1, cutoff=0.5)
    return f"'{where}': no such key. " + (f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(keys)}.")


def _table_of(path: tuple[str, ...]) -> type[_Strict]:
    """The table that has the last key of `path`."""
    if path[0] == "policy" and len(path) > 1:
        return PolicyTable
    if path[0] == "keep" and len(path) > 1:
        return KeepTable
    if path[0] == "gate" and len(path) > 1:
        return GateRuleTable if path[1] == "rules" and len(path) > 2 else GateTable  # noqa: PLR2004 - its number
    return Matrix


def of(root: Path, given: Path | None, *, names: Sequence[str], known: list[str]) -> Matrix:
    """The matrix of a command that was given `names` of combinations: the one that it names, or nightly.toml.

    A repository without that file has what a matrix has by itself. Raises `UsageError` where nothing says which
    combinations are meant.
    """
    path = path_of(root, given)
    if path is not None:
        return read(path, known=None if names else known)
    if not names:
        msg = f"name a combination ({', '.join(known)}), or write {MATRICES}/nightly.toml, which names some."
        raise UsageError(msg)
    return Matrix(combinations=list(names))


def path_of(root: Path, given: Path | None) -> Path | None:
    """The matrix file of a command: the one that it names, or nightly.toml; None in a repository without that."""
    default = root / MATRICES / "nightly.toml"
    return given or (default if default.is_file() else None)


def keeping_of(root: Path) -> Keeping:
    """What a repository keeps of cells that broke, by its nightly.toml. Raises `UsageError` where that is wrong."""
    path = path_of(root, None)
    return read(path, known=None).keep.keeping() if path is not None else Keeping()


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
