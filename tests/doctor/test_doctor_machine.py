"""Memory, disks, limits, variables and the clock: each fault as it is met, and what is told of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.doctor import machine, variables
from harness.doctor.finding import Finding, Severity
from tests.bench.nvml import Device, Nvml

ROOT = Path(__file__).resolve().parents[2]


def _of(findings: list[Finding], what: str) -> Finding:
    (finding,) = [each for each in findings if each.what == what]
    return finding


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB from which no program can be started."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m,noexec", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("no right to mount a small file system here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_without_room_and_a_folder_where_nothing_starts(
    root: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    found = machine.disks(root)
    room = _of(found, "disk of temporary files")
    assert room.severity is Severity.FAULT
    assert room.found == "2 MiB free: a run needs at least 1.0 GiB"
    assert room.remedy.endswith("uv cache prune")
    noexec = _of(found, "temporary files")
    assert noexec.severity is Severity.WARNING
    assert "is mounted noexec" in noexec.found


def test_a_disk_that_may_not_be_written_to(root: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    finding = _of(machine.disks(root), "disk of temporary files")
    assert (finding.severity, finding.found) == (Severity.FAULT, f"{small_disk} may not be written to")


def test_a_cache_on_another_disk_costs_copies(root: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(small_disk / "cache"))
    finding = _of(machine.disks(root), "hard links")
    assert finding.severity is Severity.WARNING
    assert finding.remedy == f'export UV_CACHE_DIR="{root / ".uv-cache"}"'


def test_what_is_missing_has_its_price(root: Path) -> None:
    (finding,) = [each for each in machine.disks(root) if ".tox" in each.what]
    assert "to install small takes about" in finding.found


def test_memory_that_a_cell_may_not_have(root: Path) -> None:
    assert _of(machine.memory(root), "memory").severity is Severity.FINE
    (root / "matrices" / "nightly.toml").write_text(
        'combinations = ["small"]\n[policy]\nmemory_limit_mb = 1000000000\n', encoding="utf-8"
    )
    finding = _of(machine.memory(root), "memory")
    assert finding.severity is Severity.WARNING
    assert "less than a cell may use" in finding.found
    assert finding.remedy.startswith("In the matrix file: [policy] memory_limit_mb = ")


@pytest.mark.parametrize(
    ("runtime", "severity"),
    [
        ("nvidia-cuda-runtime-cu11==11.7.99", Severity.FINE),
        ("nvidia-cuda-runtime-cu12==12.8.90", Severity.FINE),  # minor versions are compatible
        ("nvidia-cuda-runtime==13.0.48", Severity.FAULT),
    ],
)
def test_a_lock_that_brings_a_newer_cuda_than_the_driver_knows(
    root: Path, monkeypatch: pytest.MonkeyPatch, runtime: str, severity: Severity
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(Device("GPU-aa")))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with (root / "matrices" / "locks" / "small.txt").open("a", encoding="utf-8") as file:
        file.write(f"{runtime} \\\n    --hash=sha256:00\n")
    first, second = machine.graphics(root)
    assert first.found == "name of GPU-aa, 16 GiB, driver 570.1"
    assert (second.what, second.severity) == ("CUDA of small", severity)
    assert "the driver knows up to 12.4" in second.found
    assert bool(second.remedy) is (severity is Severity.FAULT)


def test_no_gpu_is_nothing_wrong(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (finding,) = machine.graphics(root)
    assert finding.severity is Severity.FINE
    assert "CUDA_VISIBLE_DEVICES hides every GPU" in finding.found


def test_a_table_of_the_future(root: Path) -> None:
    (root / "results" / "small" / "cpu-quick" / "20010101T000000Z").mkdir(parents=True)
    assert [finding.severity for finding in machine.clock(root)] == [Severity.FINE]
    (root / "results" / "small" / "cpu-quick" / "29990101T000000Z").mkdir(parents=True)
    (finding,) = machine.clock(root)
    assert finding.severity is Severity.WARNING
    assert "20" + time.strftime("%y") not in finding.found
    assert "29990101T000000Z" in finding.found


@pytest.mark.parametrize(
    ("variable", "value", "told", "remedy"),
    [
        ("LD_PRELOAD", "/nowhere/lib.so", "it reaches into every cell", "unset LD_PRELOAD"),
        ("TF_ENABLE_ONEDNN_OPTS", "0", "0: it reaches into every cell", "unset TF_ENABLE_ONEDNN_OPTS"),
        ("NVIDIA_TF32_OVERRIDE", "1", "it reaches into every cell", "unset NVIDIA_TF32_OVERRIDE"),
        ("UV_OFFLINE", "1", "nothing is downloaded", "unset UV_OFFLINE"),
        ("UV_LINK_MODE", "copy", "files are copied", "unset UV_LINK_MODE"),
        ("PIP_INDEX_URL", "https://name:word@here/simple", "https://…@here/simple: it is pip's", "UV_DEFAULT_INDEX"),
    ],
)
def test_variables_that_matter(
    root: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str, remedy: str
) -> None:
    monkeypatch.setenv(variable, value)
    finding = _of(variables.variables(root), variable)
    assert finding.severity is Severity.WARNING
    assert told in finding.found
    assert remedy in finding.remedy
    assert "word" not in finding.found


@pytest.mark.parametrize(
    ("variable", "value"),
    [("OMP_NUM_THREADS", "1"), ("PYTHONPATH", "/x"), ("UV_INDEX", "https://here"), ("TF_CLI_CONFIG_FILE", "x")],
)
def test_variables_that_do_no_harm(root: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    found = [finding for finding in variables.variables(root) if finding.what == variable]
    assert [finding.severity for finding in found] == [Severity.FINE] * (variable != "TF_CLI_CONFIG_FILE")


def test_limits_of_the_shell(root: Path) -> None:
    code = (
        "import json, sys; from pathlib import Path; from harness.doctor.variables import limits; "
        "print(json.dumps([[each.severity.value, each.what, each.remedy] for each in limits(Path(sys.argv[1]))]))"
    )
    shell = 'ulimit -n 200; ulimit -v 8000000; exec "$@"'
    done = subprocess.run(
        ["/bin/sh", "-c", shell, "sh", sys.executable, "-c", code, str(root)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [
        ["warning", "open files", "ulimit -n 200"],
        ["warning", "address space", "ulimit -v unlimited"],
    ]
