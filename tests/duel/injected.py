"""Strategies as the harness has them, whose serving call takes longer by a share: a change of speed that is known.

Both sides of a duel are served by these, of another share, so that what wraps the call is the same on both.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from harness.bench.registry import discover

PREFIX = "injected-"

_RUNTIME = '''
"""{name}, with a call that takes longer by a share of itself."""

from time import perf_counter

from harness.bench import Runtime
from harness.runtimes.{stem} import RUNTIME as INNER

SHARE = {share}


class Slowed:
    def __init__(self, inner):
        self._inner = inner

    @property
    def provider(self):
        return self._inner.provider

    def prepare(self, inputs):
        inner = self._inner.prepare(inputs)

        def call():
            began = perf_counter()
            result = inner()
            ended = perf_counter()
            until = ended + (ended - began) * SHARE
            while perf_counter() < until:
                pass
            return result

        return call

    def outputs(self, result):
        return self._inner.outputs(result)


RUNTIME = Runtime(
    summary=INNER.summary,
    serves=INNER.serves,
    load=lambda *how: Slowed(INNER.load(*how)),
    imports=INNER.imports,
    needs_module=INNER.needs_module,
)
'''

_STRATEGY = '''
"""{name}, served by a runtime that takes longer."""

from harness.bench import Strategy

STRATEGY = Strategy(summary="", steps={steps!r}, runtime={runtime!r}, shapes={shapes!r})
'''


def add_plugins(folder: Path, strategies: Iterable[str], *, share: float) -> list[str]:
    """Write the plugin folder of one side, and return what its strategies are called."""
    registry = discover()
    made = []
    for part in ("strategies", "runtimes"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for name in strategies:
        declared = registry.strategies[name].declared
        runtime = PREFIX + declared.runtime
        told = {"name": name, "steps": declared.steps, "runtime": runtime, "shapes": declared.shapes}
        _write(folder / "strategies", PREFIX + name, _STRATEGY.format(**told))
        stem = declared.runtime.replace("-", "_")
        _write(folder / "runtimes", runtime, _RUNTIME.format(name=declared.runtime, stem=stem, share=share))
        made.append(PREFIX + name)
    return made


def _write(folder: Path, name: str, text: str) -> None:
    (folder / f"{name.replace('-', '_')}.py").write_text(text.lstrip(), encoding="utf-8")
