"""Where a repository's own things are, and those that come with the harness."""

from __future__ import annotations

from pathlib import Path

from harness.bench.places import CODE, MATRICES

REFERENCE = CODE / MATRICES
"""The combinations that come with the harness, each with its lock; in a checkout they are its own."""

OWN = ".harness"


def home() -> Path | None:
    """The home of whoever runs this; None where nobody says: a container's user may have neither name nor HOME."""
    try:
        return Path.home().resolve()
    except RuntimeError:
        return None


def own_folder(root: Path) -> Path:
    """`.harness` below a root, made if need be: what is kept between commands, and is nobody's to commit."""
    folder = root / OWN
    ignore = folder / ".gitignore"
    if not ignore.exists():
        folder.mkdir(parents=True, exist_ok=True)
        ignore.write_text("*\n", encoding="utf-8")
    return folder
