"""Canary: torch 2.1.0 gives `new_zeros` of an integer tensor a float type in the graph.

https://github.com/pytorch/pytorch/issues/110597, mended in 2.1.1 by pull request 111694. The export and
`onnx.checker.check_model` pass, and ONNX Runtime refuses the float index when it loads the graph.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, State, integers


def build() -> Any:
    """A token embedding plus a type embedding whose index is `new_zeros`, as in BERT without token types."""
    from torch import nn

    class Embeddings(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(50, 8)
            self.types = nn.Embedding(50, 8)

        def forward(self, ids: Any) -> Any:
            return self.tokens(ids) + self.types(ids.new_zeros(ids.shape))

    return Embeddings()


def sentences(seed: str, batch: int = 2, length: int = 7) -> Inputs:
    """Token ids."""
    return {"ids": integers((batch, length), low=0, high=50, seed=seed)}


def twin(state: State) -> Any:
    """Two lookups; the second is always that of type 0."""
    import tensorflow as tf

    class Twin(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = tf.Variable(state["tokens.weight"])
            self.types = tf.Variable(state["types.weight"])

        def __call__(self, ids: Any) -> Any:
            return tf.gather(self.tokens, ids) + tf.gather(self.types, tf.zeros_like(ids))

    return Twin()


MODEL = Model(
    summary="Canary pytorch#110597: an embedding indexed by x.new_zeros(x.shape), refused at load after torch 2.1.0",
    family="canary",
    build=build,
    example=lambda: sentences("example"),
    probes={
        "other-values": lambda: sentences("other values"),
        "more-values": lambda: sentences("more values"),
        "single": lambda: sentences("single", batch=1),
        "longer": lambda: sentences("longer", length=11),
    },
    dynamic={"ids": {0: "batch", 1: "length"}},
    twin=twin,
)
