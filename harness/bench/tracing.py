"""What PyTorch eager does on one input set: every operator, what it reads and makes, and whose it is.

Operators are those of a `TorchDispatchMode`, which has them below autograd and above the kernels, in every version.
Neither hooks nor function modes are used: fused paths (`_transformer_encoder_layer_fwd`) are left where there are any.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from harness.bench.dataflow import Flow, Operation
from harness.bench.match import as_real
from harness.bench.structure import is_array, output_leaves

_VIEWS = """
_conj _neg_view _reshape_alias _to_copy _unsafe_view alias as_strided clone contiguous copy detach diagonal expand
lift_fresh lift_fresh_copy movedim narrow permute pixel_shuffle repeat resolve_conj resolve_neg select slice split
split_with_sizes squeeze t transpose unbind unfold unsqueeze view view_as_real
"""
VIEWS = frozenset(f"aten.{name}" for name in _VIEWS.split())
"""Operators that hand on what they read, some of it or in another layout: artifacts often do without them."""


class TooLargeError(Exception):
    """There is more to keep than there is room for."""


class TooLongError(Exception):
    """It takes longer than there is time for."""


@dataclass(frozen=True)
class Call:
    """One operator call. `name` is `aten.avg_pool2d`, `module` the path of the innermost module, empty for the whole.

    `place` is ``FILE:LINE`` of the innermost frame outside PyTorch and the harness, and empty where there is none.
    """

    name: str
    module: str = ""
    module_type: str = ""
    place: str = ""

    def __str__(self) -> str:
        """`aten.avg_pool2d at pool (AvgPool2d, model.py:14)`."""
        place = Path(self.place).name
        inside = ", ".join(part for part in (self.module_type if self.module else "", place) if part)
        return f"{self.name}{f' at {self.module}' if self.module else ''}{f' ({inside})' if inside else ''}"


@dataclass(frozen=True)
class Trace:
    """All calls in order, with the dataflow between them; a value is a number.

    `values` are arrays by number, without those that numpy cannot hold. `outputs` are the numbers of what was
    returned, None where they are no tensors. `weights` are the parameters and buffers, `strangers` what neither a call
    made nor the module or the inputs hold: what came by way of numpy, or was there before.
    """

    calls: tuple[Call, ...]
    flow: Flow[int]
    values: Mapping[int, Any]
    outputs: tuple[int | None, ...]
    arrays: tuple[Any, ...]
    weights: frozenset[int]
    strangers: frozenset[int]


@dataclass(frozen=True)
class Bounds:
    """How much may be kept, in bytes, and until when (of `time.monotonic`) it may take. Beyond them it raises."""

    most_bytes: int
    deadline: float

    def check_time(self) -> None:
        """Raise `TooLongError` where the time is over."""
        if time.monotonic() > self.deadline:
            msg = "it takes too long"
            raise TooLongError(msg)


@dataclass
class _Watched:
    """What one run has shown so far."""

    calls: list[Call] = field(default_factory=list)
    reads: list[list[int]] = field(default_factory=list)
    makes: list[list[int]] = field(default_factory=list)
    values: dict[int, Any] = field(default_factory=dict)
    weights: set[int] = field(default_factory=set)
    strangers: set[int] = field(default_factory=set)


def traced(
    module: Any, call: Callable[[], Any], bounds: Bounds, *, inputs: Sequence[Any] = (), values: bool = True
) -> Trace:
    """What `call`, which calls `module` with `inputs`, does. Without `values` none is kept.

    Raises what it raises, `TooLargeError` and `TooLongError`.
    """
    watched, returned, numbers = _run(module, call, bounds, inputs=inputs, values=values)
    flow = Flow([Operation(tuple(a), tuple(b)) for a, b in zip(watched.reads, watched.makes, strict=True)])
    return Trace(
        tuple(watched.calls),
        flow,
        watched.values,
        numbers,
        tuple(returned),
        frozenset(watched.weights),
        frozenset(watched.strangers),
    )


def answered(
    module: Any, call: Callable[[], Any], bounds: Bounds, *, index: int, name: str, instead: Any
) -> list[Any] | None:
    """The outputs of `call` where the first tensor that its operator number `index` makes is `instead`, an array.

    None where that operator is not the one called `name`, so that the run was not the same.
    """
    watched, returned, _ = _run(module, call, bounds, values=False, replaced=(index, instead))
    return returned if index < len(watched.calls) and watched.calls[index].name == name else None


def _run(
    module: Any,
    call: Callable[[], Any],
    bounds: Bounds,
    *,
    inputs: Sequence[Any] = (),
    values: bool,
    replaced: tuple[int, Any] | None = None,
) -> tuple[_Watched, list[Any], tuple[int | None, ...]]:
    import torch

    watched = _Watched()
    recorder = _Recorder(watched, module, inputs, bounds, keeps=values, replaced=replaced)
    with torch.no_grad(), recorder.mode():
        returned = call()
    leaves = [leaf for _, leaf in output_leaves(returned)]
    arrays = [_array(leaf) for leaf in leaves]
    return watched, arrays, tuple(recorder.read(leaf) if hasattr(leaf, "detach") else None for leaf in leaves)


def _names(module: Any) -> dict[int, tuple[str, str]]:
    """Path and class of every module by the id of its object."""
    return {id(each): (name, type(each).__name__) for name, each in module.named_modules()}


def _array(leaf: Any) -> Any:
    """A tensor as an array that may share its memory, complex numbers as pairs; None where numpy has no such thing."""
    import numpy as np

    if not hasattr(leaf, "detach"):
        return np.asarray(leaf)
    try:
        tensor = leaf.detach().cpu()
        if str(tensor.dtype) in ("torch.bfloat16", "torch.float16"):
            tensor = tensor.float()
        if tensor.is_complex():
            return as_real(tensor.resolve_conj().numpy())
        return tensor.resolve_neg().numpy()
    except (TypeError, RuntimeError, NotImplementedError):
        return None


def _storage(tensor: Any) -> int:
    """What tells whether two tensors share memory; 0 where nobody can tell."""
    try:
        return int(tensor.untyped_storage().data_ptr())
    except (RuntimeError, NotImplementedError):
        return 0


class _Recorder:
    """Follows values through tensors. One that is written to has another value from then on, and so have its views."""

    def __init__(
        self,
        watched: _Watched,
        module: Any,
        inputs: Sequence[Any],
        bounds: Bounds,
        *,
        keeps: bool,
        replaced: tuple[int, Any] | None,
    ) -> None:
        self._watched = watched
        self._names = _names(module)
        self._weights = {_storage(each) for each in [*module.parameters(), *module.buffers()]}
        self._inputs = {_storage(each) for each in inputs}
        self._bounds = bounds
        self._keeps = keeps
        self._replaced = replaced
        self._alive: list[Any] = []  # so that no id is used twice
        self._known: dict[int, tuple[int, int]] = {}
        self._writes: dict[int, int] = {}
        self._writers: dict[int, int] = {}
        self._sharing: dict[int, list[int]] = {}
        self._bytes = 0
        self._count = 0

    def mode(self) -> Any:
        """The mode that hears of every operator."""
        from torch.utils._python_dispatch import TorchDispatchMode

        recorder = self

        class Recording(TorchDispatchMode):  # type: ignore[misc, unused-ignore]
            """Hands every operator to the recorder."""

            def __torch_dispatch__(
                self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
            ) -> Any:
                del types
                return recorder.dispatched(func, args, dict(kwargs or {}))

        return Recording()

    def dispatched(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Run one operator, and write down what it read and made."""
        import torch

        self._bounds.check_time()
        index = len(self._watched.calls)
        reads = [self.read(each) for each in _tensors([*args, *kwargs.values()])]
        written = _written(func, args, kwargs)
        for each in written:
            self._keep_apart(_storage(each))
        self._watched.calls.append(self._told(func))
        self._watched.reads.append(reads)
        self._watched.makes.append([])
        returned = func(*args, **kwargs)
        made = list(_tensors([returned]))
        if self._replaced is not None and self._replaced[0] == index and made:
            instead = _filled(made[0], self._replaced[1])
            if isinstance(returned, torch.Tensor) and not written:
                returned, made = instead, [instead]
            else:
                made[0].copy_(instead)
        for each in written:
            storage = _storage(each)
            self._writes[storage] = self._writes.get(storage, 0) + 1
            self._writers[storage] = index
        fresh = {id(each) for each in [*made, *written]}
        for each in [*written, *made]:
            if id(each) in fresh:
                fresh.discard(id(each))
                self._watched.makes[index].append(self._new(each))
        return returned

    def read(self, tensor: Any) -> int:
        """The value that a tensor has now."""
        known = self._known.get(id(tensor))
        storage = _storage(tensor)
        if known is not None and known[1] == self._writes.get(storage, 0):
            return known[0]
        number = self._new(tensor)
        if known is None and storage in self._weights:
            self._watched.weights.add(number)
        elif known is None and storage not in self._inputs:
            self._watched.strangers.add(number)
        if storage in self._writers and known is not None:  # its memory was written to through another tensor
            writer = self._writers[storage]
            self._watched.reads[writer].append(known[0])
            self._watched.makes[writer].append(number)
        return number

    def _new(self, tensor: Any) -> int:
        number = self._count
        self._count += 1
        storage = _storage(tensor)
        self._alive.append(tensor)
        self._known[id(tensor)] = number, self._writes.get(storage, 0)
        if self._keeps and (array := _array(tensor)) is not None:
            if storage not in self._sharing:
                self._hold(array.nbytes)
            self._sharing.setdefault(storage, []).append(number)
            self._watched.values[number] = array
        return number

    def _keep_apart(self, storage: int) -> None:
        """Copy what shares memory that is about to be written to."""
        for number in self._sharing.pop(storage, ()):
            array = self._watched.values[number]
            self._hold(array.nbytes)
            self._watched.values[number] = array.copy()

    def _hold(self, size: int) -> None:
        self._bytes += size
        if self._bytes > self._bounds.most_bytes:
            msg = f"PyTorch's intermediate values take more than {self._bounds.most_bytes >> 20} MiB"
            raise TooLargeError(msg)

    def _told(self, func: Any) -> Call:
        """Who calls an operator: the innermost module, and the innermost line that somebody wrote for this model."""
        name = func._schema.name.replace("::", ".")
        module = module_type = place = ""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and not (module_type and place):
            code = frame.f_code
            if code is _run.__code__:
                break
            if not place and _is_somebodys(code.co_filename):
                place = f"{code.co_filename}:{frame.f_lineno}"
            if not module_type and "self" in code.co_varnames and (owner := frame.f_locals.get("self")) is not None:
                module, module_type = self._names.get(id(owner), ("", ""))
            frame = frame.f_back
        return Call(name, module, module_type, place)


_NOBODYS: dict[str, bool] = {}


def _is_somebodys(file: str) -> bool:
    """Whether a file is neither PyTorch's, nor the standard library's, nor the bench's."""
    known = _NOBODYS.get(file)
    if known is None:
        import torch

        folders = (Path(torch.__file__).parent, Path(__file__).parent, Path(sys.modules["os"].__file__ or "/").parent)
        inside = file.startswith("<") or any(
            folder in Path(file).parents and "site-packages" not in Path(file).relative_to(folder).parts
            for folder in folders
        )
        known = _NOBODYS[file] = not inside and Path(file).is_file()
    return known


def _tensors(values: Sequence[Any]) -> Iterator[Any]:
    """The tensors in arguments or in what was returned."""
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _tensors(value)
        elif is_array(value) and hasattr(value, "detach"):
            yield value


def _written(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """The tensors among its arguments that an operator writes to, by its schema."""
    found = []
    for position, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[position] if position < len(args) else kwargs.get(argument.name)
            found += list(_tensors([value]))
    return found


def _filled(tensor: Any, array: Any) -> Any:
    """A tensor like another one, in memory of its own and with other values."""
    import torch

    return torch.empty_like(tensor).copy_(torch.from_numpy(array.copy()).reshape(tensor.shape))
