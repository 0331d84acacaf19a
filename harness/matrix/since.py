"""Which sets of pins a change touches: those of the working tree held against the commit that it branched from."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from harness.bench.environment import pins_of
from harness.bench.errors import UsageError
from harness.bench.places import MATRICES
from harness.matrix import combination as combinations
from harness.matrix import locks
from harness.matrix.combination import Combination
from harness.matrix.places import own_folder
from harness.matrix.starting.pins import found_in

BASES = "base"
"""The folder in `.harness` where commits are laid out, each in one of its name."""

_LOCAL = ("-e ", "./", "../", "/")


@dataclass(frozen=True, kw_only=True)
class Touched:
    """Pins that differ. `file` is where they stand; `base` and `candidate` are what a verdict takes for requirements.

    All three are relative to the root. `name` is a combination's, or of the file, and can be part of a file's name.
    """

    name: str
    file: str
    base: str
    candidate: str


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a change since `commit` touches. `fresh` are files of pins that it adds, `gone` those that it removes."""

    commit: str
    touched: tuple[Touched, ...]
    fresh: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


def change_since(root: Path, reference: str, *, extensions: bool = False) -> Change:
    """The pins that differ between the working tree of `root` and the last commit that it shares with `reference`.

    That commit is laid out in `.harness/base`. A combination's extension counts where its own lines differ; with
    `extensions` also where those that it includes do. Raises `UsageError` where git cannot tell.
    """
    commit = shared_commit(root, reference)
    before = _laid_out(root, commit)
    there, here = combinations.own_files(before), combinations.own_files(root)
    both = [name for name in here if name in there]
    touched = [_combination(root, before, name) for name in both if _differs(before, root, name, extensions)]
    if requirements := _requirements(root, before, commit):
        touched.append(requirements)
    return Change(
        commit=commit,
        touched=tuple(touched),
        fresh=tuple(f"{MATRICES}/{name}.in" for name in here if name not in there),
        gone=tuple(f"{MATRICES}/{name}.in" for name in there if name not in here),
    )


def shared_commit(root: Path, reference: str) -> str:
    """The last commit that HEAD shares with `reference`. Raises `UsageError` where there is none, or no git."""
    if reference.startswith("-"):
        msg = f"--since {reference}: no branch, tag or commit is called so."
        raise UsageError(msg)
    done = _git(root, "merge-base", reference, "HEAD")
    if done.returncode:
        why = done.stderr.strip() or "they share no commit"
        msg = (
            f"--since {reference}: git cannot tell what this branched from ({why}). Name a branch or a commit that is "
            "here; a shallow clone has too few: fetch more of it."
        )
        raise UsageError(msg)
    return done.stdout.split()[0]


def _git(root: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", *arguments], cwd=root, env={**os.environ, **variables}, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        msg = "--since needs git. Install it, or name both sides yourself."
        raise UsageError(msg) from None


def _laid_out(root: Path, commit: str) -> Path:
    """The folder with the files of a commit, as `root` had them."""
    folder = own_folder(root) / BASES / commit[:12]
    if folder.is_dir():
        return folder
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    top = Path(_checked(root, "rev-parse", "--show-toplevel").strip())
    index = {"GIT_INDEX_FILE": str(partial / ".index")}
    try:
        _checked(top, "read-tree", commit, **index)
        _checked(top, "checkout-index", "--all", f"--prefix={partial}/", **index)
        (partial / ".index").unlink()
        # A root may be a folder of its repository.
        (partial / root.relative_to(top)).rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _checked(root: Path, *arguments: str, **variables: str) -> str:
    done = _git(root, *arguments, **variables)
    if done.returncode:
        msg = f"git {arguments[0]} did not work: {done.stderr.strip()}. Mend that, and run this again."
        raise UsageError(msg)
    return done.stdout


def _combination(root: Path, before: Path, name: str) -> Touched:
    sides = [side.relative_to(root) / _side(side, name) for side in (before, root)]
    return Touched(name=name, file=f"{MATRICES}/{name}.in", base=str(sides[0]), candidate=str(sides[1]))


def _side(root: Path, name: str) -> Path:
    """The lock of a combination, which is what was tested; its own file where it has none that fits.

    Places on this machine are relative to the root in a lock, so that one with such does not hold elsewhere.
    """
    own = Path(MATRICES, f"{name}.in")
    try:
        lock = locks.read_lock(root, combinations.read(root, name))
    except UsageError:
        return own
    local = any(line.startswith(_LOCAL) for line in lock.text.splitlines())
    return own if lock.reason or local else lock.path.relative_to(root)


def _differs(before: Path, root: Path, name: str, extensions: bool) -> bool:
    if combinations.EXTENDS in name and not extensions:
        return _own_lines(before, name) != _own_lines(root, name)
    return _asked(before, name) != _asked(root, name) or _locked(before, name) != _locked(root, name)


def _own_lines(root: Path, name: str) -> Combination:
    """What a file says itself, without what it includes."""
    path = root / MATRICES / f"{name}.in"
    return combinations.parse(name, Path(path.name), path.read_text(encoding="utf-8"))


def _asked(root: Path, name: str) -> Combination:
    return combinations.read(root, name)


def _locked(root: Path, name: str) -> dict[str, str]:
    path = locks.lock_path(root, name)
    return pins_of(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _requirements(root: Path, before: Path, commit: str) -> Touched | None:
    """The repository's own requirements with torch among them, where the change touches a file that they depend on."""
    pins = found_in(root)
    if not pins.file or not (before / pins.file).is_file():
        return None
    changed = _checked(root, "diff", "--name-only", "--relative", "-z", commit, "--", ".").split("\0")
    if not any(fnmatchcase(path, pattern) for path in changed if path for pattern in pins.watched):
        return None
    name = re.sub(r"[^\w.+-]", "-", pins.file)
    return Touched(name=name, file=pins.file, base=str(before.relative_to(root) / pins.given), candidate=pins.given)
