"""The grammar of `--input`: what it reads, and where it points when it cannot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.bench.errors import UsageError
from harness.given.inputs import RESERVED, TYPES, Input, Size, parse_all

WORDS = ("a", "b", "ids", "mask", "images", "x1", "_y")


@st.composite
def inputs(draw: st.DrawFn) -> Input:
    dtype = draw(st.sampled_from(TYPES))
    path = draw(st.sampled_from(WORDS)) + draw(st.sampled_from(("", ".ids", "[0]", "[0].mask")))
    sizes = {name: draw(st.integers(1, 40)) for name in ("batch", "length", "n")}
    named = [Size(name=name, size=size) for name, size in sizes.items()]
    dimensions = draw(st.lists(st.one_of(st.sampled_from(named), st.builds(Size, size=st.integers(0, 40))), max_size=4))
    if dtype == "bool":
        low, high = draw(st.sampled_from(((0, 2), (0, 0), (1, 1))))
    elif dtype.startswith(("float", "complex")):
        low, high = sorted(draw(st.tuples(*[st.floats(-6e4, 6e4)] * 2)))
    else:
        low, high = sorted(draw(st.tuples(*[st.integers(0, 127)] * 2)))
    return Input(path=path, dtype=dtype, sizes=tuple(dimensions), low=low, high=high)


@given(inputs())
def test_what_is_written_is_read(each: Input) -> None:
    assert parse_all([str(each)]) == (each,)


@given(st.text(alphabet="x:[]=<>.,- \t0123456789batchfloinu_é\x00", max_size=40))
def test_a_text_is_read_or_refused_at_one_of_its_characters(text: str) -> None:
    try:
        (found,) = parse_all([text])
    except UsageError as error:
        lines = str(error).split("\n")
        assert lines[-1].strip() == "^"
        assert len(lines[-1]) - 3 <= len(text)
    else:
        assert parse_all([str(found)]) == (found,)


@given(st.integers(1, 5000))
def test_other_sizes_keep_what_divides_the_size(size: int) -> None:
    others = Size(size=size).others
    assert others
    assert all(other > 0 and other != size for other in others)
    for divisor in (2, 4, 8, 16, 32):
        if size % divisor == 0 and size >= 2 * divisor:
            assert all(other % divisor == 0 for other in others)


@pytest.mark.parametrize(
    ("size", "others"), [(1, (2,)), (2, (1, 3)), (7, (6, 8)), (16, (8, 24)), (224, (192, 256)), (8000, (6016, 9984))]
)
def test_other_sizes(size: int, others: tuple[int, ...]) -> None:
    assert Size(size=size).others == others


def test_what_inputs_say() -> None:
    ids, mask, scale = parse_all(
        ["batch.ids:int64[ batch = 2, seq=16 ] < 1000", "batch.mask:bool[batch,seq]=true", "scale:float64[]>=0<0.5"]
    )
    assert ids.parts == ("batch", "ids")
    assert (ids.low, ids.high, ids.dynamic) == (0, 1000, {0: "batch", 1: "seq"})
    assert (mask.sizes, mask.low, mask.high) == (ids.sizes, 1, 1)
    assert (scale.sizes, scale.low, scale.high) == ((), 0, 0.5)
    assert parse_all(["x:float32[2]"])[0].low == -1
    assert parse_all(["images[0]:float32[2]", "images[1]:float32[3]"])[1].parts == ("images", 1)


REFUSED = [
    ("", "", "expected the name of a parameter"),
    ("x", "x", "expected ':' and a type, as in x:float32[batch=2,16]"),
    ("x:", "x:", "expected a type, one of float64"),
    ("x:flot32[2]", "x:", "unknown type 'flot32'. Did you mean 'float32'?"),
    ("x:long[2]", "x:", "Did you mean 'int64'?"),
    ("x:bfloat16[2]", "x:", "numpy has no bfloat16"),
    ("x:uint16[2]", "x:", "torch 2.0 has no uint16"),
    ("x:float32", "x:float32", "A single number is x:float32[]"),
    ("x:float32[2,", "x:float32[2,", "expected a whole number, or a name and a number: batch=2"),
    ("x:float32[2 3]", "x:float32[2 ", "expected ',' or ']'"),
    ("x:float32[batch=]", "x:float32[batch=", "expected a whole number for 'batch'"),
    ("x:float32[batch=0]", "x:float32[", "cannot be 0 in the example"),
    ("x:float32[batch]", "x:float32[", "Write it once with its number, as in batch=2"),
    ("x:float32[b=2,b=3]", "x:float32[b=2,", "'b' is 2 elsewhere"),
    ("x:float32[seed=2]", "x:float32[", "a size cannot be called 'seed'"),
    ("x:float32[if=2]", "x:float32[", "a size cannot be called 'if'"),
    ("x:float32[99999999999]", "x:float32[", "more than the 2147483648 values"),
    ("x:float32[9999999,9999999]", "x:float32", "2147483648 are the most"),
    ("x:int64[2]", "x:int64[2]", "Write below which they stay, as in <1000"),
    ("x:int64[2]=1.5", "x:int64[2]=", "expected a whole number: the type is int64"),
    ("x:int64[2]<true", "x:int64[2]<", "expected a number: the type is int64"),
    ("x:uint8[2]=256", "x:uint8[2]=", "outside of what uint8 can hold"),
    ("x:int8[2]>=-129<5", "x:int8[2]>=", "outside of what int8 can hold"),
    ("x:float16[2]<70000", "x:float16[2]<", "outside of what float16 can hold"),
    ("x:float32[2]>=5<1", "x:float32[2]", "no value is at least 5.0 and below 1.0"),
    ("x:float32[2]<", "x:float32[2]<", "expected a number"),
    ("x:float32[2] 5", "x:float32[2] ", "After the sizes come >=LOW, <HIGH, both, or =VALUE"),
    ("x:bool[2]<1", "x:bool[2]", "a bool takes both values, or one throughout"),
    ("class:float32[2]", "", "it has a word of Python in it"),
    ("x[1]:float32[2]", "", "must have all of [0], [1]"),
]


@pytest.mark.parametrize(("text", "before", "told"), REFUSED)
def test_a_wrong_input_is_told_where_it_is_wrong(text: str, before: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_all([text])
    message = str(caught.value)
    assert told in message
    assert message.split("\n")[1:] == [f"  {text}", f"  {' ' * len(before)}^"]


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["x:float32[2]", "x:float32[2]"], "'x' is given twice"),
        (["x:float32[2]", "x.a:float32[2]"], "'x.a' and 'x' cannot both be there"),
        (["x[0]:float32[2]", "x.a:float32[2]"], "must have all of [0], [1]"),
        (["x:float32[n=2]", "y:float32[n=3]"], "'n' is 2 elsewhere"),
    ],
)
def test_inputs_that_do_not_go_together_are_told(texts: list[str], told: str) -> None:
    with pytest.raises(UsageError, match="--input") as caught:
        parse_all(texts)
    assert told in str(caught.value)


def test_a_size_gets_its_number_from_another_input() -> None:
    x, y = parse_all(["x:float32[n]", "y:float32[n=3]"])
    assert x.sizes == y.sizes == (Size(name="n", size=3),)


def test_names_that_the_file_has_already_are_no_sizes() -> None:
    for name in RESERVED:
        with pytest.raises(UsageError, match="cannot be called"):
            parse_all([f"x:float32[{name}=2]"])
