"""How the inputs of an example are bound to `forward`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.bench.binding import Binding, BindingError, bind, from_json, parameters_of

ARRAYS = {name: np.full(1, index, np.float32) for index, name in enumerate("abcdefgxyz")}


def module(forward: Callable[..., Any]) -> Any:
    return SimpleNamespace(forward=forward)


def bound(forward: Callable[..., Any], names: str, constants: Mapping[str, Any] | None = None) -> Binding:
    """The binding of inputs of these names; `-` before one gives None."""
    given = {name.strip("-"): None if name.startswith("-") else ARRAYS.get(name, ARRAYS["x"]) for name in names.split()}
    found = bind(parameters_of(module(forward)), given, constants or {})
    assert from_json(json.loads(json.dumps(found.to_json()))) == found
    return found


def called(forward: Callable[..., Any], names: str, constants: Mapping[str, Any] | None = None) -> Any:
    """What `forward` answers, each leaf given as its path."""
    binding = bound(forward, names, constants)
    args, kwargs = binding.call(binding.paths, constants or {})
    if binding.positional is not None:
        positional = Binding(paths=binding.paths, args=binding.positional).call(binding.paths, {})[0]
        assert forward(*positional) == forward(*args, **kwargs)
    return forward(*args, **kwargs)


CASES: list[tuple[Callable[..., Any], str, dict[str, Any], Any]] = [
    (lambda x: x, "x", {}, "x"),
    (lambda a, b: (a, b), "b a", {}, ("a", "b")),
    # The optional argument that was left out stays left out.
    (lambda a, mask=None, b=None: (a, mask, b), "a b", {}, ("a", None, "b")),
    (lambda a, mask=None, b=None: (a, mask, b), "a -mask b", {}, ("a", None, "b")),
    (lambda a, scale=2, b=None: (a, scale, b), "a b", {}, ("a", 2, "b")),
    (lambda a, *, b, c=3: (a, b, c), "a b", {}, ("a", "b", 3)),
    (lambda a, **more: (a, more), "b a c", {}, ("a", {"b": "b", "c": "c"})),
    (lambda **batch: batch, "x y", {}, {"x": "x", "y": "y"}),
    (lambda a, *rest: (a, rest), "a x y", {}, ("a", ("x", "y"))),
    # No name is one of forward's: the order counts, if there is only one.
    (lambda one: one, "x", {}, "x"),
    (lambda one, hx=None: (one, hx), "x", {}, ("x", None)),
    (lambda one, two: (one, two), "b a", {}, ("b", "a")),
    (lambda *inputs: inputs, "b a", {}, ("b", "a")),
    # Behind both kinds of stars is another function: several inputs go by name, and it raises where that is not its.
    (lambda *inputs, **named: (inputs, named), "b a", {}, ((), {"b": "b", "a": "a"})),
    (lambda *inputs, **named: (inputs, named), "x", {"flag": True}, (("x",), {"flag": True})),
    (lambda one, two, *rest, **named: (one, two, rest, named), "b a", {}, ("b", "a", (), {})),
    (lambda one, *rest: (one, rest), "b a c", {}, ("b", ("a", "c"))),
    (lambda one, two=None, *rest: (one, two, rest), "b a c", {}, ("b", "a", ("c",))),
    (lambda one, **named: (one, named), "x", {}, ("x", {})),
    # Constants.
    (lambda x, causal=False: (x, causal), "x", {"causal": True}, ("x", True)),
    (lambda x, size, y: (x, size, y), "y x", {"size": 3}, ("x", 3, "y")),
    (lambda one, size: (one, size), "x", {"size": 3}, ("x", 3)),
    (lambda x, *, mode="a": (x, mode), "x", {"mode": "b"}, ("x", "b")),
    (lambda x, **more: (x, more), "x", {"mode": "b"}, ("x", {"mode": "b"})),
    (lambda x, cache, y: (x, cache, y), "x y", {"cache": None}, ("x", None, "y")),
]


@pytest.mark.parametrize(("forward", "names", "constants", "expected"), CASES)
def test_each_input_reaches_its_argument(
    forward: Callable[..., Any], names: str, constants: dict[str, Any], expected: Any
) -> None:
    assert called(forward, names, constants) == expected


def positional_only(a: Any, b: Any = None, /, c: Any = None) -> Any:
    return a, b, c


def test_arguments_by_position_alone() -> None:
    assert called(positional_only, "x") == ("x", None, None)
    with pytest.raises(BindingError, match="by name forward takes 'c', and not 'x'"):
        bound(positional_only, "x c")
    assert called(positional_only, "b a") == ("a", "b", None)
    assert called(positional_only, "c a") == ("a", None, "c")
    assert called(positional_only, "a", {"b": True}) == ("a", True, None)
    with pytest.raises(BindingError, match=r"needs 'a', .*forward\(self, a, b=…, /, c=…\)"):
        bound(positional_only, "b c")

    def optional(a: Any = None, b: Any = None, /) -> None: ...

    with pytest.raises(BindingError, match="'b' goes by position alone, and 'a' before it is left out: give it too"):
        bound(optional, "b")


def test_a_name_that_may_be_two_things_is_refused() -> None:
    def forward(x: Any, bias: Any = None, /, **more: Any) -> Any:
        return x, bias, more

    assert called(forward, "c x") == ("x", None, {"c": "c"})
    for names, constants in (("x bias", {}), ("x", {"bias": 1})):
        with pytest.raises(BindingError, match="'bias' may be the argument that goes by position alone, and may be"):
            bound(forward, names, constants)


def test_what_wraps_a_module_takes_what_it_takes() -> None:
    def handed_on(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    inner = module(lambda a, mask=None, b=None: 0)
    for wrapper in (
        SimpleNamespace(forward=handed_on, module=inner),
        SimpleNamespace(forward=handed_on, _orig_mod=SimpleNamespace(forward=handed_on, module=inner)),
    ):
        assert parameters_of(wrapper) == parameters_of(inner)
    other = SimpleNamespace(forward=lambda x, *args, **kwargs: 0, module=inner)
    assert [each.name for each in parameters_of(other)] == ["x", "args", "kwargs"]
    itself = SimpleNamespace(forward=handed_on)
    itself.module = itself
    assert [each.kind for each in parameters_of(itself)] == ["*", "**"]


@pytest.mark.parametrize(("names", "constants"), [("ids atention_mask", {}), ("ids", {"atention_mask": True})])
def test_a_slip_is_not_taken_for_one_of_any_names(names: str, constants: dict[str, Any]) -> None:
    def forward(ids: Any, attention_mask: Any = None, **kwargs: Any) -> Any:
        return ids, attention_mask, kwargs

    told = r"'atention_mask' is not .* \(did you mean 'attention_mask'\?\)\. If it is meant, give 'attention_mask' too"
    with pytest.raises(BindingError, match=told):
        bound(forward, names, constants)
    meant = called(forward, names, {**constants, "attention_mask": None})
    assert meant[1:] == (None, {"atention_mask": constants.get("atention_mask", "atention_mask")})
    assert called(forward, "ids labels") == ("ids", None, {"labels": "labels"})


@pytest.mark.parametrize(
    ("forward", "names", "constants", "told"),
    [
        (
            lambda a, mask, b: 0,
            "a msak",
            {},
            "by name forward takes 'a', and not 'msak' (did you mean 'mask'?). Give every",
        ),
        (lambda a, mask, b: 0, "a x y", {}, "by name forward takes 'a', and not 'x', 'y'."),
        (lambda a, b: 0, "a", {}, "forward needs 'b', and example() gives only 'a'. Add an array"),
        (lambda one, two: 0, "x", {}, "the inputs 'x' are fewer than the 2 that forward needs: 'one', 'two'"),
        (
            lambda one, two=None: 0,
            "x y",
            {},
            "they are is not certain. Give each the name of its argument, as in {'one': …, 'two': …}",
        ),
        (lambda one=None, two=None: 0, "x", {}, "none of the inputs 'x' has a name of forward's"),
        (lambda one, *, two: 0, "x y", {}, "which of its arguments they are is not certain"),
        (lambda a, *rest, **named: 0, "a x", {}, "by name forward takes 'a', and not 'x'"),
        (lambda x: 0, "x", {"casual": 1}, "`constants` names 'casual', which forward does not take"),
        (
            lambda x, causal=0: 0,
            "x",
            {"casual": 1},
            "'casual', which forward does not take (did you mean 'causal'?)",
        ),
        (lambda x, y: 0, "x y", {"y": 1}, "'y' is both an input of example() and in `constants`"),
        (lambda: 0, "x", {}, "none of the inputs 'x' has a name of forward's"),
    ],
)
def test_what_cannot_be_told_is_refused_with_what_to_write(
    forward: Callable[..., Any], names: str, constants: dict[str, Any], told: str
) -> None:
    with pytest.raises(BindingError) as refused:
        bound(forward, names, constants)
    text = str(refused.value)
    assert told in text, text
    assert "forward is forward(self" in text
    assert text.endswith("how inputs are bound is in docs/adding.md.")


def test_the_parameters_are_shown_as_forward_has_them() -> None:
    with pytest.raises(BindingError, match=r"forward\(self, a, b=…, \*rest, c, \*\*more\)"):
        bound(lambda a, b=1, *rest, c, **more: 0, "a x")
    with pytest.raises(BindingError, match=r"forward\(self, a, /, b=…, \*, c, d=…\)"):
        bound(lambda a, /, b=1, *, c, d=2: 0, "a x")


def test_leaves_are_in_the_order_of_forward() -> None:
    example = {"b": [ARRAYS["x"], ARRAYS["y"]], "a": {"z": ARRAYS["z"], "c": None}}
    found = bind(parameters_of(module(lambda a, *, b: 0)), example, {})
    assert found.paths == ("a.z", "b[0]", "b[1]")
    assert found.graph_names == ("a_z", "b_0", "b_1")
    assert found.call([1, 2, 3], {}) == (({"z": 1, "c": None},), {"b": [2, 3]})
    assert not found.plain
    assert found.positional is None


def test_a_plain_call_is_of_the_module_itself() -> None:
    the_module = module(lambda a, b: 0)
    assert bound(the_module.forward, "b a").caller(the_module, {}) is the_module
    assert bound(lambda *inputs: 0, "x y").plain
    wrapped = bound(lambda a, b=None, c=None: (a, b, c), "a c").caller(lambda *args, **kwargs: (args, kwargs), {})
    assert wrapped(1, 2) == ((1,), {"c": 2})


@pytest.mark.parametrize(
    ("forward", "names", "constants", "positional", "wrapper"),
    [
        (lambda a, b: 0, "a b", {}, 2, False),
        (lambda a, mask=None, b=None: 0, "a b", {}, 3, False),
        (lambda a, scale=2.0, b=None: 0, "a b", {}, None, False),
        (lambda a, *, b: 0, "a b", {}, None, False),
        (lambda a, **more: 0, "a b", {}, None, False),
        (lambda a, flag: 0, "a", {"flag": True}, None, True),
        (lambda a, cache, b: 0, "a b", {"cache": None}, 3, False),
    ],
)
def test_what_a_tool_can_be_given_is_known(
    forward: Callable[..., Any], names: str, constants: dict[str, Any], positional: int | None, wrapper: bool
) -> None:
    found = bound(forward, names, constants)
    assert (None if found.positional is None else len(found.positional)) == positional
    assert found.needs_wrapper == wrapper


def test_two_inputs_of_one_path_are_refused() -> None:
    example = {"x": {"a": ARRAYS["a"]}, "x.a": ARRAYS["b"]}
    with pytest.raises(BindingError, match=r"two inputs have the path 'x\.a': rename one"):
        bind(parameters_of(module(lambda **batch: 0)), example, {})


def test_an_input_that_is_no_array_is_refused() -> None:
    with pytest.raises(BindingError, match=r"scale is 0\.5, and an input must be an array"):
        bind(parameters_of(module(lambda x, scale: 0)), {"x": ARRAYS["x"], "scale": 0.5}, {})


def argument(name: str, *, keyword: bool = False, **default: Any) -> Any:
    return SimpleNamespace(
        name=name, kwarg_only=keyword, has_default_value=lambda: bool(default), default_value=default.get("default")
    )


def test_a_program_tells_its_arguments_by_its_schema() -> None:
    """As TorchScript's `forward.schema` has them, the module itself among them."""
    arguments = [
        argument("self"),
        argument("a"),
        argument("mask", default=None),
        argument("b", default=2, keyword=True),
    ]
    forward = SimpleNamespace(schema=SimpleNamespace(arguments=arguments))
    found = parameters_of(SimpleNamespace(forward=forward))
    assert [(each.name, each.kind, each.required, each.default_is_none) for each in found] == [
        ("a", "positional", True, False),
        ("mask", "positional", False, True),
        ("b", "keyword", False, False),
    ]


def test_what_has_no_signature_is_bound_by_order() -> None:
    (parameter,) = parameters_of(SimpleNamespace(forward=3))
    assert (parameter.name, parameter.kind) == ("args", "*")


def program(forward: Callable[..., Any], positions: int, keywords: list[str]) -> Any:
    """What `torch.export` makes of a call, as far as binding looks at it."""
    parts = [
        SimpleNamespace(type=tuple, context=None, children_specs=[None] * positions),
        SimpleNamespace(type=dict, context=keywords, children_specs=[None] * len(keywords)),
    ]
    return SimpleNamespace(forward=forward, _in_spec=SimpleNamespace(type=tuple, children_specs=parts))


@pytest.mark.parametrize(
    ("forward", "positions", "keywords", "names", "args", "kwargs"),
    [
        # torch 2.9 knows the names, and takes keywords as such alone.
        (lambda a, b: 0, 1, ["b"], "b a", ("a",), {"b": "b"}),
        (lambda b, a: 0, 0, ["b", "a"], "a b", (), {"b": "b", "a": "a"}),
        (lambda a, b: 0, 2, [], "b a", ("a", "b"), {}),
        # torch 2.1 takes all by position, and has lost the names of those that were given so.
        (lambda arg_0, arg_1: 0, 1, ["b"], "b a", ("a", "b"), {}),
        (lambda arg_0, arg_1: 0, 0, ["b", "a"], "a b", ("b", "a"), {}),
        (lambda arg_0, arg_1, arg_2: 0, 2, ["x"], "b x a", ("b", "a", "x"), {}),
    ],
)
def test_a_program_is_called_as_it_was_exported(
    forward: Callable[..., Any],
    positions: int,
    keywords: list[str],
    names: str,
    args: tuple[str, ...],
    kwargs: dict[str, str],
) -> None:
    parameters = parameters_of(program(forward, positions, keywords))
    binding = bind(parameters, {name: ARRAYS[name] for name in names.split()}, {})
    assert binding.call(binding.paths, {}) == (args, kwargs)


def test_what_a_program_does_not_take_is_told() -> None:
    parameters = parameters_of(program(lambda arg_0, arg_1: 0, 1, ["b"]))
    with pytest.raises(BindingError, match="by name forward takes 'b', and not 'a', 'c'"):
        bind(parameters, {name: ARRAYS[name] for name in "abc"}, {})
