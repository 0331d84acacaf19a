"""The shapes of `forward` that people have, as model files: what it takes, what it returns, and what is right.

Each has the body of a module, an example, and `right`: what `forward` returns by path, worked out in numpy by the
inputs' own names. Coefficients differ, so that an input in another's place shows in the values.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Shape:
    """One `forward`. `forward` is its source, `given` the example with SEED for the seed, `right` a dict by path.

    `more` are further fields of the model, `top` is what the file has before the module.
    """

    forward: str
    given: str
    right: str
    more: str = ""
    top: str = ""
    build: str = "Shaped()"


_X = '{"x": u(2, 3)}'
_AB = '{"a": u(2, 3), "b": u(2, 3, 1)}'
_OPTIONAL = "(self, a, mask=None, b=None):\n        a = a if mask is None else a * mask\n        return a * 2 + b * 3"

_DECORATOR = """
def decorated(kind):
    forward = kind.forward
    kind.forward = lambda *args, **kwargs: forward(*args, **kwargs)
    return kind
"""
_NAMED = """
class Pair(NamedTuple):
    second: Any
    first: Any
"""
_RECORD = """
@dataclass
class Record:
    mean: Any
    count: Any
"""
_MODEL_OUTPUT = """
@dataclass
class ModelOutput(OrderedDict):
    logits: Any = None
    aux: Any = None
    hidden: Any = None

    def __post_init__(self):
        for each in fields(self):
            if getattr(self, each.name) is not None:
                self[each.name] = getattr(self, each.name)
"""

TAKES = {
    "plain": Shape("(self, x): return x * 2", _X, '{"output": x * 2}'),
    "named-otherwise": Shape("(self, input): return input * 2", _X, '{"output": x * 2}'),
    "in-another-order": Shape(
        "(self, a, b): return a * 2 + b * 3", '{"b": u(2, 3, 1), "a": u(2, 3)}', '{"output": a * 2 + b * 3}'
    ),
    "left-out-in-the-middle": Shape(
        _OPTIONAL,
        _AB,
        '{"output": a * 2 + b * 3}',
    ),
    "none-in-the-example": Shape(
        _OPTIONAL,
        '{"a": u(2, 3), "mask": None, "b": u(2, 3, 1)}',
        '{"output": a * 2 + b * 3}',
    ),
    "optional-given": Shape(
        "(self, a, mask=None):\n        return a * 2 if mask is None else a * mask",
        '{"a": u(2, 3), "mask": u(2, 3, 1)}',
        '{"output": a * mask}',
    ),
    "default-in-the-middle": Shape(
        "(self, a, scale=2.5, b=None): return a * scale + b * 3", _AB, '{"output": a * 2.5 + b * 3}'
    ),
    "keyword-only": Shape("(self, a, *, b): return a * 2 + b * 3", _AB, '{"output": a * 2 + b * 3}'),
    "any-keywords": Shape('(self, **batch): return batch["a"] * 2 + batch["b"] * 3', _AB, '{"output": a * 2 + b * 3}'),
    "more-keywords": Shape('(self, a, **more): return a * 2 + more["b"] * 3', _AB, '{"output": a * 2 + b * 3}'),
    "any-keywords-and-dynamic": Shape(
        '(self, **batch): return batch["a"] * 2 + batch["b"] * 3',
        '{"b": u(ROWS, 3, 1), "a": u(ROWS, 3)}',
        '{"output": a * 2 + b * 3}',
        more='dynamic={"a": {0: "rows"}, "b": {0: "rows"}},',
    ),
    "more-keywords-and-dynamic": Shape(
        '(self, a, **more): return a * 2 + more["b"] * 3',
        '{"a": u(ROWS, 3), "b": u(ROWS, 3, 1)}',
        '{"output": a * 2 + b * 3}',
        more='dynamic={"a": {0: "rows"}, "b": {0: "rows"}},',
    ),
    "any-positions": Shape(
        "(self, *tensors): return tensors[0] * 2 + tensors[1] * 3", _AB, '{"output": a * 2 + b * 3}'
    ),
    "more-positions": Shape(
        "(self, a, *rest): return a * 2 + rest[0] * 3", '{"a": u(2, 3), "q": u(2, 3, 1)}', '{"output": a * 2 + q * 3}'
    ),
    "dict": Shape(
        '(self, batch): return batch["ids"] * 2 + batch["at"] * 3',
        '{"batch": {"ids": u(2, 3), "at": u(2, 3, 1)}}',
        '{"output": batch["ids"] * 2 + batch["at"] * 3}',
    ),
    "dict-and-dynamic": Shape(
        '(self, batch, bias): return {"out": batch["b"] * 2 + batch["a"].sum(1, keepdim=True), "bias": bias * 3}',
        '{"bias": u(4, 1), "batch": {"b": u(ROWS, 3), "a": u(ROWS, 4, 1)}}',
        '{"outputs.out": batch["b"] * 2 + batch["a"].sum(1, keepdims=True), "outputs.bias": bias * 3}',
        more='dynamic={"batch.b": {0: "rows"}, "batch.a": {0: "rows"}},',
    ),
    "list": Shape(
        "(self, images): return images[0] * 2 + images[1] * 3",
        '{"images": [u(2, 3), u(2, 3, 1)]}',
        '{"output": images[0] * 2 + images[1] * 3}',
    ),
    "nested": Shape(
        '(self, pair, more): return pair[0] * 2 + pair[1] * 3 + more["c"][0] * 5',
        '{"pair": (u(2, 3), u(2, 3, 1)), "more": {"c": [u(2, 3, 2)]}}',
        '{"output": pair[0] * 2 + pair[1] * 3 + more["c"][0] * 5}',
    ),
    "takes-a-named-tuple": Shape(
        "(self, pair): return pair.first * 2 + pair.second * 3",
        '{"pair": Pair(first=u(2, 3), second=u(2, 3, 1))}',
        '{"output": pair.first * 2 + pair.second * 3}',
        top=_NAMED,
    ),
    "takes-a-dataclass": Shape(
        "(self, record): return record.mean * 2 + record.count * 3",
        '{"record": Record(count=u(2, 3), mean=u(2, 3, 1))}',
        '{"output": record.mean * 2 + record.count * 3}',
        top=_RECORD,
    ),
    "constant-flag": Shape(
        "(self, x, double=False): return x * 2 if double else x",
        _X,
        '{"output": x * 2}',
        more='constants={"double": True},',
    ),
    "constant-size": Shape(
        "(self, a, *, size, b): return a[:, :size] * 2 + b[:, :size] * 3",
        _AB,
        '{"output": a[:, :2] * 2 + b[:, :2] * 3}',
        more='constants={"size": 2},',
    ),
    "constant-none": Shape(
        "(self, a, cache, b):\n        return a * 2 + b * 3 if cache is None else a",
        _AB,
        '{"output": a * 2 + b * 3}',
        more='constants={"cache": None},',
    ),
    "unused": Shape(
        "(self, a, unused, b): return a * 2 + b * 3",
        '{"a": u(2, 3), "unused": u(2, 3, 2), "b": u(2, 3, 1)}',
        '{"output": a * 2 + b * 3}',
    ),
    "position-alone": Shape(
        "(self, a, b, /, mask=None, c=None):\n        a = a if mask is None else a * mask\n"
        "        return a * 2 + b * 3 + c * 5",
        '{"c": u(2, 3, 2), "b": u(2, 3, 1), "a": u(2, 3)}',
        '{"output": a * 2 + b * 3 + c * 5}',
    ),
    "constant-by-position-alone": Shape(
        "(self, x, double, /): return x * 2 if double else x",
        _X,
        '{"output": x * 2}',
        more='constants={"double": True},',
    ),
    "constant-written-to": Shape(
        "(self, x, seen):\n        seen.append(1)\n        return x * len(seen)",
        _X,
        '{"output": x}',
        more='constants={"seen": []},',
    ),
    "numbers-for-keys": Shape(
        "(self, levels): return levels[0] * 2 + levels[1] * 3",
        '{"levels": {1: u(2, 3, 1), 0: u(2, 3)}}',
        '{"output": levels[0] * 2 + levels[1] * 3}',
    ),
    "capital-letters": Shape(
        "(self, X, x): return X * 2 + x * 3", '{"x": u(2, 3, 1), "X": u(2, 3)}', '{"output": X * 2 + x * 3}'
    ),
    "decorated": Shape(
        _OPTIONAL,
        _AB,
        '{"output": a * 2 + b * 3}',
        top=_DECORATOR,
        build="decorated(Shaped)()",
    ),
    "averaged": Shape(
        _OPTIONAL, _AB, '{"output": a * 2 + b * 3}', build="torch.optim.swa_utils.AveragedModel(Shaped())"
    ),
    "scripted": Shape(
        "(self, a: Tensor, b: Tensor): return a * 2 + b * 3",
        '{"b": u(2, 3, 1), "a": u(2, 3)}',
        '{"output": a * 2 + b * 3}',
        build="torch.jit.script(Shaped())",
    ),
    "scripted-and-left-out": Shape(
        "(self, a: Tensor, mask: Optional[Tensor] = None, b: Optional[Tensor] = None):\n"
        "        if b is not None:\n            a = a * 2 + b * 3\n"
        "        return a if mask is None else a * mask",
        _AB,
        '{"output": a * 2 + b * 3}',
        build="torch.jit.script(Shaped())",
    ),
}

RETURNS = {
    "tuple": Shape("(self, x): return x * 2, x * 3", _X, '{"outputs[0]": x * 2, "outputs[1]": x * 3}'),
    "tuple-of-one": Shape("(self, x): return (x * 2,)", _X, '{"outputs[0]": x * 2}'),
    "list-of-tensors": Shape("(self, x): return [x * 2, x * 3]", _X, '{"outputs[0]": x * 2, "outputs[1]": x * 3}'),
    "dict-of-tensors": Shape(
        '(self, x): return {"z": x * 2, "a b": x * 3}', _X, '{"outputs.z": x * 2, "outputs[\'a b\']": x * 3}'
    ),
    "nested-outputs": Shape(
        '(self, x): return {"z": (x * 2, [x * 3]), "a": x * 5}',
        _X,
        '{"outputs.z[0]": x * 2, "outputs.z[1][0]": x * 3, "outputs.a": x * 5}',
    ),
    "named-tuple": Shape(
        "(self, x): return Pair(first=x * 2, second=x * 3)",
        _X,
        '{"outputs.second": x * 3, "outputs.first": x * 2}',
        top=_NAMED,
    ),
    "model-output": Shape(
        "(self, x): return ModelOutput(logits=x * 2, hidden=(x * 3, x * 5))",
        _X,
        '{"outputs.logits": x * 2, "outputs.hidden[0]": x * 3, "outputs.hidden[1]": x * 5}',
        top=_MODEL_OUTPUT,
    ),
    "dataclass": Shape(
        "(self, x): return Record(mean=x * 2, count=x * 3)",
        _X,
        '{"outputs.mean": x * 2, "outputs.count": x * 3}',
        top=_RECORD,
    ),
    "with-none": Shape("(self, x): return x * 2, None, x * 3", _X, '{"outputs[0]": x * 2, "outputs[2]": x * 3}'),
    "with-a-number": Shape("(self, x): return x * 2, 0.5", _X, '{"outputs[0]": x * 2, "outputs[1]": 0.5}'),
    "with-a-flag": Shape(
        '(self, x): return {"flag": True, "size": x.shape[1], "out": x * 2}',
        _X,
        '{"outputs.flag": True, "outputs.size": 3, "outputs.out": x * 2}',
    ),
    "complex": Shape("(self, x): return torch.complex(x * 2, x * 3)", _X, '{"output": x * 2 + 1j * (x * 3)}'),
    "empty": Shape("(self, x): return x * 2, x[:, :0]", _X, '{"outputs[0]": x * 2, "outputs[1]": x[:, :0]}'),
    "a-number-that-varies": Shape(
        "(self, x): return x * 2, float(x.sum())", _X, '{"outputs[0]": x * 2, "outputs[1]": float(x.sum())}'
    ),
    "as-many-as-rows": Shape(
        "(self, x): return [row * 2 for row in x], x.shape[0]",
        '{"x": u(ROWS, 3)}',
        '{**{f"outputs[0][{row}]": x[row] * 2 for row in range(len(x))}, "outputs[1]": len(x)}',
        more='dynamic={"x": {0: "rows"}},',
    ),
    "none-that-varies": Shape(
        "(self, x): return x * 2, (x * 3 if x[0, 0] < 0 else None)",
        '{"x": abs(u(2, 3)) * (-1) ** seed}',
        '{"outputs[0]": x * 2, **({"outputs[1]": x * 3} if x[0, 0] < 0 else {})}',
    ),
}

SHAPES = {**TAKES, **RETURNS}

_FILE = '''"""forward{signature}."""

from collections import OrderedDict
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Optional

import numpy as np
import torch
from torch import Tensor

from harness.bench import Model, uniform

{top}


class Shaped(torch.nn.Module):
    def forward{forward}


def given(seed, ROWS=2):
    def u(*shape):
        *sizes, more = shape if len(shape) == 3 else (*shape, 0)
        return uniform(tuple(sizes), seed=seed + 10 * more)

    return {given}


def right(**inputs):
    globals().update(inputs)
    return {right}


MODEL = Model(
    summary="a shape of forward",
    family="shapes",
    build=lambda: {build},
    example=lambda: given(0),
    probes={{
        "other values": lambda: given(1),
        "more values": lambda: given(2),
        {probes}
    }},
    {more}
)
'''


def write(folder: Path) -> None:
    """Write all of them into `folder`, each into a file of its name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, shape in SHAPES.items():
        dynamic = "dynamic" in shape.more
        text = _FILE.format(
            signature=shape.forward.partition(":")[0],
            probes='"more rows": lambda: given(3, 5),' if dynamic else "",
            **vars(shape),
        )
        (folder / f"{name.replace('-', '_')}.py").write_text(text, encoding="utf-8")
