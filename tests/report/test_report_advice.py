"""What is told of advice: in a terminal, in Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from harness.bench.plan import Cell, extension_of, spellings
from harness.bench.record import Record
from harness.bench.registry import Registry, discover
from harness.bench.stages import Stage
from harness.bump.advising import Advice, Limits, Seen, advise
from harness.report.advice import joined, lines, markdown, to_json
from tests.tables.samples import failed, passed, table

REGISTRY: Registry = discover()
RUN = table().run
NATIVE = {"latency_ms": 1.0, "rss_peak_mb": 400.0}


def advised(model: str, *records: Record, limits: Limits | None = None) -> Advice:
    names = [each for name, entry in REGISTRY.strategies.items() for each in spellings(name, entry.declared, "core")]
    cells = [Cell("torch2.0", model, name, "cpu", extension_of(REGISTRY, model, name, ())) for name in names]
    native = next(each for each in records if each.strategy == "native")
    seen = {
        each.strategy: Seen(record=each, run=RUN, table="t", file=f"t/{each.strategy}.json", native=native)
        for each in records
    }
    return advise(model, cells, seen, registry=REGISTRY, limits=limits or Limits())


def told(*advices: Advice, following: str = "") -> str:
    shown: Sequence[Sequence[object]] = [lines(each, following=following) for each in advices]
    assert len(shown) == len(advices)
    return "\n".join(line.plain for line in joined([lines(each, following=following) for each in advices]))


def test_a_recommendation_stands_first_with_what_was_seen_below() -> None:
    model = "autograd-function"
    advice = advised(
        model,
        passed(model, "native", **NATIVE),
        passed(model, "onnx-torchscript", opset=14, latency_ratio=2.0),
        passed(model, "onnx-torchscript:16", opset=16),
    )
    text = told(advice, following="harness explain t/cell")
    same = "onnx-torchscript:16, the same exporter at another opset"
    assert text.splitlines()[:3] == [
        "autograd-function on torch2.0, cpu",
        "  recommended: onnx-torchscript, opset 14, exporter",
        f"  fallback: {same}; --all looks for one by converter or hybrid",
    ]
    seen = (
        "onnx-torchscript, opset 14: passed, 4 of 4 probes, relative error 1.2e-07, 2.00 ms (x2.00 of PyTorch), 300 MiB"
    )
    assert f"    {seen} (PyTorch 400)\n" in text
    assert "hybrid (PyTorch kept, beside TensorFlow): not run" in text
    assert "the model has no twin and no TensorFlow implementation: a twin is `twin(state)`" in text
    assert text.endswith("\nNext: harness explain t/cell")


def test_a_latency_to_be_taken_with_care_says_so() -> None:
    model = "autograd-function"
    doubtful = passed(model, "onnx-torchscript", latency_ratio=2.0, latency_quality="busy, spread")
    text = told(advised(model, passed(model, "native", **NATIVE), doubtful))
    assert ", ~2.00 ms (x2.00 of PyTorch), to be taken with care: busy, spread, 300 MiB" in text


def test_failures_alike_share_a_line_and_what_is_known_of_them() -> None:
    model = "custom-operator"
    error = "ONNX export failed on an operator with unrecognized namespace conversion_harness::soft_clip."
    refused = {"error_type": "UnsupportedOperatorError", "error": error, "operator": "conversion_harness::soft_clip"}
    advice = advised(
        model,
        passed(model, "native", **NATIVE),
        failed(model, "onnx-torchscript", Stage.CONVERT, **refused),
        failed(model, "onnx-torchscript:16", Stage.CONVERT, **refused),
        passed(model, "manual-recreation", latency_ratio=0.5),
        passed(model, "hybrid-service", rss_peak_mb=300.0, service_rss_mb=250.0),
    )
    text = told(advice)
    assert "  recommended: manual-recreation, recreation\n  fallback: hybrid-service, hybrid\n" in text
    assert "  custom operator: the exporter refuses conversion_harness::soft_clip, so that a recreation" in text
    (line,) = [each for each in text.splitlines() if "unrecognized namespace" in each]
    assert line.startswith("    onnx-torchscript, onnx-torchscript:16: failed at convert: UnsupportedOperatorError: ")
    assert "      remedy: " in text
    assert "550 MiB in two processes (PyTorch 400)" in text
    assert text.index("recreation (the model written again") < text.index("converter (to TensorFlow")


def test_hybrid_alone_says_how_to_be_rid_of_it() -> None:
    model = "autograd-function"
    known = [passed(model, "native", **NATIVE), failed(model, "onnx-torchscript"), failed(model, "onnx2tf")]
    text = told(advised(model, *known, passed(model, "hybrid-in-process")))
    cost = "2.00 ms and 300 MiB (PyTorch 400)"
    assert f"  recommended: hybrid-in-process, hybrid, where {cost} are affordable\n" in text
    assert "  fallback: nothing else that was run passes\n" in text
    assert "  to be rid of PyTorch: write a twin; nothing converts the model as it is\n" in text


def test_what_does_not_keep_to_what_was_asked_for_is_not_recommended() -> None:
    model = "autograd-function"
    known = [passed(model, "native", **NATIVE), passed(model, "onnx-torchscript")]
    text = told(advised(model, *known, limits=Limits(latency_ms=1.5)))
    assert "  nothing: what passes does not keep to what was asked for\n" in text
    assert "; latency 2 ms, and 1.5 ms was asked for\n" in text


def test_a_model_that_pytorch_does_not_run_gets_no_recommendation() -> None:
    model = "autograd-function"
    text = told(advised(model, failed(model, "native", Stage.BUILD)))
    assert "  nothing: PyTorch itself does not run it here" in text
    assert "recommended" not in text


def test_markdown_and_json_say_the_same_and_name_the_records() -> None:
    model = "autograd-function"
    known = [passed(model, "native", **NATIVE), passed(model, "onnx-torchscript", opset=14)]
    nasty = failed(model, "onnx2tf", error="<img src=x> @somebody [link](http://x)")
    advice = advised(model, *known, nasty)
    shown = markdown([advice])
    assert "- **recommended**: onnx-torchscript, opset 14, exporter\n" in shown
    assert "#### converter (to TensorFlow, LiteRT or Core ML): does not work" in shown
    assert "<img" not in shown.replace("`<img", "")
    value = json.loads(json.dumps(to_json([advice], exit_code=0)))
    (only,) = value["models"]
    assert (only["recommended"]["cell"], only["recommended"]["record"]) == (
        "torch2.0/autograd-function/onnx-torchscript",
        "t/onnx-torchscript.json",
    )
    assert only["fallback"] is None
    assert [each["branch"] for each in only["branches"]] == ["exporter", "converter", "recreation", "hybrid"]
    assert only["branches"][0]["seen"][0]["native_memory_mb"] == 400.0
    assert all(each["record"] for branch in only["branches"] for each in branch["seen"])
