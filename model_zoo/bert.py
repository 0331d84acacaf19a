"""BERT of Hugging Face Transformers, from a configuration: nothing is downloaded.

Its way of making attention masks and of attending has moved between versions of both Transformers and torch.
"""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, integers

VOCABULARY = 100
LONGEST = 32


def config() -> Any:
    """Two layers of 32 units."""
    from transformers import BertConfig

    return BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=LONGEST,
    )


def build() -> Any:
    """The encoder, with the last hidden state and the pooled first token as outputs."""
    from torch import nn
    from transformers import BertModel

    class Bert(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = BertModel(config())

        def forward(self, ids: Any, mask: Any) -> Any:
            found = self.bert(input_ids=ids, attention_mask=mask)
            return found.last_hidden_state, found.pooler_output

    return Bert()


def tensorflow_implementation() -> Any:
    """Hugging Face's own TensorFlow class; it makes its variables when it is called first."""
    from transformers import TFBertModel

    network = TFBertModel(config())
    network(network.dummy_inputs)
    return network


def sentences(seed: str, batch: int = 3, length: int = 10) -> Inputs:
    """Token ids, and a mask of ones for the first tokens, at least two, and zeros after them."""
    import numpy as np

    lengths = integers((batch,), low=2, high=length + 1, seed=seed)
    return {
        "ids": integers((batch, length), low=0, high=VOCABULARY, seed=seed),
        "mask": (np.arange(length)[None, :] < lengths[:, None]).astype(np.int64),
    }


MODEL = Model(
    summary="BERT of Hugging Face Transformers from a small configuration, with padding",
    family="transformer",
    build=build,
    example=lambda: sentences("example"),
    probes={
        "other-values": lambda: sentences("other values"),
        "more-values": lambda: sentences("more values"),
        "single": lambda: sentences("single", batch=1),
        "longer": lambda: sentences("longer", length=20),
    },
    dynamic={"ids": {0: "batch", 1: "length"}, "mask": {0: "batch", 1: "length"}},
    tensorflow_implementation=tensorflow_implementation,
    imports=("torch", "transformers"),
    extension="tools",
    tier="core",
)
