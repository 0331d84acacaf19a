"""Who is to blame, as the first thing after a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.text import Text

from harness.bump.schema import (
    Answer,
    Blame,
    Bump,
    Culprits,
    Evidence,
    Package,
    Released,
    SideFound,
    SideName,
    Status,
    Versions,
)
from harness.report.lines import wrapped
from harness.verdict.comparison import count_of

TITLE = "To blame"

_NAMED = 6
_BASE = "the base"
_SIDES = {
    SideName.EXPORTER: "the exporter",
    SideName.RUNTIME: "the runtime",
    SideName.EITHER: "both: the artifact and the runtime, each alone",
    SideName.TOGETHER: "neither alone: the new artifact in the new runtime",
    SideName.FRAMEWORK: "the framework itself",
    SideName.UNTOLD: "not told",
}


def blame_lines(bump: Bump, *, width: int) -> list[Text]:
    """The lines for a terminal: each cause with what is to blame, since when, on which side, and what was run."""
    if not bump.blames:
        return []
    lines = [Text(TITLE, style="bold red")]
    for blame in bump.blames:
        lines += wrapped(heading(blame), width=width, indent=2, hanging=2, style="bold")
        for label, told in claims(blame):
            lines += wrapped(f"{label}: {told}", width=width, indent=4, hanging=2)
    return [*lines, *wrapped(effort(bump), width=width, indent=2, hanging=2, style="dim"), Text()]


def heading(blame: Blame) -> str:
    """The cell that stands for a cause, and what became of it."""
    return f"{blame.cell} {_which(blame)}"


def _which(blame: Blame) -> str:
    others = f", for {count_of(len(blame.cells))} with this fingerprint" if len(blame.cells) > 1 else ""
    return f"({blame.category}: {blame.outcome} at {blame.stage}{others})"


def claims(blame: Blame) -> list[tuple[str, str]]:
    """Label and text of each thing that is said of a cause. All of it rests on trials, which the last of them names."""
    told: list[tuple[str, str]] = []
    if blame.culprits is not None:
        told.append(("package" if len(blame.culprits.packages) == 1 else "packages", _culprits(blame, blame.culprits)))
    if blame.known_as:
        told.append(("known as", blame.known_as))
    told += [claim for each in blame.versions for claim in _versions(each)]
    if blame.side is not None:
        told.append(("side", _side(blame.side)))
    told += [("not told", limit) for limit in blame.limits]
    run = _run(blame)
    return [*told, ("run", run)] if run else told


def _culprits(blame: Blame, culprits: Culprits) -> str:
    named = _listed(culprits.packages)
    if blame.status is not Status.FOUND:
        return f"among {named}: the smallest set that is known to break"
    if culprits.left_out:
        left = " and ".join(culprits.left_out)
        alone = "alone" if len(culprits.packages) == 1 else "together"
        also = _moved_with(culprits, culprits.left_out)
        base = _and(dict.fromkeys(_of_base(each.answer) for each in culprits.controls))
        return f"{named} {alone}; {also} with it, and without {left} the base {base} and this still breaks"
    free = [package.name for package in culprits.packages if package.name not in culprits.tied]
    if culprits.tied and not free:
        return f"{named}: the resolver takes none without the others, and so they are named together"
    if culprits.tied:
        tied = " nor without ".join(culprits.tied)
        part = "what part it has is" if len(culprits.tied) == 1 else "what part each of these has is"
        less = f"with {' or '.join(free)} left at the base's version it {_less(culprits)}"
        return f"{named}: {less}; the resolver does not take the others without {tied}, so that {part} not told"
    if len(culprits.packages) > 1:
        return f"{named}, only together: with any of them left at the base's version it {_less(culprits)}"
    return f"{named} alone: everything else was the base's{_brought(culprits.along)}"


def _less(culprits: Culprits) -> str:
    """What all sets of fewer moves have in common, as far as they have a solution."""
    answers = {each.answer for each in culprits.smaller} - {Answer.UNRESOLVABLE}
    if len(answers) == 1:
        return answers.pop().words
    return "is no worse than in the base" if all(each.no_worse for each in answers) else "does not break in this way"


def _of_base(answer: Answer) -> str:
    """An answer as it is said of the base itself."""
    return "is as in its table" if answer is Answer.AS_BEFORE else answer.words


def _moved_with(culprits: Culprits, names: Sequence[str]) -> str:
    """What had to move with the culprits."""
    versions = {package.name: package for package in culprits.along}
    told = " and ".join(str(versions[name]) if name in versions else name for name in names)
    return f"{told} {'has' if len(names) == 1 else 'have'} to move"


def _brought(along: Sequence[Package]) -> str:
    """What the resolver brought with the culprit."""
    names = [package.name for package in along if package.before and package.after]
    gone = len(along) - len(names)
    told = [*names[:_NAMED], *([f"{len(names) - _NAMED} more"] if len(names) > _NAMED else [])]
    told += [f"{gone} that only one side has"] if gone else []
    return f", but for what it brings ({', '.join(told)})" if told else ""


def _listed(packages: Sequence[Package]) -> str:
    names = [str(package) for package in packages[:_NAMED]]
    more = f" and {len(packages) - _NAMED} more" if len(packages) > _NAMED else ""
    return ", ".join(names) + more


def _versions(versions: Versions) -> list[tuple[str, str]]:
    told: list[tuple[str, str]] = []
    name = versions.package
    if versions.first_broken and versions.last_working:
        skipped = f"; {_skipped(versions.between)}" if versions.between else ""
        last = versions.last_working
        works = f"{last.version} is the last that {last.evidence.answer.words}{skipped}"
        told.append(("first version that breaks", f"{_set(name, versions.first_broken)} ({works})"))
    if versions.works_again is not None:
        passed = versions.works_again.evidence.answer is Answer.WORKS
        denied = "does not" if passed else "is not"
        before = f"{versions.still_broken.version} {denied}" if versions.still_broken else ""
        label = "works again from" if passed else "as in the base again from"
        told.append((label, f"{_set(name, versions.works_again)}{f' ({before})' if before else ''}"))
    elif versions.still_broken is not None and versions.tried:
        untried = f"; {len(versions.untried)} between were not tried" if versions.untried else ""
        told.append(("works again from", f"no later version of {name} that was tried works{untried}"))
    return told + ([("versions", versions.note)] if versions.note else [])


def _skipped(between: Sequence[Evidence]) -> str:
    versions = ", ".join(dict.fromkeys(each.answer.words for each in between))
    return f"{len(between)} between: {versions}"


def _set(name: str, released: Released) -> str:
    """`torch 2.1.1 with torchvision 0.16.1`: the version, and what else was not the base's in that set."""
    partners = [
        f"{other} {released.packages[other]}"
        for other, version in released.evidence.mix.pins.items()
        if other != name and other in released.packages and not version
    ]
    return f"{name} {released.version}{f' with {_and(partners)}' if partners else ''}"


def _and(parts: Iterable[str]) -> str:
    return " and ".join(parts)


def _side(side: SideFound) -> str:
    return f"{_SIDES[side.side]}: {side.reason}"


def _run(blame: Blame) -> str:
    """What was run: each mix in few words, what it said and its trial, and then what was crossed."""
    crossed = blame.side.crossed if blame.side else ()
    found: dict[str, None] = {}
    for each in evidence_of(blame):
        if each.trial and each not in crossed:
            mixed = _mixed(blame, each)
            words = _of_base(each.answer) if mixed == _BASE else each.answer.words
            found.setdefault(f"{mixed} {words} (trial {each.trial})")
    told = zip(("the base's artifact in the candidate", "the candidate's artifact in the base"), crossed, strict=False)
    crossings = [f"{name} {each.answer.words} (trial {each.trial})" for name, each in told if each.trial]
    return "; ".join([*found, *crossings])


def _mixed(blame: Blame, evidence: Evidence) -> str:
    """What was installed, in few words: all that was held is in the trial itself."""
    for name, control in zip((_BASE, "the candidate"), blame.controls, strict=False):
        if evidence.trial == control.trial:
            return name
    mix = evidence.mix
    parts = [f"{name} {version or 'as fits'}" for name, version in (*mix.pins.items(), *mix.bounds.items())]
    more = [f"{len(parts) - _NAMED} more"] if len(parts) > _NAMED else []
    left = [f"without {_and(mix.without)}"] if mix.without else []
    return ", ".join([*parts[:_NAMED], *more, *left])


def evidence_of(blame: Blame) -> Iterable[Evidence]:
    """All evidence of a blame, in the order of what it is for."""
    yield from blame.controls
    yield from blame.others
    if blame.culprits is not None:
        yield from (*blame.culprits.controls, *blame.culprits.enough, *blame.culprits.smaller)
    for versions in blame.versions:
        yield from (each.evidence for each in (versions.last_working, versions.first_broken) if each)
        yield from versions.tried
        yield from (each.evidence for each in (versions.works_again, versions.still_broken) if each)
    if blame.side is not None:
        yield from blame.side.crossed


def effort(bump: Bump) -> str:
    """How much was run for it."""
    installed = sum(trial.installed for trial in bump.trials)
    kept = sum(trial.kept for trial in bump.trials)
    seconds = sum(trial.seconds for trial in bump.trials if not trial.kept)
    count = f"{len(bump.trials)} trial{'' if len(bump.trials) == 1 else 's'}"
    if kept == len(bump.trials):
        return f"{count}, kept from before: nothing was installed"
    before = f", {kept} of them kept from before" if kept else ""
    environments = f"{installed} environment{'' if installed == 1 else 's'}"
    return f"{count}{before}: {environments} installed and removed, {seconds:.0f} s"
