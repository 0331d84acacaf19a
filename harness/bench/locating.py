"""The child that locates a mismatch: the first operator whose output leaves the native one, and the nodes it became.

It reads a `LocateRequest`. PyTorch eager and the artifact are run on the input set that failed, with all that comes
between kept of both, and values are looked for on the other side by what they are: names change between exporters.
From the wrong output it goes back through what the artifact does not have. An operator that reads nothing wrong there
is where the mismatch begins. What was fused (a batch normalisation in a convolution) has no value of its own in the
artifact either. So eager is run once more with the artifact's value instead of its own: where it then answers as the
artifact does, that value explains the mismatch, and all operators up to it are named.

PyTorch has `torch.onnx.verification.find_mismatch` (TorchScript, 2.0 to 2.8), which exports parts of the traced model
anew: it names the same pooling as this where that is exported wrongly, and nothing where what was traced is not what
eager does, since it never sees the artifact. It has `verify_onnx_program` too (`torch.export`, from 2.7), which needs
the exporter's own program. This is one way for all versions, exporters and tools between, and it tells an exporter's
error from a runtime's.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness.bench import tensors
from harness.bench.binding import from_json
from harness.bench.child import begin, work_on
from harness.bench.definitions import Model
from harness.bench.likeness import alike, relative_error, views
from harness.bench.location import AnswersAlikeError, Begins, NotLocatedError, nodes_named
from harness.bench.onnx_values import LEVELS, Artifact
from harness.bench.progress import Progress
from harness.bench.registry import load
from harness.bench.requests import BUILT_FILE, LocateRequest
from harness.bench.sides import Counterpart, Region, Sides
from harness.bench.stages import Stage
from harness.bench.tracing import VIEWS, Bounds, TooLargeError, TooLongError, Trace, answered, traced

_MOST_TRIED = 24
_SHARE = 0.7
"""Of the time, what may go by until nothing more is tried that could explain a mismatch."""
_NEARLY_S = 1.0
_MOST_REFERENCED = 8
_MOST_ORIGINS = 4


def main(folder: Path) -> None:
    """Work on the request in `folder` and end the process."""
    work_on(folder, LocateRequest, locate)


@dataclass(frozen=True)
class _Pair:
    """One output of both sides: the native array with its number in the trace, the artifact's with its name."""

    value: int | None
    native: Any
    name: str


def locate(request: LocateRequest, progress: Progress) -> None:
    """Locate one mismatch; what cannot be located is a result too, with its reason."""
    progress.enter(Stage.IMPORT)
    begin(request)
    progress.enter(Stage.BUILD)
    search = _Search(request)
    progress.enter(Stage.EXECUTE)
    try:
        found = search.begins()
    except (NotLocatedError, TooLargeError, TooLongError) as reason:
        progress.finish(not_located=str(reason), answers_alike=isinstance(reason, AnswersAlikeError))
    else:
        progress.finish(begins=asdict(found))


class _Search:
    """One mismatch under search: the model, its inputs, the artifact, and what has been seen of them."""

    sides: Sides
    artifact: Artifact
    trace: Trace

    def __init__(self, request: LocateRequest) -> None:
        self.request = request
        self.folder = Path(request.folder)
        self.bounds = Bounds(int(request.most_mb * 2**20), time.monotonic() + request.time_s)
        self.patience = replace(self.bounds, deadline=time.monotonic() + _SHARE * request.time_s)
        self.model = load(Path(request.model_file), "MODEL", Model).declared
        built = Path(request.built)
        self.facts = json.loads((built / BUILT_FILE).read_text(encoding="utf-8"))
        self.inputs = [tensors.load(built / f"inputs-{index}.npz") for index in range(len(self.facts["names"]))]
        self.native = tensors.load(built / f"native-{request.index}.npz")
        self.module, _ = tensors.build(self.model)
        self.call = from_json(self.facts["binding"]).caller(self.module, self.model.constants)
        self.feed = dict(zip(request.input_names, self.inputs[request.index], strict=True))
        self.level: str | None = None

    def begins(self) -> Begins:
        """Where it begins. Raises `NotLocatedError`, `TooLargeError` and `TooLongError`."""
        try:
            import onnx  # noqa: F401 - asked for here, so that its absence is told as what it is
        except ImportError:
            msg = "onnx is not installed in this environment, and nothing else opens the artifact"
            raise NotLocatedError(msg) from None
        self.trace = self._traced(self.request.index, values=True)
        if len(self.trace.arrays) != len(self.native) or not all(
            self._alike(a, b) for a, b in zip(self.trace.arrays, self.native, strict=True)
        ):
            msg = "PyTorch eager does not answer a second time as it did"
            raise NotLocatedError(msg)
        self.artifact = Artifact(Path(self.request.artifact), self.request.threads)
        pairs = self._pairs()
        self.level = self._level(pairs)
        if self.level is not None:
            self.artifact = self.artifact.optimised(self.folder, self.level)
        self.bounds.check_time()
        values = self.artifact.values(self.feed, self.folder, self.bounds)
        self.sides = Sides(self.trace, self.artifact.graph, values, self.request.tolerance)
        wrong = [pair for pair in pairs if not self._equal(pair, values.get(pair.name))]
        if wrong:
            return self._located(pairs, wrong)
        if self.level is not None:
            return Begins.by_optimisation(self.level or "all")
        msg = "with every value of the artifact asked for, it answers as PyTorch does"
        raise NotLocatedError(msg)

    def _traced(self, index: int, *, values: bool) -> Trace:
        run, given = self._run(index)
        return traced(self.module, run, self.bounds, inputs=given, values=values)

    def _run(self, index: int) -> tuple[Callable[[], Any], tuple[Any, ...]]:
        """The model called on an input set, in eval mode as its native outputs were made, and the tensors it takes."""
        given = tensors.to_tensors(dict(zip(self.facts["inputs"], self.inputs[index], strict=True)))

        def run() -> Any:
            with tensors.in_eval_mode(self.module):
                return self.call(*given)

        return run, given

    def _pairs(self) -> list[_Pair]:
        """Which output of the artifact is which native one; Python's own numbers may be missing in it."""
        names, numbers = self.artifact.graph.outputs, self.facts["numbers"][self.request.index]
        kept = list(range(len(self.native)))
        if len(names) == len(self.native) - len(numbers):
            kept = [index for index in kept if index not in numbers]
        if len(names) != len(kept):
            msg = f"the artifact has {len(names)} outputs, and PyTorch {len(self.native)}"
            raise NotLocatedError(msg)
        return [
            _Pair(self.trace.outputs[index], self.native[index], name) for index, name in zip(kept, names, strict=True)
        ]

    def _level(self, pairs: Sequence[_Pair]) -> str | None:
        """The first level of ONNX Runtime's optimisation at which the mismatch is there; None where it needs none."""

        def right(level: str) -> bool:
            self.bounds.check_time()
            answer = self.artifact.outputs(self.feed, level)
            return all(self._equal(pair, array) for pair, array in zip(pairs, answer, strict=True))

        if not right("off"):
            return None
        for level in [*(each for each in LEVELS if each != "off"), ""]:
            if not right(level):
                return level
        msg = "served on the CPU once more, the artifact answers as PyTorch does"
        raise AnswersAlikeError(msg)

    def _equal(self, pair: _Pair, array: Any) -> bool:
        """Whether an output is as the match would have it; numbers of Python's own have no dtype of their own."""
        if array is None or pair.native.shape != array.shape:
            return False
        return (pair.value is None or pair.native.dtype == array.dtype) and self._alike(array, pair.native)

    def _alike(self, actual: Any, expected: Any) -> bool:
        return actual is None or (actual.size == expected.size and alike(actual, expected, self.request.tolerance))

    def _located(self, pairs: Sequence[_Pair], wrong: Sequence[_Pair]) -> Begins:
        for pair in wrong:
            array = self.sides.values.get(pair.name)
            if array is not None and pair.value is not None and self._alike(array, pair.native):
                return self._of_another_kind(pair, array)
        ends = [pair.value for pair in wrong if pair.value is not None]
        region = self.sides.region(ends, [pair.name for pair in wrong])
        if not region.calls:
            msg = "no operator of PyTorch's makes the output"
            raise NotLocatedError(msg)
        try:
            explained = self._relaid(region, pairs) or self._explained(region, pairs)
        except TooLongError:
            explained = None
        return explained or self._first(region)

    def _relaid(self, region: Region, pairs: Sequence[_Pair]) -> Begins | None:
        """A transposition, or a slice, before the first operator that is wrong, where it explains the mismatch."""
        read = {name for node in region.nodes for name in self.artifact.graph.flow.operations[node].inputs}
        for origin in region.origins[:_MOST_ORIGINS]:
            for index in self.sides.relaid(origin):
                made = self.sides.made(index)
                for name in sorted(read) if made is not None else ():
                    array = self.sides.values.get(name)
                    if array is None or made is None or array.size != made[1].size:
                        continue
                    instead = array.reshape(made[1].shape)
                    if not self._alike(instead, made[1]) and self._answers_alike(index, instead, pairs):
                        return self._told(
                            index,
                            "explained",
                            of=Counterpart(name, instead, relative_error(instead, made[1])),
                            native=made[1],
                        )
        return None

    def _explained(self, region: Region, pairs: Sequence[_Pair]) -> Begins | None:
        """The first operator that explains the mismatch by the artifact's value for it; None where none does."""
        tried = 0
        for index in dict.fromkeys([*region.origins, *region.calls]):
            made = self.sides.made(index)
            trivial = made is not None and made[0] in region.ends and region.calls != (index,)
            if made is None or trivial or self.trace.calls[index].name in VIEWS or tried == _MOST_TRIED:
                continue
            nearest = self.sides.counterpart(made[1], region.names)
            if nearest is None:
                continue
            tried += 1
            if self._answers_alike(index, nearest.array, pairs):
                before = self.sides.calls([made[0]], region)
                begins = next((each for each in region.origins if each in before), index)
                return self._unfused(begins, index, region) or self._told(
                    begins, "explained", until=index, of=nearest, native=made[1]
                )
        return None

    def _unfused(self, begins: int, index: int, region: Region) -> Begins | None:
        """The first operator alone, where the artifact has a wrong value for it too: what comes after is not one."""
        made = self.sides.made(begins)
        own = None if begins == index or made is None else self.sides.counterpart(made[1], region.names)
        if made is None or own is None or self.sides.stood_for(own, region) != begins:
            return None
        return self._told(begins, "first", of=own, native=made[1])

    def _answers_alike(self, index: int, instead: Any, pairs: Sequence[_Pair]) -> bool:
        """Whether PyTorch answers as the artifact does, where one operator makes what the artifact has for it."""
        name = self.trace.calls[index].name
        run, _ = self._run(self.request.index)
        answer = answered(self.module, run, self.patience, index=index, name=name, instead=instead)
        if answer is None:
            return False
        theirs = {pair.value: self.sides.values.get(pair.name) for pair in pairs if pair.value is not None}
        for value, array in zip(self.trace.outputs, answer, strict=True):
            if value in theirs and (theirs[value] is None or not self._alike(array, theirs[value])):
                return False
        return True

    def _first(self, region: Region) -> Begins:
        """The first operator that the artifact does not have, where nothing explains the mismatch."""
        index = region.origins[0] if region.origins else region.calls[0]
        call = self.trace.calls[index]
        if self.request.index:
            here = Counter(self.trace.calls[: index + 1])[call]
            there = Counter(self._traced(0, values=False).calls)[call]
            if here > there:
                return Begins.on_another_way(call, here=here, there=there)
        made = self.sides.made(index)
        nearest = None if made is None else self.sides.counterpart(made[1], region.names)
        if made is not None and nearest is not None:
            last = self.sides.stood_for(nearest, region)
            until = self.sides.made(last) if last is not None and last > index else None
            of = None if until is None else self.sides.counterpart(until[1], {nearest.name})
            if until is not None and of is not None and index in self.sides.calls([until[0]], region):
                return self._told(index, "first", until=last, of=of, native=until[1])
            return self._told(index, "first", of=nearest, native=made[1])
        nodes = self.artifact.graph.nodes
        of_module = [each for each in region.nodes if call.module and nodes[each].module.startswith(call.module)]
        chosen = next(iter(of_module or region.nodes), None)
        return self._told(index, "first", nodes=[] if chosen is None else [chosen])

    def _of_another_kind(self, pair: _Pair, array: Any) -> Begins:
        """An output whose values are right, and its dtype or shape is not."""
        maker = None if pair.value is None else self.trace.flow.maker(pair.value)
        node = self.artifact.graph.flow.maker(pair.name)
        what = "dtype" if array.dtype != pair.native.dtype else "shape"
        if maker is None:
            msg = f"the values are right, and only their {what} is another"
            raise NotLocatedError(msg)
        nodes = [] if node is None else [node]
        return self._told(maker, "kind", nodes=nodes, note=f"; its values are right, and only the {what} is another")

    def _told(
        self,
        index: int,
        seen: str,
        *,
        until: int | None = None,
        of: Counterpart | None = None,
        native: Any = None,
        nodes: Sequence[int] = (),
        note: str = "",
    ) -> Begins:
        """The result in words. `of` is the artifact's value in the place of `native`: its nodes are named."""
        calls, graph = self.trace.calls, self.artifact.graph
        call = calls[index]
        last = calls[until] if until is not None and until != index else None
        if of is not None:
            nodes = self.sides.nodes([of.name])
            nodes = [each for each in nodes if graph.nodes[each].operator != "Identity"] or nodes
        side = self._side(nodes, of, native) if of is not None and seen == "explained" else ""
        level = "" if self.level is None else self.level or "all"
        line = f"{call}{f' to {last}' if last else ''}{nodes_named([str(graph.nodes[each]) for each in nodes])}{note}"
        if level:
            line += f", as ONNX Runtime's optimisation ({level}) left it"
        elif side == "runtime":
            line += ", which ONNX's reference implementation computes as PyTorch does"
        types = tuple(graph.nodes[each].operator for each in nodes)
        operators = f"{call.name} to {last.name}" if last else call.name
        if self.request.index and self.sides.strangers(index):
            line += ", of a value that is made outside PyTorch"
            operators += " of a value that is made outside PyTorch"
        nearly = self.sides.nearly(index, min(self.patience.deadline, time.monotonic() + _NEARLY_S))
        return Begins(
            line=line,
            signature=f"{operators} as {', '.join(types) or 'nothing'}{f' optimised ({level})' if level else ''}",
            operator=call.name,
            until=last.name if last else "",
            module=call.module,
            module_type=call.module_type,
            place=Path(call.place).name,
            nodes=tuple(str(graph.nodes[each]) for each in nodes),
            node_types=types,
            seen=seen,
            side="runtime" if level else side,
            level=level,
            relative_error=None if of is None else of.relative_error,
            upstream="" if nearly is None else str(calls[nearly[0]]),
            upstream_error=None if nearly is None else nearly[1],
        )

    def _side(self, nodes: Sequence[int], of: Counterpart, native: Any) -> str:
        """Whether the artifact or the runtime is wrong, by ONNX's reference implementation; empty where it cannot."""
        if self.level is not None or not nodes or len(nodes) > _MOST_REFERENCED:
            return ""
        try:
            reference = self.artifact.reference(nodes, self.sides.values, of.name)
        except Exception as error:  # noqa: BLE001 - it has not every operator, and not in every version
            print(f"no reference: {type(error).__name__}: {error}")  # noqa: T201
            return ""
        if reference.size != native.size:
            return ""
        if self._alike(reference, self.sides.values[of.name]):
            return "artifact"
        return "runtime" if any(self._alike(each, native) for each in views(reference, native.shape)) else ""
