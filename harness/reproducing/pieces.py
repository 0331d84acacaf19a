"""Functions that scripts have written into them where they need them, short forms of the bench's own.

The tests hold them against `harness.bench.bits`, `harness.bench.weights` and `harness.bench.match`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

DRAWN = '''\
def drawn(name, count, shift):
    """Numbers that are the same bits under every version: splitmix64 of a counter."""
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (z ^ (z >> np.uint64(31))) >> np.uint64(shift)'''

UNIFORM = '''\
def uniform(shape, *, seed=0, low=-1.0, high=1.0):
    """A float32 array in [low, high)."""
    words = drawn(f"uniform|{'x'.join(map(str, shape))}|{seed}", math.prod(shape), 40)
    return (words.astype(np.float64) * 2.0**-24 * (high - low) + low).astype(np.float32).reshape(shape)'''

INTEGERS = '''\
def integers(shape, *, low, high, seed=0):
    """An int64 array from low to high - 1."""
    words = drawn(f"integers|{'x'.join(map(str, shape))}|{seed}", math.prod(shape), 32)
    return (words % np.uint64(high - low)).astype(np.int64).reshape(shape) + low'''

FILL = '''\
def fill(model, gains):
    """Put weights into the model that are the same bits under every version, by position and shape."""
    parameters, seen = dict(model.named_parameters()), collections.Counter()
    for name, tensor in model.state_dict().items():
        role, shape = name.rpartition(".")[2], tuple(tensor.shape)
        if not tensor.is_floating_point() or (name not in parameters and not role.startswith("running_")):
            continue
        if role == "running_mean":
            low, high = -0.1, 0.1
        elif role == "running_var":
            low, high = 0.5, 1.5
        elif len(shape) <= 1:
            low, high = (0.9, 1.1) if role == "weight" else (-0.1, 0.1)
        else:
            gain = next((gain for pattern, gain in gains.items() if fnmatch.fnmatchcase(name, pattern)), 1.0)
            high = gain * math.sqrt(3.0 / math.prod(shape[1:]))
            low = -high
        values = uniform(shape, seed=f"weight {seen[shape]}", low=low, high=high)
        tensor.copy_(torch.from_numpy(values))
        seen[shape] += 1'''

FLATTEN = '''\
def flatten(value):
    """The tensors of a nest of outputs, in their order."""
    if isinstance(value, collections.abc.Mapping):
        value = list(value.values())
    elif hasattr(value, "__dataclass_fields__"):
        value = [getattr(value, name) for name in value.__dataclass_fields__]
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in flatten(item)]
    return [] if value is None else [value]'''

COMPARE = '''\
def compare(outputs, expected, paths):
    """Raise where the outputs are not the expected ones."""
    assert len(outputs) == len(expected), f"{len(outputs)} outputs instead of {len(expected)}"
    for path, seen, wanted in zip(paths, outputs, expected):
        assert seen.dtype == wanted.dtype, f"{path}: dtype {seen.dtype} instead of {wanted.dtype}"
        assert seen.shape == wanted.shape, f"{path}: shape {list(seen.shape)} instead of {list(wanted.shape)}"
        if wanted.dtype.kind not in "fc":
            wrong = int((seen != wanted).sum())
            assert not wrong, f"{path}: values differ at {wrong} of {wanted.size} positions"
            continue
        for name, test in (("NaN", np.isnan), ("Inf", np.isinf)):
            wrong = int((test(seen) != test(wanted)).sum())
            assert not wrong, f"{path}: {name} ({wrong} positions differ)"
        finite = np.isfinite(wanted)
        seen, wanted = seen[finite].astype(np.complex128), wanted[finite].astype(np.complex128)
        gap, norm = np.linalg.norm(seen - wanted), np.linalg.norm(wanted)
        error = gap / norm if gap else 0.0
        assert error <= TOLERANCE, f"{path}: values differ, relative error {error:.2e} above {TOLERANCE:.0e}"'''

REASON = '''\
class NotApplicable(Exception):
    """What cannot be under these versions."""'''


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Code that a script may need, the statements that import what is in it, and the other pieces that it needs."""

    code: str
    imports: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


_NUMPY = "import numpy as np"

PIECES: Mapping[str, Piece] = {
    "drawn": Piece(code=DRAWN, imports=("import hashlib", _NUMPY)),
    "uniform": Piece(code=UNIFORM, imports=("import math", _NUMPY), needs=("drawn",)),
    "integers": Piece(code=INTEGERS, imports=("import math", _NUMPY), needs=("drawn",)),
    "fill": Piece(
        code=FILL, imports=("import collections", "import fnmatch", "import math", "import torch"), needs=("uniform",)
    ),
    "flatten": Piece(code=FLATTEN, imports=("import collections.abc",)),
    "compare": Piece(code=COMPARE, imports=(_NUMPY,)),
    "NotApplicable": Piece(code=REASON),
}
"""By the name that a script knows each under, in the order in which they stand in it."""


def complete(names: Iterable[str]) -> list[str]:
    """`names` with all that they need, in order."""
    wanted = set(names)
    for name in reversed(list(PIECES)):
        if name in wanted:
            wanted.update(PIECES[name].needs)
    return [name for name in PIECES if name in wanted]
