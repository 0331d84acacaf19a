"""The files of a package of a user's own: code and data, and nothing that a build or an import leaves beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_MADE = (".pyc", ".pyo", ".pyd", ".so", ".dylib", ".o", ".egg-info", ".dist-info")


def is_made(name: str) -> bool:
    """Whether a file or folder of this name is a cache, or what a build has written."""
    return name.startswith((".", "__pycache__")) or name.endswith(_MADE)


def package_files(folder: Path) -> Iterator[Path]:
    """Every regular file in `folder`, through folders that are links too, in the order of names."""
    yield from _files(folder, ())


def _files(folder: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    real = folder.resolve()
    if real in above or (folder / "pyvenv.cfg").exists():
        return  # a link to a folder that it is in; somebody's environment
    try:
        found = sorted(folder.iterdir())
    except OSError:
        return
    for path in found:
        if is_made(path.name):
            continue
        if path.is_dir():
            yield from _files(path, (*above, real))
        elif path.is_file():
            yield path
