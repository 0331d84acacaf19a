"""How many benches run side by side on this machine."""

from __future__ import annotations

import os

import pytest

from harness.bench.errors import UsageError
from harness.bench.plan import Policy
from harness.executors import local
from harness.executors.local import jobs_here, memory_mb


def test_the_memory_is_no_more_than_the_machine_has() -> None:
    assert 0 < memory_mb() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20


@pytest.mark.parametrize(
    ("cores", "threads", "limit_mb", "jobs"),
    [(8, 1, 1000, 8), (8, 2, 1000, 4), (8, 3, 1000, 2), (2, 4, 1000, 1), (8, 1, 3000, 3), (8, 1, 20_000, 1)],
)
def test_jobs_are_as_many_as_cores_and_memory_allow(
    monkeypatch: pytest.MonkeyPatch, cores: int, threads: int, limit_mb: int, jobs: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    monkeypatch.setattr(local, "cores_limit", lambda: None)
    monkeypatch.setattr(local, "memory_mb", lambda: 11_000)
    policy = Policy(threads=threads, memory_limit_mb=limit_mb)
    assert jobs_here(policy, device="cpu") == jobs
    assert jobs_here(policy, device="cpu", asked=1) == 1


@pytest.mark.parametrize(("limit", "cores"), [(None, 8), (2, 2), (16, 8)])
def test_the_cores_are_no_more_than_a_container_may_use(
    monkeypatch: pytest.MonkeyPatch, limit: int | None, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(local, "cores_limit", lambda: limit)
    assert local.cores() == cores


def test_more_than_memory_allows_is_refused_with_what_to_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "memory_mb", lambda: 11_000)
    with pytest.raises(
        UsageError,
        match=r"--jobs 4: each may take 3000 MiB .* has 11000 MiB, .* Ask for 3 at most",
    ):
        jobs_here(Policy(memory_limit_mb=3000), device="cpu", asked=4)


def test_more_than_the_cores_may_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "memory_mb", lambda: 10_000)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert jobs_here(Policy(memory_limit_mb=1000), device="cpu", asked=5) == 5


def test_on_a_gpu_one_cell_is_served_after_another() -> None:
    assert jobs_here(Policy(), device="cuda") == 1
    with pytest.raises(UsageError, match="has it alone"):
        jobs_here(Policy(memory_limit_mb=1), device="cuda", asked=2)
