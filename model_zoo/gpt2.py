"""GPT-2 of Hugging Face Transformers, from a configuration: nothing is downloaded."""

from __future__ import annotations

from typing import Any

from harness.bench import Inputs, Model, integers

VOCABULARY = 100
LONGEST = 32


def build() -> Any:
    """Two layers of 32 units without a cache, with the logits of the next token as output."""
    from torch import nn
    from transformers import GPT2Config, GPT2LMHeadModel

    class Gpt2(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gpt2 = GPT2LMHeadModel(
                GPT2Config(
                    vocab_size=VOCABULARY,
                    n_positions=LONGEST,
                    n_embd=32,
                    n_layer=2,
                    n_head=4,
                    bos_token_id=0,
                    eos_token_id=0,
                    use_cache=False,
                )
            )

        def forward(self, ids: Any) -> Any:
            return self.gpt2(input_ids=ids).logits

    return Gpt2()


def sentences(seed: str, batch: int = 2, length: int = 10) -> Inputs:
    """Token ids."""
    return {"ids": integers((batch, length), low=0, high=VOCABULARY, seed=seed)}


MODEL = Model(
    summary="GPT-2 of Hugging Face Transformers from a small configuration, without a cache",
    family="transformer",
    build=build,
    example=lambda: sentences("example"),
    probes={
        "other-values": lambda: sentences("other values"),
        "more-values": lambda: sentences("more values"),
        "single": lambda: sentences("single", batch=1),
        "longer": lambda: sentences("longer", length=20),
    },
    dynamic={"ids": {0: "batch", 1: "length"}},
    imports=("torch", "transformers"),
    extension="tools",
    tier="core",
    expected_breaks="onnx-torchscript fails at convert with Transformers 5 (aten::diff)",
)
