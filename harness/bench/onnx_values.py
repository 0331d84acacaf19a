"""What an ONNX artifact computes on one input set: every value of its main graph, and the nodes that make them.

ONNX Runtime runs it on the CPU with its optimisations off, so that each node is there as the artifact has it. Of an
`If` the nodes of the branch that is taken stand in its place; a `Loop` is one node.
"""

from __future__ import annotations

import ast
import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.bench.dataflow import Flow, Operation
from harness.bench.tracing import Bounds, TooLargeError

LEVELS = {"off": "ORT_DISABLE_ALL", "basic": "ORT_ENABLE_BASIC", "extended": "ORT_ENABLE_EXTENDED"}
"""ONNX Runtime's levels of graph optimisation, but for the last one, `all`, which it serves with."""

_DEEPEST = 8
_SCOPES = ("pkg.torch.onnx.name_scopes", "pkg.onnxscript.name_scopes")
_DERIVED_CONSTANTS = ("Constant", "ConstantOfShape", "Shape", "Size")


@dataclass(frozen=True)
class Node:
    """One node: its operator, its name, empty where it has none, and the path of the module that it is of."""

    operator: str
    name: str
    module: str
    output: str

    def __str__(self) -> str:
        """`/pool/AveragePool`, or the operator with what it makes where the name does not say it."""
        if not self.name:
            return f"{self.operator} that makes {self.output!r}"
        return self.name if self.operator in self.name else f"{self.name} ({self.operator})"


@dataclass(frozen=True)
class Graph:
    """The nodes of an artifact in order, with the dataflow between them; a value is a name.

    `given` are inputs, weights, and what is made of weights and shapes alone; `constants` are these without the inputs.
    """

    nodes: tuple[Node, ...]
    flow: Flow[str]
    given: frozenset[str]
    constants: frozenset[str]
    outputs: tuple[str, ...]


class Artifact:
    """An ONNX file. Raises what `onnx` raises where it cannot be read."""

    def __init__(self, path: Path, threads: int) -> None:
        import onnx

        self.path = path
        self._threads = threads
        self.proto = onnx.load(str(path), load_external_data=False)
        if self.proto.functions and hasattr(onnx, "inliner"):
            self.proto = onnx.inliner.inline_local_functions(self.proto)
        self.graph = _graph(self.proto)

    def outputs(self, feed: Mapping[str, Any], level: str = "") -> list[Any]:
        """What it answers, in its own order; `level` is one of `LEVELS`, and empty for that of a deployment."""
        return list(self._session(str(self.path), level).run(None, self._fed(feed)))

    def optimised(self, folder: Path, level: str) -> Artifact:
        """What ONNX Runtime makes of it at a level of its optimisation, written into `folder`."""
        path = folder / f"optimised-{level or 'all'}.onnx"
        self._session(str(self.path), level, save=path)
        return Artifact(path, self._threads)

    def values(self, feed: Mapping[str, Any], folder: Path, bounds: Bounds) -> dict[str, Any]:
        """Every value of the main graph that is an array of numbers, by name; complex ones do not exist in it.

        It works in `folder`. Raises `TooLargeError` where they are larger together than the bounds allow.
        """
        found = self._run(feed, folder, bounds)
        for _ in range(_DEEPEST):  # a branch may have branches
            if not _take_branches(self.proto.graph, found):
                break
            self.graph = _graph(self.proto)
            found = self._run(feed, folder, bounds)
        return found

    def _run(self, feed: Mapping[str, Any], folder: Path, bounds: Bounds) -> dict[str, Any]:
        import numpy as np
        import onnx

        wanted = [name for each in self.graph.flow.operations for name in each.outputs if name]
        model = onnx.ModelProto()
        model.CopyFrom(self.proto)
        there = {output.name for output in model.graph.output}
        model.graph.output.extend([onnx.ValueInfoProto(name=name) for name in wanted if name not in there])
        path = folder / "with-every-value.onnx"
        for name in _external(model):
            _link(self.path.parent / name, folder / name)
        onnx.save(model, str(path))
        session = self._session(str(path), "off")
        bounds.check_time()
        names = [each.name for each in session.get_outputs()]
        found = {name: value for name, value in self._fed(feed).items() if isinstance(value, np.ndarray)}
        size = 0
        for name, value in zip(names, session.run(names, self._fed(feed)), strict=True):
            if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
                size += value.nbytes
                found[name] = value
        if size > 2 * bounds.most_bytes:
            msg = f"the artifact's intermediate values take more than {2 * bounds.most_bytes >> 20} MiB"
            raise TooLargeError(msg)
        return found

    def reference(self, nodes: Sequence[int], values: Mapping[str, Any], output: str) -> Any:
        """What the `onnx` package's own reference implementation makes of some nodes. Raises what that raises."""
        import onnx
        from onnx.reference import ReferenceEvaluator

        chosen = [self.proto.graph.node[index] for index in nodes]
        made = {name for node in chosen for name in node.output}
        reads = dict.fromkeys(name for node in chosen for name in node.input if name and name not in made)
        weights = [self._whole(each) for each in self.proto.graph.initializer if each.name in reads]
        kept = {each.name for each in weights}
        types = {np_type: onnx.helper.np_dtype_to_tensor_dtype(np_type) for np_type in _types(reads, kept, values)}
        graph = onnx.helper.make_graph(
            chosen,
            "chosen",
            [
                onnx.helper.make_tensor_value_info(name, types[values[name].dtype], list(values[name].shape))
                for name in reads
                if name not in kept
            ],
            [onnx.ValueInfoProto(name=output)],
            weights,
        )
        model = onnx.helper.make_model(graph, opset_imports=list(self.proto.opset_import))
        feed = {name: values[name] for name in reads if name not in kept}
        return ReferenceEvaluator(model).run([output], feed)[0]

    def _whole(self, weight: Any) -> Any:
        """A weight with its values in it, also where they are in a file beside the artifact."""
        import onnx

        copy = onnx.TensorProto()
        copy.CopyFrom(weight)
        if copy.data_location == onnx.TensorProto.EXTERNAL:
            onnx.external_data_helper.load_external_data_for_tensor(copy, str(self.path.parent))
            copy.data_location = onnx.TensorProto.DEFAULT
            del copy.external_data[:]
        return copy

    def _fed(self, feed: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs that the artifact has: a tool drops what nothing reads."""
        weights = {each.name for each in self.proto.graph.initializer}
        return {each.name: feed[each.name] for each in self.proto.graph.input if each.name not in weights}

    def _session(self, path: str, level: str, *, save: Path | None = None) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if level:
            options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, LEVELS[level])
        if save is not None:
            options.optimized_model_filepath = str(save)
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _types(reads: Mapping[str, None], kept: set[str], values: Mapping[str, Any]) -> set[Any]:
    return {values[name].dtype for name in reads if name not in kept}


def _graph(proto: Any) -> Graph:
    weights = {each.name for each in proto.graph.initializer}
    given = weights | {each.name for each in proto.graph.input}
    constant = set(weights)
    nodes, operations = [], []
    for node in proto.graph.node:
        reads = tuple(dict.fromkeys(name for name in [*node.input, *_captured(node)] if name))
        makes = tuple(name for name in node.output if name)
        if node.op_type in _DERIVED_CONSTANTS or (reads and constant.issuperset(reads)):
            constant.update(makes)
        nodes.append(Node(node.op_type, node.name, _module_of(node), next(iter(makes), "")))
        operations.append(Operation(reads, makes))
    outputs = tuple(each.name for each in proto.graph.output)
    return Graph(tuple(nodes), Flow(operations), frozenset(given | constant), frozenset(constant), outputs)


def _take_branches(graph: Any, values: Mapping[str, Any]) -> bool:
    """Put the nodes of the branch that is taken in the place of each `If` of a graph; False where there was none.

    Names are unique over a graph and all bodies in it, and only one body of each `If` is taken.
    """
    import onnx

    nodes, taken = [], False
    for node in graph.node:
        condition = values.get(node.input[0]) if node.op_type == "If" else None
        if condition is None or condition.size != 1:
            nodes.append(node)
            continue
        branch = "then_branch" if bool(condition.ravel()[0]) else "else_branch"
        body = next(each.g for each in node.attribute if each.name == branch)
        graph.initializer.extend(body.initializer)
        nodes += body.node
        for output, name in zip(body.output, node.output, strict=True):
            nodes.append(onnx.helper.make_node("Identity", [output.name], [name], name=f"{node.name}/{branch}"))
        taken = True
    if taken:
        copies = [onnx.NodeProto.FromString(each.SerializeToString()) for each in nodes]
        del graph.node[:]
        graph.node.extend(copies)
    return taken


def _captured(node: Any) -> Iterator[str]:
    """What the bodies of a node read from around it, as far as names tell."""
    for attribute in node.attribute:
        for body in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
            own = {each.name for each in [*body.input, *body.initializer]}
            own |= {name for inner in body.node for name in inner.output}
            for inner in body.node:
                yield from (name for name in [*inner.input, *_captured(inner)] if name and name not in own)
            yield from (each.name for each in body.output if each.name not in own)


def _module_of(node: Any) -> str:
    """The path of the module that a node is of, as far as its exporter wrote it down; empty where it did not.

    TorchScript's has it in the name, `/layer/conv/Conv`; that of `torch.export` in the metadata.
    """
    for entry in getattr(node, "metadata_props", ()):
        if entry.key in _SCOPES:
            with contextlib.suppress(ValueError, SyntaxError):
                scopes = [str(scope) for scope in ast.literal_eval(entry.value)]
                return scopes[-2] if len(scopes) > 1 else ""
    if not node.name.startswith("/"):
        return ""
    # Of `/layer/layer.0/conv/Conv` each part is the path from the part before it that it continues.
    path = ""
    for part in node.name.split("/")[1:-1]:
        path = part if part.startswith(f"{path}.") or not path else f"{path}.{part}"
    return path


def _external(model: Any) -> list[str]:
    """The files beside the artifact that its weights are in."""
    from onnx import TensorProto

    tensors = [each for each in model.graph.initializer if each.data_location == TensorProto.EXTERNAL]
    return sorted({entry.value for each in tensors for entry in each.external_data if entry.key == "location"})


def _link(source: Path, target: Path) -> None:
    """The same file at another place: ONNX Runtime takes no symbolic links to weights."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
