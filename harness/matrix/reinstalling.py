"""Puts packages of an environment back to what its lock says, by uv, with the lock's exact pins and hashes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from packaging.utils import canonicalize_name

from harness.bench.errors import EnvironmentChangedError
from harness.matrix import tooling, wholeness
from harness.matrix.compiling import INDEX_STRATEGY, index_strategy
from harness.matrix.environment import clean_environ
from harness.matrix.resolving import understand

_LOCAL = re.compile(r"# package: (?P<name>\S+) ")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_REQUIREMENTS = f"{wholeness.OURS}reinstall.txt"


def blocks(lock: str) -> tuple[list[str], dict[str, str]]:
    """The options of a lock's text, and each package's requirement with all its hashes, by canonical name."""
    options: list[str] = []
    found: dict[str, str] = {}
    name = local = ""
    for line in lock.splitlines():
        if match := _LOCAL.match(line):
            local = canonicalize_name(match["name"])
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace():
            if name:
                found[name] += f"{line}\n"
        elif local:
            # What is on this machine has no name of its own, but a line above it.
            name, local = local, ""
            found[name] = f"{line}\n"
        elif line.startswith("-"):
            options.append(line)
            name = ""
        elif match := _NAME.match(line):
            name = canonicalize_name(match[0])
            found[name] = f"{line}\n"
        else:
            name = ""
    return options, found


class Reinstaller:
    """Reinstalls packages into one environment, whose folder is held by the caller."""

    def __init__(self, *, root: Path, folder: Path, lock: str, log: Path) -> None:
        self._root, self._folder, self._log = root, folder, log
        self._options, self._blocks = blocks(lock)

    def _uv(self, doing: str, *arguments: str) -> None:
        """Run uv. Raises what `understand` does, and `EnvironmentChangedError` where the pins are to blame by now."""
        before = self._log.stat().st_size if self._log.exists() else 0
        code = tooling.run(
            [tooling.uv(), *arguments],
            cwd=self._root,
            environ={**clean_environ(), INDEX_STRATEGY: index_strategy()},
            log=self._log,
            marker=str(self._folder),
        )
        if code != 0:
            fact = understand(tooling.read_from(self._log, before), doing)
            msg = f"{doing}: what was installed before cannot be installed again ({fact.reason})."
            raise EnvironmentChangedError(msg)

    def reinstall(self, packages: Collection[str]) -> None:
        """Install packages of the lock anew, and remove those that it does not have.

        A file that is wrong after that came wrong from uv's cache, where somebody edited it through a hard link: then
        the package is removed from the cache, and installed once more.
        """
        extra = sorted(set(packages) - set(self._blocks))
        if extra:
            self._uv(f"removing {', '.join(extra)}", "pip", "uninstall", "--python", self._python, *extra)
        wanted = sorted(set(packages) & set(self._blocks))
        if not wanted:
            return
        self._install(wanted)
        if spoilt := self._spoilt(wanted):
            self._uv(f"removing {', '.join(spoilt)} from uv's cache", "cache", "clean", *spoilt)
            self._install(spoilt)
            if spoilt := self._spoilt(spoilt):
                msg = f"{', '.join(spoilt)}: reinstalled from the package index, and its files are not what it says."
                raise EnvironmentChangedError(msg)

    @property
    def _python(self) -> str:
        return str(self._folder / "bin" / "python")

    def _install(self, packages: Sequence[str]) -> None:
        requirements = self._folder / _REQUIREMENTS
        requirements.write_text(
            "\n".join([*self._options, *(self._blocks[package] for package in packages)]), encoding="utf-8"
        )
        again = [f"--reinstall-package={package}" for package in packages]
        try:
            self._uv(
                f"reinstalling {', '.join(packages)}",
                *("pip", "install", "--python", self._python, "--no-deps", *again, "--requirements", str(requirements)),
            )
        finally:
            requirements.unlink(missing_ok=True)

    def _spoilt(self, packages: Collection[str]) -> list[str]:
        """Those of the packages that have a file whose content is not what their RECORD says."""
        claimed: Mapping[str, list[wholeness.Claim]] = wholeness.claims(self._folder, wholeness.sites(self._folder))
        return sorted(
            {
                claimants[0].package
                for path, claimants in claimed.items()
                if not {claim.package for claim in claimants}.isdisjoint(packages)
                and any(claim.digest for claim in claimants)
                and not wholeness.is_as_claimed(self._folder / path, claimants)
            }
        )
