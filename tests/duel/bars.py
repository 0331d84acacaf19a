"""``python -m tests.duel.bars COMBINATION``: what duels find and miss on this machine, in one run, by one setting.

Cells of the quick tier are held against themselves, converted twice, until there are so many comparisons; then against
themselves with a share injected into the serving call. A busy loop runs beside every other duel. It prints how many
were called slower or faster, how many equal, and what a comparison took. That takes hours for the numbers that count.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click

from harness.attempts.tasks import Task
from harness.bench.places import find_root
from harness.cli.running import tasks_of
from harness.duel.contesting import Duel, Rules, alone, contest
from harness.duel.deciding import Decision
from harness.duel.preparing import SIDES, Side, prepare
from harness.matrix.installing import holding
from harness.matrix.selection import Selection
from harness.report.duel import as_text
from tests.attempts.conftest import Observer
from tests.duel.injected import SLOWED, add_plugins


@contextlib.contextmanager
def busy_loop() -> Iterator[None]:
    """A process beside that takes what it can of a core."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


@click.command()
@click.argument("combination")
@click.option("--strategies", multiple=True, default=("native", "onnx-torchscript"), show_default=True)
@click.option("--models", multiple=True, help="Globs of models; all of the quick tier.")
@click.option("--comparisons", default=150, show_default=True, help="Of cells with themselves.")
@click.option("--injected", default=40, show_default=True, help="Of cells with a slower self.")
@click.option("--shares", multiple=True, type=float, default=(0.10, 0.05), show_default=True)
def main(
    combination: str,
    strategies: Sequence[str],
    models: Sequence[str],
    comparisons: int,
    injected: int,
    shares: Sequence[float],
) -> None:
    """Duel until there are so many comparisons, and print what came of them."""
    root = find_root(Path.cwd())
    observer = Observer()
    with tempfile.TemporaryDirectory() as scratch, alone(root, click.echo), contextlib.ExitStack() as holds:

        def side(letter: str, share: float) -> Side:
            (task,) = _tasks(root, Path(scratch) / f"{letter}-{share}", combination, models, strategies, share)
            return prepare(root, [task], observer, holds, side=letter)

        holds.enter_context(holding(root, combination, click.echo))
        a = side("a", 0.0)
        for share, wanted in ((0.0, comparisons), *((each, injected) for each in shares)):
            _compare(root, (a, side("b", share)), share, wanted)


def _tasks(
    root: Path, folder: Path, combination: str, models: Sequence[str], strategies: Sequence[str], share: float
) -> list[Task]:
    made = add_plugins(folder, strategies, runtime=SLOWED, share=share)
    selection = Selection(tier="quick", device="cpu", models=models, strategies=made, plugins=[folder])
    ((*tasks,),) = tasks_of(root, [selection.plans(combination, root)])
    return tasks


def _compare(root: Path, sides: tuple[Side, Side], share: float, wanted: int) -> None:
    keys = [key for key in sides[0].cells if key in sides[1].cells]
    seen: dict[Decision, int] = dict.fromkeys(Decision, 0)
    began, pairs, number = time.monotonic(), 0, 0
    while (left := wanted - sum(seen.values())) > 0:
        with busy_loop() if number % 2 else contextlib.nullcontext():
            duel = _fought(root, sides, keys[:left])
        number += 1
        pairs += duel.pairs
        for cell in duel.decisions.values():
            seen[cell.decision] += 1
        click.echo(f"\n{as_text(duel)}")
    told = ", ".join(f"{count} {decision.value}" for decision, count in seen.items())
    minutes = (time.monotonic() - began) / 60
    click.echo(f"\n{share:+.0%} injected: {told}, of {sum(seen.values())}; {pairs} pairs, {minutes:.1f} minutes")


def _fought(root: Path, sides: tuple[Side, Side], keys: Sequence[tuple[str, str]]) -> Duel:
    # By other names: no threshold of an earlier duel counts, and the machine learns nothing from a change that is made.
    a, b = (replace(side, name=f"{side.name}-injected-{letter}") for side, letter in zip(sides, SIDES, strict=True))
    return contest(root, (a, b), keys, rules=Rules(budget_s=7200.0), tell=click.echo, busy=lambda _: None)


if __name__ == "__main__":
    main()
