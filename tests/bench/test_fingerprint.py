"""Fingerprints: equal for equal causes, different for different ones; errors in one line without a machine's paths."""

from __future__ import annotations

import re
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.bench.fingerprint import fingerprint, normalise_paths, shorten
from harness.bench.record import ERROR_LENGTH
from harness.bench.text import one_line

ROOT = Path(__file__).resolve().parents[2]


def _of(text: str, scratch: Path | None = None) -> str:
    return fingerprint("RuntimeError", normalise_paths(text, scratch))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("object at 0x7f0012ab", "object at 0xdeadbeef"),
        ("got [1, 3, 224, 224]", "got [2, 3]"),
        ("got torch.Size([4])", "got torch.Size([8, 2])"),
        ("shape (2,) is wrong", "shape (64, 10) is wrong"),
        ("cannot be multiplied (2x9 and 8x4)", "cannot be multiplied (16x100 and 8x4)"),
        ("index 7 is out of bounds", "index -12 is out of bounds"),
        ("error 1.5e-05 above 0.25", "error 2e+10 above 3"),
        ("node onnx::Conv_123", "node onnx::Conv_7"),
        ("took  1\t s", "took 2 s"),
        ("CUDA failure 2 ; GPU=0 ; hostname=one ; expr=x", "CUDA failure 2 ; GPU=1 ; hostname=other-2 ; expr=x"),
        ("in node (/a/Gather_3) of", "in node (/b/c/Gather) of"),
        ("input parameter (val_3) of operator (Gather)", "input parameter (new_zeros) of operator (Gather)"),
        ("input parameter (val_3) of operator (Gather)", "input parameter (/ConstantOfShape_1) of operator (Gather)"),
        (
            'In Node, ("/fft/DFT_1", DFT, "", -1) : ("x": tensor(float),"": tensor(int64),) -> ("y": tensor(float),)',
            'In Node, ("", DFT, "", -1) : ("/in": tensor(float),"n": tensor(int64),) -> ("out": tensor(float),)',
        ),
        ("no /opt/ci-runner/lib/x.so here", "no /usr/lib/x.so here"),
        ("cannot open /tmp/tmpab12cd/model.onnx", "cannot open /tmp/tmpzz99_x/model.onnx"),
        ("the type is wrong.\nSee line 3", "the type is wrong.\nSee the other file"),
    ],
)
def test_equal_causes_have_equal_fingerprints(one: str, other: str) -> None:
    one, other = (text.replace("/tmp", tempfile.gettempdir()) for text in (one, other))
    assert _of(one) == _of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("unsupported operator aten::foo", "unsupported operator aten::bar"),
        ("expected float32", "expected float64"),
        ("NaN at [1]", "+Inf at [1]"),
        ("Failed:\nthis", "Failed:\nthat"),
        ("no aten::grid_sampler_2d", "no aten::grid_sampler_3d"),
        ('In Node, ("a", DFT, "", -1)', 'In Node, ("a", STFT, "", -1)'),
        ("", "x"),
    ],
)
def test_different_causes_have_different_fingerprints(one: str, other: str) -> None:
    assert _of(one) != _of(other)


def test_the_errors_type_is_part_of_it() -> None:
    assert fingerprint("TypeError", "no") != fingerprint("ValueError", "no")


def test_an_error_without_a_message_is_of_its_model() -> None:
    text = "AssertionError without a message"
    of = {
        fingerprint(error_type, text, model=model)
        for error_type, text, model in (
            ("AssertionError", text, "lstm"),
            ("AssertionError", f"probe 'longer': {text}", "gru"),
            ("ValueError", "ValueError without a message", "lstm"),
            ("AssertionError", "no", "lstm"),
        )
    }
    assert len(of) == 4
    assert fingerprint("AssertionError", f"probe 'a': {text}", model="gru") in of
    assert fingerprint("AssertionError", "no", model="gru") in of


def test_the_cells_folder_does_not_matter(tmp_path: Path) -> None:
    assert _of(f"no {tmp_path / 'a'}/model.onnx", tmp_path / "a") == _of(
        f"no {tmp_path / 'b'}/model.onnx", tmp_path / "b"
    )


@given(shape=st.lists(st.integers(-1, 10**6), min_size=1, max_size=6), address=st.integers(0, 2**64))
def test_no_shape_and_no_address_matters(shape: list[int], address: int) -> None:
    assert _of(f"<Tensor at {address:#x}> has {shape}") == _of("<Tensor at 0x1> has [1]")


@given(text=st.text(max_size=2000))
def test_a_fingerprint_is_twelve_digits_of_any_text(text: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{12}", fingerprint(text, text))


@pytest.mark.parametrize("harmful", ["\x1b[31mno\x1b[0m file", "\x1b]0;title\x07no file", "no\tfile\r"])
def test_what_a_terminal_would_obey_is_no_part_of_it(harmful: str) -> None:
    assert _of(harmful) == _of("no file")


def test_a_coloured_path_is_told_by_what_it_is(tmp_path: Path) -> None:
    assert normalise_paths(f"\x1b[31m{tmp_path}/model.onnx\x1b[0m", tmp_path) == "<scratch>/model.onnx"


def test_a_folder_with_an_odd_name_is_told_by_what_it_is() -> None:
    assert normalise_paths("no /odd\u202e/x", Path("/odd\u202e")) == "no <scratch>/x"


def test_a_user_without_a_home_and_a_place_for_temporary_files_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError))
    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    assert normalise_paths(f"in {ROOT}/x") == "in <harness>/x"


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("{scratch}/convert/model.onnx", "<scratch>/convert/model.onnx"),
        ("{site}/torch/onnx/utils.py", "<site-packages>/torch/onnx/utils.py"),
        ("{prefix}/bin/python", "<environment>/bin/python"),
        ("{root}/model_zoo/lstm.py:7", "<harness>/model_zoo/lstm.py:7"),
        ("in '{tmp}/x' and {tmp}", "in '<temporary>/x' and <temporary>"),
        ("{home}/models/own.py", "~/models/own.py"),
        ("/opt/environments/bin", "/opt/environments/bin"),
        ("/var{tmp}/x", "/var{tmp}/x"),
    ],
)
def test_paths_are_told_by_what_they_are(text: str, normalised: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setattr(sys, "prefix", "/opt/environment")
    places = {
        "scratch": "/tmp/harness-bench-x/cells/a",
        "site": sysconfig.get_path("purelib"),
        "prefix": sys.prefix,
        "root": str(ROOT),
        "tmp": tempfile.gettempdir(),
        "home": "/home/somebody",
    }
    assert normalise_paths(text.format(**places), Path(places["scratch"])) == normalised.format(**places)


@given(text=st.text(max_size=3000))
def test_shortened_text_is_one_line_of_bounded_length(text: str) -> None:
    line = shorten(text)
    assert len(line) <= ERROR_LENGTH
    assert line == " ".join(line.split()) or len(line) == ERROR_LENGTH
    assert line.isprintable()
    whole = one_line(text)
    if len(whole) <= ERROR_LENGTH:
        assert line == whole


def test_beginning_and_end_of_a_long_text_are_kept() -> None:
    line = shorten("first " + "x" * 10_000 + " last")
    assert len(line) == ERROR_LENGTH
    assert line.startswith("first x")
    assert line.endswith("x last")
    assert " … " in line


@pytest.mark.parametrize(
    ("now", "before"),
    [
        ("output: values differ at 1 of 4 positions", "output 0: values differ at 1 of 4 positions"),
        ("outputs[2]: shape [2] instead of [1]", "output 2: shape [3] instead of [1]"),
        ("outputs.z[0]['a: b']: dtype int64 instead of int32", "output 1: dtype int64 instead of int32"),
        ("probe 'more': outputs.hidden: values differ", "probe 'more': output 1: values differ"),
        ("1 outputs instead of 2 (outputs.a, outputs.b)", "1 outputs instead of 2"),
    ],
)
def test_which_output_differs_is_no_cause_of_its_own(now: str, before: str) -> None:
    assert fingerprint("Mismatch", now) == fingerprint("Mismatch", before)
    assert fingerprint("ValueError", now) != fingerprint("ValueError", before)
