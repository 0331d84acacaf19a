"""No conversion at all: PyTorch stays in a service of its own, and the TensorFlow side calls it (claim C14)."""

from harness.bench import Strategy

STRATEGY = Strategy(
    summary="PyTorch eager in a service of its own, called by TensorFlow over gRPC on a Unix socket",
    steps=("module-to-service",),
    runtime="service",
    extension="tools",
    tools=("torch", "tensorflow", "grpcio"),
    limits="two processes to run, and both frameworks to install; one client, one request at a time",
)
