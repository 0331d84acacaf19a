"""PyTorch to JAX to TensorFlow."""

from harness.bench import Strategy

STRATEGY = Strategy(
    summary="torch.export to JAX by torchax, to a SavedModel by jax2tf, served by TensorFlow",
    steps=("module-to-saved-model-jax",),
    runtime="tensorflow",
    shapes="static",
    extension="tools",
    tools=("torchax", "jax"),
    limits="torch 2.1 and later; shapes are the example's; runs on the platforms it was lowered for only: CPU and CUDA",
)
