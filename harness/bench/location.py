"""Where a mismatch begins, as it is told; `harness.bench.locating` finds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.bench.tracing import Call

_MOST_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Begins:
    """Where a mismatch begins.

    `operator` is PyTorch's, `until` the last of several that are one in the artifact, empty where it is one. `module`,
    `module_type` and `place` (``FILE:LINE``) say where the model has it. `nodes` and `node_types` are the artifact's.
    `seen` is `explained` where PyTorch, given the artifact's value there, answers as the artifact does; `first` where
    it is the first that the artifact does not have; `other-way` where moreover the example does not come to it; `kind`
    where an output has the native values in another dtype or shape. `side` is `artifact` where ONNX's own reference
    implementation computes of the nodes what the runtime does, `runtime` where it computes what PyTorch does or where
    ONNX Runtime's optimisation is to blame (`level`), and empty where that could not be told. `relative_error` is that
    of the artifact's value there. `upstream` is the operator before it with the largest error within the tolerance,
    `upstream_error`, which may only be amplified where it is said to begin. `line` is all of it in one line, for a
    person; `signature` is equal for equal causes whatever the model and its shapes.
    """

    line: str
    signature: str
    operator: str
    until: str = ""
    module: str = ""
    module_type: str = ""
    place: str = ""
    nodes: tuple[str, ...] = ()
    node_types: tuple[str, ...] = ()
    seen: str
    side: str = ""
    level: str = ""
    relative_error: float | None = None
    upstream: str = ""
    upstream_error: float | None = None

    @classmethod
    def on_another_way(cls, call: Call, *, here: int, there: int) -> Begins:
        """An operator that the example does not come to: its way, by which the artifact was made, is another.

        It is run `here` times, and `there` times on the example.
        """
        told = ", to which the example does not come"
        if there:
            told = f", run {here} of it: on the example there are {there}"
        return cls(
            line=f"{call}{told}",
            signature=f"{call.name} on another way than the example's",
            operator=call.name,
            module=call.module,
            module_type=call.module_type,
            place=Path(call.place).name,
            seen="other-way",
        )

    @classmethod
    def by_optimisation(cls, level: str) -> Begins:
        """The optimised graph answers as it should when it is taken apart: only the level is known."""
        return cls(
            line=f"ONNX Runtime's optimisation of the graph ({level}): without it the artifact answers as PyTorch does",
            signature=f"optimisation {level}",
            operator="",
            seen="first",
            side="runtime",
            level=level,
        )


class NotLocatedError(Exception):
    """It cannot be told where the mismatch begins; the message says why."""


class AnswersAlikeError(NotLocatedError):
    """The artifact answers as PyTorch does."""


def nodes_named(nodes: Sequence[str]) -> str:
    """`; node /pool/AveragePool`, and of many the first and the last."""
    if not nodes:
        return ""
    if len(nodes) > _MOST_NAMED:
        return f"; nodes {nodes[0]} to {nodes[-1]}, {len(nodes)} of them"
    return f"; node{'s' if len(nodes) > 1 else ''} {', '.join(nodes)}"
