"""How the inputs of an example become the arguments of `forward`.

Bound by name wherever a name of the example is one of forward's. Where none is (`*args`, a program whose arguments
have names of its own, a file that says `x` where `forward` says `input`), the order binds, if no optional argument
could be meant. A wrapper's `*args, **kwargs` say nothing of what is behind them: there several inputs are keywords, so
that a name which is not taken raises. Everything else is refused before anything runs.

The binding is plain values, so that converting and serving call the module as its native outputs were made.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from harness.bench.structure import Spec, UnsupportedValueError, graph_names, has_objects, rebuilt, spec_of

_NONE: Spec = {"none": True}

_MISSPELT = 0.8
"""How near a name must be to an argument's, by `difflib`, to be taken for a slip."""


class BindingError(Exception):
    """Inputs or constants that cannot be told to be which arguments of `forward`; the message says what to write.

    No mistake by itself: arguments come and go with the versions of whose model it is.
    """


@dataclass(frozen=True)
class Parameter:
    """One argument that `forward` takes. `kind` is `positional`, `positional-only`, `keyword`, `*` or `**`.

    It is `nameless` where its name was lost, and `name` is one that nobody gave it.
    """

    name: str
    kind: str
    required: bool
    default_is_none: bool = False
    nameless: bool = False

    def __str__(self) -> str:
        stars = self.kind if self.kind in ("*", "**") else ""
        return f"{stars}{self.name}{'' if self.required or stars else '=…'}"


@dataclass(frozen=True)
class Binding:
    """Which leaf and which constant goes where in a call of `forward`.

    `paths` are those of the leaves, in the order of `forward`. `args` and `kwargs` say how each argument is put
    together of them. `names` are what `forward` calls `args`, empty where it has no name. `positional` is the same
    call without keywords, None where there is none; in it, None stands for what was left out.
    """

    paths: tuple[str, ...]
    args: tuple[Spec, ...]
    kwargs: Mapping[str, Spec] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    positional: tuple[Spec, ...] | None = None

    @property
    def graph_names(self) -> tuple[str, ...]:
        """What artifacts call the leaves: see `harness.bench.structure.graph_names`."""
        return graph_names(self.paths)

    @property
    def plain(self) -> bool:
        """Whether `forward` takes the leaves themselves, by position, and nothing else."""
        return not self.kwargs and [spec.get("leaf") for spec in self.args] == list(range(len(self.paths)))

    @property
    def needs_wrapper(self) -> bool:
        """Whether an argument is of a class of somebody's, or a constant, which no exporter takes for what it is."""
        given = [*self.args, *self.kwargs.values()]
        return any("constant" in spec or has_objects(spec) for spec in given)

    def call(self, leaves: Sequence[Any], constants: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments and the keyword arguments of one call, in new containers."""
        return (
            tuple(rebuilt(spec, leaves, constants) for spec in self.args),
            {name: rebuilt(spec, leaves, constants) for name, spec in self.kwargs.items()},
        )

    def caller(self, module: Any, constants: Mapping[str, Any]) -> Callable[..., Any]:
        """A function of the leaves, in order, that calls `module`; the module itself where it takes them so."""
        if self.plain:
            return module  # type: ignore[no-any-return]

        def called(*leaves: Any) -> Any:
            args, kwargs = self.call(leaves, constants)
            return module(*args, **kwargs)

        return called

    def to_json(self) -> dict[str, Any]:
        """The binding as plain values."""
        return asdict(self)


def from_json(value: Mapping[str, Any]) -> Binding:
    """The inverse of `Binding.to_json`, after any way through JSON."""
    positional = value["positional"]
    return Binding(
        paths=tuple(value["paths"]),
        args=tuple(value["args"]),
        kwargs=dict(value["kwargs"]),
        names=tuple(value["names"]),
        positional=None if positional is None else tuple(positional),
    )


def parameters_of(module: Any) -> tuple[Parameter, ...]:
    """What `module.forward` takes; `*args` alone where that cannot be told.

    A wrapper that hands everything on, as `torch.compile` and `DataParallel` make, takes what its module takes.
    """
    found = _parameters_of(module.forward)
    for name in _WRAPPED:
        inner = getattr(module, name, None)
        if [each.kind for each in found] == ["*", "**"] and inner is not module and hasattr(inner, "forward"):
            return parameters_of(inner)
    return _of_program(module, found)


_WRAPPED = ("_orig_mod", "module")
"""Where wrappers have the module that they wrap: torch.compile's, and DataParallel's and the other ones of torch."""


def _parameters_of(forward: Any) -> tuple[Parameter, ...]:
    schema: Any = getattr(forward, "schema", None)
    if hasattr(schema, "arguments"):
        return tuple(map(_of_schema, schema.arguments[1:]))
    try:
        return tuple(map(_of_signature, inspect.signature(forward).parameters.values()))
    except (TypeError, ValueError):
        return (Parameter("args", "*", required=False),)


def _of_program(module: Any, found: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
    """`found`, and where `module` is a program of `torch.export`, which of it was exported as keywords.

    Its `forward` does not tell: recent versions refuse these by position, and torch 2.1, which takes nothing by name,
    calls the two that it can have `arg_0` and `arg_1`, keywords in the order of that call. It keeps keywords' names.
    """
    parts: Any = getattr(getattr(module, "_in_spec", None), "children_specs", None) or ()
    if [getattr(part, "type", None) for part in parts] != [tuple, dict]:
        return found
    by_position, keywords = found[: len(parts[0].children_specs)], list(parts[1].context)
    if len(by_position) + len(keywords) != len(found):
        return found
    if {each.name for each in found}.issuperset(keywords):
        return (*by_position, *(Parameter(name, "keyword", required=True) for name in keywords))
    lost = (replace(each, nameless=True) for each in by_position)
    return (*lost, *(Parameter(name, "positional", required=True) for name in keywords))


def _of_schema(argument: Any) -> Parameter:
    """An argument of a TorchScript program."""
    required = not argument.has_default_value()
    none = not required and argument.default_value is None
    kind = "keyword" if argument.kwarg_only else "positional"
    return Parameter(argument.name, kind, required=required, default_is_none=none)


_KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: "positional-only",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "positional",
    inspect.Parameter.KEYWORD_ONLY: "keyword",
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}


def _of_signature(parameter: inspect.Parameter) -> Parameter:
    kind = _KINDS[parameter.kind]
    required = parameter.default is inspect.Parameter.empty and kind not in ("*", "**")
    return Parameter(parameter.name, kind, required, default_is_none=parameter.default is None)


def bind(parameters: Sequence[Parameter], example: Mapping[str, Any], constants: Mapping[str, Any]) -> Binding:
    """How the example's inputs and the model's constants become arguments.

    Raises `BindingError` where that cannot be told, or is not what `forward` takes.
    """
    return _Binder(parameters, example, constants).binding()


class _Binder:
    """One `forward` and what it is to be given."""

    def __init__(self, parameters: Sequence[Parameter], example: Mapping[str, Any], constants: Mapping[str, Any]):
        self.parameters = parameters
        self.example = example
        self.constants = constants
        self.by_name = {each.name: each for each in parameters if each.kind not in ("*", "**")}
        self.in_order = [each for each in parameters if each.kind in ("positional", "positional-only")]
        self.takes_more = any(each.kind == "*" for each in parameters)
        self.takes_any_name = any(each.kind == "**" for each in parameters)
        self.paths: list[str] = []

    def binding(self) -> Binding:
        self._check_constants()
        known = [name for name in self.example if name in self.by_name]
        unknown = [name for name in self.example if name not in self.by_name]
        nameless = [each for each in self._free() if each.nameless and each.name not in self.example]
        rest: list[str] = []
        if not unknown:
            given = {name: name for name in self.example}
        elif not known and not self._goes_by_any_name():
            given, rest = self._by_order()
        elif self.takes_any_name and (not self.takes_more or not known):
            self._check_spelling(unknown)
            given = {name: name for name in self.example}
        elif self.takes_more and not self.takes_any_name and all(e.name in self.example for e in self._free()):
            given, rest = {name: name for name in known}, unknown
        elif len(unknown) == len(nameless):
            given = {name: name for name in known} | {
                each.name: name for each, name in zip(nameless, unknown, strict=True)
            }
        else:
            raise BindingError(self._of_a_mixture(known, unknown))
        self._check_required(given)
        return self._made(given, rest)

    def _check_constants(self) -> None:
        for name in self.constants:
            if name in self.example:
                raise BindingError(self._told(f"{name!r} is both an input of example() and in `constants`: keep one"))
            if name not in self.by_name and not self.takes_any_name:
                told = f"`constants` names {name!r}, which forward does not take{self._nearest(name)}"
                raise BindingError(self._told(told))
        self._check_spelling([name for name in self.constants if name not in self.by_name])
        for name in [*self.example, *self.constants]:
            each = self.by_name.get(name)
            if self.takes_any_name and each and each.kind == "positional-only" and not each.required:
                told = f"{name!r} may be the argument that goes by position alone, and may be one of forward's keywords"
                raise BindingError(self._told(f"{told}. Wrap the module in one whose forward says which"))

    def _check_spelling(self, names: Sequence[str]) -> None:
        """Raise where forward's `**` would take a name that is all but one of an argument that is left out."""
        left_out = [name for name in self.by_name if name not in self.example and name not in self.constants]
        for name in names:
            for near in difflib.get_close_matches(name, left_out, n=1, cutoff=_MISSPELT):
                told = f"{name!r} is not an argument of forward's by itself (did you mean {near!r}?)"
                raise BindingError(
                    self._told(f"{told}. If it is meant, give {near!r} too, as an input or in `constants`")
                )

    def _free(self) -> list[Parameter]:
        """Arguments by position that no constant takes."""
        return [each for each in self.in_order if each.name not in self.constants]

    def _goes_by_any_name(self) -> bool:
        """Whether `**kwargs` is what takes the inputs: forward(self, **batch), and several of a wrapper's."""
        if self.takes_any_name and self.takes_more:
            return not self._free() and len(self.example) > 1
        return self.takes_any_name and not any(each.required for each in self._free())

    def _by_order(self) -> tuple[dict[str, str], list[str]]:
        """Inputs of names that forward does not have, in their order."""
        names, free = list(self.example), self._free()
        required = [each for each in free if each.required]
        more = self.takes_more and not (self.takes_any_name and free)
        if more and (len(names) > len(free) or len(names) == len(free) == len(required)):
            taken = free
        elif len(names) == len(required) and required == free[: len(required)]:
            taken = required
        else:
            raise BindingError(self._of_strangers(names, required))
        given = {each.name: name for each, name in zip(taken, names, strict=False)}
        return given, names[len(taken) :]

    def _of_strangers(self, names: Sequence[str], required: Sequence[Parameter]) -> str:
        listed = _listed(names)
        if len(names) < len(required):
            return self._told(
                f"the inputs {listed} are fewer than the {len(required)} that forward needs: "
                f"{_listed(each.name for each in required)}"
            )
        told = (
            f"none of the inputs {listed} has a name of forward's, and which of its arguments they are is not certain"
        )
        return self._told(f"{told}. Give each the name of its argument, as in {self._suggestion()}")

    def _suggestion(self) -> str:
        free = [each.name for each in self.parameters if each.name in self.by_name and each.name not in self.constants]
        return "{" + ", ".join(f"{name!r}: …" for name in free[: len(self.example)] or ["x"]) + "}"

    def _of_a_mixture(self, known: Sequence[str], unknown: Sequence[str]) -> str:
        if not known:
            return self._of_strangers(unknown, [each for each in self._free() if each.required])
        strange = ", ".join(f"{name!r}{self._nearest(name)}" for name in unknown)
        told = f"by name forward takes {_listed(known)}, and not {strange}"
        return self._told(f"{told}. Give every input the name of its argument")

    def _nearest(self, name: str) -> str:
        near = difflib.get_close_matches(name, list(self.by_name), n=1, cutoff=0.5)
        return f" (did you mean {near[0]!r}?)" if near else ""

    def _check_required(self, given: Mapping[str, str]) -> None:
        lacking = [
            each.name
            for each in self.parameters
            if each.required and each.name not in given and each.name not in self.constants
        ]
        if lacking:
            told = f"forward needs {_listed(lacking)}, and example() gives only {_listed(self.example)}"
            raise BindingError(
                self._told(f"{told}. Add an array to example() and every probe, or write it to `constants`")
            )

    def _told(self, what: str) -> str:
        return f"{what}. forward is forward({_written(self.parameters)}); how inputs are bound is in docs/adding.md."

    def _made(self, given: Mapping[str, str], rest: Sequence[str]) -> Binding:
        """`given` is argument to input; `rest` follows by position."""
        args: list[Spec] = []
        names: list[str] = []
        kwargs: dict[str, Spec] = {}
        left_out: list[Parameter] = []
        positional: list[Spec] | None = []
        # In forward's order, so that leaves are in that order however they are given.
        arguments = [each for each in self.parameters if each.kind not in ("*", "**")]
        for each in arguments:
            if each.name not in given and each.name not in self.constants:
                left_out.append(each)
                continue
            spec = self._spec(given.get(each.name), each.name)
            if each.kind == "keyword":
                kwargs[each.name], positional = spec, None
                continue
            if positional is not None:
                holes = [_NONE] * (self.in_order.index(each) - len(positional))
                fits = all(hole.default_is_none for hole in left_out)
                positional = [*positional, *holes, spec] if fits else None
            if not left_out:
                args.append(spec)
                names.append(each.name)
            elif each.kind == "positional":
                kwargs[each.name] = spec
            else:
                told = (
                    f"{each.name!r} goes by position alone, and {left_out[0].name!r} before it is left out: give it too"
                )
                raise BindingError(self._told(told))
        for name in rest:
            args.append(self._spec(name, ""))
            names.append("")
            positional = positional if positional is None else [*positional, args[-1]]
        taken = {each.name for each in arguments}
        for name in [*given, *self.constants]:
            if name not in taken:
                kwargs[name], positional = self._spec(given.get(name), name), None
        if any("constant" in spec for spec in positional or ()):
            positional = None
        repeated = {path for path in self.paths if self.paths.count(path) > 1}
        if repeated:
            raise BindingError(self._told(f"two inputs have the path {_listed(sorted(repeated))}: rename one"))
        return Binding(
            paths=tuple(self.paths),
            args=tuple(args),
            kwargs=kwargs,
            names=tuple(names),
            positional=None if positional is None else tuple(positional),
        )

    def _spec(self, name: str | None, argument: str) -> Spec:
        if name is None:
            return _NONE if self.constants[argument] is None else {"constant": argument}

        def add(path: str, _: Any) -> int:
            self.paths.append(path)
            return len(self.paths) - 1

        try:
            return spec_of(self.example[name], name, add)
        except UnsupportedValueError as error:
            raise BindingError(str(error)) from None


def _written(parameters: Sequence[Parameter]) -> str:
    """The arguments as Python writes them, `/` and `*` among them."""
    kinds = [each.kind for each in parameters]
    written = ["self", *map(str, parameters)]
    if "keyword" in kinds and "*" not in kinds:
        written.insert(1 + kinds.index("keyword"), "*")
    if "positional-only" in kinds:
        written.insert(1 + kinds.count("positional-only"), "/")
    return ", ".join(written)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names) or "nothing"
