"""What a design finds: the share of cells of a known effect that end as slower, by seeded simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.duel.sequential import Design, p_values
from harness.duel.statistics import Floats, centre
from harness.duel.thresholds import UNMEASURED


@dataclass(frozen=True, kw_only=True)
class Power:
    """What becomes of a cell that is slower by `effect`, as shares: called slower, faster, equal, or left inconclusive.

    `pairs` is how many it takes on average until it is decided.
    """

    effect: float
    slower: float
    faster: float
    equal: float
    inconclusive: float
    pairs: float


def power(
    noise: float | Sequence[float],
    effect: float,
    *,
    design: Design | None = None,
    slower_than: float = UNMEASURED,
    cells: int = 1,
    repetitions: int = 1000,
    seed: int = 0,
) -> Power:
    """What a duel of `cells` cells makes of one that is slower by the share `effect`, all others being alike.

    `noise` is the standard deviation of a Gaussian ln(B / A), or the differences of an A/A duel, which are centred and
    drawn from with replacement. A few pairs do not show the slowed launches that more of them would: give those of all
    looks, or of several cells that are alike. The cell is held against Benjamini and Hochberg's strictest step, the
    error over the number of cells: where other cells are slower too, more is found.
    """
    rules = design or Design()
    random = np.random.default_rng(seed)
    shape = (repetitions, rules.looks[-1])
    if isinstance(noise, (int, float)):
        drawn = random.normal(0.0, noise, shape)
    else:
        drawn = random.choice(np.asarray(noise, dtype=np.float64) - centre(noise), shape)
    return simulated(drawn + np.log1p(effect), effect, design=rules, slower_than=slower_than, cells=cells)


def simulated(differences: Floats, effect: float, *, design: Design, slower_than: float, cells: int) -> Power:
    """What a design makes of cells whose differences are known to the last pair. Shape: `(cells, last look)`.

    It is `harness.duel.deciding`'s rule for a single cell, with the strictest step in the place of what others decide.
    """
    equal_within = max(design.equal_within, slower_than)
    found = p_values(differences, design=design, slower_than=slower_than, equal_within=equal_within)
    slower, faster = found.slower <= design.error / cells, found.faster <= design.error / cells
    bound = np.log1p(slower_than)
    moved = np.stack([np.abs(centre(differences[..., :look])) > bound for look in design.looks], axis=-1)
    decided = slower | faster | ((found.equal <= design.error) & ~moved)
    # The first look at which anything is decided, the last one where nothing is.
    decided[..., -1] = True
    first = np.argmax(decided, axis=-1)
    looks = np.asarray(design.looks)[first]

    def at_first(called: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return np.take_along_axis(called, first[..., np.newaxis], axis=-1)[..., 0]

    is_slower, is_faster = at_first(slower), at_first(faster)
    is_equal = at_first(found.equal <= design.error) & ~is_slower & ~is_faster
    return Power(
        effect=effect,
        slower=float(is_slower.mean()),
        faster=float(is_faster.mean()),
        equal=float(is_equal.mean()),
        inconclusive=float((~(is_slower | is_faster | is_equal)).mean()),
        pairs=float(looks.mean()),
    )
