"""What a script is written from: how the model takes its inputs, and what is to be done with it.

The code of a step or a runtime (`harness.reproducing.steps`, `harness.reproducing.runtimes`) stands at the top level of
the script, where these names are:

- `model`: the module, in its mode; `tensors`: the example as torch tensors, one after the other;
- `flat`: a module that takes `tensors` so, where `ScriptFacts.flat` says that it is another one than `model`;
- `inputs`: what the artifact is to be run on, name to numpy array;
- `flatten`: any nest of outputs as a list; `outputs`: what running leaves, numpy arrays in the model's order.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.bench.binding import Binding
from harness.bench.errors import UsageError
from harness.bench.structure import Spec

_LINE = 110


class NotReproducibleError(UsageError):
    """What no script can have without the harness or the user's own files; the message says what to put there."""


@dataclass(frozen=True, kw_only=True)
class PlainCall:
    """A step as plain code. `imports` are whole statements, `leaves` the name of the file or folder that it writes."""

    imports: tuple[str, ...]
    code: str
    leaves: str


@dataclass(frozen=True, kw_only=True)
class PlainServing:
    """A runtime as plain code, loading apart from running."""

    imports: tuple[str, ...]
    load: str
    run: str


@dataclass(frozen=True, kw_only=True)
class ScriptFacts:
    """How the model takes its inputs.

    `inputs` are the names that an artifact has its inputs under, with the example's type and shape; `dynamic` their
    dynamic dimensions; `constants` the arguments that are no tensors, as code; `parameters` what the strategy's
    spelling binds; `packages` the versions, by canonical name; `twin` is the code of a call of the model's twin on the
    state dict `state`.
    """

    binding: Binding
    inputs: Mapping[str, tuple[str, tuple[int, ...]]]
    output_count: int
    packages: Mapping[str, str]
    constants: Mapping[str, str] = field(default_factory=dict)
    dynamic: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    parameters: Mapping[str, int] = field(default_factory=dict)
    device: str = "cpu"
    twin: str = ""

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs, in order."""
        return list(self.inputs)

    @property
    def output_names(self) -> list[str]:
        """The names of the outputs, in order."""
        return [f"output_{index}" for index in range(self.output_count)]

    @property
    def flat(self) -> str:
        """The name of a module that takes `tensors` one after the other."""
        return "model" if self.binding.plain else "flat"

    def arguments(self) -> tuple[str, Mapping[str, str]]:
        """The example as `forward` takes it: a tuple of arguments, and keyword arguments, as code."""
        if self.binding.plain:
            return "tensors", {}
        named = {name: self.written(spec) for name, spec in self.binding.kwargs.items()}
        return as_tuple([self.written(spec) for spec in self.binding.args]), named

    def call(self, module: str) -> str:
        """The code of a call of the model, `module` being the name of one."""
        if self.binding.plain:
            return f"{module}(*tensors)"
        args = [self.written(spec) for spec in self.binding.args]
        named = [f"{name}={self.written(spec)}" for name, spec in self.binding.kwargs.items()]
        return f"{module}({', '.join([*args, *named])})"

    def written(self, spec: Spec) -> str:
        """An argument as code of `tensors`. Raises `NotReproducibleError` for what cannot be written out."""
        if "leaf" in spec:
            return f"tensors[{spec['leaf']}]"
        if "constant" in spec:
            return self._constant(spec["constant"])
        if "list" in spec:
            return f"[{', '.join(map(self.written, spec['list']))}]"
        if "tuple" in spec:
            return as_tuple([self.written(each) for each in spec["tuple"]])
        if "dict" in spec:
            return "{" + ", ".join(f"{as_code(key)}: {self.written(each)}" for key, each in spec["dict"]) + "}"
        if "object" in spec:
            name = spec["object"].partition(":")[2]
            msg = f"an input is of the class {name}: let forward take a dict or a tuple of tensors in its place."
            raise NotReproducibleError(msg)
        return "None"

    def _constant(self, name: str) -> str:
        code = self.constants[name]
        try:
            ast.literal_eval(code)
        except (ValueError, SyntaxError):
            msg = (
                f"the constant {name!r} is {code:.60}, which cannot be written out: let forward take a number, a text "
                f"or a list of them in its place."
            )
            raise NotReproducibleError(msg) from None
        return code

    def flat_class(self) -> str:
        """The code of the class `Flat`, a module that takes the tensors one after the other."""
        names = ", ".join(self.input_names)
        return (
            "class Flat(torch.nn.Module):\n"
            '    """Takes the tensors one after the other."""\n\n'
            "    def __init__(self, model):\n"
            "        super().__init__()\n"
            "        self.model = model\n"
            "        self.training = model.training\n\n"
            f"    def forward(self, {names}):\n"
            f"        tensors = ({names},)\n"
            f"        return {self.call('self.model')}"
        )


def as_code(value: object) -> str:
    """A text, a number, or a list or a dict of them as formatters have it: in double quotes."""
    if isinstance(value, str):
        text = repr(value)
        return f'"{text[1:-1]}"' if text[0] == "'" and '"' not in text else text
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{as_code(key)}: {as_code(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        items = [as_code(item) for item in value]
        return as_tuple(items) if isinstance(value, tuple) else f"[{', '.join(items)}]"
    return repr(value)


def as_tuple(items: Sequence[str]) -> str:
    """The code of a tuple."""
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"


def as_call(function: str, arguments: Sequence[str]) -> str:
    """The code of a call: in one line where it fits, else an argument a line, as formatters have it."""
    whole = f"{function}({', '.join(arguments)})"
    if len(whole) <= _LINE:
        return whole
    return "\n".join([f"{function}(", *(f"    {each}," for each in arguments), ")"])
