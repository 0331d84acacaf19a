"""How a script ended, held against how its cell did; scripts run by uv as anybody runs them."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from harness.bench.stages import Outcome, Stage
from harness.reproducing.pinning import public_environ
from harness.reproducing.trying import FILE, Ended, ends_as, run
from tests.tables.samples import failed, mismatched

HEAD = f'# /// script\n# requires-python = ">={sys.version_info.major}.{sys.version_info.minor}"\n# ///\n'
INVALID = (
    "[ONNXRuntimeError] : 10 : INVALID_GRAPH : Load model from <scratch>/convert/artifact-0/model.onnx failed:This is "
    'an invalid model. In Node, ("/0/Gather", Gather) at line 12'
)
TRACEBACK = (
    'Traceback (most recent call last):\n  File "/tmp/x/repro.py", line 3, in <module>\n'
    "onnxruntime.capi.InvalidGraph: [ONNXRuntimeError] : 10 : INVALID_GRAPH : Load model from model.onnx failed:This "
    'is an invalid model. In Node, ("/0/Gather",\n Gather) at line 14\n'
)


def test_an_error_is_told_by_its_type_and_its_message() -> None:
    record = failed("m", "s", error_type="InvalidGraph", error=INVALID)
    assert ends_as(record, Ended(code=1, log=TRACEBACK))
    assert not ends_as(record, Ended(code=0, log=TRACEBACK))
    assert not ends_as(record, Ended(code=1, log=TRACEBACK.replace("Gather", "Add")))
    assert not ends_as(record, Ended(code=1, log=TRACEBACK.replace("InvalidGraph", "NotImplemented")))


def test_a_message_that_was_cut_is_told_by_its_ends() -> None:
    record = failed("m", "s", error_type="Error", error="it begins so … and ends so")
    assert ends_as(record, Ended(code=1, log="Error: it begins so, goes on, and ends so"))
    assert not ends_as(record, Ended(code=1, log="Error: it begins so, goes on, and ends"))
    record = failed(
        "m", "s", error_type="Error", error='in user code: File "<harness>/harness/a.py", line 1 … and ends so'
    )
    assert ends_as(record, Ended(code=1, log="Error: in user code: File repro.py, line 3, and ends so"))
    assert not ends_as(record, Ended(code=1, log="Error: in user code: File repro.py, line 3, and ends"))
    record = failed("m", "s", error_type="Error", error='in user code: File "<harness>/harness/a.py", line 1')
    assert not ends_as(record, Ended(code=1, log="Error: in user code: File repro.py, line 1"))
    record = failed("m", "s", error_type="Error", error='lost: File "<harness>/model_zoo/a.py", line 46 in forward')
    assert ends_as(record, Ended(code=1, log='Error: lost:\n  File "/tmp/x/repro.py", line 9 in forward'))


@pytest.mark.parametrize(
    ("difference", "log", "same"),
    [
        ("output 0: values differ, relative error 2.22e-01 above 1e-04, most at [1]: 2 instead of 1", "2.22e-01", True),
        (
            "output 0: values differ, relative error 2.22e-01 above 1e-04, most at [1]: 2 instead of 1",
            "9.00e-01",
            False,
        ),
        (
            "probe 'longer': outputs.a: values differ, relative error 2.2e-01 above 1e-04, most at [1]: 2",
            "2.20e-01",
            True,
        ),
    ],
)
def test_a_mismatch_is_told_by_its_figure(difference: str, log: str, same: bool) -> None:
    record = mismatched("m", "s", difference=difference)
    said = f"AssertionError: output: values differ, relative error {log} above 1e-04"
    assert ends_as(record, Ended(code=1, log=said)) is same


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        ("output 0: shape [2, 16] instead of [16, 2]", "output: shape [2, 16] instead of [16, 2]"),
        ("output: dtype float64 instead of float32", "output: dtype float64 instead of float32"),
        ("2 outputs instead of 1 (output)", "2 outputs instead of 1"),
        ("output: +Inf at [0] only natively (3 positions differ)", "output: Inf (3 positions differ)"),
        (
            "output: values differ at 3 of 8 positions, most at [1]: 1 instead of 2",
            "output: values differ at 3 of 8 positions",
        ),
    ],
)
def test_other_differences_are_told_by_what_differs(difference: str, said: str) -> None:
    record = mismatched("m", "s", difference=difference)
    assert ends_as(record, Ended(code=1, log=f"AssertionError: {said}"))
    assert not ends_as(record, Ended(code=1, log="AssertionError: something else"))


def test_a_crash_and_an_endless_run_are_told() -> None:
    crashed = replace(failed("m", "s", Stage.LOAD, error_type="SIGSEGV"), outcome=Outcome.CRASHED)
    assert ends_as(crashed, Ended(code=139, log=""))
    assert ends_as(crashed, Ended(code=-11, log=""))
    assert not ends_as(crashed, Ended(code=134, log=""))
    endless = replace(failed("m", "s", Stage.LOAD), outcome=Outcome.TIMED_OUT)
    assert ends_as(endless, Ended(code=None, log="at the stage 'load'\nloading"))
    assert not ends_as(endless, Ended(code=None, log=""))  # it may have been installing still
    assert not ends_as(endless, Ended(code=1, log=""))


CHAIN = (
    'Traceback (most recent call last):\n  File "/x/lib/tool.py", line 3, in convert\nValueError: bad shape\n\n'
    "The above exception was the direct cause of the following exception:\n\n"
    'Traceback (most recent call last):\n  File "/tmp/x/repro.py", line 3, in <module>\n    convert()\n'
    "tool.ConversionError: this is step 1/3 of exporting\n"
)


@pytest.mark.parametrize(
    ("kind", "error", "raised", "same"),
    [
        ("ValueError", "bad shape", "KeyError: 'x'", False),
        ("ValueError", "bad shape", "ValueError: bad shape", True),
        ("ValueError", "bad shape", "tool.deep.ValueError: bad shape", True),
        ("Error", "bad shape", "ValueError: bad shape", False),
        ("AssertionError", "AssertionError without a message", "AssertionError", True),
        ("AssertionError", "AssertionError without a message", "AssertionError: but", False),
        ("AssertionError", "AssertionError without a message. \nDo this.", "AssertionError", True),
        (
            "ModuleNotFoundError",
            "No module named 'net'. \nIf net is …",
            "ModuleNotFoundError: No module named 'net'",
            True,
        ),
        (
            "ModuleNotFoundError",
            "No module named 'net'. \nIf net is …",
            "ModuleNotFoundError: No module named 'ne'",
            False,
        ),
    ],
)
def test_what_was_raised_last_is_what_counts(kind: str, error: str, raised: str, same: bool) -> None:
    record = failed("m", "s", error_type=kind, error=error)
    log = (
        "UserWarning: ValueError: bad shape\nAssertionError\n"
        f'Traceback (most recent call last):\n  File "/tmp/x/{FILE}", line 3, in <module>\n    f()\n{raised}\n'
    )
    assert ends_as(record, Ended(code=1, log=log)) is same


def test_what_an_error_came_of_counts_and_what_was_caught_before_it_does_not() -> None:
    root = failed("m", "s", error_type="ValueError", error="bad shape")
    assert ends_as(root, Ended(code=1, log=CHAIN))
    assert not ends_as(root, Ended(code=1, log=CHAIN.replace("The above exception was", "It was")))
    assert not ends_as(root, Ended(code=1, log="UserWarning: ValueError: bad shape\nKeyError: 'x'"))


@pytest.mark.parametrize(
    ("error", "code", "log", "same"),
    [
        ("the tool ended the process: SystemExit(1)", 1, "ERROR: no such operator", True),
        ("the tool ended the process: SystemExit(1)", 2, "ERROR: no such operator", False),
        ("ERROR: no such operator (the tool ended the process: SystemExit(1))", 1, "ERROR: no such operator", True),
        ("ERROR: no such operator (the tool ended the process: SystemExit(1))", 1, "ERROR: another", False),
        (
            "the tool ended the process: SystemExit(1)",
            1,
            f"{TRACEBACK}ModuleNotFoundError: No module named 'onnx_graphsurgeon'",
            False,
        ),
    ],
)
def test_a_tool_that_ends_the_process_is_told_by_code_and_words(error: str, code: int, log: str, same: bool) -> None:
    record = failed("m", "onnx2tf", Stage.CONVERT, error_type="SystemExit", error=error)
    assert ends_as(record, Ended(code=code, log=log)) is same


def test_a_script_is_run_by_uv() -> None:
    ended = run(f'{HEAD}print("passes")\n')
    assert ended.passed, ended
    ended = run(f'{HEAD}raise KeyError("0.weight_g")\n')
    assert not ended.passed
    assert ends_as(failed("m", "s", error_type="KeyError", error="'0.weight_g'"), ended), ended
    assert ended.last == "KeyError: '0.weight_g'"


def test_a_script_without_an_end_is_ended() -> None:
    ended = run(f"{HEAD}import time\ntime.sleep(600)\n", timeout_s=3.0)
    assert ended.code is None
    assert not ended.passed


def test_a_script_is_tried_without_what_this_machine_has_its_packages_from(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "PIP_INDEX_URL", "UV_INDEX_MINE_PASSWORD"):
        monkeypatch.setenv(name, "https://packages.example.com/simple")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://mirror.example.com/simple")
    monkeypatch.setenv("SSL_CERT_FILE", "/certificates.pem")
    environ = public_environ()
    assert not [name for name, value in environ.items() if "example.com" in value]
    assert (environ["SSL_CERT_FILE"], environ["UV_NO_CONFIG"]) == ("/certificates.pem", "1")
    kept = [name for name, value in public_environ(mirror=True).items() if "example.com" in value]
    assert kept == ["UV_DEFAULT_INDEX"]
    script = f'{HEAD}import os\nassert "UV_INDEX" not in os.environ\nprint("passes")\n'
    monkeypatch.delenv("SSL_CERT_FILE")
    assert run(script).passed
