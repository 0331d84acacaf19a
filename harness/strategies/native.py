"""PyTorch eager itself: the baseline of every latency."""

from harness.bench import Strategy

STRATEGY = Strategy(
    summary="the state dict served by PyTorch eager: the latency baseline",
    steps=("module-to-state-dict",),
    runtime="torch",
)
