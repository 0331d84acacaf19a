"""Whether an environment is whole: what its packages' RECORDs claim, and what has changed since it was installed.

A killed installation leaves packages whose metadata is whole and whose files are not, so that neither tox nor a lock
can tell. RECORDs (the wheel format's, PEP 376 and 427) hold the sizes of all files; a snapshot of path, size, time
and inode sees what sizes miss, such as an edit of equal length and files that were added.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import hashlib
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from packaging.utils import canonicalize_name

_BYTECODE = "__pycache__"
_INFO = ".dist-info"
_NAMED = 5
# What tox, this module and pytest write into an environment's folder, beside what is installed.
_NOT_INSTALLED = frozenset({"tmp", "log", ".lock", ".tox-info.json", ".pytest_cache"})
OURS = "harness-"
"""What begins the names of the harness's own files in an environment's folder."""


class Seen(NamedTuple):
    """One file as it was seen, symbolic links not followed."""

    size: int
    mtime_ns: int
    inode: int


Snapshot = Mapping[str, Seen]
"""Every installed file of an environment, path below its folder to what was seen. Bytecode is left out."""


@dataclass(frozen=True)
class Change:
    """One file that is not as it was installed.

    `what` is edited, removed or added; `package` the distribution that it belongs to, empty where none claims it;
    `changed` when, in seconds since 1970: of a removed file its folder's time.
    """

    path: str
    what: str
    package: str
    changed: float

    def __str__(self) -> str:
        """For a person: `edited lib/python3.11/site-packages/onnx/__init__.py (onnx)`."""
        return f"{self.what} {self.path}" + (f" ({self.package})" if self.package else "")


class Claim(NamedTuple):
    """What a package's RECORD says of a file; `size` is None and `digest` empty where it says nothing, as of itself."""

    package: str
    size: int | None
    digest: str


def take(folder: Path, within: Sequence[Path] = ()) -> dict[str, Seen]:
    """Every file below an environment's folder that belongs to the installation; `within` names the parts of it."""
    found: dict[str, Seen] = {}
    cut = len(str(folder).rstrip("/")) + 1
    waiting = [str(place) for place in within or (folder,)]
    while waiting:
        # Whoever changes an environment may do so meanwhile: what is gone then is no part of it, all else is.
        try:
            listing = os.scandir(waiting.pop())
        except FileNotFoundError:
            continue
        with listing as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name != _BYTECODE and not _is_ours(entry.path[cut:]):
                        waiting.append(entry.path)
                elif not _is_ours(entry.path[cut:]):
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        found[entry.path[cut:]] = Seen(status.st_size, status.st_mtime_ns, status.st_ino)
    return found


def _is_ours(path: str) -> bool:
    return path in _NOT_INSTALLED or (path.startswith(OURS) and "/" not in path)


def is_as_claimed(path: Path, claimants: Iterable[Claim]) -> bool:
    """Whether a file's content is what a RECORD says, by its SHA-256; False where none says."""
    digests = {claim.digest for claim in claimants if claim.digest.startswith("sha256=")}
    if not digests or path.is_symlink():
        return False
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return False
    return f"sha256={base64.urlsafe_b64encode(found).decode().rstrip('=')}" in digests


def compare(folder: Path, before: Snapshot, now: Snapshot, owners: Mapping[str, str]) -> list[Change]:
    """What differs between two snapshots of `folder`, in the order of paths; `owners` is path to package."""
    changes = []
    for path in sorted({*before, *now} if before != now else ()):
        if before.get(path) == now.get(path):
            continue
        what = "added" if path not in before else "removed" if path not in now else "edited"
        changes.append(Change(path, what, owners.get(path, ""), _changed(folder / path)))
    return changes


def _changed(path: Path) -> float:
    """When a file was changed; `ctime`, since anybody can set the other. A folder tells of what was removed in it."""
    for place in (path, *path.parents):
        with contextlib.suppress(OSError):
            return os.lstat(place).st_ctime
    return 0.0


def sites(folder: Path) -> list[Path]:
    """Where packages are installed in a virtual environment."""
    return sorted(folder.glob("lib/python*/site-packages"))


def claims(folder: Path, within: Iterable[Path]) -> dict[str, list[Claim]]:
    """Every file that a RECORD in the folders `within` claims, path below `folder` to its claimants.

    Two packages can claim one file. A RECORD that is missing or cannot be read is claimed by its package, so that it
    counts as missing.
    """
    found: dict[str, list[Claim]] = {}
    for info in sorted(info for place in within for info in place.glob(f"*{_INFO}")):
        package = package_of_info(info.name)
        record = info / "RECORD"
        site = os.path.relpath(info.parent, folder)
        rows: Iterable[list[str]] = ()
        try:
            rows = list(csv.reader(record.read_text(encoding="utf-8").splitlines()))
        except (OSError, UnicodeDecodeError, csv.Error):
            found.setdefault(f"{site}/{info.name}/RECORD", []).append(Claim(package, -1, ""))
        for row in rows:
            if len(row) < 3 or _BYTECODE in row[0]:  # noqa: PLR2004 - path, hash, size
                continue
            path = os.path.normpath(os.path.join(site, row[0]))  # noqa: PTH118 - 38000 of them
            found.setdefault(path, []).append(Claim(package, int(row[2]) if row[2].isdigit() else None, row[1]))
    return found


def package_of_info(name: str) -> str:
    """The canonical name of the package that a folder such as `onnx-1.14.0.dist-info` is about."""
    return canonicalize_name(name.removesuffix(_INFO).partition("-")[0])


def package_of_record(path: str) -> str:
    """The package whose RECORD this path is, or nothing."""
    info, _, name = path.rpartition("/")
    return package_of_info(info.rpartition("/")[2]) if name == "RECORD" and info.endswith(_INFO) else ""


def owners(claimed: Mapping[str, list[Claim]]) -> dict[str, str]:
    """Path to the first package that claims it."""
    return {path: claimants[0].package for path, claimants in claimed.items()}


def broken(folder: Path, claimed: Mapping[str, list[Claim]]) -> dict[str, list[str]]:
    """Files that are missing or have not the size that a RECORD says, by package; any claimant that fits will do."""
    found: dict[str, list[str]] = {}
    for path, claimants in claimed.items():
        try:
            status = (folder / path).stat()
            size = status.st_size if stat.S_ISREG(status.st_mode) else -1
        except OSError:
            size = -1
        if size < 0 or not any(claim.size in (None, size) for claim in claimants):
            for claim in claimants:
                found.setdefault(claim.package, []).append(path)
    return found


def listed(items: Iterable[object]) -> str:
    """The first few for a person, and how many more there are."""
    texts = [str(item) for item in items]
    more = f" and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    return ", ".join(texts[:_NAMED]) + more
