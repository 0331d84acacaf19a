"""What a call of the LiteRT runtime asks of an interpreter. A stand-in: it adds up its inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.runtimes.tflite import TfliteServable


class FakeInterpreter:
    """Inputs `x0`, `x1`, …, and as many outputs as are asked for: the sum of the inputs, and that plus one, …"""

    def __init__(self, inputs: int, outputs: int) -> None:
        self.inputs: list[dict[str, Any]] = [
            {"name": f"x{i}", "index": i, "shape": [2], "dtype": np.float32} for i in range(inputs)
        ]
        self.outputs: list[dict[str, Any]] = [{"name": f"y_{i}", "index": inputs + i} for i in range(outputs)]
        self.values: dict[int, Any] = {}
        self.invoked = 0

    def get_input_details(self) -> list[dict[str, Any]]:
        return self.inputs

    def get_output_details(self) -> list[dict[str, Any]]:
        return self.outputs

    def get_signature_list(self) -> dict[str, Any]:
        return {}

    def allocate_tensors(self) -> None: ...

    def set_tensor(self, index: int, value: Any) -> None:
        self.values[index] = value

    def invoke(self) -> None:
        self.invoked += 1
        total = sum(self.values[each["index"]] for each in self.inputs)
        self.values |= {each["index"]: total + number for number, each in enumerate(self.outputs)}

    def get_tensor(self, index: int) -> Any:
        return self.values[index].copy()


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_each_call_sets_the_inputs_runs_once_and_copies_the_outputs(inputs: int, outputs: int) -> None:
    interpreter = FakeInterpreter(inputs, outputs)
    servable = TfliteServable(interpreter)
    call = servable.prepare({f"x{i}": np.full(2, i + 1.0, np.float32) for i in range(inputs)})
    for array in servable.outputs(call()):
        array[:] = 100.0  # as a caller may
    answers = servable.outputs(call())
    total = sum(range(1, inputs + 1))
    assert [list(array) for array in answers] == [[total + number] * 2 for number in range(outputs)]
    assert interpreter.invoked == 2
