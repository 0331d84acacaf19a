"""What tests of locking and installing share."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.matrix.locks import BENCH_REQUIREMENTS
from harness.matrix.requirements.keeping import Kept
from tests.matrix.taking import Take, taken_from
from tests.matrix.wheels import wheel


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB; skipped where this user may not mount one."""
    folder = tmp_path / "small-disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"this user may not mount a file system: {done.stderr.decode(errors='replace').strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of wheels that stands for the package index."""
    folder = tmp_path_factory.mktemp("wheels")
    for version in ("2.0.1", "2.1.0", "2.1.0+cpu"):
        wheel(folder, "torch", version, "filelock", "numpy")
    for version in ("1.24.3", "1.26.4"):
        wheel(folder, "numpy", version)
    wheel(folder, "onnxruntime", "1.15.1", "numpy>=1.21")
    wheel(folder, "fastapi", "0.110.0", "starlette")
    wheel(folder, "starlette", "0.36.3")
    wheel(folder, "einops", "0.7.0")
    wheel(folder, "pillow", "10.0.0", modules=["PIL"])
    wheel(folder, "filelock", "3.9.0")
    wheel(folder, "filelock", "3.13.1")
    wheel(folder, "pytest", "7.4.4", "pluggy<1.5")
    wheel(folder, "pytest", "8.3.0", "pluggy>=1.5")
    wheel(folder, "pluggy", "1.0.0")
    wheel(folder, "pluggy", "1.5.0")
    wheel(folder, "tomli", "2.0.1")
    wheel(folder, "tomli", "2.1.0")
    wheel(folder, "needs-old-torch", "1.0", "torch<2.1")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with nothing in it; the bench needs a test tool and what torch needs, too."""
    bench = tmp_path / "root" / BENCH_REQUIREMENTS
    bench.parent.mkdir(parents=True)
    bench.write_text("pytest>=8\nfilelock>=3.12\n", encoding="utf-8")
    return tmp_path / "root"


@pytest.fixture
def notes() -> list[str]:
    """What a person was told."""
    return []


@pytest.fixture
def taken(root: Path, index: Path, notes: list[str]) -> Take:
    """Take a file of these lines, with the folder of wheels as the only index."""

    def do(*lines: str, modules: str = "torch onnxruntime tensorflow", file: str = "reqs.txt", **more: object) -> Kept:
        (root / file).write_text("\n".join([f"--no-index\n-f {index}", *lines, ""]), encoding="utf-8")
        return taken_from(root, root / file, notes, modules, **more)

    return do
