"""Core ML: converts anywhere, runs on macOS only."""

from harness.bench import Strategy

STRATEGY = Strategy(
    summary="torch.jit.trace to a Core ML package by coremltools, served by Core ML on macOS",
    steps=("module-to-coreml",),
    runtime="coreml",
    shapes="static",
    extension="tools",
    tools=("coremltools",),
    limits="running needs macOS: elsewhere only conversion time and size are measured; tracing loses control flow",
)
