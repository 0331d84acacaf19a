"""A folder of a user's own steps, strategies and runtimes, written for a test."""

from __future__ import annotations

from pathlib import Path

_STEP = '''
"""Does {name} in a step."""
from harness.bench import Artifact, Step


def run(context, source):
    """Misbehave."""
    import ctypes, os, sys, time
    {body}
    path = context.folder / "state.pt"
    import torch
    torch.save(context.module.state_dict(), path)
    return Artifact("state-dict", path)


STEP = Step(summary="{name}", run=run, produces="state-dict", imports={imports})
'''

_STRATEGY = '''
"""Meets {name}."""
from harness.bench import Strategy

STRATEGY = Strategy(summary="{name}", steps=("{name}",), runtime="{runtime}")
'''


def add_strategy(folder: Path, name: str, body: str, *, imports: str = "()", runtime: str = "torch") -> None:
    """A step that runs `body`, and a strategy of that step alone."""
    for part, text in (
        ("steps", _STEP.format(name=name, body=body, imports=imports)),
        ("strategies", _STRATEGY.format(name=name, runtime=runtime)),
    ):
        (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / part / f"{name.replace('-', '_')}.py").write_text(text, encoding="utf-8")
