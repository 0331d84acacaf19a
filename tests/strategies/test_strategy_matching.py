"""Which parameter goes into which variable, and what is refused."""

from __future__ import annotations

import pytest

from harness.steps._matching import NoPartnerError, match

Shape = tuple[int, ...]

TORCH: dict[str, Shape] = {
    "features.0.weight": (8, 3, 3, 3),
    "features.1.weight": (8,),
    "features.1.bias": (8,),
    "features.1.running_mean": (8,),
    "features.1.running_var": (8,),
    "fc.weight": (10, 8),
    "fc.bias": (10,),
}
KERAS: list[tuple[str, Shape]] = [
    ("conv1/kernel:0", (3, 3, 3, 8)),
    ("bn/gamma:0", (8,)),
    ("bn/beta:0", (8,)),
    ("predictions/kernel:0", (8, 10)),
    ("predictions/bias:0", (10,)),
    # Keras 2 lists what is not trained after everything that is.
    ("bn/moving_mean:0", (8,)),
    ("bn/moving_variance:0", (8,)),
]


def partners(entries: dict[str, Shape], variables: list[tuple[str, Shape]]) -> dict[str, str]:
    return {pair.entry: variables[pair.variable][0] for pair in match(entries, variables)}


def test_order_roles_and_shapes_match_what_names_do_not() -> None:
    assert partners(TORCH, KERAS) == {
        "features.0.weight": "conv1/kernel:0",
        "features.1.weight": "bn/gamma:0",
        "features.1.bias": "bn/beta:0",
        "features.1.running_mean": "bn/moving_mean:0",
        "features.1.running_var": "bn/moving_variance:0",
        "fc.weight": "predictions/kernel:0",
        "fc.bias": "predictions/bias:0",
    }


def test_layouts() -> None:
    axes = {pair.entry: pair.axes for pair in match(TORCH, KERAS)}
    assert axes["features.0.weight"] == (2, 3, 1, 0)
    assert axes["features.1.weight"] == (0,)
    assert axes["fc.weight"] == (1, 0)
    (depthwise,) = match({"c.weight": (8, 1, 3, 3)}, [("dw/depthwise_kernel", (3, 3, 8, 1))])
    assert depthwise.axes == (2, 3, 0, 1)
    (temporal,) = match({"c.weight": (8, 4, 5)}, [("conv1d/kernel", (5, 4, 8))])
    assert temporal.axes == (2, 1, 0)


def test_names_match_where_order_does_not() -> None:
    entries: dict[str, Shape] = {
        "embeddings.words.weight": (50, 4),
        "layer.0.query.weight": (4, 4),
        "layer.0.key.weight": (4, 4),
        "layer.1.query.weight": (4, 4),
        "layer.1.key.weight": (4, 4),
    }
    variables: list[tuple[str, Shape]] = [
        ("tf_model/layer_._1/key/kernel:0", (4, 4)),
        ("tf_model/layer_._1/query/kernel:0", (4, 4)),
        ("tf_model/layer_._0/key/kernel:0", (4, 4)),
        ("tf_model/layer_._0/query/kernel:0", (4, 4)),
        ("tf_model/embeddings/words/embeddings:0", (50, 4)),
    ]
    found = partners(entries, variables)
    assert found["layer.0.query.weight"] == "tf_model/layer_._0/query/kernel:0"
    assert found["layer.1.key.weight"] == "tf_model/layer_._1/key/kernel:0"
    assert len(found) == len(entries)


def test_a_variable_without_partner_is_named() -> None:
    with pytest.raises(
        NoPartnerError, match=r"^conv1/bias \[8\] finds no partner: .* features.0.weight \[8, 3, 3, 3\]$"
    ):
        match(TORCH, [KERAS[0], ("conv1/bias:0", (8,)), *KERAS[1:]])


def test_a_parameter_without_partner_is_named() -> None:
    with pytest.raises(NoPartnerError, match=r"^head.weight \[2, 10\] finds no partner: .* nothing more$"):
        match({**TORCH, "head.weight": (2, 10)}, KERAS)


def test_another_order_of_the_layers_is_refused() -> None:
    entries: dict[str, Shape] = {"a.weight": (4, 4, 1, 1), "b.weight": (4,), "b.bias": (4,), "c.weight": (4, 4, 1, 1)}
    variables: list[tuple[str, Shape]] = [
        ("x/kernel", (1, 1, 4, 4)),
        ("y/kernel", (1, 1, 4, 4)),
        ("z/gamma", (4,)),
        ("z/beta", (4,)),
    ]
    with pytest.raises(NoPartnerError, match=r"^b.weight"):
        match(entries, variables)


def test_two_vectors_that_only_a_guess_could_tell_apart_are_refused() -> None:
    with pytest.raises(NoPartnerError, match=r"^a.bias"):
        match({"a.bias": (4,), "a.weight": (4,)}, [("x/bias", (4,)), ("x/beta", (4,))])
