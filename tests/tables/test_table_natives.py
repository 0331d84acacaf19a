from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.bench.errors import UsageError
from harness.tables.ingest import ingest
from harness.tables.natives import Native, NativeOutput, format_natives, read_natives
from harness.tables.reading import find_table, read_table
from harness.tables.writing import write_table
from tests.tables.samples import native, output, passed, table, write_session

LSTM = native(output(0.1, -2.0), output(3.0, dtype="int64"), longer=(output(1e-30),))
RESNET = replace(native(output(1.5)), weights_digest="r" * 16, parameters=11_689_512)
SPECIAL = (math.nan, math.inf, -math.inf, -0.0, 0.1)

outputs = st.builds(
    NativeOutput,
    digest=st.text("0123456789abcdef", min_size=16, max_size=16),
    shape=st.lists(st.integers(0, 1 << 40)).map(tuple),
    dtype=st.sampled_from(["float32", "int64", "bool"]),
    sample=st.lists(st.floats(), max_size=16).map(tuple),
)
natives = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    st.builds(
        Native,
        weights_digest=st.text("0123456789abcdef"),
        outputs=st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
            st.lists(outputs, max_size=2).map(tuple),
            max_size=3,
        ),
        parameters=st.none() | st.integers(0),
    ),
    min_size=1,
    max_size=3,
)


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
    written = sampled(natives={"resnet18": RESNET, "lstm": LSTM})
    folder = write_table(tmp_path, written)
    assert sorted(path.name for path in folder.iterdir()) == ["cells.csv", "native.json", "run.json"]
    assert read_table(folder).natives == {"lstm": LSTM, "resnet18": RESNET}
    assert write_table(tmp_path, written) == folder
    assert find_table(tmp_path, str(folder / "native.json"), tier="quick", device="cpu").natives["lstm"] == LSTM


def test_a_line_is_an_input_set_and_floats_keep_every_digit() -> None:
    example = output(0.1, 1 / 3, math.nan, -math.inf, digest="d" * 16, shape=(2, 2))
    two = replace(native(other=(example, example)), weights_digest="v", parameters=0)
    made = format_natives({"b": native(example), "a": two})
    entry = (
        '{"digest": "dddddddddddddddd", "shape": [2, 2], "dtype": "float32", '
        '"sample": [0.1, 0.3333333333333333, NaN, -Infinity]}'
    )
    assert made.splitlines() == [
        "{",
        '"a": {"weights_digest": "v", "parameters": 0, "outputs": {',
        '  "example": [],',
        f'  "other": [{entry}, {entry}]',
        "}},",
        '"b": {"weights_digest": "wwwwwwwwwwwwwwww", "outputs": {',
        f'  "example": [{entry}]',
        "}}",
        "}",
    ]


def test_a_whole_zoo_stays_far_below_a_megabyte() -> None:
    full = output(*(-1.2345678901234567e-05 + n for n in range(16)), shape=(4, 128, 768))
    zoo = {f"model-{n}": native(full, full, **{f"probe-{m}": (full, full) for m in range(4)}) for n in range(60)}
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
        (
            {"weights_digest": "w", "outputs": {"example": [{**asdict(output(1.0)), "sample": ["1"]}]}},
            "'lstm.outputs.example.0.sample.0': expected float, got str",
        ),
        (
            {"weights_digest": "w", "outputs": {"example": [{**asdict(output(1.0)), "shape": [1.5]}]}},
            "'lstm.outputs.example.0.shape.0': expected int, got float",
        ),
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
    write_session(folder, [passed("resnet18", "native"), passed("lstm", "native")])
    (folder / "natives").mkdir()
    return folder


def leave(out: Path, name: str, made: Native) -> None:
    (out / "natives" / f"{name}.json").write_text(json.dumps(asdict(made), indent=1))


def test_what_the_bench_sampled_is_in_the_table(out: Path) -> None:
    leave(out, "resnet18", RESNET)
    leave(out, "lstm", native(replace(LSTM.outputs["example"][0], sample=SPECIAL)))
    leave(out, "never-planned", RESNET)
    (out / "natives" / ".resnet18.json.123").write_text("{")
    made = ingest(out, pins={})
    assert list(made.natives) == ["lstm", "resnet18"]
    assert made.natives["resnet18"] == RESNET
    assert repr(made.natives["lstm"].outputs["example"][0].sample) == repr(SPECIAL)


def test_a_bench_that_built_no_model_left_nothing(out: Path) -> None:
    assert ingest(out, pins={}).natives == {}
    (out / "natives").rmdir()
    assert ingest(out, pins={}).natives == {}


@pytest.mark.parametrize(
    ("content", "message"), [("{", "not valid JSON"), ("{}", "the key 'weights_digest' is missing")]
)
def test_a_broken_sample_is_told_by_file_with_what_to_do(out: Path, content: str, message: str) -> None:
    (out / "natives" / "lstm.json").write_text(content)
    with pytest.raises(UsageError) as caught:
        ingest(out, pins={})
    assert "lstm.json" in str(caught.value)
    assert message in str(caught.value)
    assert "Move it away" in str(caught.value)
