"""One cell and all that was recorded of it: what is shown, whole or its ends, and nothing in it that acts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.report.recorded import Recorded, recorded_lines
from tests.tables.samples import failed, table

TRACEBACK = (
    'Traceback (most recent call last):\n  File "mine.py", line 3, in build\n    raise KeyError("x")\nKeyError: x'
)


def shown(details: dict[str, Any] | None, *, whole: bool = False, **more: Any) -> str:
    record = failed("mlp", "onnx-torchscript:16", error="it is at <scratch>/convert/artifact-0/model.onnx: \x1b[31mred")
    made = Recorded(table=table(record), record=record, details=details, **more)
    return "\n".join(line.plain for line in recorded_lines(made, whole=whole))


def test_a_traceback_keeps_its_indentation_and_nothing_that_tools_wrote_acts() -> None:
    text = shown({"traceback": TRACEBACK, "log": "a\x1b]0;title\x07b\u202e"})
    assert '\n    File "mine.py", line 3, in build\n      raise KeyError("x")\n  KeyError: x' in text
    assert "  ab\\u202e" in text
    assert "\x1b" not in text


def test_of_a_long_log_the_end_is_shown_unless_all_is_asked_for() -> None:
    log = "\n".join(f"line {number}" for number in range(100))
    assert "  [... 60 lines before, which --whole shows ...]\n  line 60" in shown({"log": log})
    assert "  line 0\n" in shown({"log": log}, whole=True)


def test_the_paths_of_messages_are_told_where_their_files_are_kept(tmp_path: Path) -> None:
    kept = {"kept": {"bytes": 5}, "error": "see <scratch>/convert/artifact-0/model.onnx, <scratch>/../../x."}
    (tmp_path / "convert" / "artifact-0").mkdir(parents=True)
    (tmp_path / "convert" / "artifact-0" / "model.onnx").write_bytes(b"12345")
    text = shown(kept, kept=tmp_path)
    assert f"<scratch>/convert/artifact-0/model.onnx is {tmp_path}/convert/artifact-0/model.onnx" in text
    assert " is " not in text.partition("<scratch>/../../x")[2].splitlines()[0]
    assert "has gone since" in shown(kept)
    assert "no more than 1 MiB" in shown({"kept": {"left_out": "no more than 1 MiB of one are kept"}})


def test_the_chain_the_beginning_and_each_input_set_are_told() -> None:
    details = {
        "chain": [{"type": "RuntimeError", "message": "export failed"}, {"type": "KeyError", "message": "'lost'"}],
        "begins": {"line": "AveragePool (/pool/AveragePool)"},
        "errors": {"example": [{"relative_error": 0.5}], "two": [{"mse": 0.0}, {"mse": 1.0}]},
        "seconds": {"convert": {"import": 1.5, "whole": 2.0}},
    }
    text = shown(details)
    assert "  RuntimeError: export failed\n  KeyError: 'lost'" in text
    assert "line: AveragePool (/pool/AveragePool)" in text
    assert "example: relative_error 5.000e-01\n  two, output 0: mse 0.000e+00\n  two, output 1: mse 1.000e+00" in text
    assert "convert: import 1.50 s, whole 2.00 s" in text


def test_without_details_it_says_so() -> None:
    assert "Only the row is here\n  on the other machine" in shown(None, only_the_row="on the other machine")
