"""A failure's signature: equal for equal causes, whatever the addresses, paths, shapes."""

from __future__ import annotations

import contextlib
import hashlib
import re
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.bench.places import CODE
from harness.bench.record import ERROR_LENGTH
from harness.bench.text import one_line, printable

_ESSENCE = 200
"""Characters of what an error's cause is told by."""

# What follows says what to do, or where the tool was: it differs between versions and places, and is no cause.
_ADVICE = re.compile(
    r"""\s*(?:
    \.?\s(?:Please\ feel\ free|Support\ for\ this\ operator\ was\ added|If\ you\ are\ trying\ to\ export\ a\ custom)
    | \.?\s(?:For\ more\ information|Use\ tlparse|Original\ traceback|While\ executing|See\ the\ stack)
    | \sExplanation:
    | \s\(?(?:Refer\ to\ the\ full|Size-like\ symbols|unhinted:|consider\ using|\(?node\ defined\ in)
    | \s?Caused\ by | \s\[Caused\ by | \sfrom\ user\ code: | \sEncountered\ following\ errors
    | \.?\sIf\ \S+\ is\ your\ own,
    ).*\Z""",
    re.VERBOSE | re.DOTALL,
)
_SENTENCE = re.compile(r"(?<=[\w\])'\"}>])\.(?=\s+[A-Z(\[<])")
_SAME_TYPES = {"ConstraintViolationError": "UserError"}
"""The same refusal of torch.export, by the way through which it came."""
_PROBE = re.compile(r"\A(?:probe '[^']*'|while measuring): ")

# Same cause, other words: what a tool says around it, by version or by the level that refused it.
_WORDINGS = (
    (re.compile(r"Constraints violated \([^)]*\)!.*?(You marked|Not all values).*"), r"Constraints violated: \1"),
    (re.compile(r" to ONNX opset version \d+ is not supported"), " to ONNX is not supported"),
    (re.compile(r"unrecognized namespace (?:\{op_name\}|[\w:]+)"), "unrecognized namespace"),
    (re.compile(r"\A\[ONNXRuntimeError\] : \d+ : "), ""),
    (re.compile(r"\bcom\.microsoft\."), ""),
    (re.compile(r"\bLoad model from \S+ failed:\s*"), ""),
    (re.compile(r"This is an invalid model\. "), ""),
    (re.compile(r" node\. Name:'[^']*'\s*(?:Status Message:\s*)?"), " node: "),
    (re.compile(r" node: .*?(?:was|is) false\. "), " node: "),
    (re.compile(r" node: /\S+\.(?:cc|h|cpp):\d+ .*?\) "), " node: "),
)

# What differs from version to version, from machine to machine and from opset to opset.
_PATTERNS = (
    (re.compile(r"<temporary>/[^\s/'\",:;)\]]+"), "<temporary>/#"),
    (re.compile(r"0x[0-9a-fA-F]+"), "0x#"),
    (re.compile(r"\bhostname=\S+"), "hostname=#"),
    (re.compile(r"\b([Nn]ode) \([^()]*\)"), r"\1 (#)"),
    (re.compile(r"\b(input parameter) \([^()]*\)"), r"\1 (#)"),
    # ONNX Runtime's `In Node, ("/fft/DFT_1", DFT, …) : ("x": tensor(float),"": …) -> ("y": …)`.
    (re.compile(r"\bIn Node, \(\"[^\"]*\""), 'In Node, ("#"'),
    (re.compile(r"(?<=[(,])\"[^\"]*\"(?=: ?\w)"), '"#"'),
    (re.compile(r"\(node[ :][^()]*\)"), "(node #)"),
    (re.compile(r"\b(Name:|Node:|node with name|at node) ?'[^']*'"), r"\1 #"),
    (re.compile(r"\b(Name:) \S+"), r"\1 #"),
    (re.compile(r"\(/[\w./:-]+\)"), "(#)"),
    (re.compile(r"(?<![\w<>.])/(?:[\w.:+-]+/)+[\w.:+-]+"), "/#"),
    (re.compile(r"(?:[\[({]\s*)+-?\d[\d\s,.x+\-eE*\[\](){}]*"), "[#]"),
    (re.compile(r"(?<![A-Za-z0-9])-?\d+(?:x\d+)+"), "#"),
    # `Conv_7` is a node's number, and what `grid_sampler_3d` ends with is part of an operator's name.
    (re.compile(r"(?<![A-Za-z0-9])(?!(?<=_)\d+[A-Za-z])-?\d+(?:\.\d+)*(?:e[+-]?\d+)?"), "#"),
    (re.compile(r"\s+"), " "),
)

# Which output differs is no cause of its own, and is told by its number in tables of schema 1 and 2.
_OUTPUT = re.compile(r"""\boutputs?(?:\.\w+|\[(?:\d+|'[^']*'|"[^"]*")\])*(?=: )""")
_LISTED = re.compile(r"( outputs instead of \d+) \(.*\)$")
_AUTOGRAPH = re.compile(r"\Ain user code: .*\b[A-Z]\w+(?:Error|Exception|It): ")
_LOCATED = re.compile(r"\A<unknown>:\d+: error: loc\(.*?\bfused\[\"(\w+):.*\Z")
_DEPENDENCY = re.compile(r"\b([a-z][a-z0-9._-]*)(?:\[[\w,]+\])?(?:===|[=<>~!]=|[<>])\d")


def normalise_paths(text: str, scratch: Path | None = None, *, own: Sequence[Path] = ()) -> str:
    """`printable` text in which the folders that differ between machines and runs are told by what they are.

    Files in the folders `own` keep their whole path, so that a user finds a line of theirs.
    """
    text = printable(text)
    kept: list[str] = []

    def keep(found: re.Match[str]) -> str:
        kept.append(found[0])
        return f"\0{len(kept) - 1}\0"

    for folder in own:
        text = re.sub(rf"(?<![\w.-]){re.escape(printable(str(folder)))}/[^\s'\",:;)\]]+\.py(?![\w-])", keep, text)
    for place, name in _places(scratch):
        # Whole names only: /usr is no part of /usrdata, nor /tmp of /var/tmp.
        text = re.sub(rf"(?<![\w.-]){re.escape(printable(place))}(?![\w-])", name, text)
    return re.sub("\0(\\d+)\0", lambda found: kept[int(found[1])], text)


def _places(scratch: Path | None) -> Iterator[tuple[str, str]]:
    """Folders and their names, the inner before the outer."""
    if scratch:
        yield str(scratch), "<scratch>"
    known = [
        (sysconfig.get_path("purelib"), "<site-packages>"),
        (sys.prefix, "<environment>"),
        (sys.base_prefix, "<python>"),
        (str(CODE), "<harness>"),
    ]
    # A container's user may have no home, and a machine whose disk is full has no place for temporary files.
    with contextlib.suppress(OSError):
        known.append((tempfile.gettempdir(), "<temporary>"))
    with contextlib.suppress(RuntimeError):
        known.append((str(Path.home()), "~"))
    known.sort(key=lambda each: len(each[0]), reverse=True)
    yield from ((place, name) for place, name in known if Path(place).is_absolute() and place != "/")


def shorten(text: str) -> str:
    """At most `ERROR_LENGTH` characters in one printable line, the beginning and the end of it kept."""
    line = one_line(text)
    if len(line) <= ERROR_LENGTH:
        return line
    tail = 120
    return line[: ERROR_LENGTH - tail - 3] + " … " + line[-tail:]


def fingerprint(error_type: str, text: str, *, model: str = "") -> str:
    """First 12 hexadecimal digits of the SHA-256 of a failure's type and of what is the same wherever it happens.

    `text` is the error's message, or the difference of a mismatch, whole or as `shorten` leaves it: both come to the
    same, so that a table's rows have the fingerprints that their runs would have today. Two outputs that differ say
    nothing of a common cause, nor do two exceptions without a message: their fingerprints are of their `model` too.
    """
    line = shorten(text)
    if error_type == "Mismatch":
        return _digest(error_type, model, _kind_of(_PROBE.sub("", line)))
    told = (_SAME_TYPES.get(error_type, printable(error_type)), _essence(error_type, line))
    silent = _PROBE.sub("", line).startswith(f"{error_type} without a message")
    return _digest(*told, model) if silent else _digest(*told)


def _digest(*parts: str) -> str:
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:12]


def _essence(error_type: str, line: str) -> str:
    """The cause that an error's one line tells: its first sentence, in words that versions and machines share."""
    if error_type == "NoSolution":
        return " ".join(sorted(set(_DEPENDENCY.findall(line))))
    line = _LOCATED.sub(r"error at \1", _AUTOGRAPH.sub("", line))
    line = _PROBE.sub("", line)
    for pattern, replacement in (*_WORDINGS, (_ADVICE, ""), *_PATTERNS):
        line = pattern.sub(replacement, line)
    return _SENTENCE.split(line, maxsplit=1)[0].strip(" .:;,")[:_ESSENCE]


def _kind_of(difference: str) -> str:
    """What two outputs differ in: values, shape, dtype, number, NaN."""
    line = _LISTED.sub(r"\1", _OUTPUT.sub("output 0", difference))
    for pattern, replacement in _PATTERNS:
        line = pattern.sub(replacement, line)
    return line.partition(",")[0].strip()
