"""`native.json`: what each model's native outputs were, to be held against those of another combination.

Of every output on every input set there is a digest of all its bits, and what the whole output's relative error can be
told from: its norm, and its values or a sketch of them (`harness.bench.sketch`). Tables of schema 1 have sixteen values
at fixed positions in their place. Both are read, and written as they were read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict

from harness.bench.errors import UsageError
from harness.bench.sketch import decoded
from harness.tables.decoding import decode, read_json

_NO_SPECIAL = ("special", "")


@dataclass(frozen=True, kw_only=True)
class NativeOutput:
    """One native output.

    `norm` is Euclidean, over the finite values; `special` is a digest of where NaN, +Inf and -Inf are, empty where all
    is finite. Exactly one of the others is there: all `values` of a small output, the `sketch` of a larger one, or, of
    schema 1 and without a norm, a `sample`. `values` and `sample` may hold NaN and Inf.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    digest: str
    shape: tuple[int, ...]
    dtype: str
    norm: float | None = None
    special: str = ""
    values: tuple[float, ...] | None = None
    sketch: str | None = None
    sample: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if [self.values, self.sketch, self.sample].count(None) != 2:  # noqa: PLR2004 - one of the three
            msg = "exactly one of `values`, `sketch` and `sample` has to be there"
            raise ValueError(msg)
        if (self.norm is None) != (self.sample is not None):
            msg = "`norm` goes with `values` and `sketch`, and never with `sample`"
            raise ValueError(msg)
        if self.norm is not None and not self.norm >= 0:
            msg = f"`norm` is {self.norm}, and a norm is never below 0"
            raise ValueError(msg)
        if self.values is not None and len(self.values) != math.prod(self.shape) * self.parts:
            msg = f"there are {len(self.values)} `values` of an output of shape {list(self.shape)}"
            raise ValueError(msg)
        if self.sketch is not None:
            decoded(self.sketch)

    @property
    def parts(self) -> int:
        """Real numbers a value: complex ones have two."""
        return 2 if self.dtype.startswith("complex") else 1

    @property
    def form(self) -> str:
        """The name of the one that is there: `values`, `sketch` or `sample`."""
        return "values" if self.values is not None else "sketch" if self.sketch is not None else "sample"

    @property
    def exact(self) -> bool:
        """Whether any difference of bits counts: integers and booleans have no rounding."""
        return self.dtype.startswith(("int", "uint", "bool"))


@dataclass(frozen=True, kw_only=True)
class Native:
    """A model's native outputs by input set: `example`, then its probes.

    `parameters` is how many parameters the model has; None where that was not recorded. With `train_mode` the model is
    converted in train mode, and not expected to match. `tolerance` is the model's own, None where it has none.
    `paths` say where each output is in what `forward` returns, in their order; empty in tables of schema 1 and 2.
    `code` has the digests of the modules of a user's own that building the model imported, by name; empty for the zoo.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    weights_digest: str
    outputs: Mapping[str, tuple[NativeOutput, ...]]
    parameters: int | None = None
    train_mode: bool = False
    tolerance: float | None = None
    paths: tuple[str, ...] = ()
    code: Mapping[str, str] = field(default_factory=dict)


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


def native_json(native: Native) -> str:
    """The text of a file that `read_native` reads."""
    return _model_text(native) + "\n"


def _model_text(native: Native) -> str:
    sets = [
        f"  {_text(name)}: {_text([_output_facts(each) for each in outputs])}"
        for name, outputs in native.outputs.items()
    ]
    body = "{\n" + ",\n".join(sets) + "\n}" if sets else "{}"
    facts: dict[str, Any] = {"weights_digest": native.weights_digest}
    facts |= {} if native.parameters is None else {"parameters": native.parameters}
    facts |= {"train_mode": True} if native.train_mode else {}
    facts |= {} if native.tolerance is None else {"tolerance": native.tolerance}
    facts |= {"paths": native.paths} if native.paths else {}
    facts |= {"code": dict(native.code)} if native.code else {}
    return f'{_text(facts)[:-1]}, "outputs": {body}}}'


def _output_facts(output: NativeOutput) -> dict[str, Any]:
    """What there is to say of an output; what it does not have is left out."""
    return {name: value for name, value in asdict(output).items() if value is not None and (name, value) != _NO_SPECIAL}


def _text(value: Any) -> str:
    return json.dumps(value)
