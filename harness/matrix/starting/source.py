"""What a workflow installs the harness from: what was installed here, as far as another machine can have it."""

from __future__ import annotations

import json
import re
import subprocess
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

from harness import __version__

DISTRIBUTION = "conversion-harness"
UNKNOWN = f"git+https://github.com/OWNER/{DISTRIBUTION}@SHA"
"""Where it was not installed from anywhere that another machine reaches: a person has to fill that in."""

_SCP = re.compile(r"(?:[\w.-]+@)?(?P<host>[\w.-]{2,}):(?P<path>(?!/)[\w./~-]+)")
_PLAIN = re.compile(r"https?://[\w.:-]+/[\w./~%+-]+", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def installed_from() -> str:
    """What `pip install` takes to have the harness that runs here: a commit of a repository, or a release.

    A commit where it was installed from one, or from a checkout that has an `origin`; a release where it came from an
    index; `UNKNOWN` else.
    """
    try:
        told = metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return of_checkout(Path(__file__).resolve().parents[3])
    return of_installation(told) if told else f"{DISTRIBUTION}=={__version__}"


def of_installation(direct_url: str) -> str:
    """The same of the text of a `direct_url.json` (PEP 610), which says where an installer had a package from."""
    told = json.loads(direct_url)
    url = str(told.get("url", ""))
    if "vcs_info" in told:
        return _commit(url, str(told["vcs_info"].get("commit_id", "")))
    if "dir_info" in told:
        return of_checkout(Path(unquote(urlsplit(url).path)))
    return UNKNOWN


def of_checkout(folder: Path) -> str:
    """The same of a checkout: its commit, where the repository that it calls `origin` has that."""
    top, commit = _git(folder, "rev-parse", "--show-toplevel"), _git(folder, "rev-parse", "HEAD")
    if (
        not top
        or Path(top).resolve() != folder.resolve()
        or not _git(folder, "branch", "--remotes", "--contains", "HEAD")
    ):
        return UNKNOWN
    return _commit(_git(folder, "remote", "get-url", "origin"), commit)


def _commit(url: str, commit: str) -> str:
    """A commit by an address that names nobody who may read it; `UNKNOWN` where there is none."""
    if found := _SCP.fullmatch(url):
        url = f"https://{found['host']}/{found['path']}"
    parts = urlsplit(url.removeprefix("git+"))
    if parts.scheme == "ssh":
        address = f"https://{parts.hostname}{parts.path}"
    else:
        address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    known = _PLAIN.fullmatch(address) and _COMMIT.fullmatch(commit)
    return f"git+{address}@{commit}" if known else UNKNOWN


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except OSError:  # no git, or no such folder
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
