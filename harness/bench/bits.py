"""The same bits everywhere: numbers from integers and exact IEEE operations only.

numpy's and torch's own generators, and log, exp and cos, change between versions. This generator does not: a
counter goes through the finaliser of splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", OOPSLA 2014), its top 24 bits become a float by a power of two, and one multiplication and one
addition scale it. All of these are exactly rounded on every machine.
"""

from __future__ import annotations

import hashlib
from typing import Any

_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB


def _key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")


def words(name: str, count: int, *, start: int = 0) -> Any:
    """`count` words of the stream called `name`, from position `start` on, as a numpy array of uint64.

    A word is a function of the name and its position alone, so that a stream can be had in parts.
    """
    import numpy as np

    z = np.arange(start + 1, start + count + 1, dtype=np.uint64)
    z *= np.uint64(_GOLDEN)
    z += np.uint64(_key(name))
    z ^= z >> np.uint64(30)
    z *= np.uint64(_MIX_1)
    z ^= z >> np.uint64(27)
    z *= np.uint64(_MIX_2)
    z ^= z >> np.uint64(31)
    return z


def _stream(kind: str, shape: tuple[int, ...], seed: int | str) -> str:
    return f"{kind}|{'x'.join(map(str, shape))}|{seed}"


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def uniform(shape: tuple[int, ...], *, seed: int | str = 0, low: float = -1.0, high: float = 1.0) -> Any:
    """A float32 numpy array of `shape`, uniform in [low, high), equal bits for equal arguments everywhere.

    Values are rounded to float32 last, as the bounds would be.
    """
    import numpy as np

    drawn = words(_stream("uniform", shape, seed), _count(shape)) >> np.uint64(40)
    unit = drawn.astype(np.float64) * 2.0**-24
    unit *= high - low
    unit += low
    return unit.astype(np.float32).reshape(shape)


def integers(shape: tuple[int, ...], *, low: int, high: int, seed: int | str = 0) -> Any:
    """An int64 numpy array of `shape` with values from low to high - 1, equal bits for equal arguments everywhere."""
    import numpy as np

    if high <= low:
        msg = f"integers() needs low < high, got low={low} and high={high}"
        raise ValueError(msg)
    drawn = words(_stream("integers", shape, seed), _count(shape)) >> np.uint64(32)
    return (drawn % np.uint64(high - low)).astype(np.int64).reshape(shape) + np.int64(low)
