"""The tools that install: Pythons, uv, tox, and the package index."""

from __future__ import annotations

import configparser
import contextlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from harness.bench.errors import HarnessError, UsageError
from harness.doctor.finding import Finding, fault, fine, warning
from harness.matrix import combination as combinations
from harness.matrix import tooling
from harness.matrix.environment import clean_environ
from harness.matrix.installing import TOX_INI
from harness.matrix.resolving import understand

_ASKED_FOR = "filelock"
"""The package that the index is asked about: small, and the bench needs it."""

_PATIENCE_S = 4.0
_UV_PATIENCE_S = 20.0


def uv_command() -> str:
    """How a person calls uv: the one on PATH, else the one that came with the harness."""
    return "uv" if shutil.which("uv") else tooling.uv()


def _uv(root: Path, *arguments: str, text: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """Ask uv, as an installation would."""
    return subprocess.run(
        [tooling.uv(), *arguments],
        cwd=root,
        env={**clean_environ(), **environ},
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=_UV_PATIENCE_S,
    )


def named(root: Path) -> list[str]:
    """What this is about: the repository's combinations, or else those of the harness, and requirements once given."""
    own = combinations.own_names(root)
    every = combinations.all_names(root)
    chosen = [name for name in every if name.partition(combinations.EXTENDS)[0] in own] if own else every
    return list(dict.fromkeys([*chosen, *(name for name in combinations.known(root) if name not in every)]))


def _wanted(root: Path) -> dict[str, list[str]]:
    """Python version to the combinations that need it."""
    wanted: dict[str, list[str]] = {}
    for name in named(root):
        with contextlib.suppress(UsageError):  # told of its lock
            wanted.setdefault(combinations.read(root, name).python, []).append(name)
    return dict(sorted(wanted.items()))


def pythons(root: Path) -> list[Finding]:
    """The Pythons that the combinations need: installed, to be had by uv, or missing."""
    return [_python(root, version, names) for version, names in _wanted(root).items()]


def _python(root: Path, version: str, names: list[str]) -> Finding:
    what = f"Python {version}"
    needed = f"for {', '.join(names)}"
    done = _uv(root, "python", "find", "--no-project", version)
    if done.returncode == 0:
        return fine(what, f"{_home(done.stdout.strip())}, {needed}")
    broken = re.search(r"Failed to inspect Python interpreter from .* at `(?P<path>[^`]+)`", done.stderr)
    if broken:
        elsewhere = re.search(rf"^\s+({re.escape(version)}\.\d+)\s*$", done.stderr, re.MULTILINE)
        remedy = f"Take {_home(broken['path'])} off PATH, or put one that starts before it."
        if elsewhere and "pyenv" in done.stderr:
            remedy = f'export PATH="$(pyenv root)/versions/{elsewhere[1]}/bin:$PATH"'
        return fault(what, f"{_home(broken['path'])} is on PATH and does not start, {needed}", remedy)
    listed = _uv(root, "python", "list", version, "--only-downloads", "--show-urls").stdout.split()
    address = next((word for word in listed if word.startswith("https://")), "")
    if not address:
        return fault(what, f"neither installed nor known to uv, {needed}", "Install it, and put it on PATH.")
    asked = f"{uv_command()} python install {version}"
    if os.environ.get("UV_PYTHON_DOWNLOADS", "automatic") not in ("automatic", "true"):
        return fault(what, f"not installed, and UV_PYTHON_DOWNLOADS forbids uv to download it, {needed}", asked)
    reason = _unreachable(address)
    if reason:
        told = f"not installed, and where uv would download it from does not answer ({reason}), {needed}"
        return fault(what, told, f"Install it and put it on PATH; or, with a network: {asked}")
    return warning(what, f"not installed; uv downloads it with the first run that needs it, {needed}", asked)


def _unreachable(address: str) -> str:
    """Why a file cannot be downloaded; nothing where it can."""
    if os.environ.get("UV_OFFLINE", "") not in ("", "0", "false"):
        return "UV_OFFLINE is set"
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=_PATIENCE_S).close()
    except urllib.error.HTTPError as error:
        return f"HTTP status {error.code}"
    except OSError as error:
        return str(getattr(error, "reason", error))
    return ""


def _home(path: str) -> str:
    home = str(Path.home())
    return path.replace(home, "~", 1) if home != "/" and path.startswith(f"{home}/") else path


def installers(root: Path, settings: Path = TOX_INI) -> list[Finding]:
    """The versions of uv and tox, and whether tox has what its settings require: it would install that for itself."""
    try:
        done = _uv(root, "--version")
    except HarnessError as error:
        return [fault("uv", str(error), "python -m pip install --force-reinstall uv")]
    version = done.stdout.split()[1:2]
    if done.returncode != 0 or not version:
        return [fault("uv", "it does not start", "python -m pip install --force-reinstall uv")]
    found = [fine("uv", version[0])]
    lacking = {name for name in ("tox", "tox-uv") if not _version(name)}
    if lacking:
        names = " and ".join(sorted(lacking))
        return [*found, fault("tox", f"{names} not installed", f"python -m pip install {' '.join(sorted(lacking))}")]
    found.append(fine("tox", f"{_version('tox')}, tox-uv {_version('tox-uv')}"))
    required = _required_by(settings)
    unmet = [str(each) for each in required if not each.specifier.contains(_version(each.name), prereleases=True)]
    if unmet:
        told = f"tox installs {', '.join(unmet)} for itself with the first run, since {settings.name} requires it"
        quoted = " ".join(f"'{each}'" for each in unmet)
        found.append(warning(settings.name, told, f"python -m pip install --upgrade {quoted}"))
    return found


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _required_by(settings: Path) -> list[Requirement]:
    """What a `tox.ini` requires tox to have; nothing where it cannot be read."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(settings, encoding="utf-8")
        lines = parser.get("tox", "requires", fallback="").split("\n")
        return [Requirement(line.strip()) for line in lines if line.strip()]
    except (configparser.Error, UnicodeDecodeError, InvalidRequirement):
        return []  # tox tells that better


def index(root: Path) -> list[Finding]:
    """Whether the package index answers, asked through uv, which knows all settings of it."""
    what = "package index"
    arguments = ("pip", "compile", "-", "--no-deps", "--no-header", "--quiet", f"--refresh-package={_ASKED_FOR}")
    retries = {"UV_HTTP_RETRIES": "0", "UV_HTTP_TIMEOUT": f"{_PATIENCE_S:.0f}"}
    try:
        done = _uv(root, *arguments, "--python-version=3.11", text=f"{_ASKED_FOR}\n", **retries)
        if done.returncode == 0:
            return [fine(what, "it answers")]
        fact = understand(done.stderr, "asking for a small package")
        reason = fact.reason
    except subprocess.TimeoutExpired:
        reason = f"no answer within {_UV_PATIENCE_S:.0f} s"
    except HarnessError as error:
        reason = str(error).removesuffix(f" {error.remedy}")
    remedy = "Check the network, UV_DEFAULT_INDEX, UV_INDEX and proxies. What is installed already can be run without."
    return [fault(what, reason, remedy)]
