"""Two tables in which every category of change has a cell."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage
from harness.tables.assembly import merge
from harness.tables.schema import Table
from harness.verdict.comparison import Comparison, compare
from harness.verdict.expectations import Expectation, Foreseen, foresee
from tests.tables.samples import (
    GPU,
    PACKAGES,
    PINS,
    failed,
    mismatched,
    native,
    not_applicable,
    output,
    passed,
    record,
    table,
)

LOAD_ERROR = (
    "[ONNXRuntimeError] : 10 : INVALID_GRAPH : Load model from <folder>/model.onnx failed: This is an invalid model. "
    "Type Error: Type 'tensor(float)' of input parameter (/ConstantOfShape_output_0) of operator (Gather) in "
    "node (/Gather) is invalid."
)
UNSUPPORTED = "Exporting the operator 'aten::grid_sampler' to ONNX opset version 14 is not supported."


def invalid_graph(model: str, strategy: str) -> Record:
    return failed(model, strategy, error_type="InvalidGraph", error=LOAD_ERROR, fingerprint="f46e33b6c2b0")


def unsupported(model: str, strategy: str) -> Record:
    return failed(
        model, strategy, Stage.CONVERT, error_type="UnsupportedOperatorError", error=UNSUPPORTED, fingerprint="77aa01bc"
    )


def base_table() -> Table:
    return table(
        passed("resnet18", "native", latency_ms=12.5),
        passed("resnet18", "onnx-torchscript", latency_ms=8.04, rss_peak_mb=412.0, artifact_bytes=46_000_000),
        passed("embedding", "native", latency_ms=0.05),
        passed("embedding", "onnx-torchscript"),
        passed("embedding", "onnx-torchscript:17"),
        unsupported("grid-sample", "onnx-torchscript"),
        passed("lstm", "manual-recreation"),
        failed("loop", "onnx-torchscript", Stage.EXECUTE, error="step 3"),
        passed("old", "native"),
        failed("early", "onnx-torchscript", Stage.LOAD),
        failed("late", "onnx-torchscript", Stage.CONVERT),
        not_applicable("lstm", "onnx-dynamo"),
        not_applicable("resnet18", "onnx-dynamo"),
        passed("changed", "native"),
        passed("gone", "native"),
    )


def candidate_table() -> Table:
    made = table(
        passed("resnet18", "native", latency_ms=12.6),
        passed(
            "resnet18",
            "onnx-torchscript",
            latency_ms=9.5,
            rss_peak_mb=409.0,
            artifact_bytes=46_500_000,
            relative_error=3e-6,
            tolerance=1e-2,
        ),
        passed("embedding", "native", latency_ms=0.05),
        invalid_graph("embedding", "onnx-torchscript"),
        invalid_graph("embedding", "onnx-torchscript:17"),
        passed("grid-sample", "onnx-torchscript"),
        mismatched("lstm", "manual-recreation", Stage.PROBE, relative_error=0.31),
        record(
            "loop", "onnx-torchscript", Outcome.CRASHED, Stage.EXECUTE, error_type="SIGSEGV", fingerprint="0badcafe"
        ),
        not_applicable("old", "native", "gone since 2.1"),
        failed("early", "onnx-torchscript", Stage.CONVERT),
        failed("late", "onnx-torchscript", Stage.LOAD),
        passed("lstm", "onnx-dynamo"),
        not_applicable("resnet18", "onnx-dynamo"),
        passed("changed", "native", model_digest="new"),
        passed("new", "native"),
        combination="torch2.1",
        pins={**PINS, "torch": "2.1.0"},
        packages={"torch": "2.1.0", "onnx": "1.14.0", "triton": "2.1.0", "fsspec": "2023.10.0"},
        started="2026-01-31T13:00:00Z",
    )
    return replace(made, folder=Path("results/torch2.1/cpu-quick/20260131T130000Z"))


def mixed() -> Comparison:
    """Every category."""
    return compare(base_table(), candidate_table())


def untold() -> Comparison:
    """Nothing worse; the candidate lacks a cell and ran on another machine."""
    base = table(passed("resnet18", "native"), passed("resnet18", "onnx-torchscript"))
    candidate = table(
        passed("resnet18", "native", latency_ms=20.0),
        missing=[("resnet18", "onnx-torchscript")],
        threads=4,
        started="2026-01-31T13:00:00Z",
    )
    return compare(base, candidate)


def clean() -> Comparison:
    """A run and its repetition; one cell of each had no probe to pass."""
    tables = (
        table(
            passed("resnet18", "native"),
            passed("resnet18", "onnx-torchscript"),
            passed("resnet18", "onnx-static", probes_passed=0, probes_skipped=4),
            passed("lstm", "native"),
            unsupported("lstm", "onnx-torchscript"),
            not_applicable("triton", "native"),
            natives={"resnet18": native(output(1.0)), "lstm": native(output(2.0))},
            started=started,
        )
        for started in ("2026-01-31T12:00:00Z", "2026-01-31T13:00:00Z")
    )
    return compare(*tables, notes=["There are tables of runs with extensions too: --extensions reads those."])


def doubtful() -> Comparison:
    """A run and its repetition, on a machine that was not quiet, of a cell whose launches differ."""
    quiet = (passed("resnet18", "native"), passed("lstm", "native"), passed("lstm", "onnx-torchscript"))
    busy = (
        passed("resnet18", "native", latency_quality="busy, spread", latency_spread=0.31),
        passed("lstm", "native", latency_quality="busy", latency_spread=0.02),
        passed("lstm", "onnx-torchscript"),
    )
    tables = (
        table(
            *records,
            natives={"resnet18": native(output(1.0)), "lstm": native(output(2.0))},
            started=started,
            threads=1,
        )
        for records, started in ((quiet, "2026-01-31T12:00:00Z"), (busy, "2026-01-31T13:00:00Z"))
    )
    return compare(*tables)


def same() -> Comparison:
    """One table against itself."""
    return compare(base_table(), base_table())


def unresolvable() -> Comparison:
    """A candidate whose pins have no solution: every cell breaks for one reason."""
    base = table(passed("resnet18", "native"), passed("lstm", "native"), unsupported("grid-sample", "onnx-torchscript"))
    reason = (
        "Because tf2onnx==1.16.1 depends on protobuf>=3.20,<4.dev0 and onnx==1.18.0 on protobuf>=4.25.1, no solution."
    )
    broken = [
        replace(record(r.model, r.strategy, Outcome.UNRESOLVABLE, Stage.RESOLVE), error=reason, fingerprint="5e501ab1")
        for r in base.records
    ]
    pins = {**PINS, "onnx": "1.18.0"}
    return compare(base, table(*broken, combination="torch2.7", pins=pins, packages={}, python=""))


def moved() -> Comparison:
    """Nothing is worse but what PyTorch itself computes, and one accuracy; an extension was upgraded too."""
    pins = {**PINS, "torch": "2.1.0"}
    return compare(_moved_table(), _moved_table(pins=pins, started="2026-01-31T13:00:00Z", factor=1.5))


def shifts() -> Comparison:
    """Nothing is worse; a runtime takes more memory and time in every cell, and two cells more memory of their own."""
    return compare(_shifted_table(), _shifted_table(newer=True))


def _shifted_table(*, newer: bool = False) -> Table:
    models = ["embedding", "gru", "lstm", "resnet18", "vgg11"]
    own = {"resnet18": 26.4, "vgg11": 26.2} if newer else {}
    records = [
        passed(
            model,
            "native",
            provider="torch-cpu",
            latency_ms=(1.0 + number) * (1.08 + number / 50 if newer else 1.0),
            rss_import_mb=323.1 + (78.9 if newer else 0.0) + own.get(model, 0.0),
            rss_load_mb=328.0 + (78.9 if newer else 0.0) + own.get(model, 0.0),
            rss_peak_mb=335.2 + (79.3 if newer else 0.0) + own.get(model, 0.0),
        )
        for number, model in enumerate(models)
    ]
    for model in models:
        loaded = 80.0 if model == "vgg11" else 5.0
        more = 35.0 if newer and model == "vgg11" else 0.0
        figures = {"rss_import_mb": 62.9, "rss_load_mb": 62.9 + loaded + more, "rss_peak_mb": 64.0 + loaded + more}
        source = {"rss_source": "VmRSS" if newer else None} if model == "gru" else {}
        records.append(passed(model, "onnx-torchscript", provider="CPUExecutionProvider", **figures, **source))
    pins = {**PINS, "torch": "2.1.0"} if newer else PINS
    packages = {**PACKAGES, "torch": pins["torch"]}
    started = f"2026-01-31T1{3 if newer else 2}:00:00Z"
    natives = {model: native(output(1.0)) for model in models}
    return table(*records, natives=natives, pins=pins, packages=packages, started=started)


def _moved_table(*, pins: dict[str, str] = PINS, started: str = "2026-01-31T12:00:00Z", factor: float = 1.0) -> Table:
    newer = factor > 1
    bits = {"digest": f"{'new' if newer else 'old':>16}"}
    natives = {
        "resnet18": native(output(1.0, -2.0), longer=(output(0.5),)),
        "stft": native(output(1.0), output(0.5 * factor, 0.25, **bits), longer=(output(3.0, **bits),)),
        "while-loop": native(output(1.0, 2.0), **({} if newer else {"longer": (output(2.0),)})),
        "new|shape": native(output(*([1.0] * (3 if newer else 2)), **bits)),
        "gru": native(output(1.0 + factor * 1e-7, **bits)),
        "lstm": native(output(2.0 + factor * 1e-8, **bits)),
    }
    own = [passed(model, "native") for model in natives]
    accuracies = {"accuracy_native": 0.9778, "accuracy_converted": 0.9778 if not newer else 0.6511}
    own += [passed("digits", "onnx-torchscript", **accuracies)]
    own += [passed("digits", "native", accuracy_native=0.9778, accuracy_converted=0.9778)]
    packages = {**PACKAGES, "torch": pins["torch"]}
    tools = passed("resnet18", "onnx2tf", extension="tools")
    versions = {"onnx2tf": "1.28.8" if newer else "1.17.5"}
    return merge(
        [
            table(*own, natives=natives, pins=pins, packages=packages, started=started),
            table(tools, extension="tools", packages={**packages, **versions}, started=started),
        ]
    )


def foreseen() -> Foreseen:
    """What is known of the candidate's table: one cause, and a cell that passes though it was to break."""
    usual: dict[str, Any] = {"outcome": Outcome.FAILED, "expires": datetime.date(2026, 5, 1)}
    upstream = "https://github.com/pytorch/pytorch/issues/110597"
    known = (
        Expectation(
            name="expect.0 of expectations.toml",
            models=("embedding",),
            strategies=("onnx-*",),
            reason="an index that is no integer",
            link=upstream,
            **usual,
        ),
        Expectation(name="expect.1 of expectations.toml", models=("grid-sample",), reason="no such operator", **usual),
        Expectation(name="expect.2 of expectations.toml", models=("no-such-model",), reason="a slip", **usual),
    )
    return foresee([candidate_table()], known, today=datetime.date(2026, 2, 1))


def large_table() -> Table:
    """More strategies and models than fit a screen, with labelled data for some of them."""
    strategies = ["native", "jax", "litert", "coreml", "manual-recreation", "hybrid-in-process-release", "tflite"]
    strategies += [f"onnx-torchscript:{opset}" for opset in (11, 16, 17)] + [f"tf2onnx:{opset}" for opset in (11, 18)]
    records = []
    for strategy in strategies:
        accuracy: dict[str, Any] = {"accuracy_native": 0.9778}
        accuracy["accuracy_converted"] = 0.9778 if ":" in strategy else 0.9733
        probes = {"jax": {"probes_passed": 0, "probes_skipped": 4}, "tflite": {"probes_derived": 2}}.get(strategy, {})
        records.append(passed("digits-cnn", strategy, **accuracy, **probes))
        records.append(passed("resnet18", strategy) if strategy != "litert" else unsupported("resnet18", strategy))
    records += [unsupported(model, s) for s in strategies[1:3] for model in ("grid-sample", "deformable-attention")]
    records += [mismatched("grid-sample", s, fingerprint="31337000") for s in strategies if "tf2onnx" in s]
    records += [not_applicable("grid-sample", "manual-recreation", "no twin")]
    records += [record("grid-sample", "coreml", Outcome.OUT_OF_MEMORY, Stage.CONVERT, error="above 4096 MiB")]
    return table(*records)


def unfinished_table() -> Table:
    """A run on a GPU that was killed."""
    base = base_table()
    missing = [("resnet18", "tflite"), ("lstm", "tflite")]
    return table(*base.records, missing=missing, device="cuda", gpu=GPU, driver="550.1", selected=True, ended=None)
