"""The plan: which cells a run has, and its way through JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.bench import Model, Strategy
from harness.bench.cards import ModelCard, card_of
from harness.bench.definitions import TIERS
from harness.bench.errors import UsageError
from harness.bench.places import ZOO
from harness.bench.plan import (
    Cell,
    Plan,
    Policy,
    expand,
    file_stem_of,
    model_of,
    select_models,
    select_strategies,
    spellings,
    split,
    split_models,
)
from harness.bench.registry import Entry, Registry

HERE = Path(__file__)


def _model(tier: str = "quick") -> ModelCard:
    card = card_of(Model(summary="", family="test", build=dict, example=dict, probes={}, tier=tier))
    assert isinstance(card, ModelCard)
    return card


def _strategy(**values: Any) -> Strategy:
    return Strategy(summary="", steps=(), runtime="torch", **values)


@pytest.fixture
def registry() -> Registry:
    models = {"alpha": _model(), "beta": _model("core"), "gamma": _model("full")}
    exporter = _strategy(parameter="opset", values={"quick": (16,), "core": (11, 17), "full": (13,)})
    return Registry(
        models={
            **{name: Entry(name, HERE, model) for name, model in models.items()},
            "broken": Entry("broken", HERE, None, "OSError: no disk"),
        },
        steps={},
        strategies={"export": Entry("export", HERE, exporter), "native": Entry("native", HERE, _strategy())},
        runtimes={},
    )


def _spelled(registry: Registry, tier: str, **chosen: Any) -> list[str]:
    cells = expand(registry, combination="c", device="cpu", tier=tier, **chosen)
    return [f"{cell.model} {cell.strategy}" for cell in cells]


def test_the_quick_tier_is_its_models_times_its_spellings(registry: Registry) -> None:
    assert _spelled(registry, "quick") == [
        f"{model} {strategy}" for model in ("alpha", "broken") for strategy in ("export", "export:16", "native")
    ]


@pytest.mark.parametrize(
    ("tier", "models", "values"),
    [("quick", ["alpha", "broken"], [16]), ("core", ["alpha", "beta", "broken"], [11, 16, 17])],
)
def test_a_tier_includes_the_ones_before_it(
    registry: Registry, tier: str, models: list[str], values: list[int]
) -> None:
    assert select_models(registry, [], tier) == models
    strategy = registry.strategies["export"].declared
    assert spellings("export", strategy, tier) == ["export", *(f"export:{value}" for value in values)]


def test_the_largest_tier_has_everything(registry: Registry) -> None:
    assert len(_spelled(registry, "full")) == 4 * 6


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        (["alpha"], ["alpha"]),
        (["*"], ["alpha", "broken"]),
        (["b*", "alpha"], ["alpha", "broken"]),
        (["gamma"], ["gamma"]),
        (["gamma", "a*"], ["alpha", "gamma"]),
        (["[ab]*"], ["alpha", "broken"]),
    ],
)
def test_models_are_selected_by_name_and_glob(registry: Registry, patterns: list[str], chosen: list[str]) -> None:
    assert select_models(registry, patterns, "quick") == chosen


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        (["export"], ["export"]),
        (["export*"], ["export", "export:16"]),
        (["export:16"], ["export:16"]),
        (["export:12"], ["export:12"]),
        (["export:012", "export:12", "export:+12"], ["export:12"]),
        (["export:016"], ["export:16"]),
        (["export:12", "native"], ["native", "export:12"]),
        (["*:16"], ["export:16"]),
    ],
)
def test_strategies_are_selected_by_name_glob_and_value(
    registry: Registry, patterns: list[str], chosen: list[str]
) -> None:
    assert select_strategies(registry, patterns, "quick") == chosen


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ({"models": ["alpah"]}, "unknown model 'alpah'. Did you mean 'alpha'?"),
        ({"models": ["zzz*"]}, "unknown model 'zzz*'. There are: alpha, beta, broken, gamma."),
        ({"models": ["be*"]}, "model 'be*' is not in the tier 'quick'. Name it whole, or ask for a larger tier."),
        ({"strategies": ["natve"]}, "unknown strategy 'natve'. Did you mean 'native'?"),
        ({"strategies": ["exprot:12"]}, "unknown strategy 'exprot'. Did you mean 'export'?"),
        ({"strategies": ["native:12"]}, "strategy 'native' takes no parameter"),
        ({"strategies": ["export:new"]}, "what follows the colon must be a whole number"),
        ({"strategies": ["export:"]}, "what follows the colon must be a whole number"),
        ({"tier": "quik"}, "unknown tier 'quik'. Did you mean 'quick'?"),
    ],
)
def test_what_does_not_exist_is_told(registry: Registry, chosen: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        expand(registry, **{"combination": "c", "device": "cpu", "tier": "quick", **chosen})
    assert told in str(caught.value)


def test_a_strategy_file_that_raises_is_told(registry: Registry) -> None:
    registry.strategies["worse"] = Entry("worse", Path("worse.py"), None, "OSError: no disk")
    with pytest.raises(UsageError, match=r"worse.py raised at import: OSError: no disk. Mend it"):
        expand(registry, combination="c", device="cpu", tier="quick")


def test_a_users_own_models_run_whatever_their_tier(registry: Registry) -> None:
    own = {name: replace(entry, own=True) for name, entry in registry.models.items()}
    alone = Registry(own, registry.steps, registry.strategies, registry.runtimes)
    assert select_models(alone, [], "quick") == ["alpha", "beta", "gamma", "broken"]
    mixed = replace(alone, models={**registry.models, "own:alpha": own["alpha"], "delta": own["gamma"]})
    assert select_models(mixed, [], "quick") == ["own:alpha", "delta"]
    assert select_models(mixed, ["b*"], "quick") == ["own:alpha", "delta", "broken"]
    with pytest.raises(UsageError, match=r"unknown model 'delt\*'"):
        select_models(mixed, ["delt*"], "quick")


def test_paths_and_globs_are_told_apart(tmp_path: Path) -> None:
    assert split_models(["res*", "lstm"]) == ([], ["res*", "lstm"])
    assert split_models([f"{tmp_path}/a.py", f"{tmp_path}/more/"]) == ([tmp_path / "a.py", tmp_path / "more"], [])
    assert split_models(["own.py"])[0][0].is_absolute()
    assert split_models([f"{tmp_path}/a.py", "lstm"]) == ([tmp_path / "a.py"], ["lstm"])


def test_what_is_called_as_a_model_of_the_zoo_is_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lstm").mkdir()
    (tmp_path / "mine").mkdir()
    assert split_models(["lstm", "zoo:lstm", "zoo:*", "mine"]) == ([tmp_path / "mine"], ["lstm", "lstm", "*"])
    assert split_models([str(ZOO / "lstm.py")]) == ([], ["lstm"])
    with pytest.raises(UsageError, match="own:lstm: so it is called in tables; give your own file by its path"):
        split_models(["own:lstm"])


@pytest.mark.parametrize(("spelling", "parts"), [("native", ("native", None)), ("a-b:16", ("a-b", 16))])
def test_a_spelling_is_a_name_and_a_value(spelling: str, parts: tuple[str, int | None]) -> None:
    assert split(spelling) == parts


def test_a_cell_has_an_id_and_a_file_name() -> None:
    cell = Cell("torch2.1", "resnet18", "onnx-torchscript:16", "cpu")
    assert cell.id == "torch2.1/resnet18/onnx-torchscript:16"
    assert cell.slug == "resnet18--onnx-torchscript@16"
    assert Cell("torch2.1", "own:resnet18", "native", "cpu").slug == "own@resnet18--native"
    assert [model_of(file_stem_of(name)) for name in ("own:resnet18", "resnet18")] == ["own:resnet18", "resnet18"]


@pytest.mark.parametrize("name", ["timeout_s", "memory_limit_mb", "launches", "measure_s", "threads"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_policy_has_no_room_for_nothing(name: str, value: float) -> None:
    if (name, value) == ("launches", 0):
        assert Policy(launches=0).launches == 0, "nothing is timed then"
        return
    least = "not be below 0" if name == "launches" else "be above 0"
    with pytest.raises(UsageError, match=f"{name.replace('_', '-')} is {value}, and must {least}"):
        Policy(**{name: value})  # type: ignore[arg-type]


NAMES = st.text(st.characters(codec="utf-8"), max_size=8)
CELLS = st.builds(Cell, NAMES, NAMES, NAMES, st.sampled_from(["cpu", "cuda"]))
POLICIES = st.builds(
    Policy,
    timeout_s=st.floats(0.001, 1e6),
    memory_limit_mb=st.integers(1, 2**40),
    launches=st.integers(1, 99),
    measure_s=st.floats(0.001, 100),
    threads=st.integers(1, 512),
)
PLANS = st.builds(
    Plan,
    combination=NAMES,
    device=st.sampled_from(["cpu", "cuda"]),
    tier=st.sampled_from(TIERS),
    cells=st.lists(CELLS, max_size=4).map(tuple),
    models=st.lists(NAMES, max_size=3).map(tuple),
    plugins=st.lists(NAMES, max_size=3).map(tuple),
    lock=NAMES,
    policy=POLICIES,
    extension=NAMES,
    selected=st.booleans(),
)


@given(plan=PLANS)
def test_a_plan_comes_back_from_json_as_it_was(plan: Plan) -> None:
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_a_plan_of_another_version_is_refused() -> None:
    plan = Plan("c", "cpu", "quick", ())
    with pytest.raises(UsageError, match="of version 99, and this bench reads"):
        Plan.from_json({**plan.to_json(), "version": 99})
