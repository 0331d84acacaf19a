"""A candidate without a solution: why there is none, and what of the base stands in the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from packaging.requirements import Requirement

from harness.bench.environment import ANY_VERSION
from harness.bump.candidate import Foundation, Obstacle


@dataclass(frozen=True, kw_only=True)
class NoSolution:
    """What was to move, the resolver's `reason` against it, and what of the base it would go without."""

    base: Foundation
    moves: Sequence[Requirement]
    reason: str
    obstacles: Sequence[Obstacle]

    @property
    def headline(self) -> str:
        """What it comes to."""
        wanted = " ".join(str(each) for each in self.moves)
        return f"do not merge: {self.base.side.name} with {wanted} has no solution."

    @property
    def in_the_way(self) -> list[str]:
        """A sentence for each smallest set that stands in the way, or one that says that there is none."""
        return [told_of(each) for each in self.obstacles] or [_no_way_through(self.base)]

    @property
    def next_step(self) -> str:
        """What to do now; empty where nothing of the base stands in the way."""
        if not self.obstacles:
            return ""
        first, side = self.obstacles[0], self.base.side
        known = {**side.direct, **side.locked}
        instead = {name: v for name, v in first.instead.items() if name in known and v != ANY_VERSION}
        if instead.keys() == first.pins.keys():
            also = " ".join(f"'{name}=={version}'" for name, version in instead.items())
            return f"the same command with {also} added moves what stands in the way as well."
        return f"change what stands in the way in {self.base.given.source.path.name}, and run this again."


def as_text(found: NoSolution) -> str:
    """All of it for a terminal or a log."""
    step = f"\n\nNext: {found.next_step}" if found.next_step else ""
    in_the_way = "\n".join(found.in_the_way)
    return f"\n{found.headline}\n\n{found.reason}\n\n{in_the_way}{step}"


def told_of(obstacle: Obstacle) -> str:
    """What stands in the way, and what the resolver takes without it, in one sentence."""
    pins = " and ".join(
        f"{'the constraint ' if name in obstacle.constraints else ''}{name}{said}"
        for name, said in obstacle.pins.items()
    )
    instead = " and ".join(f"{name} {version}" for name, version in obstacle.instead.items())
    alone = len(obstacle.pins) == 1
    verb, pin = ("stands", "that pin") if alone else ("together stand", "these pins")
    if any(not said.startswith("==") for said in obstacle.pins.values()):
        pin = "that line" if alone else "these lines"
    return f"{pins} {verb} in the way: without {pin} it resolves{', with ' if instead else ''}{instead}."


def _no_way_through(base: Foundation) -> str:
    told = "It has none either with all that the base says of other versions let go"
    places = [f"{each.target}{each.extras}" for each in base.given.directs]
    if places:
        return f"{told}: what is to move does not fit together, or not beside {' and '.join(places)}."
    return f"{told}: what is to move does not fit together."
