"""A card says what a file declares, and a value of another type than it must be is refused."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from harness.bench import describe
from harness.bench.cards import KINDS, Card, ModelCard, RuntimeCard, StepCard, card_of, from_json, rule_of, to_json
from harness.bench.definitions import Strategy
from harness.bench.errors import UsageError
from harness.bench.places import PACKAGE
from harness.bench.registry import discover, load

MODEL = """
from harness.bench import Model

MODEL = Model(summary="a model", family="own", build=dict, example=dict, probes={"other": dict}, imports=("torch", "x"))
"""


def _written(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_card_has_the_wrong_types_of_a_file_told(tmp_path: Path) -> None:
    path = _written(tmp_path, "wrong", MODEL.replace('"a model"', "3"))
    with pytest.raises(UsageError, match=r"wrong\.py: summary is int, and must be a text"):
        discover(models=[path])
    path = _written(tmp_path, "list", MODEL.replace('("torch", "x")', '"torch"'))
    with pytest.raises(UsageError, match=r"list\.py: imports must be a tuple of texts"):
        discover(models=[path])


def test_cards_come_back_from_json_as_they_were() -> None:
    registry = discover()
    kinds: dict[str, tuple[list[Card], type]] = {
        "model": ([entry.declared for entry in registry.models.values()], ModelCard),
        "step": ([entry.declared for entry in registry.steps.values()], StepCard),
        "strategy": ([entry.declared for entry in registry.strategies.values()], Strategy),
        "runtime": ([entry.declared for entry in registry.runtimes.values()], RuntimeCard),
    }
    for kind, (cards, expected) in kinds.items():
        assert cards
        for card in cards:
            assert isinstance(card, expected)
            assert from_json(kind, to_json(card)) == card


def test_a_card_says_what_the_file_says() -> None:
    from harness.bench import Model

    path = PACKAGE.parent / "model_zoo" / "resnet18.py"
    model = load(path, "MODEL", Model).declared
    card = card_of(model)
    assert isinstance(card, ModelCard)
    assert (card.has_twin, card.probes, card.tier) == (True, tuple(model.probes), "quick")


def test_each_field_has_a_rule() -> None:
    for _, declared, card in KINDS.values():
        for kind in (declared, card):
            for field in fields(kind):
                assert rule_of(kind, field.name).must_be


WRONG = {
    "train_mode=object()": "train_mode is object, and must be True or False",
    "train_mode=1": "train_mode is int, and must be True or False",
    "keep_weights='no'": "keep_weights is str, and must be True or False",
    "tolerance='0.1', tolerance_reason='x'": "tolerance must be a number from 0 on, or None",
    "tolerance=True, tolerance_reason='x'": "tolerance must be a number from 0 on, or None",
    "tolerance=float('nan'), tolerance_reason='x'": "tolerance must be a number from 0 on, or None",
    "tolerance=10**400, tolerance_reason='x'": "tolerance must be a number from 0 on, or None",
    "tolerance=-0.1, tolerance_reason='x'": "tolerance must be a number from 0 on, or None",
    "tolerance=0.1, tolerance_reason=3": "tolerance_reason is int, and must be a text",
    "dynamic={'x': {'0': 'batch'}}": "dynamic must be names by input and dimension, as in {'x': {0: 'batch'}}",
    "dynamic={'x': ('batch',)}": "dynamic must be names by input and dimension, as in {'x': {0: 'batch'}}",
    "gains={'*': 'much'}": "gains must be numbers by parameter, as in {'*.weight': 2.0}",
    "gains=[1.0]": "gains must be numbers by parameter, as in {'*.weight': 2.0}",
    "imports=3": "imports must be a tuple of texts, as in ('torch',)",
    "imports=('torch', 3)": "imports must be a tuple of texts, as in ('torch',)",
    "twin=3": "twin is int, and must be a function or None",
    "extension=None": "extension is NoneType, and must be a text",
    "expected_breaks='\\udcff'": "expected_breaks is str, and must be a text",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_value_of_a_wrong_type_is_refused(tmp_path: Path, wrong: str) -> None:
    declared = f"MODEL = Model(summary='', family='', build=dict, example=dict, probes={{}}, {wrong})\n"
    path = _written(tmp_path, "wrong", "from harness.bench import Model\n" + declared)
    (line,) = describe.described([("model", path)])
    assert line == {"refused": f"{path}: {WRONG[wrong]}."}


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        (
            "model",
            "Model(summary='', family='', build=3, example=dict, probes={})",
            "build is int, and must be a function",
        ),
        (
            "model",
            "Model(summary='', family='', build=dict, example=dict, probes=[dict])",
            "probes must be functions by",
        ),
        ("step", "Step(summary='', run=dict, produces='x', stage='serve')", "stage must be 'convert' or 'validate'"),
        ("step", "Step(summary='', run=dict, produces=b'x')", "produces is bytes, and must be a text"),
        ("strategy", "Strategy(summary='', steps='native', runtime='torch')", "steps must be a tuple of texts"),
        ("strategy", "Strategy(summary='', steps=(), runtime='torch', parameter=1)", "parameter is int, and must be a"),
        (
            "strategy",
            "Strategy(summary='', steps=(), runtime='', values={'quick': 13})",
            "values must be tuples of whole",
        ),
        ("strategy", "Strategy(summary='', steps=(), runtime='', needs_twin=None)", "needs_twin is NoneType, and must"),
        (
            "runtime",
            "Runtime(summary='', serves='', load=dict, imports=(), needs_module=1)",
            "needs_module is int, and",
        ),
    ],
)
def test_the_types_of_every_kind_are_looked_at(tmp_path: Path, kind: str, text: str, told: str) -> None:
    imported = "from harness.bench import Model, Runtime, Step, Strategy\n"
    path = _written(tmp_path, "wrong", f"{imported}{kind.upper()} = {text}\n")
    (line,) = describe.described([(kind, path)])
    assert line["refused"].startswith(f"{path}: {told}")


def test_what_is_declared_may_not_read_itself(tmp_path: Path) -> None:
    body = """
import dataclasses
from harness.bench import Model

@dataclasses.dataclass(frozen=True)
class Strange(Model):
    def __getattribute__(self, name):
        raise KeyboardInterrupt

MODEL = object.__new__(Strange)
"""
    (line,) = describe.described([("model", _written(tmp_path, "strange", body))])
    assert "what it declares cannot be read: KeyboardInterrupt." in line["refused"]
