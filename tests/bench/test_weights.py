"""Filled weights: keyed by shape and position, scaled by role; a module is a stand-in without any framework."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from harness.bench.weights import filled_state


class Tensor:
    """What `filled_state` looks at of a tensor."""

    def __init__(self, *shape: int, floating: bool = True) -> None:
        self.shape = shape
        self._floating = floating

    def is_floating_point(self) -> bool:
        return self._floating


@dataclass
class Module:
    """A module by its parameters and its buffers, in the state dict's order."""

    parameters: dict[str, Tensor]
    buffers: dict[str, Tensor] = field(default_factory=dict)

    def named_parameters(self) -> list[tuple[str, Tensor]]:
        return list(self.parameters.items())

    def state_dict(self) -> dict[str, Tensor]:
        return {**self.parameters, **self.buffers}


def test_names_do_not_matter_and_positions_do() -> None:
    one = filled_state(Module({"a.weight": Tensor(4, 3), "b.weight": Tensor(4, 3)}), {})
    other = filled_state(Module({"first.weight": Tensor(4, 3), "second.weight": Tensor(4, 3)}), {})
    assert [value.tobytes() for value in one.values()] == [value.tobytes() for value in other.values()]
    assert (one["a.weight"] != one["b.weight"]).any()


def test_a_tensor_of_another_shape_in_between_changes_nothing() -> None:
    plain = filled_state(Module({"a.weight": Tensor(4, 3), "b.weight": Tensor(4, 3)}), {})
    more = filled_state(Module({"a.weight": Tensor(4, 3), "new.weight": Tensor(5, 5), "b.weight": Tensor(4, 3)}), {})
    assert plain["b.weight"].tobytes() == more["b.weight"].tobytes()


@pytest.mark.parametrize(
    ("name", "shape", "low", "high"),
    [
        ("bn.weight", (256,), 0.9, 1.1),
        ("bn.bias", (256,), -0.1, 0.1),
        ("fc.weight", (64, 48), -0.25, 0.25),
        ("conv.weight", (32, 4, 3, 4), -0.25, 0.25),
        ("scale", (), -0.1, 0.1),
    ],
)
def test_the_role_chooses_the_interval(name: str, shape: tuple[int, ...], low: float, high: float) -> None:
    drawn = filled_state(Module({name: Tensor(*shape)}), {})[name]
    assert drawn.shape == shape
    assert drawn.min() >= np.float32(low)
    assert drawn.max() <= np.float32(high)
    if drawn.size > 100:
        assert float(drawn.max() - drawn.min()) > 0.9 * (high - low)


def test_running_statistics_are_filled_and_other_buffers_are_not() -> None:
    buffers = {
        "bn.running_mean": Tensor(8),
        "bn.running_var": Tensor(8),
        "bn.num_batches_tracked": Tensor(floating=False),
        "positions": Tensor(8),
    }
    drawn = filled_state(Module({"bn.weight": Tensor(8)}, buffers), {})
    assert list(drawn) == ["bn.weight", "bn.running_mean", "bn.running_var"]
    assert drawn["bn.running_var"].min() >= 0.5


def test_the_first_gain_that_fits_scales() -> None:
    module = Module({"head.weight": Tensor(9, 9)})
    plain: Any = filled_state(module, {})["head.weight"]
    scaled = filled_state(module, {"*.bias": 9.0, "head.*": 0.5, "*": 7.0})["head.weight"]
    np.testing.assert_allclose(scaled, plain * 0.5, rtol=1e-6)
