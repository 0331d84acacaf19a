"""What tests of nodes share: a unit of a user's own cells, begun as a run would, and the work that it is part of."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from harness.attempts.tasks import inside_of
from harness.bench.attempt import Attempt
from harness.bench.identity import identity
from harness.bench.plan import Cell, Plan, Policy, expand
from harness.bench.registry import discover
from harness.executors.units import Unit, Work
from harness.matrix.environment import check_ambient
from tests.attempts.conftest import MODEL, ROOT, add_package, make_ambient
from tests.duel.sides import BUSY, RUNTIME, STEP, STRATEGY

STEPS = {
    "saved": "import json, os; (context.folder / 'seen.json').write_text(json.dumps(dict(os.environ)))",
    "refusing": "raise ValueError('no such operator')",
}
"""What each does beside its work; of the one that comes through, the variables that it sees are kept."""

PLACES = ("HARNESS_ATTEMPT", "HARNESS_NODE_CACHE", "TMPDIR", "PWD")
"""Variables of a cell's that name where it runs."""


def make_python(folder: Path) -> Path:
    """An interpreter with all that the bench needs, and a package of theirs; it finds no harness by itself."""
    python = make_ambient(folder)
    (paths,) = folder.glob("lib/python*/site-packages/ambient.pth")
    paths.write_text(paths.read_text(encoding="utf-8").replace(f"{ROOT}\n", ""), encoding="utf-8")
    add_package(python)
    return python


@contextlib.contextmanager
def node_cache_in(folder: Path) -> Iterator[Path]:
    """A folder in which the node of this process keeps things: no other test's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_NODE_CACHE", str(folder))
        yield folder


def own_plan(folder: Path, *, models: Sequence[str] = ("one",), memory_mb: int = 1000, **steps: str) -> Plan:
    """Each of the models by a strategy of each step, of which the rest says what it does."""
    plugins = folder / "plugins"
    for part in ("steps", "strategies", "runtimes"):
        (plugins / part).mkdir(parents=True, exist_ok=True)
    (plugins / "runtimes" / "quick.py").write_text(RUNTIME.replace("BODY", BUSY), encoding="utf-8")
    for step, body in (steps or STEPS).items():
        text = STEP.replace("    path =", f"    {body}\n    path =")
        (plugins / "steps" / f"{step}.py").write_text(text, encoding="utf-8")
        text = STRATEGY.replace('"saved"', f'"{step}"').replace("NAME", "quick")
        (plugins / "strategies" / f"by_{step}.py").write_text(text, encoding="utf-8")
    files = [folder / "models" / f"{name}.py" for name in models]
    files[0].parent.mkdir(exist_ok=True)
    for file in files:
        file.write_text(MODEL.replace("WIDTH", "8"), encoding="utf-8")
    cells = expand(
        discover(models=files, plugins=[plugins]),
        combination="small",
        device="cpu",
        tier="quick",
        strategies=[f"by-{step}" for step in (steps or STEPS)],
    )
    return Plan(
        combination="small",
        device="cpu",
        tier="quick",
        cells=cells,
        models=tuple(map(str, files)),
        plugins=(str(plugins),),
        policy=Policy(timeout_s=30.0, memory_limit_mb=memory_mb, measure_s=0.01, launches=1),
        selected=True,
        times=False,
    )


def begun(folder: Path, python: Path, plan: Plan, name: str = "0000") -> Unit:
    """The unit of a plan's cells, its attempt begun in a folder of its own."""
    inside = inside_of(check_ambient(folder, python))
    attempt = Attempt(folder / "units" / name)
    attempt.clear_scratch()
    attempt.begin(plan, identity(plan, plan.registry(), inside=inside, lock=""), inside)
    return Unit(name=name, plan=plan, folder=attempt.folder, seconds=1.0)


def work_in(folder: Path, python: Path) -> Work:
    """The work of units in an interpreter that is there already."""
    return Work(root=folder, name="ambient", python=python, python_version="", lock="")


def rows(attempt: Attempt, cells: Sequence[Cell]) -> dict[str, tuple[str, str, str | None]]:
    """What became of the cells that have a record: outcome, stage and fingerprint."""
    found = {}
    for cell in cells:
        if attempt.record_of(cell).exists():
            row = json.loads(attempt.record_of(cell).read_text(encoding="utf-8"))["row"]
            found[cell.slug] = row["outcome"], row["stage"], row.get("fingerprint")
    return found
