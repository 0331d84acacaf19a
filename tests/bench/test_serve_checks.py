"""What a serving process tells of itself is checked: the provider that executed, and facts of a user's own runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.bench.serve import WrongDeviceError, check_provider, checked_facts


@pytest.mark.parametrize(
    ("provider", "device"),
    [
        ("CPUExecutionProvider", "cpu"),
        ("CUDAExecutionProvider", "cuda"),
        ("TensorrtExecutionProvider", "cuda"),
        ("tensorflow-cpu", "cpu"),
        ("torch-cuda over gRPC", "cuda"),
        ("numpy", "cpu"),
        ("numpy", "cuda"),
        ("ours, by CPU and GPU", "cpu"),
        ("ours, by CPU and GPU", "cuda"),
    ],
)
def test_a_provider_of_the_device_or_of_no_known_one_is_taken(provider: str, device: str) -> None:
    assert check_provider(provider, device) == provider


@pytest.mark.parametrize(
    ("provider", "device"),
    [("CPUExecutionProvider", "cuda"), ("torch-cuda", "cpu"), ("GPU:0", "cpu"), ("TensorrtExecutionProvider", "cpu")],
)
def test_a_provider_of_the_other_device_is_refused(provider: str, device: str) -> None:
    with pytest.raises(WrongDeviceError, match=f"device is {device}, and the runtime reports that {provider}"):
        check_provider(provider, device)


@pytest.mark.parametrize(
    "value",
    [
        {"a": True},
        {"a": None},
        {"a": float("inf")},
        {"a": np.float32(1)},
        {"tf32": True},
        {"cpu_nodes": -1},
        {"cpu_nodes": 1.0},
        {"a": {"b": 1}},
        None,
    ],
)
def test_facts_that_no_table_can_hold_are_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"facts\(\) returned"):
        checked_facts(value)
