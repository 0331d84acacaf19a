"""What stands in `--models` for a file that nobody wrote.

``torchvision:NAME``, ``timm:NAME``, ``hf:FOLDER`` and ``package.module:factory``, with a name of one's own before it if
need be: ``my-net=package.module:factory``.
"""

from __future__ import annotations

import difflib
import keyword
import re
from dataclasses import dataclass
from pathlib import Path

from harness.bench.errors import UsageError

LIBRARIES = ("torchvision", "timm", "hf")
FACTORY = "factory"
FORMS = "torchvision:NAME, timm:NAME, hf:FOLDER or package.module:factory"

_NOT_SPECS = ("zoo", "own", "entry-point")
"""What comes before a colon in names of models that have a file."""

_NAMED = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9_-]*)=(?P<spec>[^=]+:.+)", re.ASCII | re.DOTALL)
_SPEC = re.compile(r"(?P<kind>[A-Za-z_][\w.-]*):(?P<target>.*)", re.ASCII | re.DOTALL)
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_MODEL = re.compile(r"\w+(\.\w+)*", re.ASCII)

_SOUND_LIKE = {"huggingface": "hf", "hugging-face": "hf", "transformers": "hf", "tv": "torchvision"}


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A model without a file. `kind` is one of `LIBRARIES`, or a factory's; `name` is what ids and tables call it.

    `target` is what follows the colon: a name of the library's, a folder, or with a factory ``module:attribute``.
    """

    kind: str
    target: str
    name: str
    text: str

    @property
    def stem(self) -> str:
        """The name of its file, without the suffix."""
        return self.name.replace("-", "_")


def parse(text: str) -> Spec | None:
    """The spec that a value of `--models` is; None where it is a path, or a name or a glob of the zoo's.

    Raises `UsageError` where it is meant as one, and cannot be.
    """
    named = _NAMED.fullmatch(text)
    given, body = (named["name"], named["spec"]) if named else ("", text)
    found = _SPEC.fullmatch(body)
    if found is None or body.endswith(".py") or found["kind"] in _NOT_SPECS or Path(text).exists():
        return None
    kind, target = found["kind"], found["target"]
    if kind not in LIBRARIES:
        kind, target = FACTORY, _factory(text, kind, target)
    elif kind != "hf" and not _MODEL.fullmatch(target):
        msg = f"{text}: what follows {kind}: must be one of its models, as in {kind}:resnet50."
        raise UsageError(msg)
    return Spec(kind=kind, target=target, name=given or _name(text, kind, target), text=text)


def _factory(text: str, module: str, attribute: str) -> str:
    """``module:attribute``, both of them dotted names."""
    near = _SOUND_LIKE.get(module.lower()) or next(
        iter(difflib.get_close_matches(module.lower(), LIBRARIES, n=1, cutoff=0.8)), None
    )
    # A module of that name may be the user's own; it is then as good as any other.
    if near and not any(Path(place).exists() for place in (module, f"{module}.py")):
        msg = f"{text}: there is no {module}:. Did you mean {near}:{attribute}?"
        raise UsageError(msg)
    for part, what in ((module, "a module"), (attribute, "a class, a function or a torch.nn.Module in it")):
        if not _DOTTED.fullmatch(part) or any(map(keyword.iskeyword, part.split("."))):
            msg = f"{text}: {part!r} cannot be the name of {what}. A model without a file is {FORMS}."
            raise UsageError(msg)
    return f"{module}:{attribute}"


def _name(text: str, kind: str, target: str) -> str:
    """Short, and the same wherever it is run: what it is, without where it lies."""
    if kind == "hf":
        folder = Path(target).resolve()
        told = (folder.parent if folder.suffix == ".json" else folder).name
    else:
        told = target.rpartition(":")[2]
    slug = re.sub(r"[^A-Za-z0-9]+", "-", told).strip("-")
    if not slug or (kind == FACTORY and not slug[0].isalpha()):
        msg = f"{text}: no name can be made of this. Give it one, as in my-model={text}."
        raise UsageError(msg)
    return slug if kind == FACTORY else f"{kind}-{slug}"
