"""What runs left behind that were killed: processes, scratch, names of holders, half-written files, open runs.

Everything is found without holding anything. It is mended only under the hold of its folder, where nobody has it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.attempts.journal import command_of, open_runs
from harness.bench.abandoned import why_abandoned
from harness.bench.attempt import ATTEMPT_FILE, SCRATCH, Attempt, State
from harness.bench.disk import remove_tree
from harness.bench.group import MARKER, end_leftovers, processes
from harness.bench.hold import HOLDER_FILE, held_if_free
from harness.bench.text import size
from harness.bench.waiting import WAITING_FILE
from harness.doctor.finding import Finding, fine, warning
from harness.doctor.holds import holder_of, is_held
from harness.matrix.blocks import blocks_of, taken
from harness.matrix.environment import holding_folder

_FIX = "harness doctor --fix"
_PARTIAL = re.compile(r"\.\w[\w.@+-]*\.json\.(?P<pid>\d+)")
_DEAD_FOR_S = 10.0


def leftovers(root: Path) -> list[Finding]:
    """What killed runs left, and the runs that have not come to their end."""
    looks = (_processes, _scratch, _waiting, _names, _partial, _open, _working)
    found = [finding for look in looks for finding in look(root)]
    return [*(found or [fine("killed runs", "none left anything")]), *_kept(root)]


def _attempts(root: Path) -> list[Path]:
    return sorted(path.parent for path in (root / ".harness" / "attempts").glob(f"*/*/{ATTEMPT_FILE}"))


def _held_folders(root: Path) -> list[Path]:
    """Every folder of this root that can be held."""
    environments = root / ".harness" / "environments"
    return [*_attempts(root), *(sorted(environments.iterdir()) if environments.is_dir() else [])]


def _hold_of(root: Path, marked: Path) -> Path:
    """The folder that is held by whoever works on `marked`: an attempt's own, or that of an environment."""
    if marked.parent == root / ".tox":
        names = [each for each in _held_folders(root) if each.name.replace("+", "-") == marked.name]
        return names[0] if names else holding_folder(root, marked.name)
    attempts = root / ".harness" / "attempts"
    if marked.is_relative_to(attempts):  # units, which are attempts too, lie below the one that is held
        return attempts.joinpath(*marked.relative_to(attempts).parts[:2])
    return marked.parent if marked.parent.parent == holding_folder(root, "") else marked


def _under_hold(folder: Path, mend: Callable[[], str]) -> Callable[[], str]:
    """The same, done only where nobody has `folder`."""

    def held() -> str:
        with held_if_free(folder) as free:
            return mend() if free else f"{folder} is held again; left as it is"

    return held


def _processes(root: Path) -> Iterator[Finding]:
    """Processes that carry the mark of an attempt or of an installation that nobody works on."""
    marked: dict[str, list[int]] = {}
    for pid, process in processes().items():
        with contextlib.suppress(OSError):
            if not process.alive or Path("/proc", str(pid)).stat().st_uid != os.getuid():
                continue
            for entry in Path("/proc", str(pid), "environ").read_bytes().split(b"\0"):
                name, _, value = entry.decode("utf-8", errors="replace").partition("=")
                if name == MARKER and Path(value).is_relative_to(root):
                    marked.setdefault(value, []).append(pid)
    for marker, pids in sorted(marked.items()):
        folder = _hold_of(root, Path(marker))
        if is_held(folder) or os.getpid() in pids:
            continue
        told = f"{len(pids)} of a killed run are still at work: {' '.join(map(str, sorted(pids)))}"

        def end(marker: str = marker) -> str:
            return f"ended {end_leftovers(marker)} processes"

        yield warning("processes", told, _FIX, _under_hold(folder, end))


def _scratch(root: Path) -> Iterator[Finding]:
    """Scratch of attempts that nobody has."""
    for folder in _attempts(root):
        scratch = folder / SCRATCH
        if not scratch.exists() or is_held(folder) or not any(scratch.iterdir()):
            continue
        told = f"{_from(root, scratch)} has {size(_bytes(scratch))} of a run that was killed"

        def remove(scratch: Path = scratch) -> str:
            remove_tree(scratch)
            return f"removed {_from(root, scratch)}"

        yield warning("scratch", told, _FIX, _under_hold(folder, remove))


def _waiting(root: Path) -> Iterator[Finding]:
    """What waits, to be timed or for a duel, in attempts that nobody has."""
    attempts = _attempts(root)
    for folder in attempts:
        attempt = Attempt(folder)
        if not attempt.has_waiting() or is_held(folder):
            continue
        bytes_waiting = size(_bytes(attempt.waiting) + _bytes(attempt.built))
        why = why_abandoned(attempt, attempts)
        if not why:
            number = sum(1 for _ in attempt.waiting.glob(f"*/{WAITING_FILE}"))
            yield fine(
                "waiting",
                f"{number} cells in {_from(root, folder)}, {bytes_waiting}; the same command goes on with them",
            )
            continue

        def let_go(attempt: Attempt = attempt) -> str:
            attempt.let_go()
            return f"removed what waited in {_from(root, attempt.folder)}"

        told = f"{_from(root, folder)} has {bytes_waiting} of cells that wait, and nobody goes on with it: {why}"
        yield warning("waiting", told, _FIX, _under_hold(folder, let_go))


def _names(root: Path) -> Iterator[Finding]:
    """Names of holders that hold nothing any more; the hold itself ended with its process."""
    for folder in _held_folders(root):
        name = folder / HOLDER_FILE
        if not name.exists() or is_held(folder):
            continue
        told = f"{_from(root, folder)} names a holder that has gone"
        with contextlib.suppress(OSError, ValueError, KeyError):
            who = json.loads(name.read_text(encoding="utf-8"))
            told += f": process {who['pid']} since {who['since']} ({who['command']})"

        def unlink(name: Path = name) -> str:
            name.unlink(missing_ok=True)
            return f"removed {_from(root, name)}"

        yield warning("hold", told, _FIX, _under_hold(folder, unlink))


def _partial(root: Path) -> Iterator[Finding]:
    """Files that were written beside, by processes that died before they renamed them."""
    table = processes()
    own = root / ".harness"
    places = [*_held_folders(root), own / "runs", *(each / "records" for each in _attempts(root))]
    for path in sorted(path for place in places if place.is_dir() for path in place.iterdir()):
        writer = _PARTIAL.fullmatch(path.name)
        if writer is None or int(writer["pid"]) in table:
            continue

        def unlink(path: Path = path) -> str:
            path.unlink(missing_ok=True)
            return f"removed {_from(root, path)}"

        yield warning("half a file", f"{_from(root, path)}, of a process that died while it wrote", _FIX, unlink)


def _open(root: Path) -> Iterator[Finding]:
    """Runs that have not come to their end and that nobody is at."""
    busy = any(is_held(folder) for folder in _attempts(root))
    table = processes()
    for stated in open_runs(root):
        names = ", ".join(dict.fromkeys(f"{each[0]}{'+' if each[1] else ''}{each[1]}" for each in stated["of"]))
        command = command_of(stated) or "the same `harness run`"
        pid = stated.get("pid")
        if busy and pid in table:
            yield fine("run", f"of {names}, since {stated['since']}: under way (process {pid})")
        else:
            yield warning("run", f"of {names}, since {stated['since']}: it has not come to its end", command)


def _working(root: Path) -> Iterator[Finding]:
    for folder in _held_folders(root):
        who = holder_of(folder)
        if who:
            yield fine("hold", f"{_from(root, folder)} is held by {who}")
    for folder in _attempts(root):
        if Attempt(folder).state is State.RUNNING and not is_held(folder):
            yield fine("attempt", f"{_from(root, folder)} was killed; the same command goes on with it")


def _kept(root: Path) -> Iterator[Finding]:
    """What is kept on purpose, and may be removed by who does not need it."""
    for name, what in (("scratch", "scratch tables"), ("given", "models of specs"), ("attempts", "attempts")):
        place = root / ".harness" / name
        if place.is_dir():
            number = sum(1 for _ in place.glob("*/*")) if name != "given" else sum(1 for _ in place.iterdir())
            yield fine(what, f"{number} in {_from(root, place)}, {size(_bytes(place))}")


def _bytes(folder: Path) -> int:
    return taken(blocks_of(folder)) if folder.is_dir() else 0


def _from(root: Path, path: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path
