"""What `--input` says of one input: ``NAME:TYPE[SIZE, NAME=SIZE, …]``, and then which values it takes.

::

    x:float32[batch=2,3,224,224]        values from -1 to below 1; a size with a name may vary
    ids:int64[batch=2,seq=16]<1000      whole numbers from 0 to 999
    level:float32[batch]>=0<255         a size that another --input gives needs its name alone
    mask:bool[batch,seq]                both values
    ones:int64[batch,seq]=1             this value throughout
    batch.ids:int64[4]<10               the entry `ids` of the dict that forward takes as `batch`
    images[0]:float32[3,64,64]          the first of the list that forward takes as `images`
"""

from __future__ import annotations

import difflib
import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.bench.errors import UsageError, unknown

Number = int | float

TYPES = ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64", "complex128")
"""What numpy and torch both have, and a tensor of torch 2.0 can be made from."""

_WHOLE = {
    # Values are drawn by their distance from the lowest, which has to be an int64 too.
    "int64": (-(2**62), 2**62),
    **{f"int{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1)) for bits in (32, 16, 8)},
    "uint8": (0, 256),
    "bool": (0, 2),
}
"""The least of whole numbers, and the first that is too large."""

_LARGEST = 3e38  # of float32, in which all values are drawn
_LARGEST_HALF = 65504.0
_OTHER_NAMES = {"float": "float32", "double": "float64", "half": "float16", "int": "int64", "long": "int64"}

RESERVED = frozenset({"seed", "inputs", "uniform", "integers"})
"""What a size cannot be called, since the file that is written has these names already."""

_MOST_ELEMENTS = 2**31

_SPACE = re.compile(r"\s*")
_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[\d+\])*", re.ASCII)
_PART = re.compile(r"[A-Za-z_]\w*|(?<=\[)\d+(?=\])", re.ASCII)
_WORD = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_SIZE = re.compile(r"\d+", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|true\b|false\b", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Size:
    """One dimension of an input: how large it is in the example; with a name it may vary."""

    size: int
    name: str = ""

    @property
    def others(self) -> tuple[int, ...]:
        """A smaller and a larger size to probe, about a quarter away, which keep what divides the size (up to 32)."""
        divisor = next(d for d in (32, 16, 8, 4, 2, 1) if self.size % d == 0 and (d <= self.size / 2 or d == 1))
        step = divisor * max(1, self.size // (4 * divisor))
        return tuple(size for size in (self.size - step, self.size + step) if size > 0)


@dataclass(frozen=True, kw_only=True)
class Input:
    """One input of a model. Values are at least `low` and below `high`; where both are equal, all are that value."""

    path: str
    dtype: str
    sizes: tuple[Size, ...] = ()
    low: Number = -1
    high: Number = 1

    @property
    def parts(self) -> tuple[str | int, ...]:
        """`batch.images[0]` is the parameter `batch`, its entry `images`, and of that the first."""
        return tuple(int(part) if part.isdecimal() else part for part in _PART.findall(self.path))

    @property
    def dynamic(self) -> dict[int, str]:
        """The dimensions that may vary, with their names."""
        return {axis: size.name for axis, size in enumerate(self.sizes) if size.name}

    def __str__(self) -> str:
        """What `parse` reads as this input."""
        sizes = ",".join(f"{size.name}={size.size}" if size.name else str(size.size) for size in self.sizes)
        values = f"={self.low!r}" if self.low == self.high else f">={self.low!r}<{self.high!r}"
        return f"{self.path}:{self.dtype}[{sizes}]{'' if _default(self.dtype) == (self.low, self.high) else values}"


def _default(dtype: str) -> tuple[Number, Number | None]:
    """The range that a type has where none is given; of whole numbers nobody knows what they count or index."""
    if dtype == "bool":
        return 0, 2
    return (-1, 1) if dtype.startswith(("float", "complex")) else (0, None)


class _Scanner:
    """Reads a text from left to right, and can point at where it is."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def wrong(self, what: str, at: int | None = None) -> UsageError:
        """The error that points at the character where the text goes wrong."""
        column = self.at if at is None else at
        return UsageError(f"--input {self.text!r}: {what}\n  {self.text}\n  {' ' * column}^")

    def take(self, pattern: re.Pattern[str]) -> str:
        """What matches here, after any space; nothing where nothing does."""
        self._skip()
        found = pattern.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return found.group() if found else ""

    def taken(self, sign: str) -> bool:
        """Whether `sign` came next."""
        self._skip()
        if not self.text.startswith(sign, self.at):
            return False
        self.at += len(sign)
        return True

    def _skip(self) -> None:
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at


def parse_all(texts: Sequence[str]) -> tuple[Input, ...]:
    """All inputs of a model, in the order of `forward`; sizes without a number get it from another input.

    Raises `UsageError` that points at the character that is wrong, and where inputs do not go together.
    """
    read = [(_Scanner(text), *_parsed(text)) for text in texts]
    known: dict[str, int] = {}
    for scanner, found, columns in read:
        for size, column in zip(found.sizes, columns, strict=True):
            if size.name and size.size >= 0 and known.setdefault(size.name, size.size) != size.size:
                msg = f"{size.name!r} is {known[size.name]} elsewhere. A name stands for one size."
                raise scanner.wrong(msg, column)
    for scanner, found, columns in read:
        for size, column in zip(found.sizes, columns, strict=True):
            if size.name and size.name not in known:
                msg = f"no size is given for {size.name!r}. Write it once with its number, as in {size.name}=2."
                raise scanner.wrong(msg, column)
    inputs = tuple(
        replace(found, sizes=tuple(replace(size, size=known.get(size.name, size.size)) for size in found.sizes))
        for _, found, _ in read
    )
    for (scanner, _, _), each in zip(read, inputs, strict=True):
        _check_elements(scanner, each)
    _check_paths([scanner for scanner, _, _ in read], inputs)
    return inputs


def _parsed(text: str) -> tuple[Input, list[int]]:
    """One input, with -1 for a size that is not given here, and the column of each of its sizes."""
    scanner = _Scanner(text)
    path = scanner.take(_PATH)
    if not path:
        msg = "expected the name of a parameter of forward, as in x:float32[batch=2,16]."
        raise scanner.wrong(msg)
    if any(keyword.iskeyword(part) for part in _WORD.findall(path)):
        msg = f"{path!r} cannot be a parameter's name: it has a word of Python in it."
        raise scanner.wrong(msg, 0)
    if not scanner.taken(":"):
        msg = f"expected ':' and a type, as in {path}:float32[batch=2,16]."
        raise scanner.wrong(msg)
    dtype = _dtype(scanner)
    sizes, columns = _sizes(scanner, path, dtype)
    low, high = _values(scanner, path, dtype)
    scanner.taken("")
    if scanner.at < len(text):
        msg = "nothing more was expected here. After the sizes come >=LOW, <HIGH, both, or =VALUE."
        raise scanner.wrong(msg)
    return Input(path=path, dtype=dtype, sizes=tuple(sizes), low=low, high=high), columns


def _dtype(scanner: _Scanner) -> str:
    scanner.taken("")
    column = scanner.at
    name = scanner.take(_WORD)
    if name in TYPES:
        return name
    if name == "bfloat16" or name.startswith("float8"):
        msg = (
            f"numpy has no {name}, and inputs are kept as numpy arrays. Give float32, and cast it in the module "
            f"(x.to(torch.{name}))."
        )
    elif name.startswith("uint"):
        msg = f"torch 2.0 has no {name}. Give uint8, int32 or int64."
    elif name in _OTHER_NAMES:
        msg = f"unknown type {name!r}. Did you mean {_OTHER_NAMES[name]!r}?"
    elif name:
        near = difflib.get_close_matches(name, TYPES, n=1, cutoff=0.5)
        msg = unknown("type", name, near or TYPES)
    else:
        msg = f"expected a type, one of {', '.join(TYPES)}."
    raise scanner.wrong(msg, column)


def _sizes(scanner: _Scanner, path: str, dtype: str) -> tuple[list[Size], list[int]]:
    if not scanner.taken("["):
        msg = f"expected '[' and sizes, as in {path}:{dtype}[batch=2,16]. A single number is {path}:{dtype}[]."
        raise scanner.wrong(msg)
    sizes: list[Size] = []
    columns: list[int] = []
    if scanner.taken("]"):
        return sizes, columns
    while True:
        scanner.taken("")
        columns.append(scanner.at)
        sizes.append(_size(scanner))
        if scanner.taken("]"):
            return sizes, columns
        if not scanner.taken(","):
            msg = "expected ',' or ']' here."
            raise scanner.wrong(msg)


def _size(scanner: _Scanner) -> Size:
    column = scanner.at
    name = scanner.take(_WORD)
    if keyword.iskeyword(name) or name in RESERVED:
        msg = f"a size cannot be called {name!r}. Choose another name."
        raise scanner.wrong(msg, column)
    if name and not scanner.taken("="):
        return Size(size=-1, name=name)
    digits = scanner.take(_SIZE)
    if not digits:
        msg = "expected a whole number" + (f" for {name!r}." if name else ", or a name and a number: batch=2.")
        raise scanner.wrong(msg)
    if len(digits) > len(str(_MOST_ELEMENTS)):
        msg = f"this is more than the {_MOST_ELEMENTS} values that an input may have."
        raise scanner.wrong(msg, column)
    if name and not int(digits):
        msg = f"{name!r} may vary, and so cannot be 0 in the example."
        raise scanner.wrong(msg, column)
    return Size(size=int(digits), name=name)


def _values(scanner: _Scanner, path: str, dtype: str) -> tuple[Number, Number]:
    """The range of values; both ends are equal for a value that is the same throughout."""
    scanner.taken("")
    column = scanner.at
    if scanner.taken("="):
        value = _number(scanner, dtype)
        return value, value
    low, high = _default(dtype)
    if scanner.taken(">="):
        low = _number(scanner, dtype)
    if scanner.taken("<"):
        high = _number(scanner, dtype, below=True)
    if dtype == "bool" and (low, high) != (0, 2):
        msg = "a bool takes both values, or one throughout: =true or =false."
        raise scanner.wrong(msg, column)
    if high is None:
        msg = (
            f"which whole numbers may be in {path!r}? Write below which they stay, as in <1000 (from 0 on), "
            f">=-5<5, or =1 for one value throughout."
        )
        raise scanner.wrong(msg, column)
    if not low < high:
        msg = f"no value is at least {low} and below {high}."
        raise scanner.wrong(msg, column)
    return low, high


def _number(scanner: _Scanner, dtype: str, *, below: bool = False) -> Number:
    """A number that the type can hold, or with `below` one that all its values are below."""
    scanner.taken("")
    column = scanner.at
    text = scanner.take(_NUMBER).lower()
    if not text:
        msg = "expected a number."
        raise scanner.wrong(msg)
    if text in ("true", "false"):
        if dtype != "bool":
            msg = f"expected a number: the type is {dtype}."
            raise scanner.wrong(msg, column)
        return int(text == "true")
    if dtype.startswith(("float", "complex")):
        number: Number = float(text)
        most = _LARGEST_HALF if dtype == "float16" else _LARGEST
        inside = -most <= number <= most
    else:
        try:
            number = int(text)
        except ValueError:
            msg = f"expected a whole number: the type is {dtype}."
            raise scanner.wrong(msg, column) from None
        least, end = _WHOLE[dtype]
        inside = least <= number < end + below
    if not inside:
        msg = f"{text} is outside of what {dtype} can hold, or values can be drawn in."
        raise scanner.wrong(msg, column)
    return number


def _check_elements(scanner: _Scanner, each: Input) -> None:
    count = 1
    for size in each.sizes:
        count *= size.size
    if count > _MOST_ELEMENTS:
        msg = f"these are {count} values, and {_MOST_ELEMENTS} are the most."
        raise scanner.wrong(msg, len(scanner.text.partition("[")[0]))


def _check_paths(scanners: Sequence[_Scanner], inputs: Sequence[Input]) -> None:
    """Raise where two inputs are the same, where one is inside of another, or a list has gaps."""
    known: dict[tuple[str | int, ...], str] = {}
    for scanner, each in zip(scanners, inputs, strict=True):
        for parts, path in known.items():
            shorter = min(len(parts), len(each.parts))
            if parts[:shorter] == each.parts[:shorter]:
                what = "is given twice" if parts == each.parts else f"and {path!r} cannot both be there"
                msg = f"{each.path!r} {what}."
                raise scanner.wrong(msg, 0)
        known[each.parts] = each.path
    for scanner, each in zip(scanners, inputs, strict=True):
        for depth in range(1, len(each.parts)):
            beside = {parts[depth] for parts in known if parts[:depth] == each.parts[:depth]}
            numbers = {part for part in beside if isinstance(part, int)}
            if numbers and (len(numbers) < len(beside) or numbers != set(range(len(numbers)))):
                msg = f"the list that {each.path!r} is in must have all of [0], [1], … and nothing else."
                raise scanner.wrong(msg, 0)
