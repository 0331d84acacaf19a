"""Cards: what a file declares, as plain values that go from the child that imported it to everybody else.

A file of a user's is only ever imported in a child. Planning, recording and reporting know it by its card, which has
no function in it; a strategy is its own card, since it has none either.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from harness.bench.definitions import Model, Runtime, Step, Strategy


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What a model's file says of it; `harness.bench.definitions.Model` documents the fields.

    `probes` are the names of the declared ones; `has_…` say whether the file has such a function.
    """

    summary: str
    family: str
    tier: str
    imports: tuple[str, ...]
    extension: str
    train_mode: bool
    expected_breaks: str
    probes: tuple[str, ...]
    has_twin: bool
    has_tensorflow_implementation: bool
    has_labelled: bool


@dataclass(frozen=True, kw_only=True)
class StepCard:
    """What a step's file says of it."""

    summary: str
    consumes: str
    produces: str
    stage: str
    imports: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RuntimeCard:
    """What a runtime's file says of it."""

    summary: str
    serves: str
    imports: tuple[str, ...]
    needs_module: bool


Card = ModelCard | StepCard | RuntimeCard | Strategy
KINDS: Mapping[str, tuple[str, type[Any], type[Any]]] = {
    "model": ("MODEL", Model, ModelCard),
    "step": ("STEP", Step, StepCard),
    "strategy": ("STRATEGY", Strategy, Strategy),
    "runtime": ("RUNTIME", Runtime, RuntimeCard),
}
"""By kind: the constant that a file declares, its type, and the type of its card."""


@dataclass(frozen=True)
class _Rule:
    """What a field must be. `plain` says that the type of a wrong value tells what is wrong with it."""

    holds: Callable[[Any], bool]
    must_be: str
    plain: bool = True


def _is_text(value: Any) -> bool:
    """Such that any file can hold it: a lone surrogate would come up where a table is written."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return (_is_int(value) or isinstance(value, float)) and abs(value) <= sys.float_info.max


def _listed(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, (tuple, list)) and all(map(holds, value))


def _mapped(key: Callable[[Any], bool], item: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, Mapping) and all(map(key, value.keys())) and all(map(item, value.values()))


def _or_none(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or holds(value)


_TEXT = _Rule(_is_text, "a text")
_BOOL = _Rule(_is_bool, "True or False")
_TEXTS = _Rule(_listed(_is_text), "a tuple of texts, as in ('torch',)", plain=False)
_FUNCTION = _Rule(callable, "a function")
_FUNCTION_OR_NONE = _Rule(_or_none(callable), "a function or None")

_RULES: Mapping[str, _Rule] = {
    **dict.fromkeys(("summary", "family", "tier", "extension", "expected_breaks", "tolerance_reason"), _TEXT),
    **dict.fromkeys(("consumes", "produces", "serves", "runtime", "shapes", "limits"), _TEXT),
    **dict.fromkeys(("train_mode", "keep_weights", "needs_module", "needs_twin", "needs_implementation"), _BOOL),
    **dict.fromkeys(("has_twin", "has_tensorflow_implementation", "has_labelled"), _BOOL),
    **dict.fromkeys(("imports", "steps", "tools", "probes"), _TEXTS),
    **dict.fromkeys(("build", "example", "run", "load"), _FUNCTION),
    **dict.fromkeys(("twin", "tensorflow_implementation", "weights", "labelled"), _FUNCTION_OR_NONE),
    "stage": _Rule(lambda value: value in ("convert", "validate"), "'convert' or 'validate'", plain=False),
    "parameter": _Rule(_or_none(_is_text), "a text or None"),
    "values": _Rule(
        _mapped(_is_text, _listed(_is_int)), "tuples of whole numbers by tier, as in {'quick': (13, 17)}", plain=False
    ),
    "tolerance": _Rule(
        _or_none(lambda value: _is_number(value) and value >= 0), "a number from 0 on, or None", plain=False
    ),
    "dynamic": _Rule(
        _mapped(_is_text, _mapped(_is_int, _is_text)),
        "names by input and dimension, as in {'x': {0: 'batch'}}",
        plain=False,
    ),
    "constants": _Rule(
        lambda value: isinstance(value, Mapping) and all(map(_is_text, value)),
        "values by argument, as in {'causal': True}",
        plain=False,
    ),
    "gains": _Rule(_mapped(_is_text, _is_number), "numbers by parameter, as in {'*.weight': 2.0}", plain=False),
}
"""By field, of what files declare and of cards alike."""

_DECLARED_PROBES = _Rule(_mapped(_is_text, callable), "functions by name, as in {'zeros': zeros}", plain=False)


def rule_of(kind: type[Any], name: str) -> _Rule:
    """What a field of `kind` must be; a probe is a function in a file, and a name on a card."""
    return _DECLARED_PROBES if name == "probes" and issubclass(kind, Model) else _RULES[name]


def card_of(declared: Any) -> Card:
    """The card of what a file declares. Raises `TypeError` where a value is of another type than it must be."""
    _check(declared)
    if isinstance(declared, Strategy):
        return declared
    if isinstance(declared, Model):
        return ModelCard(
            summary=declared.summary,
            family=declared.family,
            tier=declared.tier,
            imports=tuple(declared.imports),
            extension=declared.extension,
            train_mode=declared.train_mode,
            expected_breaks=declared.expected_breaks,
            probes=tuple(declared.probes),
            has_twin=declared.twin is not None,
            has_tensorflow_implementation=declared.tensorflow_implementation is not None,
            has_labelled=declared.labelled is not None,
        )
    kind = StepCard if isinstance(declared, Step) else RuntimeCard
    values = {each.name: getattr(declared, each.name) for each in fields(kind)}
    return kind(**{**values, "imports": tuple(values["imports"])})


def _check(declared: Any) -> None:
    """Raise `TypeError` for the first field that is not what it must be."""
    for each in fields(declared):
        value, rule = getattr(declared, each.name), rule_of(type(declared), each.name)
        if not rule.holds(value):
            msg = f"{each.name} is {type(value).__name__}, and must be {rule.must_be}"
            raise TypeError(msg if rule.plain else f"{each.name} must be {rule.must_be}")


def to_json(card: Card) -> dict[str, Any]:
    """A card as plain values."""
    return asdict(card)


def from_json(kind: str, value: Mapping[str, Any]) -> Card:
    """The inverse of `to_json`, for a card of `kind`. Raises `TypeError` for what is none, whoever wrote it."""
    made = {name: tuple(item) if isinstance(item, list) else item for name, item in value.items()}
    if kind == "strategy":
        made["values"] = {tier: tuple(values) for tier, values in value["values"].items()}
    card: Card = KINDS[kind][2](**made)
    _check(card)
    return card
