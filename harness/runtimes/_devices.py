"""What the runtimes of a framework share about devices: threads, TF32, waiting, and no falling back in silence.

TF32 is off, on every framework: figures are then held against float32 natives by the float32 tolerance, and those of
two frameworks against each other (docs/decisions/0009). Each framework has a switch of its own and a default of its
own. NVIDIA_TF32_OVERRIDE=0 makes NVIDIA's libraries refuse TF32 whatever a program asks for, and is all there is for
ONNX Runtime before 1.18 (microsoft/onnxruntime, pull request 19357). What is recorded is what the framework answers
after it was told.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from harness.bench import NotApplicable


def forbid_tf32() -> None:
    """Tell NVIDIA's libraries, which read this when they open a device."""
    os.environ["NVIDIA_TF32_OVERRIDE"] = "0"


def set_up_torch(device: str, threads: int) -> None:
    """Set threads; on `cuda` turn TF32 off.

    Raises `NotApplicable` where PyTorch sees no usable GPU and is to serve on one.
    """
    import torch

    torch.set_num_threads(threads)
    if device != "cuda":
        return
    forbid_tf32()
    if not torch.cuda.is_available():
        msg = f"torch {torch.__version__} sees no usable CUDA device"
        raise NotApplicable(msg)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False  # convolutions; True by default


def torch_facts(device: str) -> dict[str, Any]:
    """What PyTorch tells of the GPU now, after the model's own code ran: TF32, its allocator's peak; none on the CPU.

    The peak is of what tensors took, in MiB, since the process began: neither CUDA itself nor what the allocator keeps
    back is in it.
    """
    if device != "cuda":
        return {}
    import torch

    allowed = torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32
    peak_mb = torch.cuda.max_memory_allocated() / 2**20
    return {"tf32": "on" if allowed else "off", "gpu_torch_peak_mb": peak_mb}


def set_up_tensorflow(device: str, threads: int) -> None:
    """Set threads before the first operation; on `cuda` memory growth, no soft placement and no TF32.

    With soft placement an operation that has no kernel for the GPU runs on the CPU in silence. Raises `NotApplicable`
    where TensorFlow sees no GPU and is to serve on one.
    """
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if device != "cuda":
        return
    forbid_tf32()
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        msg = f"tensorflow {tf.__version__} sees no GPU: it is built without CUDA, or its CUDA libraries are missing"
        raise NotApplicable(msg)
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.set_soft_device_placement(False)
    tf.config.experimental.enable_tensor_float_32_execution(False)  # it is on by default


def tensorflow_facts(device: str) -> dict[str, Any]:
    """What TensorFlow tells of the GPU now: TF32, and its allocator's peak in MiB; none on the CPU."""
    if device != "cuda":
        return {}
    import tensorflow as tf

    allowed = tf.config.experimental.tensor_float_32_execution_enabled()
    peak_mb = tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20
    return {"tf32": "on" if allowed else "off", "gpu_tensorflow_peak_mb": peak_mb}


def wait_for_tensorflow() -> None:
    """Wait until TensorFlow's devices have done all that was asked of them.

    Before TensorFlow 2.12, which has no call for that, the GPU's stream is waited for by a copy of one number, queued
    behind all else.
    """
    import tensorflow as tf

    experimental = getattr(tf.test, "experimental", None)
    if experimental is not None:
        experimental.sync_devices()
        return
    with tf.device("/GPU:0"):
        tf.zeros(()).numpy()


def torch_devices(leaves: Iterable[Any]) -> str:
    """The types of the devices that tensors are on, such as `cuda` or `cpu+cuda`; what is no tensor has none."""
    return "+".join(sorted({leaf.device.type for leaf in leaves if hasattr(leaf, "detach")}))


def tensorflow_devices(tensors: Iterable[Any]) -> str:
    """The same of TensorFlow's tensors, whose device reads `/job:localhost/replica:0/task:0/device:GPU:0`."""
    kinds = {tensor.device.rpartition("device:")[2].partition(":")[0].lower() for tensor in tensors}
    return "+".join(sorted("cuda" if kind == "gpu" else kind for kind in kinds if kind))
