"""A repository whose packages are small wheels in a folder, so that candidates are resolved without any index."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.matrix import combination, locks
from harness.matrix.locks import BENCH_REQUIREMENTS
from tests.matrix.wheels import wheel


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Its combination `now` pins torch, vision (which pins torch), exporter and runtime, and brings helper."""
    folder = tmp_path / "wheels"
    for version in ("1.0", "1.1", "1.2", "2.0"):
        wheel(folder, "torch", version, "helper")
        wheel(folder, "vision", f"0.{version}", f"torch=={version}")
    wheel(folder, "torch", "1.3rc1", "helper")
    for version in ("1.0", "1.1"):
        wheel(folder, "helper", version)
    wheel(folder, "exporter", "1.0", "proto<4")
    wheel(folder, "exporter", "2.0", "proto>=4")
    wheel(folder, "runtime", "1.0", "proto<4")
    wheel(folder, "runtime", "2.0")
    wheel(folder, "proto", "3.0")
    wheel(folder, "proto", "4.0")
    wheel(folder, "einops", "1.0")
    (tmp_path / BENCH_REQUIREMENTS).parent.mkdir(parents=True)
    (tmp_path / BENCH_REQUIREMENTS).write_text("einops\n", encoding="utf-8")
    (tmp_path / "matrices").mkdir()
    file = tmp_path / "matrices" / "now.in"
    text = "# python: 3.11\n--no-index\n-f ../wheels\ntorch==1.0\nvision==0.1.0\nexporter==1.0\nruntime==1.0\n"
    file.write_text(f"{text}helper==1.0\n", encoding="utf-8")
    locks.lock(tmp_path, combination.read(tmp_path, "now"))
    file.write_text(text, encoding="utf-8")  # its lock has an older helper than there is
    return tmp_path
