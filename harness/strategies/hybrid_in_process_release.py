"""The same with what the guides advise against fragmentation: memory is released after every request (claim C14)."""

from harness.bench import Strategy

STRATEGY = Strategy(
    summary="hybrid-in-process, with memory released explicitly after every request",
    steps=("module-to-state-dict",),
    runtime="hybrid-release",
    extension="tools",
    tools=("torch", "tensorflow"),
    limits="as hybrid-in-process; releasing costs time in every request",
)
