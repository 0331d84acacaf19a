"""`expectations.toml`: what is read, what is refused with the path to it, and that what is added is read as meant."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.bench.errors import UsageError
from harness.bench.stages import Outcome, Stage
from harness.bench.text import one_line
from harness.matrix.expecting import FILE, append, entry_text, parse, path_of, read

ROOT = Path(__file__).resolve().parents[2]
ENTRY = """
[[expect]]
cells = ["torch2.*/gru/onnx-torchscript*"]
outcome = "failed"
reason = "upstream"
expires = 2026-03-01
"""


def test_everything_can_be_said() -> None:
    text = """
[[expect]]
cells = ["torch2.*/gru/onnx-torchscript*"]
models = ["gru"]
strategies = ["onnx-*"]
devices = ["cpu"]
versions = { Torch = ">=2.1,<2.1.1", "onnxruntime_gpu" = "==1.16.3" }
tier = "core"
outcome = "timed-out"
stage = "convert"
fingerprint = "0dddc2b8dbc4"
reason = "upstream"
link = "https://github.com/pytorch/pytorch/issues/110597"
expires = 2026-03-01
"""
    (entry,) = parse(text, where="x.toml")
    assert entry.versions == {"torch": ">=2.1,<2.1.1", "onnxruntime-gpu": "==1.16.3"}
    assert (entry.tier, entry.outcome, entry.stage) == ("core", "timed-out", "convert")
    assert entry.expires == datetime.date(2026, 3, 1)
    (least,) = parse(ENTRY, where="x.toml")
    assert (least.tier, least.stage, least.fingerprint, least.versions) == ("quick", "", "", {})
    assert parse("", where="x.toml") == ()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[[expect]]", "[[expects]]", "x.toml: 'expects': no such key. Did you mean 'expect'?"),
        ("cells", "cell", "x.toml: 'expect.0.cell': no such key. Did you mean 'cells'?"),
        ('cells = ["torch2.*/gru/onnx-torchscript*"]', "", "x.toml: 'expect.0': names no cells: give it cells, models"),
        ("torch2.*/gru/onnx-torchscript*", "gru/onnx", "x.toml: 'expect.0.cells': 'gru/onnx' is no cell; write COMB"),
        ("torch2.*/gru/onnx-torchscript*", "*//*", "x.toml: 'expect.0.cells': '*//*' is no cell; write COMBINATION"),
        ('"failed"', '"fails"', "x.toml: 'expect.0.outcome': Input should be 'failed', 'mismatched', 'crashed'"),
        ('"failed"', '"passed"', "x.toml: 'expect.0.outcome': Input should be 'failed', 'mismatched', 'crashed'"),
        ("expires = 2026-03-01", "", "x.toml: 'expect.0.expires': Field required."),
        ("expires = 2026-03-01", 'expires = "2026-03-01"', "x.toml: 'expect.0.expires': Input should be a valid date."),
        ("2026-03-01", "2026-03-01T10:00:00Z", "x.toml: 'expect.0.expires': "),
        ('reason = "upstream"', "", "x.toml: 'expect.0.reason': Field required."),
        ('"upstream"', '""', "x.toml: 'expect.0.reason': "),
        ('"upstream"', '"TODO"', "x.toml: 'expect.0.reason': says nothing yet; write why this is so"),
        ('"upstream"', '" todo: ask"', "x.toml: 'expect.0.reason': says nothing yet; write why this is so"),
        ('"failed"', '"failed"\nstage = "converting"', "x.toml: 'expect.0.stage': 'converting' is no stage; there are"),
        ('"failed"', '"failed"\nlink = "pytorch#1"', "x.toml: 'expect.0.link': "),
        ('"failed"', '"failed"\ndevices = ["tpu"]', "x.toml: 'expect.0.devices.0': Input should be 'cpu' or 'cuda'."),
        (
            '"failed"',
            '"failed"\nversions = { torch = "2.1.0" }',
            "x.toml: 'expect.0.versions': torch = '2.1.0' is no range of versions; write one such as '==2.1.0'",
        ),
        ('"failed"', '"failed"\nversions = { torch = "" }', "x.toml: 'expect.0.versions': torch = '' is no range"),
        ("[[expect]]", "[[expect]", "x.toml: not valid TOML: "),
    ],
)
def test_what_is_wrong_is_told_with_the_path_to_it(old: str, new: str, told: str) -> None:
    assert old in ENTRY
    with pytest.raises(UsageError) as caught:
        parse(ENTRY.replace(old, new), where="x.toml")
    assert told in str(caught.value)


def test_the_file_of_a_command(tmp_path: Path) -> None:
    assert path_of(tmp_path, None) is None
    with pytest.raises(UsageError, match="no such file of expectations"):
        path_of(tmp_path, tmp_path / "x.toml")
    append(tmp_path / FILE, ENTRY)
    assert path_of(tmp_path, None) == tmp_path / FILE
    (tmp_path / FILE).write_bytes(b"# \xff")
    with pytest.raises(UsageError, match="cannot be read as UTF-8"):
        read(tmp_path / FILE)


def test_what_is_there_stays_as_it_is_byte_by_byte(tmp_path: Path) -> None:
    path = tmp_path / "matrices" / "expectations.toml"
    before = ENTRY.rstrip() + "   # of my own"
    path.parent.mkdir()
    path.write_text(before, encoding="utf-8")
    append(path, ENTRY)
    assert path.read_text(encoding="utf-8").startswith(before)
    assert len(read(path)) == 2
    assert [each.name for each in path.parent.iterdir()] == ["expectations.toml"]


TEXT = st.text(min_size=1).map(one_line).filter(bool)


@given(
    cells=st.lists(TEXT.map(lambda text: f"a/{text.replace('/', '-')}/c"), min_size=1, max_size=3),
    reason=TEXT.filter(lambda text: not text.upper().startswith("TODO")),
    versions=st.dictionaries(st.sampled_from(["torch", "onnxruntime-gpu"]), st.sampled_from(["==2.0.1", ">=1,<2"])),
    comment=TEXT,
    outcome=st.sampled_from([each for each in Outcome if each.broken]),
    stage=st.sampled_from(Stage),
    fingerprint=st.sampled_from(["", "0dddc2b8dbc4"]),
)
def test_what_is_written_is_read_as_it_was_meant(**values: Any) -> None:
    text = entry_text(**values, device="cpu", tier="quick", link="", expires=datetime.date(2026, 3, 1))
    (entry,) = parse(text, where="x.toml")
    assert entry.cells == values["cells"]
    assert (entry.reason, entry.versions) == (values["reason"], values["versions"])
    assert (entry.outcome, entry.stage) == (values["outcome"].value, values["stage"].value)
    assert entry.fingerprint == values["fingerprint"]


def test_a_proposal_without_a_reason_is_refused() -> None:
    text = entry_text(
        cells=["a/b/c"],
        device="cpu",
        versions={},
        tier="quick",
        outcome=Outcome.FAILED,
        stage=Stage.LOAD,
        fingerprint="",
        reason="",
        link="",
        expires=datetime.date(2026, 3, 1),
    )
    with pytest.raises(UsageError, match="says nothing yet"):
        parse(text, where="x.toml")
    assert parse(text.replace("TODO", "known"), where="x.toml")
