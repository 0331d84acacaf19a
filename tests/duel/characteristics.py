"""``python -m tests.duel.characteristics``: what the design of a duel finds and misses, simulated, as Markdown tables.

The tables of docs/decisions/0024 and docs/measuring.md are its output; `test_characteristics` holds them together.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from unittest import mock

import numpy as np
from scipy import special, stats

from harness.duel import sequential
from harness.duel.deciding import Decision
from harness.duel.pairs import pair_difference
from harness.duel.power import Power, simulated
from harness.duel.sequential import Design
from harness.duel.statistics import Floats, centre, p_above, p_below
from harness.duel.thresholds import threshold_of
from harness.verdict.memory import memory_shift
from tests.duel.contests import played
from tests.duel.machines import MACHINES

CELLS = 23
REPETITIONS = 1000
EFFECTS = (0.0, 0.03, 0.05, 0.10, 0.15)

PValue = Callable[[Floats, float], Floats]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _percent(share: float) -> str:
    # 99.96 % is not all of them.
    return f"{share:.1%}".replace("%", " %").replace(".0 ", " ")


def _made_of(machine: str, effect: float, *, design: Design, slower_than: float = 0.02) -> Power:
    random = np.random.default_rng(0)
    drawn = MACHINES[machine](random, (REPETITIONS, design.looks[-1])) + np.log1p(effect)
    return simulated(drawn, effect, design=design, slower_than=slower_than, cells=CELLS)


def operating() -> str:
    """What becomes of one cell of 23 on each machine."""
    rows = []
    for machine in MACHINES:
        alike, *slower = (_made_of(machine, effect, design=Design()) for effect in EFFECTS)
        false = alike.slower + alike.faster
        found = [f"{_percent(each.slower)}, {each.pairs:.0f}" for each in slower]
        rows.append([machine, _percent(false), f"{_percent(alike.equal)}, {alike.pairs:.0f}", *found])
    header = ["machine", "A/A: false alarms", "A/A: equal, pairs", "+3 %: slower, pairs", "+5 %", "+10 %"]
    return _table([*header, "+15 %"], rows)


def limits() -> str:
    """What a gate finds whose policy names a limit: how often a cell is slower by more than that, confirmed."""
    rows = []
    for machine in ("1 % noise", "3 % noise", "6 % noise", "3 %, a launch in ten slowed"):
        for limit in (0.05, 0.10):
            effects = (limit, limit + 0.03, limit + 0.05, limit + 0.10)
            made = [_made_of(machine, effect, design=Design(), slower_than=limit) for effect in effects]
            alike = _made_of(machine, 0.0, design=Design(), slower_than=limit)
            row = [f"{machine}, limit {_percent(limit)}"]
            rows.append(
                [*row, f"{_percent(alike.equal)}, {alike.pairs:.0f}", *(_percent(each.slower) for each in made)]
            )
    header = ["one cell of 23", "A/A: equal within the limit, pairs", "at the limit: slower", "3 points above it"]
    return _table([*header, "5 points", "10 points"], rows)


def tests_compared() -> str:
    """The same design with other tests, each by scipy."""

    def t_test(values: Floats, bound: float) -> Floats:
        return np.asarray(stats.ttest_1samp(values, bound, axis=-1, alternative="greater").pvalue)

    def sign(values: Floats, bound: float) -> Floats:
        return np.asarray(stats.binom.sf((values > bound).sum(axis=-1) - 1, values.shape[-1], 0.5))

    def signed_rank(values: Floats, bound: float) -> Floats:
        return np.asarray(stats.wilcoxon(values - bound, axis=-1, alternative="greater", method="exact").pvalue)

    others: dict[str, PValue] = {"t": t_test, "sign": sign, "Wilcoxon": signed_rank}
    rows = []
    for machine in MACHINES:
        cells = []
        for above in (*others.values(), None):
            with (
                mock.patch.object(sequential, "p_above", above or p_above),
                mock.patch.object(sequential, "p_below", _mirrored(above) if above else p_below),
            ):
                made = [_made_of(machine, effect, design=Design()) for effect in (0.0, 0.05, 0.10)]
            cells.append(" / ".join(_percent(share) for share in (made[0].equal, made[1].slower, made[2].slower)))
        rows.append([machine, *cells])
    return _table(["A/A equal / +5 % found / +10 % found", *others, "winsorised ranks"], rows)


def _mirrored(above: PValue) -> PValue:
    return lambda values, bound: above(-values, -bound)


def looks_compared() -> str:
    """The same test at other looks."""
    rows = []
    for looks in ((12, 24, 48), (8, 16, 48), (8, 12, 24, 48), (6, 12, 24, 48)):
        for spending in (0.5, 1.0):
            if 2.0 ** -looks[0] > 0.05 * (looks[0] / looks[-1]) ** spending:
                continue  # its first look could prove nothing
            design = Design(looks=looks, spending=spending)
            row = [", ".join(map(str, looks)), f"{spending:g}"]
            for machine in ("1 % noise", "3 % noise", "6 % noise", "3 %, a launch in ten slowed"):
                alike, five, ten = (_made_of(machine, effect, design=design) for effect in (0.0, 0.05, 0.10))
                row.append(f"{alike.pairs:.0f}, {_percent(five.slower)}, {_percent(ten.slower)} ({ten.pairs:.0f})")
            rows.append(row)
    header = ["looks", "exponent", "1 % noise: A/A pairs, +5 % found, +10 % found (pairs)", "3 %", "6 %", "3 %, slowed"]
    return _table(header, rows)


def e_values() -> str:
    """The same looks with e-values: a sign test's, its chance of a positive difference mixed evenly over 1/2 to 1."""
    looks = np.asarray(Design().looks)
    rows = []
    for machine in ("1 % noise", "3 % noise", "6 % noise", "3 %, a launch in ten slowed"):
        row = [machine]
        for effect in (0.05, 0.10):
            drawn = MACHINES[machine](np.random.default_rng(0), (REPETITIONS, looks[-1])) + np.log1p(effect)
            above = np.cumsum(drawn > np.log1p(0.02), axis=-1)[:, looks - 1]
            mixed = special.betainc(above + 1, looks - above + 1, 0.5)
            e_value = 2.0 ** (looks + 1) * special.beta(above + 1, looks - above + 1) * (1 - mixed)
            found = float(np.mean(np.any(e_value >= CELLS / 0.05, axis=-1)))
            row.append(f"{_percent(found)} / {_percent(_made_of(machine, effect, design=Design()).slower)}")
        rows.append(row)
    return _table(["found by e-values / by p values", "+5 %", "+10 %"], rows)


def estimates() -> str:
    """How far estimates of the effect lie from the truth."""
    rows = []
    for machine, differences in MACHINES.items():
        values = differences(np.random.default_rng(0), (2000, 12))
        first, second = np.triu_indices(12)
        kinds = {
            "mean": values.mean(axis=-1),
            "median": np.median(values, axis=-1),
            "Hodges-Lehmann of Wilcoxon's": np.median((values[:, first] + values[:, second]) / 2, axis=-1),
            "of winsorised ranks": centre(values),
        }
        rows.append([machine, *(_percent(float(np.quantile(np.abs(each), 0.9))) for each in kinds.values())])
    return _table(["error that 9 of 10 estimates keep to, 12 pairs", *kinds], rows)


def coverage() -> str:
    """How often the interval of a cell that has stopped, at whichever look, has the true effect in it."""
    rows = []
    for machine, differences in MACHINES.items():
        row = [machine]
        for effect in (0.0, 0.10):
            drawn = differences(np.random.default_rng(1), (300, 48)) + np.log1p(effect)
            cells = played(drawn).cells.values()
            held = [c.lower is not None and c.upper is not None and c.lower <= effect <= c.upper for c in cells]
            width = statistics.median((c.upper or 0) - (c.lower or 0) for c in cells)
            row.append(f"{_percent(statistics.mean(held))}, {_percent(width)}")
        rows.append(row)
    return _table(["interval at the stop: holds, median width", "A/A", "+10 %"], rows)


def whole_duels() -> str:
    """Whole duels of 150 cells that are alike and 40 that are 10 % slower."""
    rows = []
    for machine in ("half of the cells busy", "3 % noise", "3 %, a launch in ten slowed", "6 % noise"):
        alarms, found, equal, pairs = [], [], [], []
        for seed in range(20):
            drawn = MACHINES[machine](np.random.default_rng(seed), (190, 48))
            drawn[150:] += np.log1p(0.10)
            cells = list(played(drawn).cells.values())
            decisions = [cell.decision for cell in cells]
            alarms.append(sum(each in (Decision.SLOWER, Decision.FASTER) for each in decisions[:150]))
            found.append(decisions[150:].count(Decision.SLOWER))
            equal.append(decisions[:150].count(Decision.EQUAL))
            pairs.append(statistics.mean(cell.pairs for cell in cells))
        figures = (max(alarms), min(equal), min(found))
        rows.append([machine, *map(str, figures), f"{statistics.mean(pairs):.1f}"])
    header = ["20 duels of 150 A/A cells and 40 of +10 %", "most alarms", "fewest equal of 150", "fewest found of 40"]
    return _table([*header, "pairs a cell"], rows)


def thresholds() -> str:
    """A cell's own threshold by its machine, and what is found above it."""
    rows = []
    for machine in ("1 % noise", "3 % noise", "6 % noise", "3 %, a launch in ten slowed"):
        random = np.random.default_rng(2)
        drawn = MACHINES[machine](random, (200, 48))
        stopped = played(drawn).cells.values()
        own = [threshold_of([row[: cell.pairs]]) for row, cell in zip(drawn.tolist(), stopped, strict=True)]
        longer = [threshold_of([row[:24]]) for row in drawn.tolist()]
        typical = statistics.median(own)
        found = [
            _made_of(machine, effect, design=Design(), slower_than=typical).slower for effect in (0.05, 0.10, 0.15)
        ]
        row = [machine, _percent(typical), _percent(statistics.median(longer)), *map(_percent, found)]
        rows.append(row)
    header = ["machine", "threshold of one A/A duel", "of 24 pairs", "+5 % found above the first", "+10 %", "+15 %"]
    return _table(header, rows)


def reductions() -> str:
    """How far the difference of a pair varies, by how it is made of its turns."""
    random = np.random.default_rng(3)
    pairs, blocks = 2000, 10
    times = np.arange(2 * blocks)
    onset = random.integers(0, 2 * blocks, (pairs, 1))
    worlds = {
        "quiet": np.zeros((pairs, 2 * blocks)),
        "drift of 2 % a turn": np.tile(0.02 * times, (pairs, 1)),
        "a turn in ten slowed x1.2 to x3": np.where(
            random.random((pairs, 2 * blocks)) < 0.1, np.log(random.uniform(1.2, 3.0, (pairs, 2 * blocks))), 0.0
        ),
        "eight turns at x1.8": np.where((times >= onset) & (times < onset + 8), np.log(1.8), 0.0),
        "between two levels, x1.5": np.log(1.5) * (np.cumsum(random.random((pairs, 2 * blocks)) < 0.2, axis=1) % 2),
    }
    rows = []
    for world, level in worlds.items():
        turns = np.exp(level + random.normal(0.0, 0.01, level.shape)).reshape(pairs, blocks, 2)
        a_first = random.random((pairs, blocks)) < 0.5
        a, b = (np.where(first, turns[..., 0], turns[..., 1]) for first in (a_first, ~a_first))
        ours = [pair_difference(*each) for each in zip(a.tolist(), b.tolist(), strict=True)]
        kinds = {
            "median of blocks": [each.difference for each in ours],
            "ratio of medians": np.log(np.median(b, axis=1) / np.median(a, axis=1)),
            "ratio of means": np.log(b.mean(axis=1) / a.mean(axis=1)),
            "ratio of minima": np.log(b.min(axis=1) / a.min(axis=1)),
        }
        told = statistics.median(each.noise for each in ours)
        rows.append([world, *(_percent(float(np.std(each))) for each in kinds.values()), _percent(told)])
    return _table(["standard deviation of a pair, 10 blocks", *kinds, "noise that it tells"], rows)


def memory() -> str:
    """What the rule for memory finds, in MiB."""
    random = np.random.default_rng(4)
    worlds: dict[str, Callable[[float, int], list[float]]] = {
        "0.1 % noise": lambda base, n: (base * (1 + random.normal(0.0, 0.001, n))).tolist(),
        "1 % noise": lambda base, n: (base * (1 + random.normal(0.0, 0.01, n))).tolist(),
        "steps of 2 MiB, none to two": lambda base, n: (base + 2.0 * random.integers(0, 3, n)).tolist(),
        "a launch in ten takes 20 % more": lambda base, n: (base * np.where(random.random(n) < 0.1, 1.2, 1.0)).tolist(),
    }
    rows = []
    for world, launches in worlds.items():
        for base in (60.0, 400.0):
            row = [world, f"{base:g}"]
            for count in (3, 6):
                alike = [memory_shift(launches(base, count), launches(base, count)) for _ in range(3000)]
                more = [memory_shift(launches(base, count), launches(base * 1.15, count)) for _ in range(3000)]
                alarms = 150 * statistics.mean(each.found for each in alike)
                row.append(f"{alarms:.2g}, {_percent(statistics.mean(each.found for each in more))}")
            rows.append(row)
    header = ["machine", "MiB", "3 launches a side: alarms of 150, +15 % found", "6 launches a side"]
    return _table(header, rows)


def false_discoveries() -> str:
    """The share of false ones among the cells called slower, where the others lie just at the bound."""
    rows = []
    for machine in ("1 % noise", "3 % noise", "3 %, a launch in ten slowed"):
        shares, called = [], []
        for seed in range(100):
            drawn = MACHINES[machine](np.random.default_rng(seed), (CELLS, 48)) + np.log1p(0.02)
            drawn[18:] += np.log1p(0.05)
            cells = played(drawn, budget_pairs=CELLS * 24.0).cells.values()
            slower = [cell.decision is Decision.SLOWER for cell in cells]
            shares.append(sum(slower[:18]) / max(1, sum(slower)))
            called.append(sum(slower[18:]))
        rows.append([machine, _percent(statistics.mean(shares)), f"{statistics.mean(called):.1f}"])
    return _table(["18 cells at the bound, 5 above it, a budget", "false among those called", "found of 5"], rows)


TABLES = (
    operating,
    limits,
    tests_compared,
    looks_compared,
    e_values,
    estimates,
    coverage,
    whole_duels,
    false_discoveries,
    thresholds,
    reductions,
    memory,
)


def main() -> None:
    for table in TABLES:
        print(f"{table.__doc__}\n\n{table()}\n", flush=True)


if __name__ == "__main__":
    main()
