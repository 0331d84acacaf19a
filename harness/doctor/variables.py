"""Variables that reach into installations or into cells, and the limits of this process, which cells inherit."""

from __future__ import annotations

import os
import re
import resource
from pathlib import Path

from harness.doctor.finding import Finding, fine, warning
from harness.matrix.credentials import without_credentials

_OF_UV: dict[str, str] = {
    "UV_OFFLINE": "nothing is downloaded",
    "UV_NO_CACHE": "every environment is downloaded anew",
    "UV_LINK_MODE": "files are copied where this is not `hardlink`: 6 GiB more and 20 s for an environment",
    "UV_NO_BINARY": "packages are built from source",
    "UV_EXCLUDE_NEWER": "locks do not get newer packages than that",
    "UV_PRERELEASE": "locks may get pre-releases",
    "UV_RESOLUTION": "locks get other versions than the newest",
    "UV_TORCH_BACKEND": "locks get another build of torch than the one of the index",
}
"""What changes installations or locks, with what it does; a value that changes nothing is left out below."""

_HARMLESS = {"UV_LINK_MODE": "hardlink", "UV_OFFLINE": "0", "UV_NO_CACHE": "0", "UV_RESOLUTION": "highest"}

_INDEXES = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")
_OVERRULED = {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"}
_LEFT_OUT = {"PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH"}
_INTO_CELLS = re.compile(
    r"LD_PRELOAD|MALLOC_\w+|KMP_\w+|GOMP_\w+|MKL_(?!NUM_THREADS$)\w+|ATEN_\w+|TORCH_\w+|PYTORCH_\w+|TORCHINDUCTOR_\w+"
    r"|TF_(?:ENABLE|DISABLE|FORCE|USE|XLA|GPU|CUDNN|DETERMINISTIC|NUM_INTEROP|ALLOW|CUDA)\w*|XLA_FLAGS|ORT_\w+|NVIDIA_TF32_OVERRIDE|CUBLAS_\w+|CUDNN_\w+"
    r"|CUDA_LAUNCH_BLOCKING|PYTHONWARNINGS|PYTHONOPTIMIZE|PYTHONMALLOC"
)

_FILES = 1024
_BOUNDS = ((resource.RLIMIT_AS, "address space", "v"), (resource.RLIMIT_FSIZE, "size of a file", "f"))
"""Limits that should be none, and their options of `ulimit`."""


def variables(_root: Path) -> list[Finding]:
    """What is set and matters; values are shown without the names and passwords in addresses."""
    found = []
    proxies = sorted(name for name in os.environ if name.lower() in ("http_proxy", "https_proxy", "all_proxy"))
    if proxies:
        found.append(fine("proxy", ", ".join(f"{name}={_shown(name)}" for name in proxies)))
    for name, effect in _OF_UV.items():
        if os.environ.get(name, "") not in ("", _HARMLESS.get(name, "")):
            found.append(warning(name, f"{_shown(name)}: {effect}", f"unset {name}"))
    indexes = [name for name in _INDEXES if os.environ.get(name)]
    found += [fine(name, f"{_shown(name)}: where uv looks for packages") for name in indexes]
    for name, instead in (("PIP_INDEX_URL", "UV_DEFAULT_INDEX"), ("PIP_EXTRA_INDEX_URL", "UV_INDEX")):
        if os.environ.get(name) and not indexes:
            told = f"{_shown(name)}: it is pip's, and uv, which installs here, does not read it"
            found.append(warning(name, told, f'export {instead}="${name}"'))
    for name in sorted(name for name, value in os.environ.items() if value and _INTO_CELLS.fullmatch(name)):
        found.append(warning(name, f"{_shown(name)}: it reaches into every cell", f"unset {name}"))
    for name in sorted(_LEFT_OUT & os.environ.keys()):
        found.append(fine(name, f"{_shown(name)}: kept out of pinned environments; it counts with --python alone"))
    for name in sorted(_OVERRULED & os.environ.keys()):
        found.append(fine(name, f"{_shown(name)}: cells do not see it; `threads` in [policy] sets it for all runtimes"))
    return found or [fine("variables", "none is set that matters")]


def _shown(name: str) -> str:
    return without_credentials(os.environ[name])


def limits(_root: Path) -> list[Finding]:
    """Limits that the shell sets."""
    found = []
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files < _FILES:
        wanted = min(4096, most) if most != resource.RLIM_INFINITY else 4096
        told = f"{files} at once, and a cell with TensorFlow opens hundreds"
        found.append(warning("open files", told, f"ulimit -n {wanted}"))
    else:
        found.append(fine("open files", f"{files} at once"))
    for kind, what, option in _BOUNDS:
        bound = resource.getrlimit(kind)[0]
        if bound != resource.RLIM_INFINITY:
            told = f"limited to {bound // 2**20} MiB: cells fail by it that would pass elsewhere"
            found.append(warning(what, told, f"ulimit -{option} unlimited"))
    return found
