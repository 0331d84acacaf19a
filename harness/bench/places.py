"""Where the harness's own files are: in a checkout, and in a wheel.

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
