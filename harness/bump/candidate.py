"""Makes the candidate from a base and what is to move, and says what stands in the way where it has no solution.

A base is a combination, or requirements that were given. The candidate asks for the same with some of it replaced; what
it does not replace prefers the versions that the base's lock has, so that nothing moves that need not.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from harness.bench.environment import canonical, pins_of
from harness.bench.errors import UsageError, unknown
from harness.bump.moves import Mix, Side
from harness.matrix import combination as combinations
from harness.matrix import locks
from harness.matrix.credentials import without_credentials
from harness.matrix.places import own_folder
from harness.matrix.reinstalling import blocks
from harness.matrix.requirements import keeping
from harness.matrix.requirements.closing import Closed, Wish, close, pins_under
from harness.matrix.requirements.given import Given, Source, source_of
from harness.matrix.requirements.lines import Direct, Wanted
from harness.matrix.requirements.projects import dependencies_of
from harness.matrix.requirements.reading import read


@dataclass(frozen=True, kw_only=True)
class Foundation:
    """A base, as candidates and mixes are made of it.

    `given` is what it asks for, under its Python alone; `wish` says what of it is installed. `full` and `lock` are the
    texts of everything that it asks for, resolved, and of what is installed; empty where it has no solution.
    """

    side: Side
    given: Given
    wish: Wish
    full: str
    lock: str


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """What of the base there would be a solution without, as small a set as there is.

    `pins` are what the base asks for, name to what it says of the version as it is written after the name (`==1.0`,
    `<4`), and `constraints` those of them that only bound it; `instead` is what the resolver would take in their place.
    """

    pins: Mapping[str, str]
    instead: Mapping[str, str]
    constraints: frozenset[str] = frozenset()


def foundation(root: Path, name: str) -> Foundation:
    """The combination, or the requirements that were given, called `name`, as a base. Raises `UsageError`."""
    combination = combinations.read(root, name)
    python = combination.python
    if combinations.is_given(root, name):
        kept = keeping.known(root, name)
        given = _unlocked(_as_locked(root, kept), kept)
        wish = Wish(modules=frozenset(kept.stated["modules"]), everything=kept.stated["everything"])
        full, lock = kept.full, kept.lock
    else:
        given = read(root, Source(path=(root / combination.path).resolve()), python=python)
        wish = Wish(modules=frozenset(), everything=True)
        path = locks.lock_path(root, name)
        locked = locks.read_lock(root, combination)
        full = lock = "" if locked.reason else path.read_text(encoding="utf-8")
    given = replace(given, wanted=tuple(pins_under(given.wanted, python)))
    side = Side(name=name, python=python, direct=direct_of(given.wanted), locked=pins_of(lock))
    return Foundation(side=side, given=given, wish=wish, full=full, lock=lock)


def _as_locked(root: Path, kept: keeping.Kept) -> Given:
    """What the file asks for; raises `UsageError` where that is no longer what was locked."""
    given = read(root, source_of(os.path.relpath(root / kept.stated["given"])), python=kept.stated["python"])
    if given.content != kept.stated["content"]:
        file = kept.stated["given"]
        msg = (
            f"{file} says something else than when {kept.name} was locked. Have it run again, by `harness run "
            f"--requirements {file}` or the command that was given it, and compare with that."
        )
        raise UsageError(msg)
    return given


def _unlocked(given: Given, kept: keeping.Kept) -> Given:
    """What `given` asks for by name, as if its file did not hold every version; the lock's are preferred all the same.

    Of a lock that is what its comments or the cells name.
    """
    wanted = given.wanted
    if given.locked:
        wanted = tuple(Wanted(Requirement(each)) for each in kept.stated["requirements"])
    if given.project is not None:
        # Its package is installed without what it asks for itself, which is what moves.
        there = {canonical(each.requirement.name) for each in wanted}
        own = map(Wanted, dependencies_of(given.project))
        wanted = (*wanted, *(each for each in own if canonical(each.requirement.name) not in there))
    return replace(given, wanted=wanted, locked=False, compiled=False, source=Source(path=given.source.path))


def direct_of(wanted: Iterable[Wanted]) -> dict[str, str | None]:
    """Canonical name to the one version that is asked for, None where that is none."""
    found: dict[str, str | None] = {}
    for each in wanted:
        specifiers = each.requirement.specifier
        exact = [s.version for s in specifiers if s.operator in ("==", "===") and "*" not in s.version]
        name = canonical(each.requirement.name)
        # A package may be on several lines: a range beside a pin leaves it pinned.
        found[name] = exact[0] if exact else found.get(name)
    return dict(sorted(found.items()))


def parse_moves(values: Sequence[str], base: Side) -> tuple[Requirement, ...]:
    """What is to move, as it was typed: `torch==2.1.0`, `torch>=2.1`, or `torch` for the newest.

    Raises `UsageError` for what is no requirement, and for a package that the base does not have, with the nearest.
    """
    found: dict[str, Requirement] = {}
    for value in values:
        try:
            requirement = Requirement(value)
        except InvalidRequirement:
            msg = f"{value!r} says no version of a package. Write it like 'torch==2.1.0', 'torch>=2.1' or 'torch'."
            raise UsageError(msg) from None
        if requirement.url or requirement.marker:
            msg = f"{value!r}: an address or a marker cannot be moved to. Write it like 'torch==2.1.0'."
            raise UsageError(msg)
        name = canonical(requirement.name)
        if name not in base.direct and name not in base.locked:
            raise UsageError(unknown(f"package of {base.name}", name, {**base.direct, **base.locked}))
        if name in found:
            msg = f"{found[name]} and {requirement}: {name} can move to one place only."
            raise UsageError(msg)
        found[name] = requirement
    if not found:
        msg = f"nothing is to move. Name it after {base.name}, like 'torch==2.1.0'."
        raise UsageError(msg)
    return tuple(found.values())


def moved(base: Foundation, moves: Iterable[Requirement]) -> Given:
    """What the base asks for, with `moves` in the place of what it says of the same packages."""
    asked = {canonical(each.name): each for each in moves}
    constraints = _but(base.given.constraints, asked)
    return replace(base.given, wanted=_replaced(base.given.wanted, asked), constraints=constraints)


def _but(wanted: Iterable[Wanted], names: Container[str]) -> tuple[Wanted, ...]:
    """`wanted` without what it says of `names`."""
    return tuple(each for each in wanted if canonical(each.requirement.name) not in names)


def _replaced(wanted: Iterable[Wanted], asked: Mapping[str, Requirement]) -> tuple[Wanted, ...]:
    """`wanted` in its order, what `asked` names as it says there, and what only `asked` names at the end.

    A package that is on several lines of `wanted`, whose markers hold, is on one then, with the extras of all of them.
    """
    found: dict[str, Requirement] = {name: Requirement(str(each)) for name, each in asked.items()}
    lines: list[Wanted | str] = []
    for each in wanted:
        name = canonical(each.requirement.name)
        if name in found:
            found[name].extras |= each.requirement.extras
        lines.append(name if name in found else each)
    return tuple(Wanted(found[each]) if isinstance(each, str) else each for each in dict.fromkeys((*lines, *found)))


def without_versions_of(lock: str, names: Iterable[str]) -> str:
    """A lock's text for the versions to prefer, without those of `names`: a range of them means their newest."""
    left_out = set(names)
    _, found = blocks(lock)
    return "".join(block for name, block in found.items() if name not in left_out)


def candidate_text(root: Path, base: Foundation, moves: Sequence[Requirement]) -> str:
    """The candidate as a file of requirements, whose paths are from the root."""
    given = moved(base, moves)
    lines = [f"# python: {base.side.python}", f"# {base.side.name} with {_listed(moves)}, and nothing else."]
    lines += [str(option) for option in given.options]
    lines += [" ".join([str(w.requirement), *(f"--hash={each}" for each in w.hashes)]) for w in given.wanted]
    lines += [_direct_line(root, each) for each in given.directs]
    return "".join(f"{line}\n" for line in lines)


def _listed(moves: Iterable[Requirement]) -> str:
    return ", ".join(str(each) for each in sorted(moves, key=lambda each: canonical(each.name)))


def _direct_line(root: Path, direct: Direct) -> str:
    target = direct.target
    if direct.is_local and Path(target).is_relative_to(root):
        target = f"./{Path(target).relative_to(root)}"
    hashes = "".join(f" --hash={each}" for each in direct.hashes)
    return f"{'-e ' if direct.editable else ''}{target}{direct.extras}{hashes}"


def write_candidate(root: Path, base: Foundation, moves: Sequence[Requirement]) -> Path:
    """The candidate's file, under `.harness/candidates`: equal ones are one file, for one lock of the base."""
    text = candidate_text(root, base, moves)
    bounds = "".join(f"{each.requirement}\n" for each in moved(base, moves).constraints)
    text += (
        f"# All else is as in the lock of {base.side.name}, {hashlib.sha256(base.lock.encode()).hexdigest()[:16]}.\n"
    )
    digest = hashlib.sha256(json.dumps([text, bounds]).encode()).hexdigest()[:8]
    folder = own_folder(root) / "candidates" / digest
    folder.mkdir(parents=True, exist_ok=True)
    if bounds:
        text += "-c constraints.txt\n"
        locks.write_whole(folder / "constraints.txt", bounds.encode())
    if base.given.project is not None:
        text += f"# project: {os.path.relpath(base.given.project, root)}\n"
    path = folder / f"{base.given.stem}-bumped.txt"
    locks.write_whole(path, text.encode())
    return path


def save(root: Path, base: Foundation, moves: Sequence[Requirement], *, name: str, lock: str) -> list[Path]:
    """Write the candidate as the combination `name`, with its lock, which keeps the versions of the text `lock`.

    Returns what was written. Raises `UsageError` where there is a combination of that name, and what locking raises.
    """
    path, locked = root / "matrices" / f"{name}.in", root / "matrices" / "locks" / f"{name}.txt"
    if name in combinations.known(root):
        msg = f"--save {name}: there is a combination of that name. Choose another."
        raise UsageError(msg)
    if base.given.constraints:
        msg = f"--save {name}: {base.given.source.path.name} has constraints, and a combination cannot have any."
        raise UsageError(msg)
    if base.given.project is not None:
        msg = f"--save {name}: {base.given.source.path.name} is of a project, whose package a combination cannot have."
        raise UsageError(msg)
    locked.parent.mkdir(parents=True, exist_ok=True)
    locks.write_whole(path, candidate_text(root, base, moves).encode())
    try:
        locks.write_whole(locked, lock.encode())  # for the versions to keep
        made = locks.lock(root, combinations.read(root, name))
    except BaseException:
        path.unlink()
        locked.unlink(missing_ok=True)
        raise
    return [path, made.path]


def resolve(root: Path, base: Foundation, mix: Mix, *, at: Path) -> Closed:
    """What a mix of `base` comes to, as the lock at the path `at`, which is not written.

    What the mix holds where the base has it stays as the base asks for it, be that an address. Raises what
    `harness.matrix.requirements.closing.close` does.
    """
    addressed = {canonical(each.requirement.name) for each in base.given.wanted if each.requirement.url}
    asked = {
        name: Requirement(f"{name}=={version}" if version else name)
        for name, version in mix.pins.items()
        if name not in mix.without and not (name in addressed and version == base.side.locked.get(name))
    }
    kept = _but(base.given.wanted, mix.without)
    bounds = [Wanted(Requirement(f"{name}=={version}")) for name, version in mix.bounds.items()]
    constraints = (*_but(base.given.constraints, {*asked, *mix.bounds}), *bounds)
    given = replace(base.given, wanted=_replaced(kept, asked), constraints=constraints, locked=False)
    free = {*(name for name, version in mix.pins.items() if not version), *mix.without}
    full, lock = without_versions_of(base.full, free), without_versions_of(base.lock, free)
    bench = root / locks.bench_requirements(root)
    return close(root, given, base.wish, python=base.side.python, lock=at, before=(full, lock), bench=bench)


def obstacles(root: Path, base: Foundation, moves: Sequence[Requirement]) -> tuple[Obstacle, ...]:
    """What of the base stands in the way of `moves`, which have no solution beside all of it.

    That is a direct requirement that says anything of its version, or a constraint. Each without which alone there is a
    solution; where there is none such, those of one smallest set, found by freeing all of them and putting back one
    after the other. Empty where not even that gives a solution.
    """
    start = replace(base, given=moved(base, moves))
    asked = {canonical(each.name) for each in moves}
    direct = _but(start.given.wanted, asked)
    said = _said_of(direct)
    constraining = _said_of(start.given.constraints)
    pinned = {
        name: ",".join(filter(None, [said.get(name), constraining.get(name)])) for name in {**said, **constraining}
    }

    with tempfile.TemporaryDirectory() as scratch:

        def without(names: Iterable[str]) -> Obstacle | None:
            freed = list(names)
            given = replace(start.given, constraints=_but(start.given.constraints, freed))
            # What is only bounded is not asked for.
            mix = Mix(pins=dict.fromkeys((name for name in freed if name in said), ""))
            try:
                closed = resolve(root, replace(start, given=given), mix, at=Path(scratch, "lock.txt"))
            except UsageError:  # what is left has not what the index should have, or the bench does not fit beside it
                return None
            found = pins_of(closed.full)
            return (
                None
                if closed.reason
                else Obstacle(
                    pins={name: pinned[name] for name in freed},
                    instead={name: found[name] for name in freed if name in found},
                    constraints=frozenset(freed) - said.keys(),
                )
            )

        if alone := [found for name in pinned if (found := without([name]))]:
            return tuple(alone)
        smallest = without(pinned)
        for name in pinned if smallest else ():
            assert smallest is not None
            smallest = without(each for each in smallest.pins if each != name) or smallest
        return (smallest,) if smallest else ()


def _said_of(wanted: Iterable[Wanted]) -> dict[str, str]:
    """Canonical name to what is said of its version or its address, as it is written after the name."""
    found: dict[str, list[str]] = {}
    for each in wanted:
        one = each.requirement
        said = f" @ {without_credentials(one.url)}" if one.url else str(one.specifier)
        if said:
            found.setdefault(canonical(one.name), []).append(said)
    return {name: ",".join(dict.fromkeys(said)) for name, said in sorted(found.items())}
