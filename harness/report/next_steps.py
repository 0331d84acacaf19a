"""What to do next: the commands that are told, as whoever is told them can type them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packaging.version import InvalidVersion, Version

from harness.bench.places import MATRICES, find_root
from harness.bench.series import from_here, values_of
from harness.report.diagnoses import diagnosis_of
from harness.tables.schema import Run, Table
from harness.verdict.causes import causes
from harness.verdict.comparison import NOT_INSTALLED, Category, CellChange, Comparison
from harness.verdict.gate import Verdict


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Requirements as a person names them: the file, and the options that go with it, each after a space."""

    file: str
    options: str = ""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Who is told what to type: by default somebody at the machine that has the tables.

    `tables` says whether they have them. `given` are combinations that this machine made of requirements: what others
    have in the place of such a name, None where that is nothing.
    """

    tables: bool = True
    given: Mapping[str, Asked | None] = field(default_factory=dict)

    def run(self, run: Run) -> str:
        """What `harness run` takes to run the combination of `run`; empty where they do not have it."""
        if not run.pins:  # an environment without pins is known by its Python alone
            return "--python PYTHON_OF_ITS_ENVIRONMENT"
        if run.combination not in self.given:
            return shlex.quote(run.combination)
        asked = self.given[run.combination]
        return f"--requirements {shlex.quote(asked.file)}{asked.options}" if asked else ""

    def base(self, name: str) -> Asked | None:
        """What `harness bump` takes for the combination called so, with its options; None where they do not have it."""
        return self.given.get(name, Asked(file=name))


HERE = Reader()


def next_step(
    comparison: Comparison, verdict: Verdict | None, *, hold_back: Sequence[str] = (), reader: Reader = HERE
) -> str:
    """One or two sentences on what to do now.

    `hold_back` are the packages that are known to be worth holding back; all that were bumped where nothing is known.
    """
    base, candidate = comparison.base, comparison.candidate
    worse = _worse(comparison, verdict)
    pins = ", ".join(change.name for change in comparison.bumped)
    if _is_of_pins(worse):
        assert worse[0].candidate is not None, "it has a record there"
        return mend_pins(comparison.tables[1], worse[0].candidate.extension, reader=reader)
    if worse:
        advice = _advice(comparison, worse, ", ".join(hold_back) or pins)
        return " ".join(filter(None, [_again(comparison, worse[0], reader), advice]))
    if moved := verdict.moved if verdict else comparison.moved_natives:
        model = moved[0].model
        hold = f" Hold back {pins} until that is known." if pins else ""
        return f"find in the release notes of {pins or 'what differs'} whether {model} is meant to move.{hold}"
    if verdict and (verdict.dropped or verdict.grown or verdict.slower):
        return _of_limits(verdict, pins or "what differs")
    for table, rows in zip(comparison.tables, comparison.rows, strict=True):
        if rows and all(row.stage in NOT_INSTALLED for row in rows):
            return mend_pins(table, rows[0].extension, reader=reader)
    more = _next_run(comparison, base, candidate, reader) or (verdict.remedy if verdict else "")
    allowed = " and is not allowed to break by [gate]" if verdict and verdict.allowed else ""
    return more or f"nothing, since whatever worked in the base{allowed} works in the candidate."


def _again(comparison: Comparison, first: CellChange, reader: Reader) -> str:
    """How to run the first of what is worse alone; empty where the reader cannot."""
    candidate, folder = comparison.candidate, comparison.tables[1].folder
    if candidate.models and folder and reader.tables:
        # Which inputs and folders one's own models were run with is kept with the cell, and not in the table.
        return f"`{_cell_command('rerun', folder, first.name)}` runs the first of them alone."
    model = "" if candidate.models else f" --models {first.model}"
    command = _command(candidate, reader, f"{model} --strategies {first.strategy}")
    return f"{command} runs {'that strategy' if candidate.models else 'the first of them'} alone." if command else ""


def _advice(comparison: Comparison, worse: Sequence[CellChange], held: str) -> str:
    """Where to move on to, as far as it is known which versions mend it; else what to hold back."""
    run = comparison.candidate
    found = [cause.first.candidate for cause in causes(worse)]
    known = [diagnosis_of(record, run) for record in found]
    mending = [each.mended for each in known if each and each.packages and each.mended]
    newest = " and ".join(_newest(mending))
    if newest and len(mending) == len(known):
        return f"Move on to {newest}, where {'it is' if len(known) == 1 else 'all of it is'} known to be mended."
    if not held:
        return ""
    some = f" all of it is mended: {newest} is known to mend {len(mending)} of {len(known)} causes" if newest else ""
    return f"Hold back {held} until{some or ' it is mended'}."


def _newest(mending: Iterable[str]) -> list[str]:
    """Of each package the newest of versions such as `torch 2.1.1`."""
    found: dict[str, str] = {}
    for each in mending:
        name, _, version = each.rpartition(" ")
        found[name] = max(found.get(name, version), version, key=_version)
    return [f"{name} {version}" for name, version in found.items()]


def _version(told: str) -> Version:
    try:
        return Version(told)
    except InvalidVersion:
        return Version("0")


def mend_pins(table: Table, extension: str = "", *, reader: Reader = HERE) -> str:
    """What to do about an environment that could not be had: the file that has its pins, and the commands after it."""
    run = table.run
    name = f"{run.combination}+{extension}" if extension else run.combination
    root, words = _root_and_command(table.folder)
    file = root / MATRICES / f"{name}.in"
    if run.combination in reader.given or not file.is_file():
        asked = reader.base(run.combination)
        named = asked.file if asked else name
        return f"mend the pins of {named} until its environment can be had, then run it again."
    edited = os.path.relpath(file) if reader.tables else f"{MATRICES}/{file.name}"
    words = words if reader.tables else ["harness"]
    more = " --extensions" if extension else ""
    again = f"{shlex.join([*words, 'run', run.combination])}{options_of(run)}{more}"
    return (
        f"edit {shlex.quote(edited)} until its environment can be had: `{shlex.join([*words, 'lock', name])}` resolves "
        f"its pins, and `{again}` installs and runs them."
    )


def _of_limits(verdict: Verdict, pins: str) -> str:
    """What to do where a limit of the policy is all that failed."""
    if verdict.dropped:
        return f"find out why {verdict.dropped[0].change.name} is less accurate, or hold back {pins}."
    if verdict.slower:
        return (
            f"hold back {pins}, or raise latency_percent in [gate] where {verdict.slower[0].name} may take that long."
        )
    name = verdict.grown[0].memory.name
    return f"hold back {pins}, or raise memory_percent in [gate] where {name} may take that much."


def look_at(comparison: Comparison, verdict: Verdict | None, *, reader: Reader = HERE) -> str:
    """How to see what is behind the first of the cells that `next_step` is about; empty where nobody can."""
    worse = _worse(comparison, verdict)
    if not worse or not reader.tables or _is_of_pins(worse):
        return ""
    return look_at_cell(comparison.tables[1].folder, [change.name for change in worse])


def look_at_cell(folder: Path | None, names: Sequence[str]) -> str:
    """How to see what is behind the first of cells of the table in `folder`; empty where it lies in none.

    `names` are MODEL/STRATEGY.
    """
    which = "it" if len(names) == 1 else "the first of them"
    return f"`{_cell_command('explain', folder, names[0])}` shows all that was recorded of {which}." if folder else ""


def _worse(comparison: Comparison, verdict: Verdict | None) -> list[CellChange]:
    """What fails the gate, or is worse where there is no verdict, with a record in the candidate, the worst first."""
    failing = verdict.failing if verdict else [change for change in comparison.changes if change.category.worse]
    worse = [change for change in failing if change.candidate]
    return sorted(worse, key=lambda change: list(Category).index(change.category))


def _is_of_pins(worse: Sequence[CellChange]) -> bool:
    """Whether the candidate's environment is what is broken."""
    return bool(worse) and all(change.candidate and change.candidate.stage in NOT_INSTALLED for change in worse)


def _next_run(comparison: Comparison, base: Run, candidate: Run, reader: Reader) -> str:
    """What to run so that more can be told; empty where all was."""
    once_more = "the same command once more"
    commands = [_command(run, reader) or once_more for run in (base, candidate)]
    if not candidate.complete or comparison.of(Category.MISSING_IN_CANDIDATE):
        return f"{commands[1]} records what the candidate lacks."
    if not base.complete or comparison.of(Category.MISSING_IN_BASE):
        return f"{commands[0]} records what the base lacks."
    if comparison.of(Category.NOT_COMPARABLE) or not comparison.changes:
        told = " and ".join(dict.fromkeys(commands))
        return f"{told}, so that both have the same cells of the same model files."
    return ""


def _command(run: Run, reader: Reader, selection: str = "") -> str:
    """The command that makes the table of `run` again; empty where the reader does not have its pins."""
    which = reader.run(run)
    return f"`harness run {which}{options_of(run, selection)}`" if which else ""


def options_of(run: Run, selection: str = "") -> str:
    """The options that a command needs to have the cells of `run`."""
    root = find_root(Path.cwd())
    own = "".join(f" --models {shlex.quote(from_here(root, value))}" for value in values_of(run.models))
    own += "".join(f" --path {shlex.quote(from_here(root, value))}" for value in run.paths)
    return f"{own}{selection} --tier {run.tier} --device {run.device}"


def _cell_command(command: str, folder: Path, name: str) -> str:
    """`harness COMMAND CELL` for a cell of the table in `folder`, as it can be typed here."""
    _, words = _root_and_command(folder)
    return shlex.join([*words, command, f"{os.path.relpath(folder)}/{name}"])


def _root_and_command(folder: Path | None) -> tuple[Path, list[str]]:
    """The root of the repository around a table's folder, or around where we are, and how `harness` is called there."""
    here = find_root(Path.cwd().resolve())
    above = folder.resolve().parents if folder else ()
    root = next((each for each in above if (each / MATRICES).is_dir()), here)
    # What a table has no room for is kept below the root of the run, which need not be around this folder.
    return root, ["harness", *(["--root", os.path.relpath(root)] if root != here else [])]
