"""Puts the script together: metadata, what it shows, the model, the tools' calls as a person would write them."""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness import __version__
from harness.bench.binding import from_json
from harness.bench.plan import split
from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage
from harness.reproducing.facts import NotReproducibleError, ScriptFacts, as_code
from harness.reproducing.names import check_imports, filled, other_names, renamed
from harness.reproducing.pieces import PIECES, complete
from harness.reproducing.pinning import Pinned
from harness.reproducing.runtimes import RUNTIMES
from harness.reproducing.slicing import ROOTS, Slicer
from harness.reproducing.steps import STEPS

MADE_BY = "Made by `harness reproduce`"
PASSES = "passes"
RUN_IT = "Run it by `uv run FILE`."

_WIDTH = 110
_PROBE = re.compile(r"probe '([^']*)': ")
_SCRATCH = re.compile(r"<scratch>/(?:[\w.@+-]+/)*")
_ORDER = list(Stage)
_FRAME = re.compile(r'(File ")(?:[^"\n<]*[/\\])(?=[^"/\\\n]+")')
_FOLDERS = re.compile(rf"(?<![\w.>:/-]){ROOTS}(?:/[\w.@+-]+)*/(?=[\w.@+-])")
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")


@dataclass(frozen=True, kw_only=True)
class Route:
    """What the cell goes through: names of the steps with the stage of each, the runtime, what each imports."""

    steps: Sequence[tuple[str, Stage]]
    runtime: str
    parameter: str | None


@dataclass
class Code:
    """A script that grows: statements that import, what others need first, pieces by name, and the lines of it all."""

    imports: dict[str, None] = field(default_factory=dict)
    pieces: set[str] = field(default_factory=set)
    classes: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    tensors: str = ""
    taken: dict[str, str] = field(default_factory=dict)
    """What stands for a text of the model's file in `parts`, so that names of the script can be changed around it."""

    def take(self, text: str) -> str:
        """A name that stands for an expression of the model's file until the script is written."""
        name = f"taken_{len(self.taken)}_"
        self.taken[name] = text
        return name

    def add(self, text: str, *imports: str) -> None:
        """Lines at the top level."""
        self.imports.update(dict.fromkeys(imports))
        self.parts.append(text)


def probe_of(record: Record) -> str:
    """The probe that a cell failed; empty for the example."""
    found = _PROBE.match(record.difference or record.error or "")
    return found[1] if record.stage is Stage.PROBE and found else ""


def told_of(record: Record) -> str:
    """What was seen, without which probe it was on, and without the folders that files of this machine lie in."""
    told = _SCRATCH.sub("", _PROBE.sub("", record.difference or record.error or "", count=1))
    return _CREDENTIALS.sub("", _FOLDERS.sub("", _FRAME.sub(r"\1", told)))


def words_of(record: Record) -> str:
    """The same with the error's type before it."""
    kind = f"{record.error_type}: " if record.error_type and record.outcome is not Outcome.MISMATCHED else ""
    return f"{kind}{told_of(record)}"


def reached(record: Record) -> str:
    """What the script of a cell without an end prints before the stage that has none."""
    return f"at the stage {record.stage.value!r}"


def comes_to(record: Record, stage: Stage) -> bool:
    """Whether the cell came to a stage, which its script then has."""
    return _ORDER.index(stage) <= _ORDER.index(record.stage)


def steps_of(record: Record, route: Route) -> Sequence[tuple[str, Stage]]:
    """The steps as far as the cell may have come: one that validates may stand before one that converts."""
    reached = [index for index, (_, stage) in enumerate(route.steps) if comes_to(record, stage)]
    return route.steps[: max(reached, default=-1) + 1]


def body(record: Record, route: Route, slicer: Slicer, told: Mapping[str, Any], packages: Mapping[str, str]) -> Code:
    """The code of a script, but for its metadata and what it says of itself.

    `told` is what the model's child said (`harness.bench.reproducing`). Raises `NotReproducibleError`.
    """
    code = Code()
    stage = record.stage
    if stage is Stage.BUILD:
        _mark(code, record, stage)
    build = slicer.called("build")
    assert build is not None, "a model has one"
    build = code.take(build)
    if stage is Stage.BUILD and "binding" not in told:
        code.add(f"model = {build}", "import torch")
        code.add(_example(code, slicer, told, "example", ""))
        return code
    if "output_count" not in told and stage is not Stage.BUILD:
        raised = told.get("raised", {})
        why = f"{raised.get('error_type')}: {raised.get('error')}" if raised else "it came to no end"
        msg = f"the model cannot be built with the script's own packages, so that there is nothing to show: {why}"
        raise NotReproducibleError(msg)
    values = comes_to(record, Stage.EXECUTE)
    if values and (told["weights"] or told["keep_weights"]):
        msg = (
            f"{slicer.file.path.name}: its weights come of a file, and what is to be shown depends on them. Leave out "
            f"`weights` and `keep_weights`: if it breaks with weights that the harness fills in, it can be reproduced."
        )
        raise NotReproducibleError(msg)
    facts = _facts(code, record, route, slicer, told, packages)
    code.add(f"model = {build}.eval()", "import torch")
    if values:
        code.pieces.add("fill")
        code.add(f"with torch.no_grad():\n    fill(model, gains={as_code(told['gains'])})")
    code.add(_example(code, slicer, told, "example", ""))
    code.tensors = f"tensors = tuple(torch.from_numpy(value) for value in {_of(told, 'example')})"
    code.add(code.tensors)
    if stage is Stage.BUILD:
        code.add(f"with torch.no_grad():\n    {facts.call('model')}")
        return code
    if values:
        _expected(code, record, slicer, told, facts)
    if told["train_mode"]:
        code.add("model.train()  # as it is deployed")
    artifact = _steps(code, record, route, facts)
    if comes_to(record, Stage.LOAD):
        _serving(code, record, route, facts, artifact, told)
    return code


def _mark(code: Code, record: Record, *stages: Stage) -> bool:
    """Have a script that comes to no end say so before the stage that has none, if it is one of `stages`."""
    marks = record.outcome is Outcome.TIMED_OUT and record.stage in stages
    if marks:
        code.add(f'print("{reached(record)}", flush=True)')
    return marks


def _of(told: Mapping[str, Any], example: str) -> str:
    """The arrays of an input set, in forward's order."""
    inputs = told["inputs"]
    if [each["access"] for each in inputs] == [f"[{each['name']!r}]" for each in inputs]:
        return f"{example}.values()"
    return f"({', '.join(example + each['access'] for each in inputs)},)"


def _example(code: Code, slicer: Slicer, told: Mapping[str, Any], name: str, entry: str) -> str:
    """Code that makes an input set: numbers where they are few, else what the file says."""
    literals = told.get("literals", {}).get(entry, [])
    plain = literals and all(each["access"] == f"[{each['name']!r}]" for each in told["inputs"])
    if plain and all(text.startswith("np.array(") for text in literals):
        return _dict(name, told, literals)
    try:
        written = slicer.called("probes", entry) if entry else slicer.called("example")
        names = [each["name"] for each in told.get("inputs", ())]
        in_order = f"{name} = {{name: {name}[name] for name in {as_code(names)}}}"
        keys = _keys_of(slicer, entry)
        if written is not None:
            return f"{name} = {code.take(written)}" + (f"\n{in_order}" if plain and keys and keys != names else "")
    except NotReproducibleError:
        if not (plain and all(literals)):
            raise
    if plain and all(literals):
        return _dict(name, told, literals)
    msg = f"the inputs of {entry or 'the example'} cannot be written out: give fewer values, or draw them from a seed."
    raise NotReproducibleError(msg)


def _keys_of(slicer: Slicer, entry: str) -> list[str]:
    """The names in an example that is a dict right there; empty where it is made elsewhere."""
    node = slicer.declared.get("example") if not entry else None
    body_ = getattr(node, "body", None)
    if isinstance(body_, ast.Dict):
        return [str(key.value) for key in body_.keys if isinstance(key, ast.Constant)]
    return []


def _dict(name: str, told: Mapping[str, Any], literals: Sequence[str]) -> str:
    # A row a line where that is too long for one.
    rows = [text if len(text) <= _WIDTH else text.replace("], [", "],\n        [") for text in literals]
    pairs = zip(told["inputs"], rows, strict=True)
    return "\n".join([f"{name} = {{", *(f"    {as_code(each['name'])}: {text}," for each, text in pairs), "}"])


def _facts(
    code: Code, record: Record, route: Route, slicer: Slicer, told: Mapping[str, Any], packages: Mapping[str, str]
) -> ScriptFacts:
    value = split(record.strategy)[1]
    bound = {} if value is None or route.parameter is None else {route.parameter: value}
    twin = slicer.named("twin") if any(name == "twin-to-saved-model" for name, _ in route.steps) else None
    return ScriptFacts(
        binding=from_json(told["binding"]),
        inputs={each["name"]: (each["dtype"], tuple(each["shape"])) for each in told["inputs"]},
        output_count=told.get("output_count", 0),
        packages=packages,
        constants=told["constants"],
        dynamic={name: {int(axis): word for axis, word in axes.items()} for name, axes in told["dynamic"].items()},
        parameters=bound,
        device=record.device,
        twin=f"{code.take(twin)}(state)" if twin else "",
    )


def _expected(code: Code, record: Record, slicer: Slicer, told: Mapping[str, Any], facts: ScriptFacts) -> None:
    """What the artifact is run on, and what PyTorch itself answers."""
    probe = probe_of(record)
    if probe:
        code.add(_example(code, slicer, told, "probe", probe))
    arrays = "probe" if probe else "example"
    names = [each["name"] for each in told["inputs"]]
    if _of(told, arrays) == f"{arrays}.values()":
        code.add(f"inputs = {arrays}")
    else:
        code.add(f"inputs = dict(zip({as_code(names)}, {_of(told, arrays)}))")
    if not comes_to(record, Stage.MATCH):
        return
    code.pieces.add("compare")
    call = facts.call("model")
    kept = " if isinstance(leaf, torch.Tensor)" if told["numbers"] else ""
    if probe:
        call = call.replace("tensors", "probed")
        code.add("probed = tuple(torch.from_numpy(value) for value in inputs.values())")
    listed = f"[{call}.numpy()]" if told["paths"] == ["output"] else f"[leaf.numpy() for leaf in flatten({call}){kept}]"
    code.add(f"with torch.no_grad():\n    expected = {listed}")


def _steps(code: Code, record: Record, route: Route, facts: ScriptFacts) -> str:
    """The steps up to where the cell came; the name of the last one's artifact."""
    artifact, marked = "", False
    for name, of in steps_of(record, route):
        if name not in STEPS:
            msg = (
                f"{record.strategy} goes through the step {name}, for which harness/reproducing/steps.py has no plain "
                f"code: no script can show it without the harness yet."
            )
            raise NotReproducibleError(msg)
        call = STEPS[name](facts, artifact)
        if re.search(r"\bflat\b", call.code) and facts.flat == "flat" and not code.classes:
            code.classes.append(facts.flat_class())
            code.add("flat = Flat(model)")
        if not marked:
            marked = _mark(code, record, of)
        code.add(call.code, *call.imports)
        artifact = call.leaves
    return artifact


def _serving(
    code: Code, record: Record, route: Route, facts: ScriptFacts, artifact: str, told: Mapping[str, Any]
) -> None:
    if route.runtime not in RUNTIMES:
        msg = (
            f"{record.strategy} is served by {route.runtime}, for which harness/reproducing/runtimes.py has no plain "
            f"code: no script can show it without the harness yet."
        )
        raise NotReproducibleError(msg)
    serving = RUNTIMES[route.runtime](facts, artifact)
    _mark(code, record, Stage.LOAD)
    code.add(serving.load, *serving.imports)
    if comes_to(record, Stage.EXECUTE):
        _mark(code, record, Stage.EXECUTE, Stage.PROBE)
        code.add(serving.run)
    if comes_to(record, Stage.MATCH):
        _mark(code, record, Stage.MATCH)
        numbers = set(told["numbers"])
        paths = [path for index, path in enumerate(told["paths"]) if index not in numbers]
        code.add(f"compare(outputs, expected, {as_code(paths)})")


def written(record: Record, pinned: Pinned, code: Code, slicer: Slicer, *, cell: str, future: bool) -> str:
    """The whole script. `cell` is what made it, for whoever wants to make it again."""
    sliced = slicer.sliced()
    used = sum(len(re.findall(r"\btensors\b", part)) for part in [*code.parts, *code.classes]) > 1
    parts = [part for part in code.parts if used or part != code.tensors]
    text = "\n".join([*code.classes, *parts])
    names = sliced.pieces | code.pieces | {name for name in ("flatten",) if re.search(rf"(?<![\w.]){name}\b", text)}
    pieces = complete(names)
    imports = {**code.imports, "import os": None, "import tempfile": None}
    imports |= {each: None for name in pieces for each in PIECES[name].imports}
    tolerance = [f"TOLERANCE = {record.tolerance or 1e-4!r}"] if "compare" in pieces else []
    # What the model's file calls while it is read stands before it.
    first = complete(sliced.pieces)
    ours = [PIECES[name].code for name in first], [PIECES[name].code for name in pieces if name not in first]
    others = other_names(sliced, [*code.classes, *tolerance, *ours[0], *ours[1], *parts])
    before, after = ([renamed(each, others) for each in texts] for texts in ours)
    rest = [renamed(each, others) for each in [*code.classes, *tolerance]]
    definitions = [*before, *sliced.definitions, *rest, *after]
    parts = [filled(renamed(part, others), code.taken) for part in parts]
    whole = "\n".join([*definitions, *parts])
    imports |= {text: None for name, text in _BY_NAME.items() if re.search(rf"\b{name}\.", whole)}
    check_imports(sliced, imports)
    imports |= sliced.imports
    head = [pinned.header(), f'"""{_about(record, pinned, cell)}"""']
    head += ["from __future__ import annotations"] if future else []
    head += [_imports(imports)]
    lines = ["os.chdir(tempfile.mkdtemp())  # what tools write does not come beside this file", *parts]
    defined = _definitions(definitions)
    return "\n\n".join(head) + (f"{defined}\n\n\n" if defined else "\n\n") + "\n".join([*lines, f'print("{PASSES}")\n'])


def _definitions(texts: Sequence[str]) -> str:
    """Functions and classes apart from all else, as formatters have them."""
    whole, before = "", False
    for text in texts:
        large = text.startswith(("def ", "class ", "@"))
        whole += ("\n\n\n" if large or before else "\n" if whole else "\n\n") + text
        before = large
    return whole


_BY_NAME = {
    "np": "import numpy as np",
    "torch": "import torch",
    "base64": "import base64",
    "zlib": "import zlib",
}


def _imports(statements: Iterable[str]) -> str:
    """The standard library's first, as formatters have it."""

    def module(statement: str) -> str:
        return statement.split()[1].partition(".")[0]

    # torch before all others, as the bench imports it: after TensorFlow it may end the process.
    found = sorted(statements, key=lambda each: (each != "import torch", each.startswith("from "), each))
    standard = [each for each in found if module(each) in sys.stdlib_module_names]
    others = [each for each in found if module(each) not in sys.stdlib_module_names]
    return "\n\n".join("\n".join(group) for group in (standard, others) if group)


def _about(record: Record, pinned: Pinned, cell: str) -> str:
    """What the script shows, as the beginning of a report to whoever maintains the tool."""
    versions = ", ".join(f"{name} {version}" for name, version in pinned.direct.items())
    what = {
        Outcome.MISMATCHED: "answers otherwise than PyTorch itself",
        Outcome.CRASHED: "crashes",
        Outcome.TIMED_OUT: "does not come to an end",
    }.get(record.outcome, "fails")
    probe = probe_of(record)
    on = f" on the input {probe!r}" if probe else ""
    expected = {
        Outcome.MISMATCHED: f"outputs within a relative error of {record.tolerance or 1e-4:g} of PyTorch's own"
    }.get(record.outcome, f"no error at the stage {record.stage.value!r}, and then `{PASSES}`")
    lines = [
        *textwrap.wrap(f"{record.model} by {record.strategy} {what} at the stage {record.stage.value!r}{on}.", _WIDTH),
        "",
        *textwrap.wrap(f"Versions: Python {pinned.python}, {versions}.", _WIDTH),
        *textwrap.wrap(f"Expected: {expected}.", _WIDTH),
        "Seen:",
        *textwrap.wrap(words_of(record), _WIDTH, initial_indent="  ", subsequent_indent="  "),
        "",
        f"{RUN_IT} {MADE_BY} {__version__} of {cell}.",
    ]
    return "\n".join(lines).replace("\\", "\\\\").replace('"""', "'''") + "\n"


def wrapped(text: str) -> str:
    """A line of what a script says of itself, in lines that are not too long."""
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def imported(code: str) -> list[str]:
    """The top-level modules that a script imports, anywhere in it, without the standard library's."""
    found: dict[str, None] = {}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found.update(dict.fromkeys(alias.name.partition(".")[0] for alias in node.names))
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found[node.module.partition(".")[0]] = None
    return [name for name in found if name not in sys.stdlib_module_names]
