"""Which variables reach an environment: those of an allow-list, on this machine and on a node of a cluster alike.

What is not listed stays out, whoever sets it: a shell, a scheduler, Ray. A person lets more in by naming them in
``HARNESS_PASS_ENV``, by globs with spaces between: what their models read.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping

PASS = "HARNESS_PASS_ENV"

_OF_THE_MACHINE = (
    "PATH HOME USER LOGNAME SHELL TERM HOSTNAME TMPDIR TEMP TMP TZ LANG LANGUAGE LC_* XDG_* LD_* *_proxy *_PROXY "
    "SSL_* REQUESTS_CA_BUNDLE CURL_CA_BUNDLE NETRC SSH_AUTH_SOCK KRB5* CUDA_VISIBLE_DEVICES NVIDIA_VISIBLE_DEVICES"
)
"""Where something runs: of a node these are its own."""

_OF_TOOLS = (
    "UV_* PIP_* GIT_* CI CC CXX AR CFLAGS CXXFLAGS CPPFLAGS LDFLAGS PKG_CONFIG* CMAKE_* MAKEFLAGS CARGO_* RUSTUP_* "
    "CONDA_PREFIX PYTHON* HARNESS_*"
)
"""What installs, builds and starts Python."""

OF_FRAMEWORKS = (
    "OMP_* GOMP_* KMP_* MKL_* OPENBLAS_* BLIS_* NUMEXPR_* MALLOC_* GLIBC_TUNABLES TF_* TF2_* TFLITE_* XLA_* JAX_* "
    "KERAS_* TORCH* PYTORCH_* ATEN_* TRITON_* HF_* TRANSFORMERS_* ONNX* ORT_* CUDA_* CUDNN_* CUBLAS_* NCCL_* NVIDIA_* "
    "GRPC_* PROTOCOL_BUFFERS_* NUMPY_* NPY_*"
)
"""What frameworks and the libraries below them read."""

_FOREIGN = ("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "LD_LIBRARY_PATH")
"""What would let another Python's packages or another CUDA into a pinned environment."""

_FOREIGN_ANYWHERE = ("PYTHONDONTWRITEBYTECODE", "PYTHONBREAKPOINT")
_PLACED = re.compile(r"[/~]")


def let_in(environ: Mapping[str, str], *, pinned: bool) -> dict[str, str]:
    """Those of the variables `environ` that reach a pinned environment, or an ambient one.

    An ambient one keeps its own paths: containers find CUDA by them.
    """
    listed = any_of(_OF_THE_MACHINE, _OF_TOOLS, OF_FRAMEWORKS, environ.get(PASS, ""))
    foreign = _FOREIGN if pinned else ()
    return {
        name: value
        for name, value in environ.items()
        if listed.fullmatch(name) and name not in foreign and name not in _FOREIGN_ANYWHERE
    }


def on_node(asked: Mapping[str, str], here: Mapping[str, str], *, pinned: bool, gpu: bool) -> dict[str, str]:
    """The variables for a node: what was `asked` for where the run began, and what `here` says of this machine.

    What names a place names one of the node's. `here` may have what a scheduler added for its own processes: of what
    frameworks read, nothing comes from there but places. Which GPUs are given here counts with `gpu` alone. An
    ambient environment, which is not `pinned`, finds its CUDA where the node says.
    """
    machine = any_of(_OF_THE_MACHINE)
    of_gpus = () if gpu else ("CUDA_VISIBLE_DEVICES",)
    own = {
        name: value
        for name, value in let_in(here, pinned=pinned).items()
        if name not in of_gpus and (machine.fullmatch(name) or (_PLACED.match(value) and not _is_of_python(name)))
    }
    brought = {
        name: value
        for name, value in asked.items()
        if not machine.fullmatch(name) and (_is_of_python(name) or not _PLACED.match(value))
    }
    return own | brought


def _is_of_python(name: str) -> bool:
    return name.startswith("PYTHON")


def any_of(*globs: str) -> re.Pattern[str]:
    """What matches a name that one of the patterns, with spaces between them, stands for."""
    return re.compile("|".join(fnmatch.translate(glob) for text in globs for glob in text.split()))
