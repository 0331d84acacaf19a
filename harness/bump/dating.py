"""From which released version of a guilty package on a cell breaks, and from which on it works again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from harness.bump.asking import Questions, Sought
from harness.bump.bisecting import border, is_downgrade, later_than, recovery, way_from
from harness.bump.culprits import Found, base_of, candidate_of
from harness.bump.moves import Mix, mix_of, same_version
from harness.bump.schema import Answer, Evidence, Package, Released, Versions


def versions_of(questions: Questions, sought: Sought, found: Found) -> Iterator[Versions]:
    """What is to be said of the versions of each guilty package that both sides have.

    Where trials come to an end before, what is known until then is given first. Raises as `Laboratory.run` does.
    """
    for package in found.culprits.packages:
        if package.before is not None and package.after is not None:
            dating = _Dating(questions=questions, sought=sought, found=found, package=package)
            try:
                dating.run()
            finally:
                yield dating.told


@dataclass
class _Dating:
    questions: Questions
    sought: Sought
    found: Found
    package: Package
    told: Versions = field(init=False)
    _asked: dict[tuple[str, bool], Evidence] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.told = Versions(package=self.package.name, last_working=None, first_broken=None)

    def run(self) -> None:
        """The border between base and candidate first, then the first later version that works."""
        before, after = str(self.package.before), str(self.package.after)
        released = self.questions.laboratory.versions(self.package.name)
        try:
            self._border(way_from(released, before=before, after=after))
            later = later_than(released, after)
            if is_downgrade(before, after):
                return
            if not later:
                self._note(f"no later version of {self.package.name} is released for this Python")
                return
            back = recovery(after, later, self._beside_candidate)
            self.told = replace(
                self.told,
                works_again=self._released(back.works, whole=True) if back.works else None,
                still_broken=self._released(back.before, whole=True),
                untried=back.untried,
            )
        finally:
            self.told = replace(self.told, tried=tuple(self._asked.values()))

    def _border(self, way: Sequence[str]) -> None:
        """The first version on the `way` that breaks, where the first of all is no worse than the base.

        Beside other culprits that is not the base itself, and it may fail in another way.
        """
        if len(self.found.culprits.packages) > 1:
            first = self._asks(way[0], whole=False)
            if not first.answer.no_worse:
                what = f"beside the other packages, {self.package.name} {way[0]} {first.answer.words}"
                self._note(f"{what}: no first version that breaks is told")
                return
        edge = border(way, self._beside_base)
        self.told = replace(
            self.told,
            last_working=self._released(edge.last_working, whole=False),
            first_broken=self._released(edge.first_broken, whole=False),
            between=tuple(self._asked[version, False] for version in edge.between),
        )

    def _note(self, text: str) -> None:
        self.told = replace(self.told, note="; ".join(filter(None, (self.told.note, text))))

    def _beside_base(self, version: str) -> Answer:
        """What `version` says where nothing else moved but the other culprits."""
        return self._asks(version, whole=False).answer

    def _beside_candidate(self, version: str) -> Answer:
        """What `version` says where all other requirements are the candidate's."""
        return self._asks(version, whole=True).answer

    def _asks(self, version: str, *, whole: bool) -> Evidence:
        self._asked[version, whole] = self.questions.asked(self._mix(version, whole=whole), self.sought)
        return self._asked[version, whole]

    def _mix(self, version: str, *, whole: bool) -> Mix:
        """The mix with `version` of the package; what is tied to it takes whatever version fits."""
        moves, name = self.questions.laboratory.moves, self.package.name
        moved = {*self.found.moved, *(move.name for move in moves if whole and move.direct)}
        mix = mix_of(moves, candidate=moved)
        if same_version(version, self.package.after):
            return mix
        if name not in mix.pins and not self.package.direct:
            return replace(mix, bounds={**mix.bounds, name: version})
        free = dict.fromkeys(self.found.tied - {name}, "") if name in self.found.tied else {}
        return replace(mix, pins={**mix.pins, **free, name: version})

    def _released(self, version: str, *, whole: bool) -> Released:
        """A version with the set that the resolver makes of it; base and candidate themselves are known as they are."""
        moves = self.questions.laboratory.moves
        if same_version(version, self.package.before) and (version, whole) not in self._asked:
            mix = base_of(self.questions.laboratory)
        elif whole and same_version(version, self.package.after):
            mix = candidate_of(self.questions.laboratory)
        else:
            mix = self._mix(version, whole=whole)
        evidence = self._asked.get((version, whole)) or self.questions.asked(mix, self.sought)
        pins = self.questions.laboratory.resolve(mix).pins
        names = {self.package.name, *(move.name for move in moves if move.direct)}
        return Released(version=version, packages={n: pins[n] for n in sorted(names) if n in pins}, evidence=evidence)
