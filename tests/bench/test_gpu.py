"""Which GPU NVML is asked about, and what is told where it cannot answer. A stand-in for NVML: there is none here."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.bench import gpu
from harness.bench.gpu import Choice, Gpu, choose
from tests.bench.nvml import Device, Nvml, WithNvml

ONE, TWO, DIVIDED = Gpu("GPU-aa11"), Gpu("GPU-ab22"), Gpu("GPU-cc33", ("MIG-d1", "MIG-d2"))
BY_BUS = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def visible(value: str) -> dict[str, str]:
    return {"CUDA_VISIBLE_DEVICES": value}


@pytest.mark.parametrize(
    ("gpus", "environ", "uuids", "count"),
    [
        ([ONE], {}, ["GPU-aa11"], 1),
        ([ONE], visible("0"), ["GPU-aa11"], 1),
        ([ONE, TWO], BY_BUS, ["GPU-aa11"], 2),
        ([ONE, TWO], {**BY_BUS, **visible("1")}, ["GPU-ab22"], 1),
        ([ONE, TWO], {**BY_BUS, **visible("1, 0")}, ["GPU-ab22"], 2),
        ([ONE, TWO], {**BY_BUS, **visible("1,7,0")}, ["GPU-ab22"], 1),
        ([ONE, TWO], {**BY_BUS, **visible("1,-1,0")}, ["GPU-ab22"], 1),
        ([ONE, TWO], visible("GPU-ab22"), ["GPU-ab22"], 1),
        ([ONE, TWO], visible("GPU-ab"), ["GPU-ab22"], 1),
        ([ONE, TWO], visible("GPU-ab,GPU-aa"), ["GPU-ab22"], 2),
        ([ONE, DIVIDED], visible("MIG-d2"), ["MIG-d2"], 1),
        ([ONE, DIVIDED], visible("MIG-d2,MIG-d1"), ["MIG-d2"], 2),
        ([ONE, DIVIDED], visible("GPU-cc"), ["MIG-d1"], 1),
        ([DIVIDED], {}, ["MIG-d1"], 1),
    ],
)
def test_cudas_first_device_is_known(
    gpus: Sequence[Gpu], environ: dict[str, str], uuids: list[str], count: int
) -> None:
    assert choose(gpus, environ) == Choice(tuple(uuids), count)


@pytest.mark.parametrize(
    "environ", [{}, visible("0"), visible("0,1"), {**visible("0"), "CUDA_DEVICE_ORDER": "FASTEST_FIRST"}]
)
def test_cudas_first_device_by_index_is_doubtful_where_cuda_counts_in_its_own_order(environ: dict[str, str]) -> None:
    choice = choose([ONE, TWO], environ)
    assert choice.uuids == ("GPU-aa11", "GPU-ab22")
    assert "one of 2 GPUs: without CUDA_DEVICE_ORDER=PCI_BUS_ID" in choice.doubt


@pytest.mark.parametrize(
    ("gpus", "environ", "reason"),
    [
        ([], {}, "NVML sees no GPU"),
        ([ONE], visible(""), "CUDA_VISIBLE_DEVICES hides every GPU"),
        ([ONE], visible("-1"), "CUDA_VISIBLE_DEVICES hides every GPU"),
        ([ONE], visible("1"), "CUDA_VISIBLE_DEVICES=1 names no GPU that NVML sees"),
        ([ONE, TWO], visible("GPU-a"), "CUDA_VISIBLE_DEVICES=GPU-a names no GPU that NVML sees"),
        ([ONE], visible("aa11"), "CUDA_VISIBLE_DEVICES=aa11 names no GPU that NVML sees"),
        ([ONE, TWO], visible("0,0"), "CUDA_VISIBLE_DEVICES=0,0 names a GPU twice, and CUDA then sees none"),
    ],
)
def test_why_there_is_no_gpu(gpus: Sequence[Gpu], environ: dict[str, str], reason: str) -> None:
    assert choose(gpus, environ) == Choice((), reason=reason)


def test_the_newest_cuda_that_the_driver_knows(with_nvml: WithNvml) -> None:
    with_nvml(Nvml(Device("GPU-aa")))
    assert gpu.cuda_of_driver() == "12.4"
    with_nvml(Nvml(Device("GPU-aa"), refused=["cuda"]))
    assert gpu.cuda_of_driver() == ""


def test_the_gpu_is_the_one_that_cuda_sees(with_nvml: WithNvml) -> None:
    with_nvml(Nvml(Device("GPU-aa"), Device("GPU-bb")), visible("GPU-b"))
    assert gpu.describe() == gpu.Found({"name": "name of GPU-bb", "memory_mb": 2**14, "count": 1}, "570.1")
    assert (gpu.resolve("auto"), gpu.why_cpu()) == ("cuda", "")


def test_a_gpu_of_an_older_driver_that_knows_of_no_parts_is_one(with_nvml: WithNvml) -> None:
    with_nvml(Nvml(Device("GPU-aa"), refused=["mig"]))
    assert gpu.resolve("auto") == "cuda"


@pytest.mark.parametrize(
    ("nvml", "environ", "reason"),
    [
        (None, {}, "nvidia-ml-py is not installed"),
        (Nvml(refused=["init"]), {}, "NVML: init: Not Supported"),
        (Nvml(), {}, "NVML sees no GPU"),
        (Nvml(Device("GPU-aa"), refused=["memory"]), {}, "NVML: memory: Not Supported"),
        (Nvml(Device("GPU-aa")), visible("GPU-b"), "CUDA_VISIBLE_DEVICES=GPU-b names no GPU that NVML sees"),
        (Nvml(Device("GPU-aa")), visible(""), "CUDA_VISIBLE_DEVICES hides every GPU"),
    ],
)
def test_auto_says_why_it_is_the_cpu(
    with_nvml: WithNvml, nvml: Nvml | None, environ: dict[str, str], reason: str
) -> None:
    with_nvml(nvml, environ)
    assert (gpu.resolve("auto"), gpu.why_cpu()) == ("cpu", reason)


def test_the_memory_of_a_part_is_the_parts(with_nvml: WithNvml) -> None:
    whole = Device("GPU-aa", parts=[Device("MIG-x"), Device("MIG-y")])
    with_nvml(Nvml(whole), visible("MIG-y"))
    assert gpu.describe().gpu == {"name": "name of MIG-y", "memory_mb": 2**14, "count": 1}
