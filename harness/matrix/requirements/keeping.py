"""Requirements that were given, as combinations of their own: named, locked and kept under `.harness/environments`.

The name is that of the file and eight digits of a digest: of all files that were read, the Python version, and whether
everything is installed. One that is given again is found by these, and its lock is taken as it is while it has all
that is needed and the packages on this machine that it names are what they were.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from harness.bench.environment import canonical, pins_of
from harness.bench.hold import hold
from harness.bench.record import write_json
from harness.matrix import tooling
from harness.matrix.combination import GIVEN, given_folder, names
from harness.matrix.compiling import finished
from harness.matrix.credentials import without_credentials
from harness.matrix.locks import bench_requirements, copy_of, write_whole
from harness.matrix.places import own_folder
from harness.matrix.requirements.closing import Closed, Wish, close, pins_under
from harness.matrix.requirements.given import Given, Source, source_of
from harness.matrix.requirements.needs import distributions_of, named, needed, provides
from harness.matrix.requirements.pythons import OF_VERSION_FILE, check_asked, pythons, version_file
from harness.matrix.requirements.reading import read

Tell = Callable[[str], None]

_VERSION = 1
_ABOUT_PYTHON = re.compile(
    r"Python ABI tag|Python implementation tag|(?:current|requested) Python version|Python[<>=~]"
)
_AFTER_PLACE = re.compile(r"(?:\[[^\]]*\])?\s*\\?$")
_FULL, _LOCK, _REASON = "full.txt", "lock.txt", "lock.unresolvable"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Requirements that have a name and a lock. `stated` is what `given.json` says of them."""

    root: Path
    name: str
    stated: dict[str, Any]

    @property
    def folder(self) -> Path:
        """Where all of it lies."""
        return given_folder(self.root, self.name)

    @property
    def full(self) -> str:
        """The text of everything that they ask for, resolved; empty where there is no solution."""
        return "" if self.reason else _read(self.folder / _FULL)

    @property
    def lock(self) -> str:
        """The text of what is installed of it; empty where there is no solution."""
        return "" if self.reason else _read(self.folder / _LOCK)

    @property
    def reason(self) -> str:
        """Why there is no solution; empty where there is one."""
        return _read(self.folder / _REASON).partition("\n\n")[2].strip()

    def has(self, module: str) -> bool:
        """Whether its lock has a package for `module`; what has no solution counts as having it."""
        return (self.folder / _REASON).is_file() or bool(distributions_of(module, pins_of(_read(self.folder / _LOCK))))


def take(
    root: Path,
    value: str,
    wish: Wish,
    *,
    python: str = "",
    upgrade: bool = False,
    beside: Kept | None = None,
    prefer: tuple[str, str] = ("", ""),
    note: Tell,
) -> Kept:
    """Have what a person named by `value` locked for what `wish` says; `note` is told what they should know.

    `python` is the version that was asked for, or empty. Then it is that of `beside`, unless the files themselves say
    another; and what neither this nor `beside` pins gets the version that it has there, so that nothing else differs
    between them. `prefer` are the texts of a full resolution and of a lock whose versions are kept likewise. With
    `upgrade`, versions that are not pinned are resolved anew. Raises `UsageError` for what cannot be read or found, and
    what `close` does.
    """
    check_asked(python)
    source = source_of(value)
    first = read(root, source, python=python)
    wish = wish.looked_through(first)
    candidates = pythons(root, first, python, (beside.name, beside.stated["python"]) if beside else None)
    if beside is not None and (other := beside.stated["python"]) not in [version for version, _ in candidates]:
        (version, why), *_ = candidates
        note(f"{value}: NOT on Python {other}, as {beside.name} is, but on {version} ({why}): the Python differs, too")
    return _locked(
        root, value, source, wish, candidates, python, upgrade=upgrade, beside=beside, prefer=prefer, note=note
    )


def _locked(
    root: Path,
    value: str,
    source: Source,
    wish: Wish,
    candidates: list[tuple[str, str]],
    asked: str,
    *,
    upgrade: bool,
    beside: Kept | None,
    prefer: tuple[str, str] = ("", ""),
    note: Tell,
) -> Kept:
    """What is kept or made of `source` for the first Python version of `candidates` under which it has a solution."""
    versions = [version for version, _ in candidates]
    known = _found(root, read(root, source, python=asked), asked, versions, everything=wish.everything)
    if known:
        candidates = [(known.stated["python"], known.stated["python_from"])]
    tried: list[tuple[Given, str, str, Closed, str, Wish]] = []
    for version, why in candidates:
        given = read(root, source, python=version)
        name = known.name if known else _name(root, given, version, everything=wish.everything)
        folder = given_folder(root, name)
        wanted = _grown(folder, wish)
        if known and not upgrade and (reused := _reused(root, known, given, wanted)):
            note(f"{value}: {name}, locked before, on Python {version}")
            return reused
        other = _read(beside.folder / _FULL) if beside else ""
        before = (_read(folder / _FULL) or prefer[0] or other, _read(folder / _LOCK) or prefer[1])
        before = ("", "") if upgrade else before
        lock, bench = folder / _LOCK, root / bench_requirements(root)
        closed = close(root, given, wanted, python=version, lock=lock, before=before, bench=bench)
        tried.append((given, version, why, closed, name, wanted))
        if not closed.reason:
            break
    # Where none has a solution, a reason that is not about the Python says more than one that is.
    given, version, why, closed, name, wanted = min(
        tried, key=lambda each: (bool(each[3].reason), bool(_ABOUT_PYTHON.search(each[3].reason)))
    )
    if closed.reason and len(tried) > 1:
        why = f"they have no solution under {_either(versions)}"
    doing, folder = f"locking {name}", given_folder(root, name)
    with tooling.told_as_infrastructure(doing), hold(folder, f"the environment {name}", note):
        # Another run may have locked it for models of its own since it was looked at.
        if _grown(given_folder(root, name), wish) == wanted:
            kept = _write(root, given, wanted, closed, name=name, python=version, why=why, asked=asked)
        else:
            kept = None
    if kept is None:
        return _locked(
            root, value, source, wish, candidates, asked, upgrade=upgrade, beside=beside, prefer=prefer, note=note
        )
    note(f"{value}: {name}, on Python {version} ({why})")
    for each in given.notes:
        note(f"{name}: {each}")
    for each in closed.notes:
        note(f"{name}: {each}")
    return kept


def known(root: Path, name: str) -> Kept:
    """What is kept as `name`."""
    return Kept(root=root, name=name, stated=_stated(given_folder(root, name)))


def keep(root: Path, given: Given, wish: Wish, closed: Closed, *, name: str, python: str, note: Tell) -> Kept:
    """Keep what was closed elsewhere as `name`, so that it can be installed; what was of that name before goes."""
    with tooling.told_as_infrastructure(f"locking {name}"), hold(given_folder(root, name), name, note):
        return _write(root, given, wish, closed, name=name, python=python, why="as the base is", asked=python)


def keep_lock(root: Path, lock: str, *, name: str, python: str, source: Path, note: Tell) -> Kept:
    """Keep the text of a lock that lies in `source`, such as a table's, as `name`: all of it is installed as it is."""
    content = hashlib.sha256(lock.encode()).hexdigest()
    given = Given(source=Source(path=source), content=content, locked=True, python=python)
    wish, closed = Wish(modules=frozenset(), everything=True), Closed(full=lock, lock=lock)
    with tooling.told_as_infrastructure(f"locking {name}"), hold(given_folder(root, name), name, note):
        return _write(root, given, wish, closed, name=name, python=python, why="as the table is", asked=python)


def again(root: Path, name: str, *, modules: Iterable[str] = (), upgrade: bool = False, note: Tell) -> Kept:
    """Lock what is kept as `name` once more, for `modules` as well."""
    stated = _stated(given_folder(root, name))
    wish = Wish(modules=frozenset([*stated["modules"], *modules]), everything=stated["everything"])
    value = os.path.relpath(root / stated["given"])
    source, candidates = source_of(value), [(stated["python"], stated["python_from"])]
    wish = wish.looked_through(read(root, source, python=stated["asked"]))
    return _locked(root, value, source, wish, candidates, stated["asked"], upgrade=upgrade, beside=None, note=note)


def addable(root: Path, name: str, modules: Iterable[str]) -> list[str]:
    """Those of `modules` that the requirements kept as `name` provide, and their lock leaves out.

    In the place of one that is known by no package's name stand the packages that may have it: those whose names have
    a part like it, or all that were left out.
    """
    folder = given_folder(root, name)
    full, lock = pins_of(_read(folder / _FULL)), pins_of(_read(folder / _LOCK))
    left_out = full.keys() - lock.keys() - {*_stated(folder)["yielded"]}
    found: set[str] = set()
    for module in modules:
        providing = distributions_of(module, full)
        if providing:
            found |= {module} if left_out & {*providing} else set()
        else:
            found |= {each for each in left_out if canonical(module) in each.split("-")} or left_out
    return sorted(found)


def _stated(folder: Path) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads((folder / GIVEN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if told.get("version") == _VERSION else {}


def _either(versions: list[str]) -> str:
    """`3.12, 3.11 or 3.10`."""
    return " or ".join(filter(None, [", ".join(versions[:-1]), versions[-1]]))


def _found(root: Path, given: Given, asked: str, pythons: Collection[str], *, everything: bool) -> Kept | None:
    """What is kept of the same files for one of `pythons`: that which was used last."""
    found = [
        (path.stat().st_mtime, path.parent.name, stated)
        for path in given_folder(root, "").glob(f"{given.stem}-*/{GIVEN}")
        # Not of a file whose name only begins like it.
        if re.fullmatch(rf"{re.escape(given.stem)}-[0-9a-f]{{8}}(-given)?", path.parent.name)
        and (stated := _stated(path.parent))
        and (stated["content"], stated["asked"], stated["everything"]) == (given.content, asked, everything)
        and stated["python"] in pythons
        and not (path.parent / _REASON).is_file()
        and (asked or stated["python_from"] != OF_VERSION_FILE or version_file(root, given))
    ]
    if not found:
        return None
    _, name, stated = max(found)
    return Kept(root=root, name=name, stated=stated)


def _grown(folder: Path, wish: Wish) -> Wish:
    """What is needed now and what was before: a lock that has more serves both."""
    return replace(wish, modules=wish.modules | frozenset(_stated(folder).get("modules", ())))


def _reused(root: Path, kept: Kept, given: Given, wish: Wish) -> Kept | None:
    """What is kept, where its lock has all that is needed, and what it names on this machine has not changed."""
    folder = kept.folder
    if (folder / _REASON).is_file():
        return None  # what the package index did not have may be there by now
    lock = _read(folder / _LOCK)
    pins = pins_of(lock)
    wanted = set(pins_of(_read(folder / _FULL))) if wish.everything else set(needed(wish.modules, kept.stated["full"]))
    if not lock or not wanted & set(kept.stated["full"]) <= {*pins, *kept.stated["yielded"]}:
        return None
    # As it would be written now: a changed package has another line above it.
    own = [line for line in lock.splitlines() if line.startswith(("-e ", "./", "/"))]
    places = {(root / _AFTER_PLACE.sub("", line.removeprefix("-e "))).resolve() for line in own}
    here = {Path(each.target) for each in given.directs if each.is_local}
    if not here <= places or not all(place.exists() for place in places):
        return None
    again = finished("\n".join(own), root=root, path=folder / _LOCK, options=(), beside=root)
    if any(line not in lock for line in again.splitlines() if line.startswith("# package: ")):
        return None
    fresh = wish.modules - frozenset(kept.stated["modules"])
    if given.project is not None and provides(given.project, fresh):
        return None
    named = _named(root, given.source)
    if {**kept.stated, **named} != kept.stated:
        # Another file with the same content: that which was taken last is read again.
        write_json(folder / GIVEN, {**_stated(folder), **named})
    os.utime(folder / GIVEN)
    return replace(kept, stated={**kept.stated, **named})


def _named(root: Path, source: Source) -> dict[str, str]:
    """What `given.json` says of the file: its path from the root, and with it what of the file is meant."""
    shown = os.path.relpath(source.path, root)
    selector = (f"[{','.join(source.extras)}]" if source.extras else "") + (f":{source.group}" if source.group else "")
    return {"file": shown, "given": f"{shown}{selector}"}


def _name(root: Path, given: Given, python: str, *, everything: bool) -> str:
    """The file's name and eight digits; never that of a combination in `matrices`."""
    digest = hashlib.sha256(json.dumps([given.content, python, everything]).encode()).hexdigest()
    name = f"{given.stem}-{digest[:8]}"
    return name if name not in names(root) else f"{name}-given"


def _write(
    root: Path, given: Given, wish: Wish, closed: Closed, *, name: str, python: str, why: str, asked: str
) -> Kept:
    folder = given_folder(root, name)
    source = given.source
    shown = os.path.relpath(source.path, root)
    pins, full = pins_of(closed.lock), pins_of(closed.full)
    direct = [each.requirement for each in pins_under(given.wanted, python)]
    stated = {
        "version": _VERSION,
        **_named(root, source),
        "content": given.content,
        "asked": asked,
        "everything": wish.everything,
        "python": python,
        "python_from": why,
        "modules": sorted(wish.modules),
        "full": sorted(full),
        "yielded": sorted(name for name in full if pins.get(name, full[name]) != full[name]),
        "requirements": [without_credentials(str(each)) for each in _compared(given, direct, pins, full, wish)],
    }
    with tooling.told_as_infrastructure(f"locking {name}"):
        own_folder(root)
        folder.mkdir(parents=True, exist_ok=True)
        if closed.reason:
            write_whole(folder / _REASON, f"# {shown}, Python {python}\n\n{closed.reason}\n".encode())
            (folder / _LOCK).unlink(missing_ok=True)
        else:
            write_whole(folder / _FULL, closed.full.encode())
            write_whole(copy_of(folder / _LOCK, closed.lock), closed.lock.encode())
            write_whole(folder / _LOCK, closed.lock.encode())
            (folder / _REASON).unlink(missing_ok=True)
        write_json(folder / GIVEN, stated)
    return Kept(root=root, name=name, stated=stated)


def _compared(
    given: Given, direct: Iterable[Requirement], pins: Mapping[str, str], full: Mapping[str, str], wish: Wish
) -> list[Requirement]:
    """What a comparison is about: the requirements that are installed as given; of a lock, which has all, a few."""
    about = {*named(wish.modules, full), *given.direct} if given.locked else set(full)
    names = {each: canonical(each.name) for each in direct}
    return [each for each, name in names.items() if not pins or (name in about and pins.get(name) == full.get(name))]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
