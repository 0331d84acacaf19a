"""What moved between the locks of a base and a candidate, and mixes of the two. Nothing is read or run here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from packaging.version import InvalidVersion, Version

from harness.bench.environment import ANY_VERSION

_MOST_HELD_TOLD = 3


@dataclass(frozen=True, kw_only=True)
class Side:
    """The base or the candidate, as its requirements and its lock say.

    `python` is major.minor. `direct` are the requirements, canonical name to the one version that they pin, None where
    they pin none; `locked` is everything that is installed, canonical name to version.
    """

    name: str
    python: str
    direct: Mapping[str, str | None]
    locked: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Move:
    """A package whose version differs between the locks; None on the side that does not have it.

    `direct` says whether the requirements of a side name it; else it moved since something else did.
    """

    name: str
    before: str | None
    after: str | None
    direct: bool

    def __str__(self) -> str:
        """`torch 2.0.1 to 2.1.0`."""
        if self.before is None:
            return f"{self.name} {self.after} (new)"
        if self.after is None:
            return f"{self.name} {self.before} (gone)"
        return f"{self.name} {self.before} to {self.after}"


def moves_between(base: Side, candidate: Side) -> tuple[Move, ...]:
    """What differs between the locks of two sides, the direct requirements first, each group by name."""
    found = [
        Move(name=name, before=before, after=after, direct=name in base.direct or name in candidate.direct)
        for name in sorted({*base.locked, *candidate.locked})
        if not same_version(before := base.locked.get(name), after := candidate.locked.get(name))
    ]
    return tuple(sorted(found, key=lambda move: (not move.direct, move.name)))


def same_version(one: str | None, other: str | None) -> bool:
    """Whether two versions are one, however they are spelled: `2.1` is `2.1.0`."""
    if one is None or other is None or one == other:
        return one == other
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return False


@dataclass(frozen=True, kw_only=True)
class Mix:
    """A set of versions between base and candidate, told by how it differs from the base, which is `Mix()`.

    `pins` are direct requirements at one version each, in the place of what the base asks for, canonical name to
    version; an empty version is any. What the base asks for and `pins` does not name stays as it is, and prefers the
    version that the base has. `bounds` are further packages that may have no other version, where anything asks for
    them at all; `without` are direct requirements that are left out. `ANY_VERSION`, which an address has, is no version
    to ask for: it is in neither, and what the base asks for stays.
    """

    pins: Mapping[str, str] = field(default_factory=dict)
    bounds: Mapping[str, str] = field(default_factory=dict)
    without: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for name in ("pins", "bounds"):
            versions = {package: v for package, v in sorted(getattr(self, name).items()) if v != ANY_VERSION}
            object.__setattr__(self, name, versions)
        object.__setattr__(self, "without", frozenset(self.without))

    def __hash__(self) -> int:
        return hash((tuple(self.pins.items()), tuple(self.bounds.items()), self.without))

    def __str__(self) -> str:
        """`torch 2.1.0, torchvision 0.16.0, without tensorflow`; `the base as it is` where nothing differs.

        Many packages that are held are only counted: `bounds` has them.
        """
        parts = [f"{name} {version or 'at any version'}" for name, version in self.pins.items()]
        held = [f"{name} held at {version}" for name, version in self.bounds.items()]
        parts += held if len(held) <= _MOST_HELD_TOLD else [f"{len(held)} packages held"]
        parts += [f"without {', '.join(sorted(self.without))}"] if self.without else []
        return ", ".join(parts) or "the base as it is"


def out_of_reach(moves: Iterable[Move]) -> tuple[str, ...]:
    """The packages that no mix has as the candidate has them, since an address and no version names them."""
    return tuple(
        move.name for move in moves if move.after == ANY_VERSION or (move.before == ANY_VERSION and not move.direct)
    )


def mix_of(moves: Iterable[Move], *, candidate: Iterable[str], without: Iterable[str] = ()) -> Mix:
    """The mix in which the packages that `candidate` names are the candidate's, and all others of `moves` the base's.

    Direct ones are pinned, the others bounded; what a side does not have is left to the resolver.
    """
    of_candidate, left_out = set(candidate), frozenset(without)
    pins, bounds, absent = dict[str, str](), dict[str, str](), set(left_out)
    for move in moves:
        version = move.after if move.name in of_candidate else move.before
        if move.name in left_out:
            continue
        if version is None:
            absent |= {move.name} if move.direct else set()
        elif move.direct:
            pins[move.name] = version
        elif move.name in of_candidate:
            bounds[move.name] = version
    return Mix(pins=pins, bounds=bounds, without=frozenset(absent))
