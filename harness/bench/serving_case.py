"""The one test of a serving process. pytest collects it there and nowhere else."""

from __future__ import annotations

from typing import Any


def test_serve(serving: Any, benchmark: Any) -> None:
    """Load, execute and measure one artifact; what comes of it is in the files that `serving` writes."""
    serving.run(benchmark)
