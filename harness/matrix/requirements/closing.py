"""Resolves what was given, and keeps of it what the cells need, with what the bench needs beside it.

First all of it, as the file says: that is what is tested. Versions that are locked are not resolved again. Then the
closure of what is needed under those versions, with the bench's own packages: these never move a version that is
tested, but a version of a test tool, which is not, yields to them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.requirements import Requirement

from harness.bench.environment import ANY_VERSION, canonical, pins_of
from harness.bench.errors import UsageError
from harness.matrix import tooling
from harness.matrix.compiling import compile_pins, finished, index_strategy, nearest, preferences
from harness.matrix.reinstalling import blocks
from harness.matrix.requirements.gathering import evaluated
from harness.matrix.requirements.given import Given
from harness.matrix.requirements.lines import Direct, Wanted, parse_lines
from harness.matrix.requirements.needs import ModelFile, needed, provides
from harness.matrix.requirements.placing import directs_of, is_local, line_of, with_local, without_local
from harness.matrix.requirements.projects import dependencies_of
from harness.matrix.resolving import AbsentError, Fact

_MOST_TOLD = 8

_OF_TEST_TOOLS = frozenset({"pluggy", "iniconfig", "py-cpuinfo", "exceptiongroup", "tomli"})
"""What the bench's test tools bring, which yields with them."""


@dataclass(frozen=True, kw_only=True)
class Closed:
    """What came of it: `full` is everything that was given, `lock` what is installed; or `reason` against it.

    `roots` are the packages that were asked for by name; `notes` what a person is told.
    """

    full: str = ""
    lock: str = ""
    reason: str = ""
    roots: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the environment is for: the modules that the cells import, and the models' files, or all that was given."""

    modules: frozenset[str]
    models: tuple[ModelFile, ...] = ()
    everything: bool = False

    def looked_through(self, given: Given) -> Wish:
        """With the modules that the models import, through the packages of the user's own that come with `given`."""
        folders = [Path(each.target) for each in given.directs if each.is_folder]
        through = [place for folder in folders for place in (folder, folder / "src")]
        found = set(self.modules)
        for model in self.models:
            # A project's package is only installed where a model imports it.
            modules = model.imports(*through)
            project = given.project
            if project is not None and provides(project, modules):
                modules |= model.imports(*through, project, project / "src")
            found |= modules
        return replace(self, modules=frozenset(found))


def close(
    root: Path, given: Given, wish: Wish, *, python: str, lock: Path, before: tuple[str, str] = ("", ""), bench: Path
) -> Closed:
    """Resolve `given` under `python` for the lock at the path `lock`, whose folder it will lie in.

    `before` are the full resolution and the lock that there were, whose versions are kept where they still fit;
    `bench` is the file of what the bench needs. Raises `UsageError` where the package index does not have what is
    asked for, or where what the bench needs does not fit beside it; and what `understand` does.
    """
    with tempfile.TemporaryDirectory() as scratch:
        work = _Work(root, given, python, Path(scratch), given.source.path.name, bench)
        full = work.full(before[0])
        if isinstance(full, Fact):
            return Closed(reason=full.reason)
        if not pins_of(full) and not given.directs:
            msg = f"{given.source.path.name}: it asks for no package. Name the file that has them."
            raise UsageError(msg)
        return work.closed(full, wish, lock, before[1])


def pins_under(lines: Collection[Wanted], python: str) -> list[Wanted]:
    """The requirements of `lines` whose marker holds, without it."""
    kept = []
    for line in lines:
        if evaluated(line.requirement.marker, python):
            requirement = Requirement(str(line.requirement))
            requirement.marker = None
            kept.append(Wanted(requirement, line.hashes))
    return kept


def _text(wanted: Wanted) -> str:
    return " ".join([str(wanted.requirement), *(f"--hash={each}" for each in wanted.hashes)])


class _Work:
    """One resolution under way, in a scratch folder."""

    def __init__(self, root: Path, given: Given, python: str, scratch: Path, name: str, bench: Path) -> None:
        self.root, self.given, self.python, self.scratch, self.name = root, given, python, scratch, name
        self.bench = [Requirement(line) for line in _lines(bench.read_text(encoding="utf-8"))]
        # A project has settings of uv's beside it: overrides, and where packages come from.
        self.cwd = given.source.path.parent if given.is_project else given.project or root
        self.local: dict[str, Direct] = {}
        """The packages on this machine that are part of what was given, by name, as far as they were resolved."""

    def full(self, before: str) -> str | Fact:
        """All that was given, resolved: its own text where its versions are locked, else what uv makes of it."""
        if self.given.locked:
            return "".join(f"{_text(each)}\n" for each in pins_under(self.given.wanted, self.python))
        if self.given.compiled:
            source = self.given.source.path
        else:
            lines = [*map(_text, self.given.wanted), *map(line_of, self.given.directs)]
            source = self._file("given.in", self._with_options(lines))
        constraints = self._file("constraints.txt", "".join(f"{_text(each)}\n" for each in self.given.constraints))
        options = [*self._selected(), f"--constraints={constraints}", "--no-annotate", "--no-header"]
        # A project's file names the index of each package itself, by uv's rules.
        options += [] if self.given.compiled else [f"--index-strategy={index_strategy()}"]
        found = self._compile(source, "full.txt", options, preferences(before))
        if isinstance(found, Fact):
            return found
        text, self.local = found
        return with_local(text, self.local.values(), told=True) if self.local else text

    def closed(self, full: str, wish: Wish, lock: Path, before: str) -> Closed:
        """The lock of what is needed of `full`."""
        pins = pins_of(full)
        roots = sorted(pins) if wish.everything else needed(wish.modules, pins)
        yielding = self._yielding(pins, needed(wish.modules, pins))
        roots = [each for each in roots if not yielding.get(each) and each not in self.local]
        if own := self._replaced_project(wish):
            brought = {canonical(each.name) for each in dependencies_of(Path(own.target))}
            roots = sorted({*roots, *(brought & pins.keys())})
        sources = [*self._spelled(roots), *self._needed_directs(wish)]
        constraints = _constraints(full, without=yielding)
        if self.given.locked:
            # Before the bench's own: what has no solution without them is a fact of the pins.
            alone = self._closure(sources, constraints, {}, "alone.txt", preferences(before))
            if isinstance(alone, Fact):
                return Closed(full=full, reason=alone.reason)
        everything = [*sources, *map(str, self.bench)]
        text = self._closure(everything, constraints, yielding, "lock.txt", preferences(before or full))
        if isinstance(text, Fact):
            msg = f"what the bench needs does not fit beside {self.name} without moving what is tested: {text.reason}."
            raise UsageError(msg)
        if own:
            text += f"{line_of(own)}\n"
        text = self._with_given_hashes(text, full)
        done = finished(text, root=self.root, path=lock, options=self.given.options, beside=self.root)
        notes = self._notes(pins, pins_of(done), everything=wish.everything)
        return Closed(full=full, lock=done, roots=tuple(roots), notes=tuple(notes))

    def _closure(
        self, sources: Sequence[str], constraints: str, yielding: Mapping[str, str], output: str, preferred: str
    ) -> str | Fact:
        needs = self._file("needs.in", self._with_options(sources))
        bounds = self._file("bounds.txt", constraints)
        # Of what the test tools bring, they themselves say which versions will do.
        overrides = self._file("overrides.txt", "".join(f"{each}\n" for each in yielding.values() if each))
        options = [f"--constraints={bounds}", f"--overrides={overrides}", "--no-annotate"]
        options += [f"--index-strategy={index_strategy()}"]
        found = self._compile(needs, output, options, preferred)
        return found if isinstance(found, Fact) else found[0]

    def _compile(
        self, source: Path, output: str, options: Sequence[str], preferred: str
    ) -> tuple[str, dict[str, Direct]] | Fact:
        """What uv makes of `source`, the packages on this machine with absolute places; and these, by name."""
        path = self._file(output, preferred)
        fact = self._uv(source, path, options)
        if fact is not None:
            return fact
        text = path.read_text(encoding="utf-8")
        if not any(map(is_local, text.splitlines())):
            return text, {}
        bounds = self._file("placed.txt", without_local(text))
        pylock = self.scratch / "pylock.toml"
        fact = self._uv(source, pylock, [*options, f"--constraints={bounds}", "--format=pylock.toml"])
        if fact is not None:
            return fact
        by_name = pins_of(bounds.read_text(encoding="utf-8"))
        local = {name: direct for name, direct in directs_of(pylock).items() if name not in by_name}
        pylock.unlink()
        return with_local(text, local.values()), local

    def _uv(self, source: Path, output: Path, options: Sequence[str]) -> Fact | None:
        prereleases = ["--prerelease=allow"] if any(each.name == "--pre" for each in self.given.options) else []
        try:
            return compile_pins(
                self.root,
                self.python,
                [source],
                output,
                *options,
                *prereleases,
                shown=[self.name],
                doing=f"resolving {self.name}",
                cwd=self.cwd,
                interpreter=tooling.python_full_version(self.python),
            )
        except AbsentError as error:
            known = nearest(self.cwd, self.python, error.requirement, self._with_options([]))
            msg = f"{error}{known}"
            raise UsageError(msg) from None

    def _selected(self) -> list[str]:
        source = self.given.source
        extras = [f"--extra={extra}" for extra in source.extras]
        return [*extras, *([f"--group={source.path}:{source.group}"] if source.group else [])]

    def _with_options(self, lines: Sequence[str]) -> str:
        options = [str(option) for option in self.given.options if option.name != "--pre"]
        return "".join(f"{line}\n" for line in [*options, *lines])

    def _file(self, name: str, text: str) -> Path:
        path = self.scratch / name
        path.write_text(text, encoding="utf-8")
        return path

    def _yielding(self, pins: Mapping[str, str], tested: Collection[str]) -> dict[str, str]:
        """The test tools among `pins` that the bench cannot use, each with what it asks for in their place.

        What they bring yields with them, with nothing in its place, but for what is `tested`: what a model imports.
        """
        found = {
            canonical(each.name): str(each)
            for each in self.bench
            if (version := pins.get(canonical(each.name))) is not None
            and (version == ANY_VERSION or not each.specifier.contains(version, prereleases=True))
        }
        return found | {name: "" for name in _OF_TEST_TOOLS - {*tested} if name in pins and found}

    def _extras(self) -> dict[str, str]:
        """The extras that names were given with, as text."""
        found: dict[str, set[str]] = {}
        for each in pins_under(self.given.wanted, self.python):
            found.setdefault(canonical(each.requirement.name), set()).update(each.requirement.extras)
        return {name: f"[{','.join(sorted(extras))}]" for name, extras in found.items() if extras}

    def _spelled(self, roots: Sequence[str]) -> list[str]:
        """Names with the extras that they were given with."""
        extras = self._extras()
        return [f"{name}{extras.get(name, '')}" for name in roots]

    def _needed_directs(self, wish: Wish) -> list[str]:
        """Packages of the user's own, which are what it is about; a project's where a model imports it."""
        project = self.given.project
        by_place = {each.target: each.extras for each in self.given.directs}
        by_name = self._extras()
        resolved = [
            replace(each, extras=by_place.get(each.target) or by_name.get(name, ""))
            for name, each in self.local.items()
        ]
        places = {each.target for each in resolved}
        others = [each for each in self.given.directs if each.target not in places]
        own = [line_of(each) for each in [*resolved, *others]]
        if project is not None and str(project) not in places and provides(project, wish.modules):
            own += [] if self.given.replaces_project else [f"-e {project}"]
        return own

    def _replaced_project(self, wish: Wish) -> Direct | None:
        """The project's package where a model imports it, and what is wanted replaces what it asks for itself."""
        project = self.given.project
        if project is None or not self.given.replaces_project or not provides(project, wish.modules):
            return None
        return Direct(str(project), editable=True)

    def _with_given_hashes(self, text: str, full: str) -> str:
        """The hashes that were given in the place of all that the index has, where it is the version that was given.

        Those of a project's file are what uv found in the index that the file names for each package.
        """
        wanted: Sequence[object] = self.given.wanted
        if self.given.compiled:
            wanted = [line for _, line in parse_lines(full, where=self.name)]
        named = [each for each in wanted if isinstance(each, Wanted)]
        given = pins_under(named, self.python)
        kept, skipping = list[str](), False
        for line in text.splitlines():
            if line[:1].isspace():
                kept += [] if skipping else [line]
                continue
            skipping = False
            for name, version in pins_of(line).items():
                if hashes := _hashes_of(given, name, version):
                    skipping = True
                    line = line.rstrip(" \\") + "".join(f" \\\n    --hash={one}" for one in sorted(hashes))  # noqa: PLW2901
            kept.append(line)
        return "\n".join([*kept, ""])

    def _notes(self, full: Mapping[str, str], lock: Mapping[str, str], *, everything: bool) -> list[str]:
        tools = {canonical(each.name) for each in self.bench} | _OF_TEST_TOOLS
        notes = [
            f"{name} {full[name]} yields to {lock[name]}: it is a test tool, and the bench needs its own"
            for name in sorted(tools & full.keys() & lock.keys())
            if full[name] != lock[name]
        ]
        if self.given.locked:
            added = sorted(each for each in lock.keys() - full.keys() - tools if lock[each] != ANY_VERSION)
            if added:
                notes.append(f"added, since what is installed needs them and they are not locked: {_listed(added)}")
        left_out = sorted(full.keys() - lock.keys() - tools)
        if left_out:
            told = "no package of theirs is there for this Python" if everything else "--all installs everything"
            notes.append(f"left out, since no cell needs them: {_listed(left_out)} ({told})")
        return notes


def _hashes_of(given: Sequence[Wanted], name: str, version: str) -> set[str]:
    """The hashes that were given for this version of a package, or else for one that it fits (2.1.0+cpu is 2.1.0)."""
    same = [each for each in given if canonical(each.requirement.name) == name]
    fitting = [
        each
        for each in same
        if version == ANY_VERSION
        or each.requirement.url
        or each.requirement.specifier.contains(version, prereleases=True)
    ]
    exact = [each for each in fitting if {s.version for s in each.requirement.specifier} == {version}]
    return {one for each in exact or fitting for one in each.hashes}


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_TOLD
    return ", ".join(names[:_MOST_TOLD]) + (f" and {more} more" if more > 0 else "")


def _lines(text: str) -> list[str]:
    return [line for line in (line.partition("#")[0].strip() for line in text.splitlines()) if line]


def _constraints(full: str, *, without: Collection[str]) -> str:
    """The versions of `full` as bounds; uv takes no editable ones there."""
    _, found = blocks(full)
    return "".join(
        block for name, block in found.items() if name not in without and not block.startswith(("-", ".", "/"))
    )
