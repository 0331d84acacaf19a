"""The model file that is written for a spec: what runs it knows nothing of specs, and a person can go on from it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness.bench.errors import UsageError
from harness.given.inputs import Input, parse_all
from harness.given.parts import Build, Example, build_of, example_from, example_of
from harness.given.specs import FORMS, Spec, parse
from harness.matrix import template

_WIDTH = 120
_INDENT = " " * 4
_BENCH = ("integers", "uniform")
_LIBRARIES = (
    "hugging_face_config",
    "hugging_face_model",
    "hugging_face_size",
    "patches",
    "timm_model",
    "timm_size",
    "torchvision_model",
    "torchvision_size",
)


def text_of(spec: Spec, inputs: Sequence[Input], *, commented: bool = False) -> str:
    """The model file of `spec`, with `inputs`, or where there are none with those that its library says.

    With `commented` it says what to change, for a person who goes on from it. Equal arguments give equal text. Raises
    `UsageError` where the inputs are not known, or a configuration cannot be read.
    """
    build = build_of(spec)
    example = example_from(inputs) if inputs else example_of(spec, build.config)
    body = [
        *_build_function(build, commented=commented),
        "",
        "",
        *_inputs_function(example),
        "",
        "",
        *_model(build, example, commented=commented),
    ]
    head = [f'"""A model that a name stood for: {build.summary}."""', "", "from __future__ import annotations", ""]
    head += ["from typing import Any", "", *_imports("\n".join(body))]
    head += ["", *_literal(build.config, "CONFIG: dict[str, Any] = ")] if build.config else []
    return "\n".join([*head, "", "", *body]) + "\n"


def explained(text: str | None, inputs: Sequence[str]) -> str:
    """The file for a person to go on from, of the spec `text`; raises `UsageError` where it is none."""
    spec = parse(text) if text else None
    if spec is None:
        what = f"{text!r} is none" if text else "--input belongs to one"
        msg = f"--from takes a model without a file: {FORMS}; {what}."
        raise UsageError(msg)
    return text_of(spec, parse_all(inputs), commented=True)


def _imports(body: str) -> list[str]:
    """The imports of the functions that the body calls."""
    called = set(re.findall(r"\b(\w+)\(", body))
    lines = [f"from harness.bench import {', '.join(['Inputs', 'Model', *(n for n in _BENCH if n in called)])}"]
    libraries = [name for name in _LIBRARIES if name in called]
    return [*lines, f"from harness.bench.libraries import {', '.join(libraries)}"] if libraries else lines


def _build_function(build: Build, *, commented: bool) -> list[str]:
    about = [f"# {build.change}"] if commented else []
    lines = [*build.lines[:-1], *about, build.lines[-1]]
    told = '"""Return the torch.nn.Module. The bench fills its weights."""'
    return ["def build() -> Any:", *(f"{_INDENT}{line}".rstrip() for line in (told, *lines))]


def _inputs_function(example: Example) -> list[str]:
    arguments = ["seed: int", *(f"{name}: int = {size}" for name, (size, _) in example.sizes.items())]
    arguments += [example.more] if example.more else []
    head = f"def inputs(*, {', '.join(arguments)}) -> Inputs:"
    told = " ".join(part for part in ("The inputs by name, as numpy arrays.", example.told) if part)
    lines = (f'"""{told}"""', *example.before, f"return {_nested(example.entries)}")
    return [
        *(
            [head]
            if len(head) <= _WIDTH
            else ["def inputs(", *(f"    {each}," for each in ("*", *arguments)), ") -> Inputs:"]
        ),
        *(f"{_INDENT}{line}" for line in lines),
    ]


def _nested(entries: Mapping[str, str]) -> str:
    """Expressions by path, as the dicts and lists that they are in."""
    tree: dict[str | int, Any] = {}
    for path, expression in entries.items():
        parts = Input(path=path, dtype="").parts
        inside = tree
        for part in parts[:-1]:
            inside = inside.setdefault(part, {})
        inside[parts[-1]] = expression
    return _container(tree, 1)


def _container(tree: Mapping[Any, Any], depth: int) -> str:
    numbered = all(isinstance(key, int) for key in tree)
    lines = []
    for key in sorted(tree) if numbered else tree:
        value = tree[key] if isinstance(tree[key], str) else _container(tree[key], depth + 1)
        lines.append(f"{_INDENT * (depth + 1)}{'' if numbered else f'{_string(key)}: '}{value},")
    opening, closing = "[]" if numbered else "{}"
    return "\n".join([opening, *lines, f"{_INDENT * depth}{closing}"])


def _model(build: Build, example: Example, *, commented: bool) -> list[str]:
    def about(text: str) -> list[str]:
        return text.splitlines() if commented else []

    probes = {"other values": "seed=1", "more values": "seed=2", **example.probes}
    varied = ((name, other) for name, (_, others) in example.sizes.items() for other in others)
    first = len(probes) + 1
    probes.update(
        {f"{name} {other}": f"seed={seed}, {name}={other}" for seed, (name, other) in enumerate(varied, first)}
    )
    axes = {
        path: ", ".join(f"{axis}: {_string(name)}" for axis, name in named.items())
        for path, named in example.dynamic.items()
    }
    return [
        *about(template.ABOUT_WEIGHTS),
        "MODEL = Model(",
        f"    summary={_string(build.summary)},",
        '    family="own",',
        "    build=build,",
        *about(template.ABOUT_EXAMPLE),
        "    example=lambda: inputs(seed=0),",
        *about(template.ABOUT_PROBES),
        "    probes={",
        *(f"        {_string(name)}: lambda: inputs({arguments})," for name, arguments in probes.items()),
        "    },",
        *about(template.ABOUT_DYNAMIC),
        *(
            ["    dynamic={", *(f"        {_string(path)}: {{{named}}}," for path, named in axes.items()), "    },"]
            if axes
            else []
        ),
        *(
            ["    # So that the output depends on the input.", f'    gains={{"*": {build.gain}}},']
            if build.gain is not None
            else []
        ),
        f"    imports=({', '.join(map(_string, build.imports))}{',' if len(build.imports) == 1 else ''}),",
        ")",
    ]


def _literal(value: Any, before: str, depth: int = 0) -> list[str]:
    """What a JSON file holds, as the lines of a Python literal, on one line where there is room."""
    line = f"{_INDENT * depth}{before}{_inline(value)}{',' if depth else ''}"
    if len(line) <= _WIDTH or not isinstance(value, (dict, list)) or not value:
        return [line]
    if isinstance(value, dict):
        opening, closing = "{}"
        inside = [line for key, item in value.items() for line in _literal(item, f"{_string(key)}: ", depth + 1)]
    else:
        opening, closing = "[]"
        inside = [line for item in value for line in _literal(item, "", depth + 1)]
    return [f"{_INDENT * depth}{before}{opening}", *inside, f"{_INDENT * depth}{closing}{',' if depth else ''}"]


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_string(key)}: {_inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    return _string(value) if isinstance(value, str) else repr(value)


def _string(text: str) -> str:
    """A text as Python has it, in double quotes where that changes nothing else."""
    told = repr(text)
    return told if set(told[1:-1]) & {'"', "'", "\\"} else f'"{text}"'
