"""One cell and all that was recorded of it: what is shown, whole or its ends, and nothing in it that acts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.bench.record import Record
from harness.report.recorded import Recorded, recorded_lines
from harness.tables.launches import Launch
from tests.tables.samples import failed, passed, table, timed

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


def test_the_launches_of_a_cell_are_told_with_what_speaks_against_them() -> None:
    samples = [0.0020, 0.0020, 0.0021, 0.0023], [3e-6, 3.05e-6, 3.1e-6], [0.0030, 0.0030]
    quiet, of_quiet = timed("mlp", "native", *samples[:1])
    assert launches_shown(quiet, of_quiet, samples=Path("details/samples.parquet")) == [
        "latency 2.05 ms, of one launch",
        "launch 0: 2.05 ms, half of 4 rounds of 10 calls between 2.00 ms and 2.15 ms; steady after 0.100 s of warm-up",
        "raw samples: details/samples.parquet, one row a round",
    ]
    doubts = {"steady": False, "drift": -0.14, "busy_cores": 1.3, "calls": 1, "gpu_use": "shared: 1 process of others"}
    doubtful, of_doubtful = timed("mlp", "native", *samples, **doubts)
    expected = """
latency 2.05 ms, the median of 3 launches, which differ by 146.2 %
  spread: launches that differ by more than 10 % do not tell a small change: ask for more of them, by `--launches`, or \
let `harness duel` hold two sides against each other
launch 1: 3.05 us, half of 3 rounds of 1 call between 3.02 us and 3.08 us; not steady after 0.100 s of warm-up
  busy: other programs kept 1.3 cores busy: run it again on a quiet machine, or use `harness duel`, which has two \
sides take turns
  shared: the GPU may not have been ours alone (1 process of others): run it again when nobody else uses it
  unsteady: calls did not come to take equally long, so that the median may be of a model that is not warm yet: warm \
up longer, by `measure_s` in [policy]
  drift: the later half of the rounds took 14 % less than the earlier one: the machine changed its speed, or calls \
leave something behind: time it longer, by `measure_s` in [policy]
raw samples: not here; they stay on the machine that made the table, as long as there is room
"""
    assert launches_shown(doubtful, of_doubtful[1:2]) == expected.strip().splitlines()


def test_a_table_that_keeps_no_launches_says_nothing_of_them() -> None:
    assert launches_shown(passed("mlp", "native"), []) == []


def launches_shown(record: Record, launches: list[Launch], samples: Path | None = None) -> list[str]:
    other = timed("other", "native", [0.5, 0.5])[1]
    made = Recorded(table=table(record, passed("other", "native")), record=record, details={}, samples=samples)
    told = replace(made, table=replace(made.table, launches=(*other, *launches)))
    assert [each["launch"] for each in told.to_json()["launches"]] == [each.launch for each in launches]
    text = "\n".join(line.plain for line in recorded_lines(told))
    return [line.removeprefix("  ") for line in text.partition("\nLaunches\n")[2].partition("\n\n")[0].splitlines()]
