"""``python -m tests.benchmarks.agreement COMBINATION``: the harness's latencies beside those of loops by hand.

Each pair is the launch that a run makes of a cell, and a loop over the same artifact (`tests.benchmarks.loops`), each a
fresh process with the same variables and threads, one after the other in random order. Pairs of one cell lie far apart:
one of each cell is taken, then the next. It prints how much longer a call takes by the harness, the median over pairs.
What was taken is kept below ``.harness/agreement``, and the same command goes on from there.
"""

from __future__ import annotations

import json
import math
import os
import random
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from harness.bench import tensors
from harness.bench.errors import BenchBrokenError
from harness.bench.latency import quartiles
from harness.bench.match import errors_of
from harness.bench.places import CODE, find_root
from harness.bench.plan import Policy, split
from harness.bench.registry import OWN
from harness.bench.requests import ServeRequest
from harness.duel.preparing import Key, ReadyCell, Side
from harness.duel.statistics import interval
from harness.matrix.selection import Selection
from tests.benchmarks.launched import Launcher, made_ready

LOOPS_FILE = Path(__file__).with_name("loops.py")

STRATEGIES = (
    "native",
    "onnx-torchscript",
    "manual-recreation",
    "tflite",
    "hybrid-in-process",
    "hybrid-service",
)
"""One for each runtime that serves on this machine."""

SIZES = {
    "tiny": (1, 8, 1),
    "few": (4, 64, 2),
    "small": (16, 128, 4),
    "medium": (64, 512, 4),
    "large": (256, 1024, 6),
    "longest": (400, 1024, 6),
}
"""Rows, width and layers: calls from what a runtime takes by itself up to about 50 ms."""

SHORTEST_S = 3e-6
"""From what call on the harness has to agree: of a shorter one, one more function of Python's is a few percent."""

ZOO = ("lstm", "resnet18")
ZOO_STRATEGIES = ("native", "onnx-torchscript", "manual-recreation")

MODEL = '''
"""Dense layers, in a number and a width that make a call as long as it is to be."""

from harness.bench import Model, uniform

ROWS, WIDTH, LAYERS = {size}


def build():
    from torch import nn

    parts = [part for _ in range(LAYERS) for part in (nn.ReLU(), nn.Linear(WIDTH, WIDTH))]
    return nn.Sequential(*parts[1:])


def twin(state):
    import tensorflow as tf

    class Twin(tf.Module):
        def __init__(self):
            super().__init__()
            names = [f"{{2 * index}}" for index in range(LAYERS)]
            self.layers = [(tf.Variable(state[n + ".weight"].T), tf.Variable(state[n + ".bias"])) for n in names]

        def __call__(self, x):
            for index, (weight, bias) in enumerate(self.layers):
                x = tf.matmul(tf.nn.relu(x) if index else x, weight) + bias
            return x

    return Twin()


MODEL = Model(
    summary="dense layers",
    family="test",
    build=build,
    twin=twin,
    example=lambda: {{"x": uniform((ROWS, WIDTH), seed="example")}},
    probes={{name: lambda name=name: {{"x": uniform((ROWS, WIDTH), seed=name)}} for name in ("one", "another")}},
    gains={{"*.weight": 1.4}},
)
'''


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A launch of the harness's and a loop by hand, in seconds a call."""

    model: str
    strategy: str
    harness_s: float
    loop_s: float

    @property
    def key(self) -> Key:
        """The cell that it is of."""
        return self.model, self.strategy

    @property
    def difference(self) -> float:
        """By how much a call takes longer by the harness: ln(harness / loop)."""
        return math.log(self.harness_s / self.loop_s)


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What the pairs of one cell come to: `share` is 0.02 where a call takes 2 % longer by the harness.

    `lower` and `upper` are its interval, which holds in nine of ten cells at least; infinite of fewer than five pairs.
    """

    model: str
    strategy: str
    runtime: str
    call_s: float
    share: float
    lower: float
    upper: float
    pairs: int


def agreement_of(pairs: Sequence[Pair], runtime: str) -> Agreement:
    """The median over the pairs of one cell, and the interval of `harness.duel.statistics`."""
    differences = [each.difference for each in pairs]
    lower, upper = (float(np.expm1(bound)) for bound in interval(differences, 0.05))
    return Agreement(
        model=pairs[0].model,
        strategy=pairs[0].strategy,
        runtime=runtime,
        call_s=statistics.median(each.loop_s for each in pairs),
        share=math.expm1(statistics.median(differences)),
        lower=lower,
        upper=upper,
        pairs=len(pairs),
    )


def sized_models(folder: Path) -> list[str]:
    """Write the files of the models of `SIZES`, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in SIZES.items():
        (folder / f"dense_{name}.py").write_text(MODEL.format(size=size).lstrip(), encoding="utf-8")
    return [str(folder / f"dense_{name}.py") for name in SIZES]


def take_pair(launcher: Launcher, ready: ReadyCell, *, measure_s: float, chance: random.Random) -> Pair:
    """A pair of one cell. Raises `BenchBrokenError` where either fails, or their outputs are not the same."""
    with launcher.folder() as launched, launcher.folder() as looped:

        def harness_s() -> float:
            return quartiles(launcher.launch(ready, launched, measure_s=measure_s)["samples_s"]).median_s

        def loop_s() -> float:
            return loop(ready, looped, launcher.environ(ready), measure_s=measure_s)

        sides = {"harness_s": harness_s, "loop_s": loop_s}
        found = {name: sides[name]() for name in chance.sample(sorted(sides), 2)}
        _require_equal(launched / "outputs-0.npz", looped / "outputs.npz", ready)
    return Pair(model=ready.cell.model, strategy=ready.cell.strategy, **found)


def loop(ready: ReadyCell, folder: Path, environ: Mapping[str, str], *, measure_s: float) -> float:
    """Seconds of a call by a loop by hand, in a process that works in `folder`."""
    request = ready.request(folder, measure_s=measure_s, kind=ServeRequest)
    asked = {
        "runtime": request.runtime,
        "artifact": request.artifact,
        "inputs": str(Path(request.built) / "inputs-0.npz"),
        "names": request.input_names,
        "threads": request.threads,
        "measure_s": measure_s,
        "model_file": request.model_file,
        "root": str(CODE),
    }
    (folder / "asked.json").write_text(json.dumps(asked), encoding="utf-8")
    command = [str(ready.python), str(LOOPS_FILE), str(folder)]
    done = subprocess.run(command, cwd=folder, env=dict(environ), capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"the loop over {ready.cell.id} ended with {done.returncode}: {done.stderr[-2000:]}"
        raise BenchBrokenError(msg)
    told: dict[str, Any] = json.loads((folder / "told.json").read_text(encoding="utf-8"))
    return float(told["call_s"])


def _require_equal(launched: Path, looped: Path, ready: ReadyCell) -> None:
    """Raise `BenchBrokenError` unless both sides called the same: a loop that feeds something else proves nothing."""
    ours, theirs = tensors.load(launched), tensors.load(looped)
    errors = [errors_of(a, b).relative_error for a, b in zip(ours, theirs, strict=True)]
    if max(errors) > ready.tolerance:
        msg = f"the loop over {ready.cell.id} answers otherwise than the harness: relative errors {errors}"
        raise BenchBrokenError(msg)


def told(cells: Sequence[Agreement], *, within: float) -> str:
    """A table, as Markdown, of the cells by runtime and call. Above 3 µs what is beyond `within` percent is marked."""
    lines = [
        "| runtime | model | a call | by the harness | interval | pairs |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for each in sorted(cells, key=lambda each: (each.runtime, each.call_s)):
        beyond = " **beyond**" if abs(each.share) > within / 100 and each.call_s >= SHORTEST_S else ""
        bounds = f"{each.lower:+.1%} to {each.upper:+.1%}".replace("%", " %")
        share = f"{each.share:+.1%}{beyond}".replace("%", " %")
        model = each.model.removeprefix(OWN)
        lines.append(f"| {each.runtime} | {model} | {_duration(each.call_s)} | {share} | {bounds} | {each.pairs} |")
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    scale, unit = (1e6, "µs") if seconds < 1e-3 else (1e3, "ms")
    return f"{seconds * scale:.3g} {unit}"


class Series:
    """The pairs of the cells of one side, kept in a file as they are taken, so that they are gone on with."""

    def __init__(self, file: Path, side: Side) -> None:
        self._file = file
        self._side = side
        self.pairs: dict[Key, list[Pair]] = {key: [] for key in side.cells}
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        for pair in (Pair(**json.loads(line)) for line in lines):
            self.pairs.setdefault(pair.key, []).append(pair)

    def add(self, pair: Pair) -> None:
        """Keep a pair."""
        self.pairs[pair.key].append(pair)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(pair)) + "\n")

    def agreement(self, key: Key) -> Agreement:
        """What a cell has come to by now; it has to have a pair."""
        ready = self._side.cells[key]
        strategy = ready.registry.strategies[split(ready.cell.strategy)[0]].declared
        return agreement_of(self.pairs[key], strategy.runtime)

    def undecided(self, *, within: float, fewest: int, most: int) -> list[Key]:
        """The cells that need another pair: to have the fewest, or, up to `most`, for their interval to say."""
        return [key for key in self._side.cells if self._goes_on(key, within / 100, fewest, most)]

    def _goes_on(self, key: Key, within: float, fewest: int, most: int) -> bool:
        taken = len(self.pairs[key])
        if taken < fewest:
            return True
        found = self.agreement(key)
        inside = -within <= found.lower and found.upper <= within
        outside = found.lower > within or found.upper < -within
        return taken < most and not (inside or outside)


def selections(folder: Path, strategies: Sequence[str], sizes: Sequence[str]) -> list[Selection]:
    """The sized models by all strategies, and two of the zoo by those that need no extension."""
    policy = Policy(launches=1)
    files = [path for path in sized_models(folder) if Path(path).stem.removeprefix("dense_") in sizes]
    made = [Selection(tier="quick", device="cpu", models=files, strategies=strategies, policy=policy)]
    of_zoo = [each for each in ZOO_STRATEGIES if each in strategies]
    if of_zoo and set(sizes) == set(SIZES):
        made.append(Selection(tier="quick", device="cpu", models=ZOO, strategies=of_zoo, policy=policy))
    return made


@click.command()
@click.argument("combination")
@click.option("--strategies", multiple=True, default=STRATEGIES, show_default=True)
@click.option("--sizes", multiple=True, default=tuple(SIZES), show_default=True, type=click.Choice(list(SIZES)))
@click.option("--pairs", default=10, show_default=True, help="Of each cell, at least.")
@click.option("--most", default=30, show_default=True, help="Pairs of a cell whose interval does not say.")
@click.option("--within", default=3.0, show_default=True, help="Percent that the harness may differ by.")
@click.option("--measure-s", default=0.5, show_default=True, help="How long each side is timed.")
@click.option("--core", type=int, help="Hold both sides to this core, where threads of a runtime wake one another.")
@click.option("--restart", is_flag=True, help="Do not go on with pairs that are there; begin anew.")
def main(
    combination: str,
    strategies: Sequence[str],
    sizes: Sequence[str],
    pairs: int,
    most: int,
    within: float,
    measure_s: float,
    core: int | None,
    restart: bool,
) -> None:
    """Take pairs until each cell has enough, and print what they come to."""
    root = find_root(Path.cwd())
    folder = root / ".harness" / "agreement"
    asked = selections(folder / "models", strategies, sizes)
    with made_ready(root, combination, asked) as side, Launcher(folder / "scratch") as launcher:
        for key, reason in side.absent.items():
            click.echo(f"{'/'.join(key)} is left out: {reason}")
        held = "" if core is None else f"-core-{core}"
        file = folder / f"{combination}-{side.identity}-{measure_s:g}{held}.jsonl"
        if core is not None:
            os.sched_setaffinity(0, {core})  # which all that is started from here has too
        if restart:
            file.unlink(missing_ok=True)
        series = Series(file, side)
        chance = random.Random()
        while keys := series.undecided(within=within, fewest=pairs, most=most):
            began = time.monotonic()
            for key in keys:
                series.add(take_pair(launcher, side.cells[key], measure_s=measure_s, chance=chance))
            seconds = time.monotonic() - began
            click.echo(f"a pair of each of {len(keys)} cells, by {seconds:.0f} s", err=True)
            click.echo(told([series.agreement(each) for each in keys], within=within), err=True)
        click.echo(told([series.agreement(key) for key in side.cells], within=within))


if __name__ == "__main__":
    main()
