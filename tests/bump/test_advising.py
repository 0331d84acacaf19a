"""The decision tree, over records that are made by hand and the strategies that there are."""

from __future__ import annotations

from typing import Any

import pytest

from harness.bench.plan import Cell, extension_of, spellings
from harness.bench.record import Record
from harness.bench.registry import Registry, discover
from harness.bench.stages import Outcome, Stage
from harness.bump.advising import Advice, Answer, Branch, Limits, Seen, advise, branch_of, next_cells
from tests.tables.samples import failed, mismatched, not_applicable, passed, record, table

REGISTRY: Registry = discover()
WITH_TWIN, WITHOUT_TWIN = "custom-operator", "autograd-function"
RUN = table().run


def cells_of(model: str) -> list[Cell]:
    names = [each for name, entry in REGISTRY.strategies.items() for each in spellings(name, entry.declared, "core")]
    return [Cell("torch2.0", model, name, "cpu", extension_of(REGISTRY, model, name, ())) for name in names]


def seen_of(*records: Record) -> dict[str, Seen]:
    native = next((each for each in records if each.strategy == "native"), None)
    return {each.strategy: Seen(record=each, run=RUN, table="t", native=native) for each in records}


def advised(model: str, *records: Record, limits: Limits | None = None) -> Advice:
    given = seen_of(passed(model, "native"), *records)
    return advise(model, cells_of(model), given, registry=REGISTRY, limits=limits or Limits())


def following(model: str, *records: Record, everything: bool = False, limits: Limits | None = None) -> list[str]:
    found = next_cells(
        cells_of(model), seen_of(*records), registry=REGISTRY, limits=limits or Limits(), everything=everything
    )
    return [cell.strategy for cell in found]


def names(advice: Advice) -> tuple[str | None, str | None]:
    chosen = (advice.recommended, advice.fallback)
    one, other = (each.record.strategy if each else None for each in chosen)
    return one, other


def answers(advice: Advice) -> dict[Branch, Answer]:
    return {each.branch: each.answer for each in advice.branches}


def refused(model: str, strategy: str, operator: str = "shop::bend") -> Record:
    return failed(model, strategy, Stage.CONVERT, operator=operator)


EXPORTERS = ("onnx-torchscript", "onnx-torchscript:16", "onnx-torchscript:11", "onnx-torchscript:17")


def test_every_strategy_is_of_the_branch_that_its_files_say() -> None:
    found: dict[Branch | None, set[str]] = {}
    for name in REGISTRY.strategies:
        found.setdefault(branch_of(REGISTRY, name), set()).add(name)
    assert found == {
        None: {"native"},
        Branch.EXPORTER: {"onnx-torchscript", "onnx-dynamo", "onnx-simplified"},
        Branch.CONVERTER: {"onnx2tf", "onnx-tf", "nobuco", "jax", "litert", "coreml"},
        Branch.RECREATION: {"manual-recreation", "tf2onnx", "tflite", "weight-transfer"},
        Branch.HYBRID: {"hybrid-in-process", "hybrid-in-process-release", "hybrid-service"},
    }


def test_an_exporter_that_passes_comes_first_and_another_branch_is_the_fallback() -> None:
    advice = advised(
        WITHOUT_TWIN,
        passed(WITHOUT_TWIN, "hybrid-service", latency_ms=0.1),
        passed(WITHOUT_TWIN, "onnx-torchscript:16"),
        passed(WITHOUT_TWIN, "onnx2tf", probes_skipped=2, probes_passed=2, latency_ms=0.1),
        passed(WITHOUT_TWIN, "onnx-torchscript"),
    )
    assert names(advice) == ("onnx-torchscript", "onnx2tf")
    assert answers(advice)[Branch.RECREATION] is Answer.NOT_WRITTEN


@pytest.mark.parametrize(
    ("one", "other", "first"),
    [
        ({}, {"latency_ms": 1.7}, "onnx-torchscript"),  # faster, by no more than noise
        ({}, {"latency_ms": 1.0}, "onnx-torchscript:16"),
        ({"latency_ms": 1.0, "probes_passed": 0}, {}, "onnx-torchscript:16"),
        ({"latency_ms": 1.0, "probes_derived": 2}, {}, "onnx-torchscript:16"),
        ({"latency_ms": 1.0, "probes_skipped": 1}, {}, "onnx-torchscript:16"),
        ({"accuracy_native": 0.9, "accuracy_converted": 0.8}, {}, "onnx-torchscript:16"),
        ({"accuracy_native": 0.9, "accuracy_converted": 0.91}, {}, "onnx-torchscript"),
    ],
)
def test_within_a_branch_evidence_comes_before_speed(one: dict[str, Any], other: dict[str, Any], first: str) -> None:
    model = WITHOUT_TWIN
    advice = advised(model, passed(model, "onnx-torchscript", **one), passed(model, "onnx-torchscript:16", **other))
    assert names(advice)[0] == first
    assert None not in names(advice)


def test_what_is_wrong_or_fails_is_never_recommended() -> None:
    model = WITHOUT_TWIN
    advice = advised(
        model,
        mismatched(model, "onnx-torchscript", Stage.PROBE),
        failed(model, "onnx2tf"),
        not_applicable(model, "onnx-dynamo"),
        record(model, "litert", Outcome.UNRESOLVABLE, Stage.RESOLVE),
        passed(model, "hybrid-in-process"),
    )
    assert names(advice) == ("hybrid-in-process", None)
    expected = {Branch.EXPORTER: Answer.FAILS, Branch.CONVERTER: Answer.FAILS, Branch.HYBRID: Answer.PASSES}
    assert answers(advice) == {**expected, Branch.RECREATION: Answer.NOT_WRITTEN}


def test_what_a_model_has_not_is_named_and_never_run() -> None:
    recreation = advised(WITHOUT_TWIN).branches[2]
    assert (recreation.lacking, recreation.not_run) == ("no twin and no TensorFlow implementation", ())
    known = [passed(WITHOUT_TWIN, "native")]
    while more := following(WITHOUT_TWIN, *known):
        assert not {branch_of(REGISTRY, each) for each in more} & {Branch.RECREATION, None}
        known += [failed(WITHOUT_TWIN, each) for each in more]
    gone_through = advise(WITHOUT_TWIN, cells_of(WITHOUT_TWIN), seen_of(*known), registry=REGISTRY, limits=Limits())
    assert names(gone_through) == (None, None)
    assert [branch.not_run for branch in gone_through.branches] == [(), (), (), ()]


@pytest.mark.parametrize("operator", ["shop::bend", "shop.bend.default"])
def test_a_recreation_comes_before_converters_where_the_exporter_refuses_an_operator_of_ones_own(operator: str) -> None:
    model = WITH_TWIN
    known = [passed(model, "native"), *(refused(model, each, operator) for each in EXPORTERS)]
    known += [not_applicable(model, "onnx-dynamo")]
    assert following(model, *known) == ["manual-recreation", "tf2onnx"]
    known += [passed(model, "manual-recreation"), passed(model, "tf2onnx"), passed(model, "onnx2tf")]
    advice = advised(model, *known)
    assert advice.custom_operator == operator
    assert names(advice) == ("manual-recreation", "onnx2tf")
    assert following(model, *known) == []


@pytest.mark.parametrize("operator", ["aten::unflatten", "torchvision::nms", "aten.bilinear.default", "Gather", None])
def test_an_operator_of_pytorchs_own_leaves_the_order_as_it_is(operator: str | None) -> None:
    known = [failed(WITH_TWIN, each, Stage.CONVERT, operator=operator) for each in EXPORTERS]
    advice = advised(WITH_TWIN, *known, passed(WITH_TWIN, "manual-recreation"), passed(WITH_TWIN, "onnx2tf"))
    assert advice.custom_operator == ""
    assert names(advice) == ("onnx2tf", "manual-recreation")


def test_limits_turn_what_passes_away_and_say_by_how_much() -> None:
    model = WITHOUT_TWIN
    known = [
        passed(model, "onnx-torchscript", relative_error=1e-7, probes_relative_error=3e-5),
        passed(model, "onnx2tf", latency_ms=None),
        passed(model, "hybrid-service", rss_peak_mb=200.0, service_rss_mb=150.0),
    ]
    limits = Limits(relative_error=1e-5, latency_ms=5)
    assert names(advised(model, *known, limits=limits)) == ("hybrid-service", None)
    assert limits.beyond(known[0]) == ("relative error 3e-05, and 1e-05 was asked for",)
    assert limits.beyond(known[1]) == ("latency not measured, and 5 ms was asked for",)
    assert Limits(memory_mb=300).beyond(known[2]) == ("memory 350 MiB, and 300 MiB was asked for",)
    advice = advised(model, known[0], limits=limits)
    assert (names(advice), answers(advice)[Branch.EXPORTER]) == ((None, None), Answer.BEYOND)


def test_it_runs_until_a_recommendation_and_a_fallback_are_seen() -> None:
    model = WITH_TWIN
    first = following(model)
    assert first == ["native", "onnx-dynamo", "onnx-torchscript", "onnx-torchscript:16"]
    native = passed(model, "native")
    known = [native, not_applicable(model, "onnx-dynamo"), passed(model, "onnx-torchscript")]
    assert following(model, *known, passed(model, "onnx-torchscript:16")) == []
    known += [failed(model, "onnx-torchscript:16")]
    assert following(model, *known) == ["onnx-simplified"]  # no sweep: the exporter passes at one opset
    known += [failed(model, "onnx-simplified")]
    converters = ["coreml", "jax", "litert", "nobuco", "onnx2tf", "onnx-tf"]
    assert following(model, *known) == converters
    known += [passed(model, "onnx2tf"), *(failed(model, each) for each in converters if each != "onnx2tf")]
    assert following(model, *known) == []


def test_opsets_are_swept_where_none_of_an_exporters_passes() -> None:
    model = WITHOUT_TWIN
    known = [passed(model, "native"), failed(model, "onnx-torchscript"), failed(model, "onnx-torchscript:16")]
    known += [not_applicable(model, "onnx-dynamo")]
    assert following(model, *known) == ["onnx-torchscript:11", "onnx-torchscript:17"]


def test_what_begins_with_a_step_that_failed_already_is_not_run() -> None:
    model = WITHOUT_TWIN
    known = [passed(model, "native"), not_applicable(model, "onnx-dynamo")]
    known += [failed(model, each, Stage.CONVERT) for each in EXPORTERS]
    converters = ["coreml", "jax", "litert", "nobuco", "onnx2tf"]
    assert following(model, *known) == converters  # neither onnx-simplified nor onnx-tf
    known += [failed(model, each, Stage.CONVERT) for each in converters]
    assert following(model, *known) == ["onnx2tf:16"]  # which of its steps failed is not known
    assert following(model, *known, everything=True) == ["onnx-simplified"]
    late = [passed(model, "native"), not_applicable(model, "onnx-dynamo")]
    late += [failed(model, each, Stage.LOAD) for each in EXPORTERS]
    assert following(model, *late) == ["onnx-simplified"]


def test_everything_goes_through_all_branches_and_opsets() -> None:
    model = WITH_TWIN
    known = [passed(model, "native")]
    found: list[str] = []
    while more := following(model, *known, everything=True):
        known += [passed(model, each) for each in more]
        found += more
    lacking = {"native", "weight-transfer"}
    assert set(found) == {cell.strategy for cell in cells_of(model)} - lacking
    assert len(found) == len(set(found))


@pytest.mark.parametrize("everything", [False, True])
def test_a_model_that_pytorch_itself_does_not_run_is_left_at_that(*, everything: bool) -> None:
    native = not_applicable(WITHOUT_TWIN, "native", "needs a GPU")
    assert following(WITHOUT_TWIN, native, everything=everything) == []
    advice = advise(WITHOUT_TWIN, cells_of(WITHOUT_TWIN), seen_of(native), registry=REGISTRY, limits=Limits())
    assert not advice.runs_natively
    assert names(advice) == (None, None)
