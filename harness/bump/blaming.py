"""Who is to blame for what got worse: which moved packages, from which version on, and which side of the artifact.

Everything is told from trials of a `Laboratory`, which are kept and never repeated. For each cause one cell stands for
all of its cells. Who is to blame is looked for first, for every cause, then the side, then the versions: what a budget
cuts off is what is asked for last. How it goes, and why, is in docs/decisions/0022-blame-rests-on-trials.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from harness.bench.record import Record
from harness.bench.registry import Registry
from harness.bench.stages import Stage
from harness.bump.asking import Questions, Sought, carried_on, cheapest
from harness.bump.crossing import Route, route_of, side_of
from harness.bump.culprits import Found, Search, base_of, candidate_of
from harness.bump.dating import versions_of
from harness.bump.moves import Mix, out_of_reach
from harness.bump.schema import Answer, Blame, Evidence, Status
from harness.bump.trials import Laboratory
from harness.diagnosis.rules import diagnose
from harness.tables.schema import Run
from harness.verdict.causes import Cause, causes
from harness.verdict.comparison import NOT_INSTALLED, WORSE, Category, Comparison
from harness.verdict.expectations import packages_of

_STAND_INS = 3
"""Causes whose cells are tried together, where an environment is made for one of them."""


@dataclass
class _Case:
    """One cause on its way to its blame. `found` is None until it is known which packages are to blame."""

    cause: Cause
    sought: tuple[Sought, ...]
    route: Route | None
    blame: Blame
    found: Found | None = None
    cut: list[str] = field(default_factory=list)

    def limit(self, text: str) -> None:
        self.blame = replace(self.blame, limits=(*self.blame.limits, text))


def blame(
    laboratory: Laboratory, comparison: Comparison, *, registry: Registry, paths: Iterable[Path] = ()
) -> tuple[Blame, ...]:
    """Who is to blame for each cause of what got worse, in the order of the comparison.

    `registry` is that of the plan that both sides ran, `paths` are the further folders of a user's own code. What the
    budget, or the machine, cut off is said in the `limits` of each. Raises `RunInterruptedError` where a person ends
    it; the trials that were run are kept.
    """
    questions = Questions(laboratory)
    worse = sorted(comparison.of(*WORSE), key=lambda change: list(Category).index(change.category))
    cases = [_case(cause, laboratory, registry, tuple(paths), comparison.candidate) for cause in causes(worse)]
    open_cases = [case for case in cases if case.route is not None]
    # Environments that are made for one cause answer for the others, and for one more cell of the same cause.
    stand_ins = [case.sought[0] for case in open_cases[:_STAND_INS]]
    questions.companions = (*stand_ins, *(each for case in open_cases for each in case.sought[1:2]))
    for phase in (_controls, _culprits, _side, _versions):
        for case in open_cases:
            if phase is _controls or case.blame.status in (Status.FOUND, Status.NARROWED):
                carried_on(partial(phase, case, questions), before=_PHASES[phase.__name__], limit=case.limit)
    return tuple(case.blame for case in cases)


def _case(cause: Cause, laboratory: Laboratory, registry: Registry, paths: tuple[Path, ...], candidate: Run) -> _Case:
    """A cause, with the route of the cell that stands for it; without a route where there is nothing to be tried."""
    sought = cheapest(cause)
    shown = cause.first.candidate or cause.first.base
    standing = sought[0].candidate if sought else shown
    made = Blame(
        cell=sought[0].name if sought else cause.first.name,
        cells=tuple(change.name for change in cause.changes),
        category=cause.category.value,
        outcome=standing.outcome.value if standing else "",
        stage=standing.stage.value if standing else "",
        fingerprint=standing.fingerprint if standing else None,
        status=Status.NOT_LOOKED_INTO,
        known_as=_known_as(standing, candidate),
    )
    case = _Case(cause=cause, sought=sought, route=None, blame=made)
    if not sought or standing is None:
        case.limit("one of the tables has no record of it")
    elif standing.stage in NOT_INSTALLED:
        case.limit(_NO_ENVIRONMENT[standing.stage])
    elif any(each.extension for each in (sought[0].base, sought[0].candidate)):
        case.limit("it runs in the environment of an extension, and trials are of the combination's own")
    elif not laboratory.moves:
        case.limit("no package has two versions, so that none is to blame")
    else:
        for name in out_of_reach(laboratory.moves):
            case.limit(f"{name} is as the base has it in every trial: an address, and no version, names it")
        names = {*laboratory.base.locked, *laboratory.candidate.locked}
        model, strategy = sought[0].cell
        case.route = route_of(registry, model=model, strategy=strategy, names=names, paths=paths)
    return case


_NO_ENVIRONMENT = {
    Stage.RESOLVE: "the candidate has no solution: the resolver's reason says why, and no trial would say more",
    Stage.INSTALL: "the candidate does not install: the installation's log says why, and no trial would say more",
}


def _known_as(record: Record | None, run: Run) -> str:
    found = diagnose(record, packages_of(run, record.extension)) if record and record.outcome.broken else None
    return found.known_as if found else ""


_PHASES = {
    "_controls": "base and candidate had been tried here",
    "_culprits": "the set of packages was the smallest",
    "_side": "exporter or runtime was told",
    "_versions": "all versions were tried that could tell more",
}


def _controls(case: _Case, questions: Questions) -> None:
    """The base's own trial works or fails as its table has it, and so does the candidate's; else there is no blame."""
    sought, lab = case.sought[0], questions.laboratory
    for mix, expected, who in (
        (base_of(lab), (Answer.WORKS, Answer.AS_BEFORE), "base"),
        (candidate_of(lab), (Answer.BREAKS,), "candidate"),
    ):
        evidence = questions.asked(mix, sought)
        case.blame = replace(case.blame, controls=(*case.blame.controls, evidence))
        if evidence.answer not in expected:
            case.blame = replace(case.blame, status=Status.NOT_REPRODUCED)
            case.limit(f"the {who} tried anew {_told(evidence)}: that is not what its table has")
            return
    case.blame = replace(case.blame, status=Status.NARROWED)


def _told(evidence: Evidence) -> str:
    reason = f" ({evidence.reason})" if evidence.reason else ""
    return f"{evidence.answer.words}{reason}"


def _culprits(case: _Case, questions: Questions) -> None:
    """The smallest set; where the time is over before, the smallest known."""
    if case.route is None:
        return
    search = Search(questions, case.sought[0], case.route)
    try:
        case.found = search.run()
        case.blame = replace(case.blame, status=Status.FOUND)
    finally:
        found = case.found or search.so_far()
        case.blame = replace(case.blame, culprits=found.culprits)
    for text in case.found.limits:
        case.limit(text)
    mix = case.found.mix
    others = [known for each in case.sought[1:] if (known := questions.known(mix, each)) is not None]
    case.blame = replace(case.blame, others=tuple(others))
    for other in others:
        if other.answer is not Answer.BREAKS:
            case.limit(f"{other.cell}, which broke with the same fingerprint, {_told(other)} there: not for it, then")


def _side(case: _Case, questions: Questions) -> None:
    if case.route is None:
        return
    lab = questions.laboratory
    guilty = [package.name for package in case.blame.culprits.packages] if case.blame.culprits else []
    side = side_of(lab, case.sought[0], case.route, guilty=guilty, base=base_of(lab), candidate=candidate_of(lab))
    case.blame = replace(case.blame, side=side)


def _versions(case: _Case, questions: Questions) -> None:
    """Each guilty package's versions, as far as they were tried when the time was over."""
    if case.found is None:
        return
    for told in versions_of(questions, case.sought[0], case.found):
        rest = tuple(each for each in case.blame.versions if each.package != told.package)
        case.blame = replace(case.blame, versions=(*rest, told))
    for told in case.blame.versions:
        if told.works_again is not None:
            _others_with(case, questions, f"{told.package} {told.works_again.version}", told.works_again.evidence)


def _others_with(case: _Case, questions: Questions, version: str, evidence: Evidence) -> None:
    """Other cells of the cause that are known not to work in the version in which the one that stands for it does."""
    mix = Mix(pins=evidence.mix.pins, bounds=evidence.mix.bounds, without=frozenset(evidence.mix.without))
    for each in case.sought[1:]:
        known = questions.known(mix, each)
        if known is not None and not known.answer.no_worse:
            case.limit(f"{known.cell}, which broke with the same fingerprint, {_told(known)} with {version}")
