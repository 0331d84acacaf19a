"""Cards: what a file declares, as plain values that go from the child that imported it to everybody else.

A file of a user's is only ever imported in a child. Planning, recording and reporting know it by its card, which has
no function in it; a strategy is its own card, since it has none either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from harness.bench.definitions import Model, Runtime, Step, Strategy

T = TypeVar("T")


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

_TEXTS = ("summary", "family", "tier", "extension", "expected_breaks", "consumes", "produces", "stage", "serves")


def card_of(declared: Any) -> Card:
    """The card of what a file declares. Raises `TypeError` where a value is of another type than it must be."""
    if isinstance(declared, Strategy):
        return _checked(declared)
    if isinstance(declared, Model):
        return _checked(
            ModelCard(
                summary=declared.summary,
                family=declared.family,
                tier=declared.tier,
                imports=_listed("imports", declared.imports),
                extension=declared.extension,
                train_mode=declared.train_mode,
                expected_breaks=declared.expected_breaks,
                probes=tuple(declared.probes),
                has_twin=declared.twin is not None,
                has_tensorflow_implementation=declared.tensorflow_implementation is not None,
                has_labelled=declared.labelled is not None,
            )
        )
    names = {each.name for each in fields(StepCard if isinstance(declared, Step) else RuntimeCard)}
    values = {name: getattr(declared, name) for name in names}
    values["imports"] = _listed("imports", values["imports"])
    return _checked(StepCard(**values) if isinstance(declared, Step) else RuntimeCard(**values))


def _checked(card: T) -> T:
    for name, value in vars(card).items():
        if name in _TEXTS and not isinstance(value, str):
            msg = f"{name} is {type(value).__name__}, and must be a text"
            raise TypeError(msg)
    return card


def _listed(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not all(isinstance(item, str) for item in value):
        msg = f"{name} must be a tuple of texts, as in ({value!r:.40},)"
        raise TypeError(msg)
    return tuple(value)


def to_json(card: Card) -> dict[str, Any]:
    """A card as plain values."""
    return asdict(card)


def from_json(kind: str, value: Mapping[str, Any]) -> Card:
    """The inverse of `to_json`, for a card of `kind`."""
    made = {name: tuple(item) if isinstance(item, list) else item for name, item in value.items()}
    if kind == "strategy":
        made["values"] = {tier: tuple(values) for tier, values in value["values"].items()}
    card: Card = KINDS[kind][2](**made)
    return card
