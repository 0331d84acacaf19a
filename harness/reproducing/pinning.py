"""The packages of a script, with exact versions: what it imports, and all that this needs, as a lock has them."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from harness.bench.environment import ANY_VERSION, pins_of
from harness.bench.errors import IndexUnreachableError
from harness.matrix import tooling
from harness.matrix.environment import clean_environ
from harness.matrix.requirements.needs import distributions_of
from harness.matrix.resolving import AbsentError, Fact, understand
from harness.reproducing.facts import NotReproducibleError

_PUBLIC = frozenset({"pypi.org", "download.pytorch.org"})
_INDEX = re.compile(r"^--(?:extra-)?index-url[ =](\S+)", re.MULTILINE)
_SOURCES = re.compile(
    r"(?:UV|PIP)_(?:\w*INDEX\w*|FIND_LINKS|CONFIG_FILE|CONSTRAINT|BUILD_CONSTRAINT|OVERRIDE|EXCLUDE|EXCLUDE_NEWER\w*|"
    r"FORK_STRATEGY|KEYRING_PROVIDER|NO_BINARY\w*|NO_SOURCES\w*|ONLY_BINARY\w*|PRERELEASE|RESOLUTION|TORCH_BACKEND|"
    r"WORKING_DIR\w*|PROJECT)"
)
"""Variables that say where packages are from or which are chosen, which nobody else has."""

_DEFAULTS = ("UV_DEFAULT_INDEX", "UV_INDEX_URL")
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

    `indexes` are public ones beside PyPI. `mirror` says that PyPI is reached through this machine's own default index,
    which no script has in it.
    """

    python: str
    direct: Mapping[str, str]
    rest: Mapping[str, str]
    indexes: tuple[str, ...] = ()
    mirror: bool = False

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


def public_environ(*, mirror: bool = False) -> dict[str, str]:
    """This process's variables as anybody's could be: without what says where packages are from.

    Certificates and proxies stay. With `mirror` this machine's default index does too, in PyPI's place.
    """
    kept = {
        name: value
        for name, value in clean_environ().items()
        if not _SOURCES.fullmatch(name) or (mirror and name in _DEFAULTS)
    }
    return {**kept, "UV_NO_CONFIG": "1"}


def pinned(source: Source, modules: Iterable[str]) -> Pinned:
    """What a script needs that imports `modules`.

    Raises `NotReproducibleError` for a package that no index has, and what uv's failure means.
    """
    direct: dict[str, str] = {}
    known = dict.fromkeys(modules)
    for module in {**known, **dict.fromkeys(more for each in known for more in _UNASKED.get(each, ()))}:
        for name in distributions_of(module, source.pins)[:1]:
            direct[name] = source.pins[name]
    closure, mirror = _closure(source, direct)
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
        mirror=mirror,
    )


def _is_brought(name: str) -> bool:
    return name.startswith(_BROUGHT)


def _closure(source: Source, direct: Mapping[str, str]) -> tuple[dict[str, str], bool]:
    """All that the packages in `direct` need, with the versions of the source, and whether that took a mirror."""
    if not direct:
        return {}, False
    try:
        return _resolved(source, direct, mirror=False), False
    except IndexUnreachableError:
        if not any(os.environ.get(name) for name in _DEFAULTS):
            raise
    return _resolved(source, direct, mirror=True), True


def _resolved(source: Source, direct: Mapping[str, str], *, mirror: bool) -> dict[str, str]:
    bounds = [f"{name}=={version}" for name, version in source.pins.items() if version != ANY_VERSION]
    wanted = [f"{name}=={version}" for name, version in direct.items() if version != ANY_VERSION]
    command = [tooling.uv(), "pip", "compile", "-", "--quiet", "--no-header", "--no-annotate", "--python-version"]
    command += [source.python, "--index-strategy=unsafe-best-match", "--prerelease=allow"]
    command += [f"--extra-index-url={url}" for url in source.indexes]
    doing = "resolving the script"
    with tooling.told_as_infrastructure(doing), tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(bounds))
        file.flush()
        done = subprocess.run(
            [*command, f"--constraints={file.name}"],
            input="\n".join(wanted),
            env=public_environ(mirror=mirror),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise _refusal(done.stderr, doing)
    return dict(pins_of(done.stdout))


def _refusal(text: str, doing: str) -> NotReproducibleError:
    """Why the packages cannot be had, in what uv printed. Raises what `understand` raises but for an absent package."""
    try:
        fact: Fact = understand(text, doing)
    except AbsentError as error:
        return NotReproducibleError(
            f"it needs {error.requirement}, which no public index has, so that nobody else can install it. Write what "
            f"the model takes from it into the model's file."
        )
    return NotReproducibleError(f"the packages of the script cannot be had together: {fact.reason}")
