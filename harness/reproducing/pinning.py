"""The packages of a script, with exact versions: what it imports, and all that this needs, as a lock has them."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from harness.bench.environment import ANY_VERSION, pins_of
from harness.matrix import tooling
from harness.matrix.compiling import index_strategy
from harness.matrix.requirements.needs import distributions_of
from harness.matrix.resolving import understand
from harness.reproducing.facts import NotReproducibleError

_PUBLIC = frozenset({"pypi.org", "download.pytorch.org"})
_INDEX = re.compile(r"^--(?:extra-)?index-url[ =](\S+)", re.MULTILINE)
_BROUGHT = ("nvidia-", "triton")
"""What torch brings for GPUs, by exact versions of its own."""

_UNASKED: Mapping[str, tuple[str, ...]] = {
    "onnx": ("onnxscript",),  # torch.onnx imports it from 2.9 on
    "onnx2tf": ("tensorflow", "tf_keras", "onnx_graphsurgeon", "psutil", "sng4onnx", "ai_edge_litert"),
    "onnx_tf": ("tensorflow", "tensorflow_addons", "tensorflow_probability"),
    "nobuco": ("tensorflow", "torchvision"),
    "litert_torch": ("torchao",),
    "torchax": ("jax", "tensorflow"),
}
"""What packages import without asking for it, by the module that does."""


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """What a script is installed with: its Python (major.minor), `direct` packages, the `rest` that these need.

    `indexes` are public ones beside PyPI.
    """

    python: str
    direct: Mapping[str, str]
    rest: Mapping[str, str]
    indexes: tuple[str, ...] = ()

    @property
    def requirements(self) -> list[str]:
        """All of them, as requirements."""
        return [f"{name}=={version}" for name, version in {**self.direct, **self.rest}.items()]

    def header(self) -> str:
        """The script's metadata (PEP 723)."""
        lines = ["/// script", f'requires-python = "=={self.python}.*"', "dependencies = ["]
        lines += [f'  "{name}=={version}",' for name, version in self.direct.items()]
        lines += ["  # what these need:"] if self.rest else []
        lines += [f'  "{name}=={version}",' for name, version in self.rest.items()]
        lines += ["]"]
        if self.indexes:
            lines += ["", "[tool.uv]", 'index-strategy = "unsafe-best-match"']
            lines += [f"extra-index-url = [{', '.join(map(repr, self.indexes))}]".replace("'", '"')]
        return "\n".join(f"# {line}".rstrip() for line in [*lines, "///"])


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where versions are from: a lock's text, or the packages that were installed."""

    python: str
    pins: Mapping[str, str]
    indexes: tuple[str, ...] = ()

    @classmethod
    def of_lock(cls, text: str, python: str) -> Source:
        """The pins of a lock, and those of its indexes that everybody can reach."""
        found = [url for url in _INDEX.findall(text) if urlsplit(url).hostname in _PUBLIC and "@" not in url]
        others = [url for url in dict.fromkeys(found) if urlsplit(url).hostname != "pypi.org"]
        return cls(python=python, pins=pins_of(text), indexes=tuple(others))


def pinned(source: Source, modules: Iterable[str]) -> Pinned:
    """What a script needs that imports `modules`.

    Raises `NotReproducibleError` for a package that no index has, and what uv's failure means.
    """
    direct: dict[str, str] = {}
    known = dict.fromkeys(modules)
    for module in {**known, **dict.fromkeys(more for each in known for more in _UNASKED.get(each, ()))}:
        for name in distributions_of(module, source.pins)[:1]:
            direct[name] = source.pins[name]
    closure = _closure(source, direct)
    local = [name for name, version in {**direct, **closure}.items() if version == ANY_VERSION]
    if local:
        msg = (
            f"it needs {', '.join(local)}, a package of your own or from an address, which nobody else can install. "
            f"Write what the model takes from it into the model's file."
        )
        raise NotReproducibleError(msg)
    rest = {name: version for name, version in closure.items() if name not in direct and not _is_brought(name)}
    return Pinned(
        python=source.python,
        direct=dict(sorted(direct.items())),
        rest=dict(sorted(rest.items())),
        indexes=source.indexes,
    )


def _is_brought(name: str) -> bool:
    return name.startswith(_BROUGHT)


def _closure(source: Source, direct: Mapping[str, str]) -> dict[str, str]:
    """All that the packages in `direct` need, with the versions of the source."""
    if not direct:
        return {}
    bounds = [f"{name}=={version}" for name, version in source.pins.items() if version != ANY_VERSION]
    wanted = [f"{name}=={version}" for name, version in direct.items() if version != ANY_VERSION]
    command = [tooling.uv(), "pip", "compile", "-", "--quiet", "--no-header", "--no-annotate", "--python-version"]
    command += [source.python, f"--index-strategy={index_strategy()}", "--prerelease=allow"]
    command += [f"--extra-index-url={url}" for url in source.indexes]
    doing = "resolving the script"
    with tooling.told_as_infrastructure(doing), tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(bounds))
        file.flush()
        done = subprocess.run(
            [*command, f"--constraints={file.name}"],
            input="\n".join(wanted),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        reason = understand(done.stderr, doing).reason
        msg = f"the packages of the script cannot be had together: {reason}"
        raise NotReproducibleError(msg)
    return dict(pins_of(done.stdout))
