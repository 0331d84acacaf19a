from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.attempts.settling import table_of
from harness.bench import sketch
from harness.bench.attempt import Attempt
from harness.bench.bits import uniform
from harness.bench.errors import UsageError
from harness.tables.decoding import decode
from harness.tables.finding import read_path
from harness.tables.natives import Native, NativeOutput, format_natives, read_natives
from harness.tables.reading import read_table
from harness.tables.writing import write_table
from tests.tables.samples import native, output, passed, table, write_attempt

ROOT = Path(__file__).resolve().parents[2]


def kept(array: Any) -> NativeOutput:
    """What the bench keeps of an array."""
    return decode(NativeOutput, json.loads(json.dumps(sketch.sampled(array))), where="")


LARGE = kept(uniform((4, 128, 768), seed="large"))
LSTM = native(kept(np.array([0.1, -2.0])), LARGE, longer=(kept(np.array([1, 2])),))
RESNET = replace(native(output(1.5)), weights_digest="r" * 16, parameters=11_689_512)
"""Of schema 1."""
TRAINED = replace(native(LARGE), train_mode=True, tolerance=1e-3)
SPECIAL = (math.nan, math.inf, -math.inf, -0.0, 0.1)

digests = st.text("0123456789abcdef", min_size=16, max_size=16)
dtypes = st.sampled_from(["float32", "int64", "bool"])
norms = st.floats(0, allow_nan=False)
samples = st.builds(
    NativeOutput,
    digest=digests,
    shape=st.lists(st.integers(0, 1 << 40)).map(tuple),
    dtype=dtypes,
    sample=st.lists(st.floats(), max_size=16).map(tuple),
)
small = st.lists(st.floats(), max_size=8).flatmap(
    lambda values: st.builds(
        NativeOutput,
        digest=digests,
        shape=st.just((len(values),)),
        dtype=dtypes,
        norm=norms,
        special=st.just("") | digests,
        values=st.just(tuple(values)),
    )
)
sketched = st.builds(
    NativeOutput,
    digest=digests,
    shape=st.just((1000,)),
    dtype=dtypes,
    norm=norms,
    special=st.just("") | digests,
    sketch=st.integers(0, 100).map(lambda seed: sketch.encoded(uniform((sketch.ROWS, sketch.BUCKETS), seed=seed))),
)
natives = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    st.builds(
        Native,
        weights_digest=st.text("0123456789abcdef"),
        outputs=st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
            st.lists(samples | small | sketched, max_size=2).map(tuple),
            max_size=3,
        ),
        parameters=st.none() | st.integers(0),
        train_mode=st.booleans(),
        tolerance=st.none() | st.floats(0, 1),
        paths=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=2).map(tuple),
        code=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.just("c" * 16), max_size=2),
    ),
    min_size=1,
    max_size=3,
)


def example(**facts: Any) -> Any:
    """A model with one output, as JSON."""
    kept = {"digest": "d", "shape": [1], "dtype": "float32", **facts}
    return {"weights_digest": "w", "outputs": {"example": [kept]}}


def sampled(**values: Any) -> Any:
    return table(passed("resnet18", "native"), passed("lstm", "native"), **values)


@given(natives)
@settings(max_examples=40, deadline=None)
def test_what_is_read_is_what_was_written(tmp_path_factory: pytest.TempPathFactory, written: dict[str, Native]) -> None:
    path = tmp_path_factory.mktemp("natives") / "native.json"
    path.write_text(format_natives(written), encoding="utf-8")
    # As text, since NaN is not equal to itself.
    assert repr(read_natives(path, remedy="")) == repr(dict(sorted(written.items())))


def test_native_outputs_lie_beside_the_cells_and_come_back(tmp_path: Path) -> None:
    written = sampled(natives={"resnet18": TRAINED, "lstm": LSTM})
    folder = write_table(tmp_path, written)
    assert sorted(path.name for path in folder.iterdir()) == ["cells.csv", "launches.csv", "native.json", "run.json"]
    assert read_table(folder).natives == {"lstm": LSTM, "resnet18": TRAINED}
    assert write_table(tmp_path, written) == folder
    assert read_path(str(folder / "native.json")).natives["lstm"] == LSTM


def test_a_line_is_an_input_set_and_floats_keep_every_digit() -> None:
    example = output(0.1, 1 / 3, math.nan, -math.inf, digest="d" * 16, shape=(2, 2))
    two = replace(native(other=(example, example)), weights_digest="v", parameters=0)
    small = replace(kept(np.array([0.1, math.inf])), digest="e" * 16, special="f" * 16)
    three = replace(
        native(small), train_mode=True, tolerance=0.001, paths=("outputs.logits",), code={"mine.net": "c" * 16}
    )
    made = format_natives({"b": native(example), "a": two, "c": three})
    entry = (
        '{"digest": "dddddddddddddddd", "shape": [2, 2], "dtype": "float32", '
        '"sample": [0.1, 0.3333333333333333, NaN, -Infinity]}'
    )
    now = (
        '{"digest": "eeeeeeeeeeeeeeee", "shape": [2], "dtype": "float64", "norm": 0.1, "special": "ffffffffffffffff", '
        '"values": [0.1, Infinity]}'
    )
    facts = '{"weights_digest": "wwwwwwwwwwwwwwww", "train_mode": true, "tolerance": 0.001, "paths": ["outputs.logits"]'
    facts += ', "code": {"mine.net": "cccccccccccccccc"}'
    assert made.splitlines() == [
        "{",
        '"a": {"weights_digest": "v", "parameters": 0, "outputs": {',
        '  "example": [],',
        f'  "other": [{entry}, {entry}]',
        "}},",
        '"b": {"weights_digest": "wwwwwwwwwwwwwwww", "outputs": {',
        f'  "example": [{entry}]',
        "}},",
        f'"c": {facts}, "outputs": {{',
        f'  "example": [{now}]',
        "}}",
        "}",
    ]


@pytest.mark.parametrize("path", sorted((ROOT / "results").glob("*/*/*/native.json")), ids=lambda p: p.parts[-3])
def test_committed_tables_are_read_whatever_their_schema(path: Path) -> None:
    """And would be written again as they are, so that no table changes by being read."""
    assert format_natives(read_natives(path, remedy="")) == path.read_text(encoding="utf-8")


def test_a_whole_zoo_stays_below_a_megabyte() -> None:
    zoo = {f"model-{n}": native(LARGE, **{f"probe-{m}": (LARGE,) for m in range(4)}) for n in range(60)}
    assert len(format_natives(zoo)) < 500_000


def test_a_table_without_native_outputs_has_no_such_file(tmp_path: Path) -> None:
    folder = write_table(tmp_path, sampled())
    assert not (folder / "native.json").exists()
    assert read_table(folder).natives == {}


@pytest.mark.parametrize("there", [True, False])
def test_tables_that_differ_in_their_native_outputs_alone_are_two(tmp_path: Path, there: bool) -> None:
    known: dict[str, Any] = {"natives": {"lstm": LSTM}}
    write_table(tmp_path, sampled(**(known if there else {})))
    with pytest.raises(UsageError, match="another table already"):
        write_table(tmp_path, sampled(**({} if there else known)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("{", "not valid JSON, perhaps cut short"),
        ("[]", "expected object, got list"),
        ({"weights_digest": 1, "outputs": {}}, "'lstm.weights_digest': expected str, got int"),
        ({"weights_digest": "w", "outputs": {}, "parameters": 1.5}, "'lstm.parameters': expected int, got float"),
        ({"outputs": {}}, "the key 'lstm.weights_digest' is missing"),
        ({"weights_digest": "w", "outputs": {}, "mood": 1}, "the key 'lstm.mood' is not known"),
        ({"weights_digest": "w", "outputs": {"example": {}}}, "'lstm.outputs.example': expected list, got object"),
        ({"weights_digest": "w", "outputs": {"example": [{"digest": "d"}]}}, "the key 'lstm.outputs.example.0.shape'"),
        (example(), "exactly one of `values`, `sketch` and `sample` has to be there"),
        (example(values=[1.0], sample=[1.0], norm=1.0), "exactly one of `values`, `sketch` and `sample`"),
        (example(values=[1.0]), "`norm` goes with `values` and `sketch`"),
        (example(sample=[1.0], norm=1.0), "`norm` goes with `values` and `sketch`"),
        (example(values=[1.0], norm=-1.0), "`norm` is -1.0, and a norm is never below 0"),
        (example(values=[1.0], norm=math.nan), "`norm` is nan, and a norm is never below 0"),
        (example(values=[1.0, 2.0], norm=1.0), "there are 2 `values` of an output of shape [1]"),
        (example(sketch="AAAA", norm=1.0), "no sketch of 8 x 32 sums"),
        (example(sample=["1"]), "'lstm.outputs.example.0.sample.0': expected float, got str"),
        (example(shape=[1.5], sample=[1.0]), "'lstm.outputs.example.0.shape.0': expected int, got float"),
    ],
)
def test_a_broken_file_is_told_by_key_with_what_to_do(tmp_path: Path, change: Any, message: str) -> None:
    folder = write_table(tmp_path, sampled(natives={"lstm": LSTM}))
    text = change if isinstance(change, str) else json.dumps({"lstm": change})
    (folder / "native.json").write_text(text)
    with pytest.raises(UsageError) as caught:
        read_table(folder)
    assert str(caught.value).startswith(f"{folder / 'native.json'}")
    assert message in str(caught.value)
    assert "Restore it from git, or move native.json away" in str(caught.value)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    write_attempt(folder, [passed("resnet18", "native"), passed("lstm", "native")])
    (folder / "natives").mkdir()
    return folder


def leave(out: Path, name: str, made: Native) -> None:
    (out / "natives" / f"{name}.json").write_text(json.dumps(asdict(made), indent=1))


def test_what_the_bench_sampled_is_in_the_table(out: Path) -> None:
    leave(out, "resnet18", RESNET)
    leave(out, "lstm", native(kept(np.array(SPECIAL))))
    leave(out, "never-planned", RESNET)
    (out / "natives" / ".resnet18.json.123").write_text("{")
    made = table_of([Attempt(out)], pins={})
    assert list(made.natives) == ["lstm", "resnet18"]
    assert made.natives["resnet18"] == RESNET
    assert repr(made.natives["lstm"].outputs["example"][0].values) == repr(SPECIAL)


def test_a_bench_that_built_no_model_left_nothing(out: Path) -> None:
    assert table_of([Attempt(out)], pins={}).natives == {}
    (out / "natives").rmdir()
    assert table_of([Attempt(out)], pins={}).natives == {}


@pytest.mark.parametrize(
    ("content", "message"), [("{", "not valid JSON"), ("{}", "the key 'weights_digest' is missing")]
)
def test_a_broken_sample_is_told_by_file_with_what_to_do(out: Path, content: str, message: str) -> None:
    (out / "natives" / "lstm.json").write_text(content)
    with pytest.raises(UsageError) as caught:
        table_of([Attempt(out)], pins={})
    assert "lstm.json" in str(caught.value)
    assert message in str(caught.value)
    assert "Move it away" in str(caught.value)
