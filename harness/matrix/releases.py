"""The released versions of a package, as uv sees them: by the indexes, the credentials and the dates that it is told.

uv has no command that lists them. It is asked for the lowest version above the last one, until there is none.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from packaging.version import Version

from harness.bench.environment import canonical, pins_of
from harness.bench.errors import HarnessError, ToolBrokenError
from harness.matrix import tooling
from harness.matrix.compiling import index_strategy
from harness.matrix.resolving import AbsentError, understand

_MOST = 400


def releases(root: Path, package: str, *, python: str, since: str, options: str = "") -> tuple[str, ...]:
    """The versions of `package` from `since` on, ascending, that can be installed on this machine under `python`.

    `python` is major.minor; `options` are lines of a requirements file that say where packages come from. Versions
    that are yanked, pre-releases or local are left out, and so are those without a wheel for this Python and this
    machine, unless the package has no wheels at all. Raises a class of `InfrastructureError` where the index cannot be
    asked.
    """
    found = _from(root, package, python, since, options, wheels=True)
    # Some packages are only there as sources, which are built here.
    return found or _from(root, package, python, since, options, wheels=False)


def _from(root: Path, package: str, python: str, since: str, options: str, *, wheels: bool) -> tuple[str, ...]:
    found: list[str] = []
    bound = f">={Version(since).public}"
    while len(found) < _MOST:
        version = _lowest(root, f"{options}{package}{bound}\n", package, python, wheels=wheels)
        if version is None:
            break
        found.append(version)
        bound = f">{version}"
    return tuple(found)


def _lowest(root: Path, text: str, package: str, python: str, *, wheels: bool) -> str | None:
    """The lowest version that fits, without its local part; None where there is none."""
    command = [tooling.uv(), "pip", "compile", "-", "--quiet", "--no-deps", "--no-header", "--no-annotate"]
    command += ["--python-version", tooling.python_full_version(python), "--prerelease=disallow"]
    command += ["--resolution=lowest", f"--index-strategy={index_strategy()}"]
    command += [f"--only-binary={package}"] if wheels else []
    environ = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(command, cwd=root, env=environ, input=text, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        found = pins_of(done.stdout).get(canonical(package))
        return found.partition("+")[0] if found else None
    doing = f"looking for versions of {package}"
    if done.returncode < 0:
        msg = f"{doing}: uv was ended by signal {-done.returncode}."
        raise ToolBrokenError(msg)
    try:
        understand(done.stderr, doing)
    except AbsentError:
        return None
    except HarnessError:
        raise
    return None
