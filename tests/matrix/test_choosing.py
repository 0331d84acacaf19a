"""Which of several environments is taken: the one that has what is needed, and of these the one that was used last."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from harness.matrix.choosing import Choice, choose, held_against, installed
from harness.matrix.environment import holding_folder, python_of
from harness.matrix.installing import holding


def environment(root: Path, name: str, *modules: str) -> Path:
    """An environment where the harness looks for that of `name`, with empty modules; its interpreter."""
    python = python_of(root, name)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(python.parent.parent)], check=True)
    (site,) = python.parent.parent.glob("lib/python3*/site-packages")
    for module in modules:
        (site / f"{module}.py").write_text("raise SystemExit('nothing is imported')\n", encoding="utf-8")
    with holding(root, name, print):
        pass
    return python


def _used(root: Path, name: str, seconds: int) -> None:
    os.utime(holding_folder(root, name), (seconds, seconds))


def test_the_one_that_has_what_is_imported_and_of_these_the_one_used_last(tmp_path: Path) -> None:
    assert choose(tmp_path, {"acme"}) is None
    for name, *modules in (("torch2.0", "torch"), ("torch2.1", "torch", "acme"), ("torch2.9", "torch", "acme")):
        environment(tmp_path, name, *modules)
    for seconds, name in enumerate(("torch2.9", "torch2.1", "torch2.0")):
        _used(tmp_path, name, seconds)
    assert installed(tmp_path) == ["torch2.0", "torch2.1", "torch2.9"]
    assert choose(tmp_path, {"torch"}) == Choice(name="torch2.0")
    assert choose(tmp_path, {"torch", "acme"}) == Choice(name="torch2.1")
    with holding(tmp_path, "torch2.9", print):
        pass
    assert choose(tmp_path, {"torch", "acme"}) == Choice(name="torch2.9")
    found = held_against(tmp_path, "torch2.0", python_of(tmp_path, "torch2.0"), {"acme", "lost", "torch"})
    assert (set(found.lacks), dict(found.elsewhere)) == ({"acme", "lost"}, {"acme": "torch2.9"})


def test_an_environment_that_does_not_answer_has_nothing(tmp_path: Path) -> None:
    environment(tmp_path, "torch2.0", "torch")
    broken = environment(tmp_path, "torch2.1", "torch")
    broken.unlink()
    broken.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    broken.chmod(0o755)
    assert installed(tmp_path)[0] == "torch2.1"
    assert choose(tmp_path, {"torch"}) == Choice(name="torch2.0")
