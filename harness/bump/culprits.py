"""Which moved packages are enough for one break: the search for the smallest set, and the parting of what is tied."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from harness.bump.asking import Questions, Sought
from harness.bump.crossing import Route
from harness.bump.minimising import Minimiser, Moved, units
from harness.bump.moves import Mix, mix_of
from harness.bump.schema import Answer, Culprits, Evidence, Package
from harness.bump.trials import Laboratory


def base_of(laboratory: Laboratory) -> Mix:
    """The mix in which nothing moved."""
    return mix_of(laboratory.moves, candidate=())


def candidate_of(laboratory: Laboratory) -> Mix:
    """The mix in which all moved."""
    return mix_of(laboratory.moves, candidate=[move.name for move in laboratory.moves])


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a search found.

    `moved` are the names that moved in `mix`, in which the cell breaks: the culprits, and what is `tied` to them.
    """

    culprits: Culprits
    moved: Moved
    tied: Moved
    mix: Mix
    limits: tuple[str, ...] = ()


@dataclass
class Search:
    """The search for the smallest set of moves for one cell, whose controls held.

    First over the requirements, as far as the resolver can part them, then over what else moved in the lock.
    """

    questions: Questions
    sought: Sought
    route: Route
    _tried: dict[Moved, Evidence] = field(default_factory=dict)
    _minimiser: Minimiser = field(init=False)

    def __post_init__(self) -> None:
        self._minimiser = Minimiser(self._breaks, frozenset(move.name for move in self._lab.moves))

    @property
    def _lab(self) -> Laboratory:
        return self.questions.laboratory

    def run(self) -> Found:
        """The smallest set, tied packages parted where they can be. Raises as `Laboratory.run` does."""
        moved = self._minimal()
        tied = frozenset(name for name in moved if len(moved) > 1 and self._unresolvable(moved - {name}))
        return self._parted(moved, tied) if tied else self._found(moved, tied)

    def so_far(self) -> Found:
        """The smallest set that is known to break."""
        return self._found(self._minimiser.smallest, frozenset())

    def _minimal(self) -> Moved:
        direct = self._ordered(move.name for move in self._lab.moves if move.direct)
        indirect = self._ordered(move.name for move in self._lab.moves if not move.direct)
        if direct and self._breaks(frozenset(direct)):
            moved = self._minimiser.minimal(units(direct, self._resolves))
            brought = self._brought_by(moved)
            # What only came along may be what breaks, where it can be had without the rest.
            return self._minimiser.minimal(_singles(brought)) if self._breaks(frozenset(brought)) else moved
        if indirect and direct and self._breaks(frozenset(indirect)):
            return self._minimiser.minimal(_singles(indirect))
        return self._minimiser.minimal([*units(direct, self._resolves), *_singles(indirect)])

    def _ordered(self, names: Iterable[str]) -> list[str]:
        """What the cell imports first: the guilty one is most likely among those, and is then found in fewer trials."""
        return sorted(names, key=lambda name: (name not in self.route.imported, name))

    def _mix(self, names: Moved) -> Mix:
        return mix_of(self._lab.moves, candidate=names)

    def _resolves(self, names: Moved) -> bool:
        return self.questions.resolves(self._mix(names))

    def _unresolvable(self, names: Moved) -> bool:
        return not self._resolves(names)

    def _breaks(self, names: Moved) -> bool:
        if not names:
            return False
        self._tried[names] = self.questions.asked(self._mix(names), self.sought)
        return self._tried[names].answer is Answer.BREAKS

    def _brought_by(self, moved: Moved) -> list[str]:
        """What moved in the lock since `moved` did, is in both, and has a solution beside the base's requirements."""
        pins = self._lab.resolve(self._mix(moved)).pins
        names = [
            move.name
            for move in self._lab.moves
            if not move.direct and move.before and move.after and pins.get(move.name) == move.after
        ]
        return self._with_solution(self._ordered(names))

    def _with_solution(self, names: Sequence[str]) -> list[str]:
        """As many of `names` as can move without the rest, by halving what has no solution."""
        if not names or self._resolves(frozenset(names)):
            return list(names)
        if len(names) == 1:
            return []
        middle = len(names) // 2
        halves = [*self._with_solution(names[:middle]), *self._with_solution(names[middle:])]
        return halves if self._resolves(frozenset(halves)) else []

    def _found(self, moved: Moved, tied: Moved, limits: Sequence[str] = ()) -> Found:
        """What is known where `moved` are to blame as they are, with `tied` among them."""
        mix = self._mix(moved)
        culprits = Culprits(
            packages=self._packages(moved),
            along=self._along(mix, moved),
            tied=tuple(sorted(tied)),
            enough=self._enough(moved),
            smaller=self._smaller(moved),
        )
        return Found(culprits=culprits, moved=moved, tied=tied, mix=mix, limits=tuple(limits))

    def _enough(self, moved: Moved) -> tuple[Evidence, ...]:
        known = self._tried.get(moved) or self.questions.known(self._mix(moved), self.sought)
        return (known,) if known else ()

    def _smaller(self, moved: Moved) -> tuple[Evidence, ...]:
        return tuple(each for names, each in self._tried.items() if names < moved)

    def _packages(self, names: Collection[str]) -> tuple[Package, ...]:
        return tuple(Package.of(move) for move in self._lab.moves if move.name in names)

    def _along(self, mix: Mix, moved: Moved) -> tuple[Package, ...]:
        """What moved in the trial beside those that were meant to."""
        pins, before = self._lab.resolve(mix).pins, self._lab.base.locked
        names = {name for name in {*pins, *before} - moved if pins.get(name) != before.get(name)}
        return tuple(
            Package(name=name, before=before.get(name), after=pins.get(name), direct=name in self._lab.base.direct)
            for name in sorted(names)
        )

    def _parted(self, moved: Moved, tied: Moved) -> Found:
        """Tied packages parted by leaving out those that the cell does not import, with the base in the same form."""
        direct = {move.name for move in self._lab.moves if move.direct}
        idle = frozenset(name for name in tied if name not in self.route.imported and name in direct)
        attempts = [idle] if idle and idle < moved else []
        if len(idle) > 1 or idle == moved:
            attempts += [frozenset({name}) for name in sorted(idle)]
        limits: list[str] = []
        for left_out in attempts:
            done = self._without(moved, tied, left_out, limits)
            if done is not None:
                return done
        if not attempts:
            limits.append(f"{_named(tied)} cannot be parted: the cell imports all of them")
        return self._found(moved, tied, limits)

    def _without(self, moved: Moved, tied: Moved, left_out: Moved, limits: list[str]) -> Found | None:
        """The same break without `left_out`; None, and why in `limits`, where it cannot be shown."""
        moves, kept = self._lab.moves, moved - left_out

        def reduced(names: Moved) -> Mix:
            return mix_of(moves, candidate=names, without=left_out)

        still = [name for name in left_out if name in self._lab.resolve(reduced(kept)).pins]
        if still:
            limits.append(f"{_named(still)} cannot be left out: something else needs it")
            return None
        control = self.questions.asked(reduced(frozenset()), self.sought)
        if not control.answer.no_worse:
            limits.append(f"leaving out {_named(left_out)} tells nothing: the base without it {control.answer.words}")
            return None
        enough = self.questions.asked(reduced(kept), self.sought)
        if enough.answer is not Answer.BREAKS:
            limits.append(f"without {_named(left_out)} the cell {enough.answer.words}: named together")
            return None
        evidence: dict[Moved, Evidence] = {kept: enough}

        def breaks(names: Moved) -> bool:
            evidence[names] = self.questions.asked(reduced(names), self.sought)
            return evidence[names].answer is Answer.BREAKS

        def unresolvable(names: Moved) -> bool:
            return not self.questions.resolves(reduced(names))

        smallest = Minimiser(breaks, kept).minimal(_singles(sorted(kept)))
        smaller = [each for names, each in evidence.items() if names < smallest]
        culprits = Culprits(
            packages=self._packages(smallest),
            along=self._along(self._mix(moved), smallest),
            left_out=tuple(sorted(left_out)),
            tied=tuple(name for name in sorted(smallest) if len(smallest) > 1 and unresolvable(smallest - {name})),
            enough=(*self._enough(moved), evidence[smallest]),
            smaller=(*self._smaller(moved), *smaller),
            controls=(control,),
        )
        return Found(culprits=culprits, moved=moved, tied=tied, mix=self._mix(moved), limits=tuple(limits))


def _singles(names: Sequence[str]) -> list[Moved]:
    return [frozenset({name}) for name in names]


def _named(names: Collection[str]) -> str:
    return " and ".join(sorted(names))
