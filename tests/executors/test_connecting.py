"""What Ray raises is told as what it is: no result, with what to do."""

from __future__ import annotations

import pytest

from harness.bench.errors import InfrastructureError, UsageError
from harness.executors.connecting import ClusterError, imported, told_as_cluster_errors

ray = pytest.importorskip("ray", reason="an extra: conversion-harness[ray]")


@pytest.mark.parametrize(
    "error",
    [
        ray.exceptions.RaySystemError("the GCS is gone\nwith a trace"),
        ray.exceptions.RpcError("timed out", 14),
        ray.exceptions.GetTimeoutError("no answer"),
        ConnectionError("could not connect"),
        ConnectionResetError("reset"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_ray_raises_says_what_to_do(error: Exception) -> None:
    of_ray = {"__name__": "ray.worker"}
    exec("def get(error): raise error", of_ray)
    with pytest.raises(ClusterError, match="does not answer any more") as found, told_as_cluster_errors(imported()):
        of_ray["get"](error)  # type: ignore[operator]
    assert type(error).__name__ in str(found.value)
    assert "ray status" in str(found.value)
    assert "with a trace" not in str(found.value)


@pytest.mark.parametrize(
    "error", [BrokenPipeError(), ConnectionResetError(), UsageError("m"), InfrastructureError("m"), KeyboardInterrupt()]
)
def test_what_others_raise_stays_what_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)) as found, told_as_cluster_errors(imported()):
        raise error
    assert found.value is error
