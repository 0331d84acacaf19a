"""Matches the entries of a state dict to the variables of a TensorFlow model nobody wrote for it.

Names first: a variable that has the path of exactly one entry is its partner. What is left is matched layer by layer
in order, and only where both sides are the same sequence of layers, roles and shapes from the first to the last.
Anything else is an error that names what has no partner: nothing is ever guessed. Pure, and without any framework.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Shape = tuple[int, ...]

# The role of an entry, and what TensorFlow's layers call it, by rank: a vector `weight` belongs to a norm.
_VECTORS = {
    "weight": ("gamma", "weight"),
    "bias": ("bias", "beta"),
    "running_mean": ("moving_mean",),
    "running_var": ("moving_variance",),
}
_KERNEL = "kernel"
_DEPTHWISE = "depthwise_kernel"
_TABLES = ("embeddings", "weight")


class NoPartnerError(Exception):
    """A parameter or a variable that finds no partner; the message names it."""


@dataclass(frozen=True)
class Entry:
    """One entry of the state dict, or one variable: its path, outermost name first, and its shape."""

    path: tuple[str, ...]
    shape: Shape

    @property
    def name(self) -> str:
        """The path as its own side writes it."""
        return "/".join(self.path)

    @property
    def layer(self) -> tuple[str, ...]:
        """The path of what it belongs to."""
        return self.path[:-1]

    @property
    def role(self) -> str:
        """What it is to its layer."""
        return self.path[-1]


@dataclass(frozen=True)
class Pair:
    """An entry of the state dict, the position of its variable, and how the axes are to be permuted for it."""

    entry: str
    variable: int
    axes: tuple[int, ...]


def permutations(entry: Entry, variable: Entry) -> list[tuple[int, ...]]:
    """The ways in which the entry's axes may be permuted for the variable; none where the two are no partners."""
    rank = len(entry.shape)
    same = tuple(range(rank))
    if rank != len(variable.shape):
        return []
    if rank <= 1:
        wanted = _VECTORS.get(entry.role, (entry.role,))
        ways = [same] if variable.role in wanted else []
    elif entry.role != "weight":
        ways = [same] if variable.role == entry.role else []
    elif variable.role == _KERNEL:
        # Out, in, space… to space…, in, out.
        ways = [(*same[2:], 1, 0)]
    elif variable.role == _DEPTHWISE:
        # Channels, 1, space… to space…, channels, 1.
        ways = [(*same[2:], 0, 1)]
    else:
        ways = [same] if variable.role in _TABLES else []
    return [way for way in ways if tuple(entry.shape[axis] for axis in way) == variable.shape]


def _words(path: Sequence[str]) -> tuple[str, ...]:
    """A path in words that both sides share: `layer_._0` and `layer.0` are the same."""
    return tuple(word for part in path for piece in part.lower().split(".") if (word := piece.strip("_")))


def match(entries: Mapping[str, Shape], variables: Sequence[tuple[str, Shape]]) -> list[Pair]:
    """The partner of every entry; raises `NoPartnerError` where one has none, or where it cannot be told which."""
    left = {name: Entry(tuple(name.split(".")), shape) for name, shape in entries.items()}
    right = {
        position: Entry(tuple(path.partition(":")[0].split("/")), shape)
        for position, (path, shape) in enumerate(variables)
    }
    pairs = _by_name(left, right)
    for pair in pairs:
        del left[pair.entry], right[pair.variable]
    return pairs + _by_order(left, right)


def _shared(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """What all paths begin with."""
    shared = []
    for words in zip(*paths, strict=False):
        if len(set(words)) > 1:
            break
        shared.append(words[0])
    return tuple(shared)


def _by_name(left: Mapping[str, Entry], right: Mapping[int, Entry]) -> list[Pair]:
    """Pairs of the same path, but for an outer part that all variables share: the model's own name."""
    paths = {position: _words(variable.layer) for position, variable in right.items()}
    shared = _shared(list(paths.values()))
    named = defaultdict(list)
    for name, entry in left.items():
        named[_words(entry.layer)].append(name)
    pairs = []
    for position, variable in right.items():
        path = paths[position]
        inner = {path[start:] for start in range(min(len(shared), len(path) - 1) + 1)}
        fitting = [
            Pair(name, position, ways[0])
            for words in inner
            for name in named.get(words, ())
            if (ways := permutations(left[name], variable))
        ]
        if len(fitting) == 1:
            pairs.append(fitting[0])
    taken = Counter(pair.entry for pair in pairs)
    return [pair for pair in pairs if taken[pair.entry] == 1]


def _layers(entries: Iterable[tuple[str | int, Entry]]) -> list[list[tuple[str | int, Entry]]]:
    """Entries by layer, in the order in which each layer appears first."""
    layers: dict[tuple[str, ...], list[tuple[str | int, Entry]]] = defaultdict(list)
    for key, entry in entries:
        layers[entry.layer].append((key, entry))
    return list(layers.values())


def _by_order(left: Mapping[str, Entry], right: Mapping[int, Entry]) -> list[Pair]:
    """Pairs of layers at the same place, where the two sides are the same sequence throughout."""
    ours, theirs = _layers(left.items()), _layers(right.items())
    pairs = []
    for place in range(max(len(ours), len(theirs))):
        ours_here = ours[place] if place < len(ours) else []
        theirs_here = theirs[place] if place < len(theirs) else []
        pairs += _layer(ours_here, theirs_here)
    return pairs


def _layer(ours: Sequence[tuple[str | int, Entry]], theirs: Sequence[tuple[str | int, Entry]]) -> list[Pair]:
    rest = list(theirs)
    pairs = []
    for name, entry in ours:
        fitting = [(key, variable, ways) for key, variable in rest if (ways := permutations(entry, variable))]
        if len(fitting) != 1:
            msg = f"{name} {list(entry.shape)} finds no partner: in its place, the TensorFlow model has {_told(theirs)}"
            raise NoPartnerError(msg)
        key, variable, ways = fitting[0]
        rest.remove((key, variable))
        pairs.append(Pair(str(name), int(key), ways[0]))
    if rest:
        variable = rest[0][1]
        msg = f"{variable.name} {list(variable.shape)} finds no partner: in its place, the state dict has {_told(ours)}"
        raise NoPartnerError(msg)
    return pairs


def _told(entries: Sequence[tuple[str | int, Entry]]) -> str:
    return ", ".join(f"{entry.name} {list(entry.shape)}" for _, entry in entries) or "nothing more"
