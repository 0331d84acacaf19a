"""What passes in the place of what broke."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence

from rich.text import Text

from harness.bench.series import values_of
from harness.bump.schema import Bump, Package, Seen, Way, WayKind, WayOut
from harness.bump.wayout import moved_pins
from harness.report.lines import wrapped
from harness.report.next_steps import HERE, Reader, next_step, options_of
from harness.report.wording import number
from harness.verdict.comparison import Comparison
from harness.verdict.gate import Verdict

TITLE = "Way out"

_LABELS = {
    WayKind.VERSIONS: "other versions",
    WayKind.STRATEGY: "another strategy",
    WayKind.HOLD_BACK: "hold back",
}


def way_out_lines(bump: Bump, *, width: int) -> list[Text]:
    """The lines for a terminal: for each cause what passes, each with what was run."""
    if not bump.ways_out:
        return []
    lines = [Text(TITLE, style="bold green")]
    for out in bump.ways_out:
        lines += wrapped(out.cell, width=width, indent=2, hanging=2, style="bold")
        for label, told in offers(out, bump):
            lines += wrapped(f"{label}: {told}", width=width, indent=4, hanging=2)
    return [*lines, Text()]


def offers(out: WayOut, bump: Bump) -> list[tuple[str, str]]:
    """Label and text of each way, then what was tried and does not pass, then what was not tried."""
    bases = {blame.controls[0].trial for blame in bump.blames if blame.controls}
    told = [_way(way, _candidate(bump), bases) for way in out.ways]
    if not told:
        told.append(("none", "nothing that was tried passes" if out.failed else "nothing was tried"))
    if out.failed:
        told.append(("does not pass", ", ".join(dict.fromkeys(f"{each.cell} ({each.outcome})" for each in out.failed))))
    return [*told, *(("not told", limit) for limit in out.limits)]


def next_step_of(comparison: Comparison, verdict: Verdict | None, bump: Bump | None, *, reader: Reader = HERE) -> str:
    """One or two sentences on what to do now, with the way out where one is known."""
    if bump is None or not bump.ways_out:
        return next_step(comparison, verdict, reader=reader)
    versions = [next((way for way in out.ways if way.kind is WayKind.VERSIONS), None) for out in bump.ways_out]
    sets = {tuple(sorted(way.pins.items())) for way in versions if way is not None}
    if len(sets) == 1 and None not in versions:
        pins = dict(next(iter(sets)))
        moves = _requirements(pins)
        if _can_be_typed(comparison, bump, pins) and (base := reader.base(bump.base)):
            again = f"harness bump {shlex.quote(base.file)} {moves}{base.options}{options_of(comparison.candidate)}"
            return f"`{again}` runs all cells with the versions that are known to mend it."
        return f"run all cells once more with the candidate's requirements at {moves}: these are known to mend it."
    held = [way.pins for out in bump.ways_out for way in out.ways if way.kind is WayKind.HOLD_BACK]
    packages = list(dict.fromkeys(name for pins in held for name in pins))
    return next_step(comparison, verdict, hold_back=packages, reader=reader)


def blame_command(comparison: Comparison, verdict: Verdict | None, *, reader: Reader = HERE) -> str:
    """The command that tells who is to blame; empty where nothing is worse, or no command can."""
    worse = verdict.failing if verdict else [each for each in comparison.compared if each.category.worse]
    base, candidate = comparison.base, comparison.candidate
    moves, asked = comparison.bumped, reader.base(base.combination)
    # A trial has one Python, and moves what the base has.
    known = bool(moves) and all(each.base and each.candidate for each in moves) and base.python == candidate.python
    if asked is None or not worse or not known or not base.pins or candidate.extended:
        return ""
    pins = " ".join(shlex.quote(f"{each.name}=={each.candidate}") for each in moves)
    return f"harness bump {shlex.quote(asked.file)} {pins}{asked.options}{options_of(candidate)}"


def _can_be_typed(comparison: Comparison, bump: Bump, pins: Mapping[str, str]) -> bool:
    """Whether `harness bump` with `pins` makes that candidate, with the options that a table knows.

    It moves what the base has, and leaves nothing out. What takes inputs, and folders of strategies, no table names.
    """
    there = {package.name for package in bump.moves if package.before is not None}
    kept = all(_on_both(package) for package in bump.moves if package.direct)
    run = comparison.candidate
    specs = [value for value in values_of(run.models) if ":" in value]  # models without a file: they may have inputs
    return kept and pins.keys() <= there and not specs and not run.selected


def _on_both(package: Package) -> bool:
    return None not in (package.before, package.after)


def _requirements(pins: Mapping[str, str]) -> str:
    return " ".join(f"'{name}=={version}'" for name, version in pins.items())


def _candidate(bump: Bump) -> dict[str, str]:
    return {package.name: package.after for package in bump.moves if package.after is not None}


def _way(way: Way, candidate: Mapping[str, str], bases: Collection[str]) -> tuple[str, str]:
    """Label and text; `bases` are the trials of the base itself."""
    first, label = way.seen[0], _LABELS[way.kind]
    if way.kind is WayKind.STRATEGY:
        passing = (f"{each.cell} passes{_figures(each, way.was)}{_where(each)}" for each in way.seen)
        return label, "; ".join(passing)
    if way.kind is WayKind.HOLD_BACK:
        if first.trial in bases:  # nothing else moves
            return "stay with the base", f"{_passes(way.seen)}{_where(first)}"
        pins = ", ".join(f"{name} {version}" for name, version in way.pins.items())
        return label, f"{pins} while all else moves: {_passes(way.seen)}{_where(first)}"
    pins = _requirements(moved_pins(way, candidate))
    return label, f"{pins}, all else as in the candidate: {_passes(way.seen)}{_figures(first, way.was)}{_where(first)}"


def _passes(seen: Sequence[Seen]) -> str:
    return "it passes" if len(seen) == 1 else f"{len(seen)} of its cells pass"


def _where(seen: Seen) -> str:
    return f" (trial {seen.trial})" if seen.trial else " (in the candidate's table)"


def _figures(seen: Seen, was: Seen | None) -> str:
    """`, relative error 3.1e-07 (was 2.0e-07), 0.21 ms (was 0.18 ms)`."""
    told = ""
    for label, unit, value, before in (
        ("relative error ", "", seen.relative_error, was.relative_error if was else None),
        ("", " ms", seen.latency_ms, was.latency_ms if was else None),
        ("", " MiB", seen.rss_peak_mb, was.rss_peak_mb if was else None),
    ):
        if value is None:
            continue
        shown = [f"{each:.1e}" if label else f"{number(each)}{unit}" for each in (value, before) if each is not None]
        told += f", {label}{shown[0]}" + (f" (was {shown[1]})" if len(shown) > 1 else "")
    return told
