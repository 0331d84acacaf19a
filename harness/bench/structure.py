"""Nested values as flat leaves with stable paths, and back again.

This is the bench's own, and nothing is ever registered into torch's pytree: torch 2.0 and 2.1 have neither paths nor
dataclasses in theirs, and registering would change what is tested.

Containers are mappings (a `ModelOutput` is one), dataclasses, named tuples, lists and tuples, in any depth. Leaves are
tensors and arrays, and where a module returns them Python's own numbers. None is no leaf, and stays where it is. A path
reads `batch.ids`, `images[0]`, `outputs['a key']`.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib
import keyword
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

Spec = Mapping[str, Any]
"""How a nested value is put together, as plain values.

One of `{"leaf": index}`, `{"none": True}`, `{"constant": name}`, `{"list": […]}`, `{"tuple": […]}`,
`{"dict": [[key, …], …]}` and `{"object": "module:class", "fields": [[name, …], …]}`.
"""

_HELP = "See “What forward may take and return” in docs/adding.md for a wrapper to copy."


class UnsupportedValueError(TypeError):
    """A value that is neither a container nor a number, where tensors are meant; the message has its path."""


def is_array(value: Any) -> bool:
    """Whether a value is a tensor or an array, whoever's."""
    return hasattr(value, "detach") or (hasattr(value, "shape") and hasattr(value, "dtype"))


def is_number(value: Any) -> bool:
    """Whether a value is one of Python's own numbers."""
    return isinstance(value, (bool, int, float, complex)) and not is_array(value)


def _is_named_tuple(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(value, "_fields")


def _keyed(path: str, key: Any) -> str:
    if isinstance(key, str) and key.isidentifier():
        return f"{path}.{key}"
    return f"{path}[{key!r}]"


def children(value: Any, path: str) -> list[tuple[str, Any]] | None:
    """What a container holds, in its own order and by path; None where `value` is no container."""
    if isinstance(value, Mapping):  # before dataclasses: a ModelOutput is both, and leaves out what is None as this
        return [(_keyed(path, key), item) for key, item in value.items()]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(f"{path}.{each.name}", getattr(value, each.name)) for each in dataclasses.fields(value)]
    if _is_named_tuple(value):
        return [(f"{path}.{name}", item) for name, item in zip(value._fields, value, strict=True)]
    if isinstance(value, (list, tuple)):
        return [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    return None


def walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every leaf by path, in order; None is left out. Raises `UnsupportedValueError` for what is no leaf."""
    if value is None:
        return
    held = children(value, path)
    if held is not None:
        for inner, item in held:
            yield from walk(item, inner)
    elif is_array(value) or is_number(value):
        yield path, value
    else:
        msg = f"{path} is {_named(value)}, which is neither a tensor, a number, None, nor a container of them. {_HELP}"
        raise UnsupportedValueError(msg)


def _named(value: Any) -> str:
    return f"of the type {type(value).__name__}"


def output_leaves(value: Any) -> list[tuple[str, Any]]:
    """What a module returned, as leaves by path: `output` is one bare tensor's, all others begin with `outputs`."""
    return list(walk(value, "outputs" if children(value, "") is not None else "output"))


def spec_of(value: Any, path: str, add: Callable[[str, Any], int]) -> Spec:
    """How a nested input is put together; `add` is told of each leaf, and answers its index.

    Raises `UnsupportedValueError` for what is neither an array nor a container of them: Python's own numbers too.
    """
    if value is None:
        return {"none": True}
    if is_array(value):
        return {"leaf": add(path, value)}
    held = children(value, path)
    if held is None:
        raise UnsupportedValueError(_no_array(path, value))
    specs = [spec_of(item, inner, add) for inner, item in held]
    if type(value) is list or type(value) is tuple:
        return {type(value).__name__: specs}
    if type(value) is dict:
        for key in value:
            if not isinstance(key, (str, int)):
                msg = f"{path} has the key {key!r:.80}, and a key must be a text or a whole number. {_HELP}"
                raise UnsupportedValueError(msg)
        return {"dict": [[key, spec] for key, spec in zip(value, specs, strict=True)]}
    name, fields = _class_name(value, path), _fields(value, specs)
    _check_object(value, path)
    return {"object": name, "fields": fields}


def _no_array(path: str, value: Any) -> str:
    name = path.partition(".")[0].partition("[")[0]
    if is_number(value) or isinstance(value, str):
        told = f"{path} is {value!r:.40}, and an input must be an array. "
        if path == name:
            told += f"Leave it out of the inputs and write constants={{{name!r}: {value!r:.40}}}"
            return told + (" or np.float32(…) for a tensor without dimensions." if is_number(value) else ".")
        return told + _HELP
    return f"{path} is {_named(value)}, which is neither an array nor a container of arrays. {_HELP}"


def _fields(value: Any, specs: Sequence[Spec]) -> list[list[Any]]:
    if isinstance(value, Mapping):
        names: Iterable[Any] = value
    elif dataclasses.is_dataclass(value):
        names = [each.name for each in dataclasses.fields(value)]
    elif _is_named_tuple(value):
        names = value._fields
    else:
        names = range(len(specs))
    return [[name, spec] for name, spec in zip(names, specs, strict=True)]


def _check_object(value: Any, path: str) -> None:
    """Raise where a value's class does not make such a one of what it holds: a `defaultdict` wants a function too."""
    held = children(value, path) or []
    told = ""
    try:
        again = _put_together(type(value), dict(_fields(value, [item for _, item in held])))
        same = [inner for inner, _ in children(again, path) or ()] == [inner for inner, _ in held]
    except Exception as error:  # noqa: BLE001 - it is code of somebody's
        same, told = False, f" ({type(error).__name__}: {error})"[:200]
    if not same:
        plain = "a dict" if isinstance(value, Mapping) else "a list or a tuple"
        told = f"{path} is {_named(value)}, which cannot be made anew of what it holds{told}"
        msg = f"{told}. Give {plain} instead. {_HELP}"
        raise UnsupportedValueError(msg)


def _class_name(value: Any, path: str) -> str:
    kind = type(value)
    name = f"{kind.__module__}:{kind.__qualname__}"
    if _class_of(name) is not kind:
        msg = f"{path} is {_named(value)}, whose class cannot be found again: define it at the top level of its file"
        raise UnsupportedValueError(msg)
    return name


def _class_of(name: str) -> Any:
    module, _, qualified = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in qualified.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return None
    return found


def rebuilt(spec: Spec, leaves: Sequence[Any], constants: Mapping[str, Any]) -> Any:
    """The nested value that `spec` describes, of new containers, those of constants among them."""
    if "leaf" in spec:
        return leaves[spec["leaf"]]
    if "constant" in spec:
        return _of_its_own(constants[spec["constant"]])
    for kind, made in (("list", list), ("tuple", tuple)):
        if kind in spec:
            return made(rebuilt(each, leaves, constants) for each in spec[kind])
    if "dict" in spec:
        return {key: rebuilt(each, leaves, constants) for key, each in spec["dict"]}
    if "object" in spec:
        return _object(spec, leaves, constants)
    return None


def _object(spec: Spec, leaves: Sequence[Any], constants: Mapping[str, Any]) -> Any:
    return _put_together(
        _class_of(spec["object"]), {name: rebuilt(each, leaves, constants) for name, each in spec["fields"]}
    )


def _of_its_own(constant: Any) -> Any:
    """A constant in new dicts, lists and sets: `forward` may write to what it is given, and no call may see that."""
    kind = type(constant)
    if kind is dict:
        return {key: _of_its_own(item) for key, item in constant.items()}
    if kind in (list, tuple):
        return kind(_of_its_own(item) for item in constant)
    if not isinstance(constant, (dict, list, set)):
        return constant
    made: Any = copy.copy(constant)
    if not isinstance(constant, set):
        for key in constant if isinstance(constant, dict) else range(len(constant)):
            made[key] = _of_its_own(constant[key])
    return made


def _put_together(kind: Any, fields: Mapping[Any, Any]) -> Any:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        settable = {each.name for each in dataclasses.fields(kind) if each.init}
        made: Any = kind(**{name: item for name, item in fields.items() if name in settable})
        for name in fields.keys() - settable:
            object.__setattr__(made, name, fields[name])
        return made
    if hasattr(kind, "_fields"):
        return kind(**fields)
    return kind(fields) if issubclass(kind, Mapping) else kind(fields.values())


def has_number_keys(spec: Spec) -> bool:
    """Whether a dict in it has keys that are no texts, which tracing to TorchScript does not take."""
    items = spec.get("dict", ())
    if any(not isinstance(key, str) for key, _ in items):
        return True
    held = [*spec.get("list", ()), *spec.get("tuple", ()), *(item for _, item in items)]
    return any(has_number_keys(each) for each in held)


def has_objects(spec: Spec) -> bool:
    """Whether a class of somebody's is in it: such a value no exporter takes without a wrapper."""
    if "object" in spec:
        return True
    held = [*spec.get("list", ()), *spec.get("tuple", ()), *(item for _, item in spec.get("dict", ()))]
    return any(has_objects(each) for each in held)


_NUMBERED = re.compile(r"output_\d+")


def graph_names(paths: Iterable[str]) -> tuple[str, ...]:
    """What a graph may call each path, `batch_ids` for `batch.ids`: plain identifiers, none of them twice.

    Nor are two the same but for capital letters, which TensorFlow's signatures do not keep. A name that is one already
    stays, unless it is a word of Python's or what outputs are called, `output_0`.
    """
    found: list[str] = []
    taken: set[str] = set()
    for path in paths:
        name = re.sub(r"\W+", "_", path, flags=re.ASCII).strip("_") or "input"
        name = f"input_{name}" if name[0].isdigit() or _NUMBERED.fullmatch(name) or keyword.iskeyword(name) else name
        unique, count = name, 1
        while unique.lower() in taken:
            count += 1
            unique = f"{name}_{count}"
        found.append(unique)
        taken.add(unique.lower())
    return tuple(found)
