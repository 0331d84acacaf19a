"""What the tests of the doctor share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with one combination, whose lock fits."""
    folder = tmp_path / "repository"
    (folder / "matrices" / "locks").mkdir(parents=True)
    (folder / "matrices" / "small.in").write_text("# python: 3.11\nsix==1.16.0\n", encoding="utf-8")
    head = "#    uv pip compile --python-version 3.11 --generate-hashes --output-file=x y\n"
    (folder / "matrices" / "locks" / "small.txt").write_text(head + "six==1.16.0\n", encoding="utf-8")
    (folder / "matrices" / "nightly.toml").write_text('combinations = ["small"]\n', encoding="utf-8")
    return folder


@pytest.fixture
def files(root: Path) -> Callable[[], dict[str, tuple[int, bytes]]]:
    """Every file of it as it is, to tell that none was changed."""

    def read() -> dict[str, tuple[int, bytes]]:
        found = (path for path in root.rglob("*") if path.is_file())
        return {str(path.relative_to(root)): (path.stat().st_mtime_ns, path.read_bytes()) for path in found}

    return read
