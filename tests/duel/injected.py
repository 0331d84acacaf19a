"""Strategies as the harness has them, whose runtimes are slower, or heavier, by what is known.

Both sides of a comparison are served by these, by another amount, so that what wraps the call is the same on both.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from harness.bench.registry import discover

PREFIX = "injected-"

_DECLARED = """
        return call

    def outputs(self, result):
        return self._inner.outputs(result)


RUNTIME = Runtime(
    summary=INNER.summary,
    serves=INNER.serves,
    load=lambda *how: Injected(INNER.load(*how)),
    imports=INNER.imports,
    needs_module=INNER.needs_module,
)
"""
"""How both of these end."""

SLOWED = (
    '''
"""{name}, with a call that takes longer by a share of itself."""

from time import perf_counter

from harness.bench import Runtime
from harness.runtimes.{stem} import RUNTIME as INNER

SHARE = {share}


class Injected:
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

'''
    + _DECLARED
)
"""A call that takes longer by `share` of itself."""

HEAVIER = (
    '''
"""{name}, which takes memory as a variable says: `load:12.5` is 12.5 MiB more when it loads."""

import os

from harness.bench import Runtime
from harness.runtimes.{stem} import RUNTIME as INNER

MOMENT, _, MB = os.environ.get("{variable}", "").partition(":")
HELD = []


def take(moment):
    if moment == MOMENT and not HELD:
        HELD.append(bytearray(b"\\1") * round(float(MB) * 2**20))  # written to, so that it is resident


take("import")


class Injected:
    def __init__(self, inner):
        take("load")
        self._inner = inner

    @property
    def provider(self):
        return self._inner.provider

    def prepare(self, inputs):
        inner = self._inner.prepare(inputs)

        def call():
            take("call")
            return inner()

'''
    + _DECLARED
)
"""Memory that is taken at `import`, at `load` or by the first `call`, as the environment's variable `variable` says."""

_STRATEGY = '''
"""{name}, served by a runtime of the test's own."""

from harness.bench import Strategy

STRATEGY = Strategy(summary="", steps={steps!r}, runtime={runtime!r}, shapes={shapes!r})
'''


def add_plugins(folder: Path, strategies: Iterable[str], *, runtime: str, **values: object) -> list[str]:
    """Write the plugin folder of one side, and return what its strategies are called.

    `runtime` is `SLOWED` or `HEAVIER`, and `values` is what that asks for.
    """
    registry = discover()
    made = []
    for part in ("strategies", "runtimes"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for name in strategies:
        declared = registry.strategies[name].declared
        served_by = PREFIX + declared.runtime
        told = {"name": name, "steps": declared.steps, "runtime": served_by, "shapes": declared.shapes}
        _write(folder / "strategies", PREFIX + name, _STRATEGY.format(**told))
        stem = declared.runtime.replace("-", "_")
        _write(folder / "runtimes", served_by, runtime.format(name=declared.runtime, stem=stem, **values))
        made.append(PREFIX + name)
    return made


def _write(folder: Path, name: str, text: str) -> None:
    (folder / f"{name.replace('-', '_')}.py").write_text(text.lstrip(), encoding="utf-8")
