"""Takes requirements that were given, from a folder of small wheels that stands for the package index."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from harness.matrix.combination import read as read_combination
from harness.matrix.locks import Lock, read_lock
from harness.matrix.requirements.closing import Wish
from harness.matrix.requirements.keeping import Kept, take
from tests.matrix.wheels import project

Take = Callable[..., Kept]


def taken_from(root: Path, path: Path | str, notes: list[str], modules: str = "torch", **more: object) -> Kept:
    wish = Wish(modules=frozenset(modules.split()), everything=bool(more.pop("everything", False)))
    given: dict[str, object] = {"python": "3.11", **more}
    return take(root, str(path), wish, note=notes.append, **given)  # type: ignore[arg-type]


def locked(kept: Kept) -> Lock:
    """The lock of what was taken."""
    return read_lock(kept.root, read_combination(kept.root, kept.name))


def lock_of(kept: Kept) -> str:
    """Its text."""
    return locked(kept).text


def hash_of(path: Path) -> str:
    return f"--hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def write_pyproject(root: Path, index: Path, more: str = "") -> Path:
    path = root / "app" / "pyproject.toml"
    project(path.parent, "myapp", "torch==2.0.1")
    text = path.read_text(encoding="utf-8").replace("[build-system]", f"{more}\n[build-system]")
    path.write_text(f'{text}[tool.uv]\nno-index = true\nfind-links = ["{index}"]\n', encoding="utf-8")
    return path
