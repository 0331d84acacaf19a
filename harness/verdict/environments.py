"""What differs between the environments and machines of two runs, so that a change is not blamed on the wrong thing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness.tables.schema import Run, memory_alike

_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class PackageChange:
    """A package whose version differs. None where that side does not have it.

    `extension` names the extension in whose environment it differs; empty for the combination's own.
    """

    name: str
    base: str | None
    candidate: str | None
    extension: str = ""


def bumped(base: Run, candidate: Run) -> tuple[PackageChange, ...]:
    """The pins that differ: what the candidate was meant to change.

    Where one side has no pin for a package (an ambient environment, say) the installed version stands for it. Where
    that is not known either, the package is left out: see `unknown_pins`.
    """
    names = {*base.pins, *candidate.pins} - set(unknown_pins(base, candidate))

    def version(run: Run, name: str, other: Run) -> str | None:
        # Between two pins the pins are compared: one may be of another local version than what was installed.
        return run.pins.get(name) if name in run.pins and name in other.pins else _version(run, name)

    return _differing(
        names, {n: version(base, n, candidate) for n in names}, {n: version(candidate, n, base) for n in names}
    )


def unknown_pins(base: Run, candidate: Run) -> list[str]:
    """The packages that one side pins, and of which the other, whose environment could not be had, has no version."""
    return sorted(
        name
        for name in {*base.pins, *candidate.pins}
        if any(not run.packages and name not in run.pins for run in (base, candidate))
    )


def also_differs(base: Run, candidate: Run) -> tuple[PackageChange, ...]:
    """The installed packages that differ and are not among the bumped pins, in every environment that both sides have.

    An extension's environment holds the combination's packages too: what differs there just as it does in the
    combination's own is not said again. Empty where no environment's packages are known on both sides.
    """
    found: list[PackageChange] = []
    said = {(change.name, change.base, change.candidate) for change in bumped(base, candidate)}
    pinned = {name for name, _, _ in said}
    for extension, before, after in _shared_environments(base, candidate):
        changes = _differing({*before, *after}, before, after, extension=extension)
        if not extension:
            said |= {(change.name, change.base, change.candidate) for change in changes}
            found += [change for change in changes if change.name not in pinned]
        else:
            found += [change for change in changes if (change.name, change.base, change.candidate) not in said]
    return tuple(found)


def packages_known(base: Run, candidate: Run) -> bool:
    """Whether the packages of any environment are known on both sides."""
    return bool(_shared_environments(base, candidate))


def _shared_environments(base: Run, candidate: Run) -> list[tuple[str, Mapping[str, str], Mapping[str, str]]]:
    """The environments whose packages both sides know, by extension; the combination's own, called "", comes first."""
    before, after = (
        {run.extension: run.packages, **{name: each.packages for name, each in run.extensions.items()}}
        for run in (base, candidate)
    )
    return [(name, before[name], after[name]) for name in sorted(before) if before[name] and after.get(name)]


def _version(run: Run, name: str) -> str | None:
    return run.pins.get(name, run.packages.get(name))


def _differing(
    names: Iterable[str],
    base: Mapping[str, str | None] | Mapping[str, str],
    candidate: Mapping[str, str | None] | Mapping[str, str],
    *,
    extension: str = "",
) -> tuple[PackageChange, ...]:
    changes = (
        PackageChange(name=n, base=base.get(n), candidate=candidate.get(n), extension=extension) for n in sorted(names)
    )
    return tuple(change for change in changes if change.base != change.candidate)


def numbers_left_out(base: Run, candidate: Run) -> str:
    """Why latency and memory of two runs cannot be compared: other machines, other threads; empty where they can."""
    before, after = _machine(base), _machine(candidate)
    different = ", ".join(
        f"{name} {_shown(before.get(name))} and {_shown(after.get(name))}"
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name) and not (name == "memory_mb" and memory_alike(before[name], after[name]))
    )
    found = [f"the machines differ: {different}"] if different else []
    if base.threads != candidate.threads:
        found.append(f"the runs had different numbers of threads, {base.threads} and {candidate.threads}")
    return "; ".join(found)


def _machine(run: Run) -> dict[str, Any]:
    gpu = run.gpu and f"{run.gpu.count} x {run.gpu.name}, {run.gpu.memory_mb} MiB"
    return {**asdict(run.machine), "gpu": gpu, "driver": run.driver}


def _shown(value: object) -> str:
    return "none" if value is None else repr(value) if isinstance(value, str) else str(value)


def run_notes(base: Run, candidate: Run) -> tuple[str, ...]:
    """Sentences on what else to know of the two runs before believing a difference."""
    notes = []
    if base.python and candidate.python and base.python != candidate.python:
        notes.append(f"Python differs: {base.python} and {candidate.python}.")
    if base.harness_version != candidate.harness_version:
        notes.append(f"The harness differs: {base.harness_version} and {candidate.harness_version}.")
    if own := _policies_differ(base.policy, candidate.policy):
        notes.append(f"The cells were run under different policies: {own}.")
    for extension in sorted(base.extensions.keys() & candidate.extensions.keys()):
        policies = [run.extensions[extension].policy for run in (base, candidate)]
        if all(policies) and (differing := _policies_differ(*policies)) not in ("", own):
            notes.append(f"The cells of the extension {extension} were run under different policies: {differing}.")
    for side, run in (("base", base), ("candidate", candidate)):
        if not run.complete:
            notes.append(f"The {side}'s table is incomplete: {run.recorded} of {run.planned} cells are recorded.")
        if run.selected:
            notes.append(f"The {side}'s table is of selected cells only.")
        if not run.packages:
            unpinned = [name for name in unknown_pins(base, candidate) if name not in run.pins]
            known = f" It does not pin {', '.join(unpinned)}: what it would have of that is not known."
            more = known if unpinned else ""
            notes.append(f"The {side}'s installed packages are not known: its environment could not be had.{more}")
        notes += _carried_notes(side, run)
    return tuple(notes)


def _carried_notes(side: str, run: Run) -> list[str]:
    """What of a side it has not run, and what it has run again that came to something else."""
    found = []
    if run.carried:
        of = f"{run.carried} of the {side}'s {run.recorded} cells"
        found.append(f"{of} were carried over from earlier runs: nothing with a say in them had changed.")
    if run.not_reproducible:
        named = [f"{each.cell} ({each.before} at {each.seen}, then {each.now})" for each in run.not_reproducible]
        more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        found.append(f"Not reproducible in the {side}, with nothing changed: {', '.join(named[:_NAMED])}{more}.")
    return found


def _policies_differ(base: Mapping[str, int | float], candidate: Mapping[str, int | float]) -> str:
    # Threads are a matter of comparing latency, and said there.
    names = sorted({*base, *candidate} - {"threads"})
    return ", ".join(
        f"{name} {_shown(base.get(name))} and {_shown(candidate.get(name))}"
        for name in names
        if base.get(name) != candidate.get(name)
    )
