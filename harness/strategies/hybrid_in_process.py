"""No conversion at all: both frameworks in one process (claim C14).

The request comes and goes as TensorFlow tensors and PyTorch answers it. TensorFlow is up and running: it has made its
tensors and run its own function around the model, as a pipeline that was not migrated as a whole does.
"""

from harness.bench import Strategy

STRATEGY = Strategy(
    summary="PyTorch eager between TensorFlow's pre- and post-processing, both in one process",
    steps=("module-to-state-dict",),
    runtime="hybrid",
    extension="tools",
    tools=("torch", "tensorflow"),
    limits="both frameworks to install, in versions that can be imported into one process",
)
