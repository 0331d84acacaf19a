"""`native.json`: what each model's native outputs were, to be held against those of another combination.

Of every output on every input set there is a digest of all its bits, and a sample of its values at fixed positions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict

from harness.bench.errors import UsageError
from harness.tables.decoding import decode, read_json


@dataclass(frozen=True, kw_only=True)
class NativeOutput:
    """One native output; `sample` may hold NaN and Inf."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    digest: str
    shape: tuple[int, ...]
    dtype: str
    sample: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Native:
    """A model's native outputs by input set: `example`, then its probes.

    `parameters` is how many parameters the model has; None where that was not recorded.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    weights_digest: str
    outputs: Mapping[str, tuple[NativeOutput, ...]]
    parameters: int | None = None


def read_native(path: Path, *, remedy: str) -> Native:
    """One model's native outputs as the bench leaves them. Raises `UsageError` with the path to the first wrong key."""
    return decode(Native, read_json(path, where=str(path), remedy=remedy), where=str(path), remedy=remedy)


def read_natives(path: Path, *, remedy: str) -> dict[str, Native]:
    """`native.json`, by model. Raises `UsageError` with the path to the first wrong key."""
    value = read_json(path, where=str(path), remedy=remedy)
    if not isinstance(value, Mapping):
        msg = f"{path}: expected object, got {type(value).__name__}. {remedy}"
        raise UsageError(msg)
    return {name: decode(Native, each, where=str(path), prefix=name, remedy=remedy) for name, each in value.items()}


def in_model_order(natives: Mapping[str, Native]) -> dict[str, Native]:
    """The stable order of `native.json`: by model. Input sets and outputs stay in the order of the model's file."""
    return dict(sorted(natives.items()))


def merged(natives: Iterable[Mapping[str, Native]]) -> dict[str, Native]:
    """All models of several mappings; of a model that is in more than one, the first counts."""
    found: dict[str, Native] = {}
    for each in natives:
        found = {**each, **found}
    return in_model_order(found)


def format_natives(natives: Mapping[str, Native]) -> str:
    """The text of `native.json`: a line an input set, so that a model that moved is a few lines of a difference."""
    models = [f"{_text(model)}: {_model_text(native)}" for model, native in in_model_order(natives).items()]
    return "{\n" + ",\n".join(models) + "\n}\n"


def _model_text(native: Native) -> str:
    sets = [f"  {_text(name)}: {_text([asdict(each) for each in outputs])}" for name, outputs in native.outputs.items()]
    body = "{\n" + ",\n".join(sets) + "\n}" if sets else "{}"
    counted = "" if native.parameters is None else f'"parameters": {native.parameters}, '
    return f'{{"weights_digest": {_text(native.weights_digest)}, {counted}"outputs": {body}}}'


def _text(value: Any) -> str:
    return json.dumps(value)
