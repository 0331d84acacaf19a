"""Where things are: the harness's own files in a checkout and in a wheel, and the root of a repository.

What runs inside pinned environments must be importable there, and nothing else of the harness's environment may be. In
a checkout that is the checkout's folder; a wheel keeps these parts, and the zoo, in a folder of their own.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
"""The package `harness`, as far as it runs inside: bench, steps, strategies and runtimes."""

CODE = PACKAGE.parent
"""The folder that is importable inside: it holds `harness` and `model_zoo`, and no other package."""

ZOO = CODE / "model_zoo"

MATRICES = "matrices"


def find_root(start: Path) -> Path:
    """The root of the repository around `start`: the nearest folder at or above it that holds `matrices`.

    Where there is none it is `start` itself.
    """
    return next((folder for folder in (start, *start.parents) if (folder / MATRICES).is_dir()), start)
