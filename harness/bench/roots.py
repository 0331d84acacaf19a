"""What really went wrong: the root of a chain of exceptions, without what was put around it on its way up.

A tool's last word is often about the tool: "this is step 1/3 of exporting", "create an issue", `SystemExit(1)`. What
is recorded as a failure's error is the exception below; the whole chain stays in the details.
"""

from __future__ import annotations

import re
from pathlib import Path

from harness.bench import own_code
from harness.bench.explaining import chain_of
from harness.bench.places import CODE

ENDED = "the tool ended the process:"
"""How an error begins of which nothing but `SystemExit` is known."""

_LONGEST = 30
_TELLING = 8
"""Characters from which a message that another one repeats counts as repeated, and not as a common word."""

_ANNOUNCES = re.compile(
    r"next steps:|this is step \d/\d of exporting|see the stack trace for more information|"
    r"the above exception|create an issue in the",
    re.IGNORECASE,
)
"""What a wrapping says that knows nothing of the cause."""

_AUTOGRAPH = "in user code:"
_AUTOGRAPH_ROOT = re.compile(
    r"\A\s*in user code:.*^\s+(?P<type>[A-Za-z_][\w.]*): (?P<text>.*)\Z", re.DOTALL | re.MULTILINE
)
_CALLED = re.compile(
    r"\AException encountered when calling [^\n]*\n\n(?P<text>.*?)(?:\n\nCall arguments received by .*)?\Z", re.DOTALL
)
"""TensorFlow's AutoGraph and Keras put the layers and lines that they came through around a message."""

_FRAME = re.compile(r'^\s*File "(?P<file>[^"\n]+)", line (?P<line>\d+)', re.MULTILINE)
_CODE = re.compile(
    r"^\s*(?:from user code:|Original traceback:|The following call raised this error:)\s*$", re.MULTILINE
)


def root_of(error: BaseException) -> BaseException:
    """The exception of the chain that says what went wrong.

    It is looked for from the outside to the inside: along ``raise … from``, and along what was being handled where the
    outer one is a way to end the process, says nothing, or repeats the inner one. What the harness or a user's own code
    raised is their word on it, and stays. So does the translation of a failed lookup: ``raise UnknownError("no
    'conv2'") from KeyError('conv2')``.
    """
    current = error
    for _ in range(_LONGEST):
        inner = _inner(current)
        if inner is None:
            return current
        current = inner
    return error  # a chain that nobody wrote


def _inner(error: BaseException) -> BaseException | None:
    """What `error` was put around; None where it is the root."""
    if _is_told_by_us(error):
        return None
    cause, context = error.__cause__, error.__context__
    ends = isinstance(error, SystemExit)
    said = _said(error)
    if cause is not None:
        lookup = isinstance(cause, (LookupError, AttributeError, StopIteration, ImportError))
        return None if lookup and said and not ends and not _ANNOUNCES.search(said) else cause
    if context is None or error.__suppress_context__ or isinstance(context, (StopIteration, GeneratorExit)):
        return None
    repeated = _said(context)
    if ends or not said or (len(repeated) >= _TELLING and repeated in said):
        return context
    return None


def _said(error: BaseException) -> str:
    """An exception's message; nothing where it cannot be told."""
    try:
        return str(error).strip()
    except BaseException:  # noqa: BLE001 - an exception may do anything when it is asked
        return ""


def _is_told_by_us(error: BaseException) -> bool:
    """Whether the harness's code or a user's raised it."""
    innermost = error.__traceback__
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    file = innermost.tb_frame.f_code.co_filename if innermost is not None else ""
    if not Path(file).is_absolute():
        return False
    path = Path(file).resolve()
    return (path.suffix == ".py" and own_code.is_users(path)) or CODE / "harness" in path.parents


def is_wrapping(error_type: str, message: str) -> bool:
    """Whether an error says no more than that something below it went wrong."""
    return bool(_ANNOUNCES.search(message)) or (error_type == "SystemExit" and message.startswith(ENDED))


def unwrapped(error_type: str, message: str) -> tuple[str, str]:
    """Type and message without what AutoGraph and Keras put around them."""
    if message.lstrip().startswith(_AUTOGRAPH) and (found := _AUTOGRAPH_ROOT.match(message)):
        error_type, message = found["type"].rpartition(".")[2], found["text"].strip()
    if (found := _CALLED.match(message)) and found["text"].strip():
        message = found["text"].strip()
    return error_type, message


def chain_told(error: BaseException, *, longest: int) -> list[dict[str, str]]:
    """Every exception of the chain, the outermost first: `type` and `message`, each message cut to `longest`."""
    return [
        {"type": type(each).__name__, "message": _said(each)[:longest]}
        for each, _ in zip(chain_of(error), range(_LONGEST), strict=False)
    ]


def place_told(message: str) -> str:
    """``FILE:LINE`` of the model's code that a message itself names, as torch.export's and TorchDynamo's do.

    Empty where it names none. Of several lines it is the innermost.
    """
    begin = _CODE.search(message)
    if begin is None:
        return ""
    frames = [*_FRAME.finditer(message, begin.end())]
    own = [frame for frame in frames if own_code.is_users(Path(frame["file"]))]
    return f"{own[-1]['file']}:{own[-1]['line']}" if own else ""
