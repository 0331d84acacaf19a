"""The limits of control groups, in trees as both versions of them have."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.executors.control_groups import cores_limit, memory_limit


def _tree(folder: Path, told: str, files: dict[str, str]) -> tuple[Path, Path]:
    """What `/proc/self/cgroup` and `/sys/fs/cgroup` would be."""
    (folder / "cgroup").write_text(told, encoding="utf-8")
    for name, text in files.items():
        (folder / "sys" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "sys" / name).write_text(f"{text}\n", encoding="utf-8")
    return folder / "cgroup", folder / "sys"


@pytest.mark.parametrize(
    ("told", "files", "least"),
    [
        ("0::/a/b\n", {"memory.max": "max", "a/memory.max": "3000", "a/b/memory.max": "max"}, 3000),
        ("0::/a/b\n", {"memory.max": "2000", "a/b/memory.max": "5000"}, 2000),
        ("0::/of/the/host\n", {"memory.max": "1000"}, 1000),
        ("3:cpu:/\n4:memory:/job\n0::/\n", {"memory/memory.limit_in_bytes": "9223372036854771712"}, None),
        ("4:cpu,memory:/job\n", {"memory/job/memory.limit_in_bytes": "4000"}, 4000),
        ("0::/\n", {}, None),
        ("", {}, None),
    ],
)
def test_memory_is_the_least_limit_at_any_level(
    tmp_path: Path, told: str, files: dict[str, str], least: int | None
) -> None:
    assert memory_limit(*_tree(tmp_path, told, files)) == least


@pytest.mark.parametrize(
    ("told", "files", "least"),
    [
        ("0::/a/b\n", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3),
        ("0::/a/b\n", {"a/cpu.max": "400000 100000", "a/b/cpu.max": "250000 100000"}, 2),
        ("0::/of/the/host\n", {"cpu.max": "50000 100000"}, 1),
        ("0::/\n", {"cpu.max": "max 100000"}, None),
        ("4:cpu,cpuacct:/job\n", {"cpu/job/cpu.cfs_quota_us": "400000", "cpu/job/cpu.cfs_period_us": "100000"}, 4),
        ("4:cpu:/job\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("4:cpu:/job\n", {"cpu/job/cpu.cfs_quota_us": "400000"}, None),
        ("0::/\n", {"cpu.max": ""}, None),
        ("", {}, None),
    ],
)
def test_cores_are_the_least_quota_at_any_level(
    tmp_path: Path, told: str, files: dict[str, str], least: int | None
) -> None:
    assert cores_limit(*_tree(tmp_path, told, files)) == least
