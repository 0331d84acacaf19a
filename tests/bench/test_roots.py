"""Roots of chains of exceptions, and what an error names: operators, nodes, lines of the model."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.bench.failure import Failure, signature_of, with_log
from harness.bench.fingerprint import fingerprint, shorten
from harness.bench.logs import said_in
from harness.bench.operators import node_of, operator_of
from harness.bench.progress import ModelMistakeError, Progress, described, read_trail
from harness.bench.roots import is_wrapping, place_told, root_of, unwrapped
from harness.bench.stages import Outcome, Stage
from tests.bench.children import raised
from tests.tables.samples import mismatched

TOOL = "/opt/environment/lib/python3.11/site-packages/tool.py"
STEP_1 = (
    "Failed to export the model with torch.export. This is step 1/3 of exporting the model to ONNX. Next steps:\n"
    "- Create an issue in the PyTorch GitHub repository against the *torch.export* component"
)

CHAINS = {
    "raised from what it wraps": ("raise RuntimeError(STEP_1) from ValueError('no such guard')", "ValueError"),
    "wrapped thrice": (
        (
            "try:\n"
            "    try:\n"
            "        raise TypeError('only 0-dimensional arrays')\n"
            "    except TypeError as error:\n"
            "        raise RuntimeError('translating %x') from error\n"
            "except RuntimeError as error:\n"
            "    raise OSError(STEP_1) from error"
        ),
        "TypeError",
    ),
    "the process ended while an error was handled": (
        "try:\n    raise NotImplementedError('no LSTM')\nexcept NotImplementedError:\n    raise SystemExit(1)",
        "NotImplementedError",
    ),
    "ended twice": (
        (
            "try:\n"
            "    try:\n"
            "        raise NotImplementedError('no LSTM')\n"
            "    except NotImplementedError:\n"
            "        raise SystemExit(1)\n"
            "except SystemExit:\n"
            "    raise SystemExit(2)"
        ),
        "NotImplementedError",
    ),
    "repeated without from": (
        (
            "try:\n    raise ValueError('the shapes differ')\n"
            "except ValueError as error:\n    raise RuntimeError(f'layer 3: {error}')"
        ),
        "ValueError",
    ),
    "said without a word": (
        "try:\n    raise ValueError('no')\nexcept ValueError:\n    raise RuntimeError",
        "ValueError",
    ),
    "a lookup translated": ("raise RuntimeError('no weight is called w') from KeyError('w')", "RuntimeError"),
    "a lookup announced": ("raise RuntimeError(STEP_1) from KeyError('w')", "KeyError"),
    "another error while one was handled": (
        "try:\n    import_fast_path = {}['x']\nexcept KeyError:\n    raise RuntimeError('unsupported operator')",
        "RuntimeError",
    ),
    "hidden by from None": (
        "try:\n    raise ValueError('no')\nexcept ValueError:\n    raise RuntimeError('yes') from None",
        "RuntimeError",
    ),
    "alone": ("raise ValueError('no')", "ValueError"),
    "the process ended by itself": ("raise SystemExit(1)", "SystemExit"),
}


def _raised(code: str, file: str) -> BaseException:
    try:
        exec(compile(code, file, "exec"), {"STEP_1": STEP_1})
    except BaseException as error:  # noqa: BLE001 - whatever it is
        return error
    raise AssertionError


@pytest.mark.parametrize("name", CHAINS)
def test_the_root_is_what_went_wrong(name: str) -> None:
    code, kind = CHAINS[name]
    assert type(root_of(_raised(code, TOOL))).__name__ == kind


def test_what_a_users_code_says_of_an_error_stays(tmp_path: Path) -> None:
    code = "raise RuntimeError('the checkpoint is of another model') from ValueError('sizes differ')"
    assert type(root_of(_raised(code, str(tmp_path / "net.py")))) is RuntimeError
    assert type(root_of(_raised(code, TOOL))) is ValueError


def test_a_chain_that_goes_round_ends() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert root_of(one) in (one, other)


def test_a_result_has_the_roots_error_and_the_whole_chain(tmp_path: Path) -> None:
    Progress(tmp_path).fail(_raised(CHAINS["wrapped thrice"][0], TOOL))
    result = read_trail(tmp_path).result
    assert result is not None
    assert (result["error_type"], result["error"]) == ("TypeError", "only 0-dimensional arrays")
    assert [each["type"] for each in result["chain"]] == ["OSError", "RuntimeError", "TypeError"]
    assert STEP_1.splitlines()[1] in result["traceback"]


def test_memory_that_was_refused_below_a_wrapping_counts() -> None:
    code = "raise RuntimeError(STEP_1) from MemoryError('cannot allocate')"
    assert described(_raised(code, TOOL))["outcome"] == Outcome.OUT_OF_MEMORY.value


def test_a_mistake_of_the_models_file_is_told_as_that() -> None:
    told = described(
        raised(
            "from harness.bench.progress import ModelMistakeError\nraise ModelMistakeError('x') from ValueError('y')"
        )
    )
    assert (told["error_type"], told["mistake"]) == (ModelMistakeError.__name__, True)


def test_autograph_and_keras_are_taken_off() -> None:
    graph = (
        'in user code:\n\n    File "<site-packages>/onnx_tf/backend.py", line 347, in _onnx_node  *\n'
        "        return handler.handle(node)\n\n"
        "    BackendIsNotSupposedToImplementIt: Unsqueeze version 13 is not implemented.\n"
    )
    expected = ("BackendIsNotSupposedToImplementIt", "Unsqueeze version 13 is not implemented.")
    assert unwrapped("BackendIsNotSupposedToImplementIt", graph) == expected
    layer = (
        "Exception encountered when calling layer 'a' (type Dense).\n\nshapes differ\n\nCall arguments received by x"
    )
    assert unwrapped("ValueError", layer) == ("ValueError", "shapes differ")
    assert unwrapped("ValueError", "in user code: no") == ("ValueError", "in user code: no")


def test_what_only_wraps_is_known_as_that() -> None:
    assert is_wrapping("TorchExportError", STEP_1)
    assert is_wrapping("SystemExit", "the tool ended the process: SystemExit(1)")
    assert not is_wrapping("SystemExit", "LSTM OP is not yet implemented (the tool ended the process: SystemExit(1))")
    assert not is_wrapping("ValueError", "no")


def test_what_a_tool_printed_before_it_ended_the_process_is_its_error() -> None:
    log = (
        "\x1b[31mERROR:\x1b[0m GridSample supports only bilinear.\nERROR: The trace log is below.\n"
        "  File x\nSystemExit: 1\n"
        "ERROR: onnx_op_name: wa/GridSample\nERROR: Also, try the -onwdt option.\n"
    )
    assert said_in(log) == "GridSample supports only bilinear."
    assert said_in(f"{log}Traceback (most recent call last):\n  x\nonnx.errors.ShapeError: no rank\nbye") == (
        "onnx.errors.ShapeError: no rank"
    )
    assert said_in("2 errors were had") == ""
    ended = Failure(Outcome.FAILED, Stage.CONVERT, "SystemExit", "the tool ended the process: SystemExit(1)")
    told = with_log(ended, log)
    assert told.error == "GridSample supports only bilinear. (the tool ended the process: SystemExit(1))"
    assert told.place == "wa/GridSample"
    assert with_log(ended, "nothing").error == ended.error
    other = Failure(Outcome.FAILED, Stage.CONVERT, "ValueError", "no")
    assert with_log(other, log) == other


@pytest.mark.parametrize(
    ("text", "operator", "node"),
    [
        ("Exporting the operator 'aten::unflatten' to ONNX opset version 14 is not supported.", "aten::unflatten", ""),
        (
            "9 : NOT_IMPLEMENTED : Could not find an implementation for Trilu(14) node with name '/Trilu'",
            "Trilu",
            "/Trilu",
        ),
        (
            "Non-zero status code returned while running Reshape node. Name:'/attention/Reshape_4' Status Message: x",
            "Reshape",
            "/attention/Reshape_4",
        ),
        ("No Op registered for Erfc with x: Bad node spec for node. Name: a/Gelu/Erfc", "Erfc", "a/Gelu/Erfc"),
        ("Node (MatMulBnFusion_Gemm) Op (Gemm) [ShapeInferenceError] First input", "Gemm", "MatMulBnFusion_Gemm"),
        ("Failed to find kernel for com.microsoft.FusedGemm(1) (node:'fused /0/Gemm' ep)", "FusedGemm", "/0/Gemm"),
        ("Unsqueeze version 13 is not implemented.", "Unsqueeze", ""),
        ("No ONNX function found for <OpOverload(op='lib.soft_clip', overload='default')>.", "lib.soft_clip", ""),
        ("'float' object has no attribute 'node'", "", ""),
        ("the method is not implemented.", "", ""),
    ],
)  # fmt: skip
def test_operators_and_nodes_are_found(text: str, operator: str, node: str) -> None:
    assert (operator_of(text), node_of(text)) == (operator, node)


def test_the_line_of_the_model_is_read_from_the_message(tmp_path: Path) -> None:
    own = tmp_path / "net.py"
    message = (
        "Attempted to call function marked as skipped\n\nfrom user code:\n"
        f'   File "{own}", line 12, in forward\n    return self.inner(x)\n'
        f'  File "{own}", line 30, in inner\n    y = time.time()\n'
        f'  File "{TOOL}", line 4, in call\n'
    )
    assert place_told(message) == f"{own}:30"
    assert place_told(f'File "{own}", line 12, in forward') == ""


def test_one_cause_has_one_fingerprint_over_versions_and_opsets() -> None:
    base = "Exporting the operator 'aten::unflatten' to ONNX opset version {} is not supported."
    until = " Support for this operator was added in version 13, try exporting with this version."
    please = " Please feel free to request support or submit a pull request on PyTorch GitHub: https://…"
    found = {
        fingerprint("UnsupportedOperatorError", base.format(opset) + more)
        for opset in (11, 14, 17)
        for more in (until, please, "")
    }
    assert len(found) == 1
    kernels = ("FusedGemm(1) (node fused /0/Gemm). Op", "com.microsoft.FusedGemm(1) (node:'fused /a/b' ep:'CPU'). Op")
    assert len({fingerprint("E", f"Failed to find kernel for {kernel}") for kernel in kernels}) == 1
    names = ("unrecognized namespace {op_name}.", "unrecognized namespace lib::soft_clip.")
    assert len({fingerprint("E", f"ONNX export failed on an operator with {name} If you") for name in names}) == 1
    nodes = ("/a/Reshape_4", "/b/c/Reshape_117")
    message = (
        "probe '{0}': [ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : while running Reshape node. Name:'{0}' "
        "Status Message: /src/{1}/reshape_helper.h:{1} f(bool) size == {1} was false. It cannot be reshaped."
    )
    assert len({fingerprint("E", message.format(name, len(name))) for name in nodes}) == 1


def test_a_shortened_error_has_the_fingerprint_of_the_whole() -> None:
    whole = "the node " + "x" * 300 + " cannot be had. " + "And more of it. " * 100 + "the end"
    assert fingerprint("ValueError", whole) == fingerprint("ValueError", shorten(whole))


def test_mismatches_are_of_one_cause_where_the_model_is_or_the_operator() -> None:
    text = "output 0: values differ, relative error 2.22e-01 above 1e-04, most at [1, 2]: 3 instead of 4"
    other = "output 0: values differ, relative error 9.1e-03 above 1e-04, most at [7]: 1 instead of 2"
    assert fingerprint("Mismatch", text, model="lstm") == fingerprint("Mismatch", other, model="lstm")
    assert fingerprint("Mismatch", text, model="lstm") != fingerprint("Mismatch", text, model="gru")
    pools = [mismatched(m, "onnx-torchscript", fingerprint=m, begins_at=f"AveragePool /{m}/pool") for m in ("a", "b")]
    assert len({signature_of(each) for each in pools}) == 1
    assert len({signature_of(mismatched(m, "onnx-torchscript", fingerprint=m)) for m in ("a", "b")}) == 2
    assert signature_of(mismatched("a", "onnx-torchscript", fingerprint="f", begins_at=" \t")) == "f"
