"""The pytest plugin: a plan in, one item a cell, records out.

``python -m pytest -p harness.bench --out DIR`` plans the zoo's quick tier for the active
environment and runs it; DIR is then an attempt (`harness.bench.attempt`), as is the one that `harness run` has begun
and names by `--attempt`. Records are written as cells end.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.bench import environment, gpu
from harness.bench.abandoned import sweep
from harness.bench.asked import CELLS_FILE, collected, ignore_settings
from harness.bench.attempt import Attempt, State
from harness.bench.cell import Cells
from harness.bench.definitions import TIERS
from harness.bench.errors import InfrastructureError, UsageError
from harness.bench.group import become_subreaper, die_with_parent, end_leftovers
from harness.bench.hold import hold
from harness.bench.identity import identity, name_of
from harness.bench.items import ATTEMPT, CAUSE, CELLS, CellItem, go_through
from harness.bench.places import find_root
from harness.bench.plan import Cell, Plan, Policy, expand, split_models
from harness.bench.registry import Registry, discover
from harness.bench.series import path_names, series_of
from harness.bench.signals import raise_on_termination

_PLAN = pytest.StashKey[Plan]()
_REGISTRY = pytest.StashKey[Registry]()
_CONTEXT = pytest.StashKey[contextlib.ExitStack]()
_REJECTED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """The bench's options, for plan and policy."""
    config = pluginmanager.get_plugin("pytestconfig")
    assert isinstance(config, pytest.Config)
    ignore_settings(config)
    group = parser.getgroup("harness", "conversion bench")
    policy = Policy()
    group.addoption("--out", metavar="DIR", help="folder of the attempt; a temporary one where it is left out")
    group.addoption("--attempt", metavar="DIR", help="an attempt that `harness run` has begun; replaces all below")
    group.addoption("--parent", type=int, help="process that holds that attempt")
    group.addoption("--only-waiting", action="store_true", help="of that attempt, only the cells that wait to be timed")
    group.addoption("--shared-builds", metavar="DIR", help="of that run, where its benches find what another has built")
    group.addoption("--combination", default="ambient", help="name of this environment in the records")
    group.addoption("--models", action="append", default=[], metavar="GLOB|FILE", help="models of the zoo, or your own")
    group.addoption("--path", action="append", default=[], metavar="DIR", help="a folder that your models import from")
    group.addoption("--strategies", action="append", default=[], metavar="GLOB")
    group.addoption("--tier", default="quick", choices=TIERS)
    group.addoption("--device", default="auto", choices=gpu.DEVICES)
    group.addoption("--plugin-folder", action="append", default=[], metavar="DIR", help="folder with your own steps, …")
    group.addoption("--lock", default="", metavar="FILE", help="lock that this environment was installed from")
    group.addoption("--fresh", action="store_true", help="start a fresh process for each cell instead of forking")
    group.addoption("--resume", action="store_true", help="go on with the attempt in DIR, if it is of the same")
    group.addoption("--replace", action="store_true", help="begin anew in DIR, whatever records are in it")
    group.addoption("--timeout-s", type=float, default=policy.timeout_s, help="for each process of a cell")
    group.addoption("--memory-limit-mb", type=int, default=policy.memory_limit_mb, help="for each process group")
    group.addoption("--launches", type=int, default=policy.launches, help="serving processes to time, a cell; 0: none")
    group.addoption("--measure-s", type=float, default=policy.measure_s, help="how long a launch is timed")
    group.addoption("--threads", type=int, default=policy.threads, help="threads of every framework and runtime")


def _plan(config: pytest.Config) -> tuple[Plan, Registry]:
    """The plan that the options ask for, and where its names are looked up."""
    option = config.getoption
    if option("--attempt"):
        die_with_parent(option("--parent"))  # `harness run` waits; killed, it leaves nothing running
        plan = Plan.from_json(json.loads(Attempt(Path(option("--attempt"))).plan.read_text(encoding="utf-8")))
        return plan, plan.registry()
    policy = Policy(
        timeout_s=option("--timeout-s"),
        memory_limit_mb=option("--memory-limit-mb"),
        launches=option("--launches"),
        measure_s=option("--measure-s"),
        threads=option("--threads"),
    )
    files, globs = split_models(option("--models"))
    paths = [Path(folder).resolve() for folder in option("--path")]
    plugins = [Path(folder).resolve() for folder in option("--plugin-folder")]
    registry = discover(
        models=files,
        paths=paths,
        plugins=plugins,
        with_zoo=bool(globs or not files),
        strict=True,
        timeout_s=policy.timeout_s,
    )
    device = gpu.resolve(option("--device"))
    if option("--lock") and not Path(option("--lock")).is_file():
        msg = f"--lock {option('--lock')}: no such file."
        raise UsageError(msg)
    combination, _, extension = option("--combination").partition("+")
    cells = expand(
        registry,
        combination=combination,
        device=device,
        tier=option("--tier"),
        models=globs,
        strategies=option("--strategies"),
        extensions=_extensions(option("--lock"), combination),
    )
    if option("--lock"):
        _verify(option("--lock"))
        cells = tuple(cell for cell in cells if cell.extension == extension)
    plan = Plan(
        combination=combination,
        extension=extension,
        device=device,
        tier=option("--tier"),
        cells=cells,
        models=tuple(map(str, files)),
        plugins=tuple(map(str, plugins)),
        paths=tuple(map(str, paths)),
        zoo=bool(globs or not files),
        lock=option("--lock"),
        policy=policy,
        selected=bool(option("--strategies") or plugins or (option("--models") and not files)),
        series=series_of(option("--models"), root=find_root(Path.cwd())) if files else "",
        path_names=path_names(paths, root=find_root(Path.cwd())),
    )
    return plan, registry


def _verify(lock: str) -> None:
    """Hold this environment against its lock, from inside."""
    text = Path(lock).read_text(encoding="utf-8")
    found = environment.deviations(environment.pins_of(text), environment.installed())
    if found:
        msg = f"this environment is not what {lock} says: {'; '.join(map(str, found))}. Install it anew: tox run -r."
        raise UsageError(msg)


def _extensions(lock: str, combination: str) -> set[str]:
    """The extensions of a combination, by the locks beside its own; an ambient environment has none."""
    if not lock:
        return set()
    return {path.stem.partition("+")[2] for path in Path(lock).parent.glob(f"{combination}+*")}


def pytest_configure(config: pytest.Config) -> None:
    """Make the plan, or say what is wrong with the call."""
    if config.getoption("--help", default=False):
        return
    if any(Path(arg.partition("::")[0]).name == "serving_case.py" for arg in config.args):
        return
    if getattr(config.option, "numprocesses", None) or hasattr(config, "workerinput"):
        msg = "cells run one after the other, in one attempt: leave out -n (or add `-p no:xdist`)."
        raise pytest.UsageError(msg)
    try:
        config.stash[_PLAN], config.stash[_REGISTRY] = plan, _ = _plan(config)
        chosen = config.args if config.args_source is pytest.Config.ArgsSource.ARGS else [str(CELLS_FILE)]
        config.args = collected(chosen, [cell.id for cell in plan.cells])
    except UsageError as error:
        if config.getoption("--attempt"):
            Attempt(Path(config.getoption("--attempt"))).refuse(str(error))
        raise pytest.UsageError(str(error)) from None


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """The plan's cells stand for one file."""
    if file_path == CELLS_FILE and _PLAN in parent.config.stash:
        # Its own name, wherever this package is installed: an id that is printed can be given back.
        return CellsFile.from_parent(parent, path=file_path, nodeid=CELLS_FILE.name)
    return None


class CellsFile(pytest.File):
    """All cells of the plan, in the plan's order of running."""

    def collect(self) -> Iterator[pytest.Item]:
        """One item a cell."""
        for cell in self.config.stash[_PLAN].in_order(self.config.stash[_REGISTRY]):
            yield CellItem.from_parent(self, name=cell.id, cell=cell)


def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Have the attempt and what its cells need, once it is known which cells will run, and go through them."""
    config = session.config
    if _PLAN not in config.stash or config.option.collectonly or not session.items:
        return None
    if session.testsfailed and not config.option.continue_on_collection_errors:
        return None  # pytest's own loop says so
    context = contextlib.ExitStack()
    config.stash[_CONTEXT] = context
    context.enter_context(raise_on_termination())
    become_subreaper()
    cells = [item.cell for item in session.items if isinstance(item, CellItem)]
    try:
        attempt = _taken_up(config, cells, context)
    except InfrastructureError as error:
        config.stash[CAUSE] = str(error)
        pytest.exit(str(error), returncode=pytest.ExitCode.INTERNAL_ERROR)
    done = [item for item in session.items if isinstance(item, CellItem) and attempt.record_of(item.cell).exists()]
    if config.getoption("--only-waiting"):
        waits = config.stash[CELLS].waits
        done = [item for item in session.items if isinstance(item, CellItem) and not waits(item.cell)]
    if done:
        config.hook.pytest_deselected(items=done)
        session.items[:] = [item for item in session.items if item not in done]
    go_through(session)
    return True


def _taken_up(config: pytest.Config, chosen: list[Cell], context: contextlib.ExitStack) -> Attempt:
    """The attempt to write to, begun or gone on with, and all that its cells need.

    It is the one that `harness run` began and holds, or one of our own. A user's models are tried before one of our
    own begins: a refusal removes no record.
    """
    begun = bool(config.getoption("--attempt"))
    plan = config.stash[_PLAN]
    if not begun and len(chosen) < len(plan.cells):  # by -k, --lf and the like
        plan = config.stash[_PLAN] = replace(plan, cells=tuple(chosen), selected=True)
    registry = config.stash[_REGISTRY]
    lock = Path(plan.lock).read_text(encoding="utf-8") if plan.lock else ""
    inside = environment.description()
    parts = identity(plan, registry, inside=inside, lock=lock)
    attempt = Attempt(Path(config.getoption("--attempt")) if begun else _folder(config, name_of(parts)))
    if not begun:
        _refuse_foreign(attempt)
        if config.getoption("--out") and not (config.getoption("--resume") or config.getoption("--replace")):
            _refuse_anothers(attempt, plan)
        tell = functools.partial(_tell, config)
        context.enter_context(hold(attempt.folder, f"the attempt in {attempt.folder}", tell))
    config.stash[ATTEMPT] = attempt
    marker = str(attempt.folder)
    end_leftovers(marker)
    attempt.clear_scratch()
    fresh = config.getoption("--fresh")
    cells = Cells(
        plan,
        registry,
        attempt.scratch,
        marker=marker,
        fresh=fresh,
        waiting=attempt.waiting,
        kept=attempt.kept,
        built=attempt.built if plan.duel_side else None,
        artifacts=attempt.artifacts if plan.keeping.artifacts_mb and not (plan.keep or plan.duel_side) else None,
        given=attempt.given if plan.duel_side else None,
        shared=Path(config.getoption("--shared-builds")) if config.getoption("--shared-builds") else None,
    )
    config.stash[CELLS] = cells
    context.callback(end_leftovers, marker)
    context.callback(cells.close)
    _reject_unusable_models(config, chosen)
    if not begun and config.getoption("--resume") and attempt.state is not None:
        obstacles = attempt.obstacles(parts)
        if obstacles:
            config.stash[_REJECTED] = True
            msg = f"--resume: {attempt.folder} is of another execution: {'; '.join(obstacles)}. Leave --resume out."
            raise pytest.UsageError(msg)
        attempt.go_on()
    elif not begun:
        attempt.begin(plan, parts, inside, lock=lock)
    if not begun and not config.getoption("--out"):
        sweep(path for path in attempt.folder.parent.iterdir() if path.is_dir())
    return attempt


def _refuse_foreign(attempt: Attempt) -> None:
    if attempt.is_foreign():
        msg = (
            f"--out {attempt.folder}: there are files in it that are no attempt's. Name an empty folder, or a new one."
        )
        raise pytest.UsageError(msg)


def _refuse_anothers(attempt: Attempt, plan: Plan) -> None:
    other = attempt.of_another(plan)
    if other:
        msg = (
            f"--out {attempt.folder}: it holds cells of another plan: {other}. Name another folder, or add --replace "
            "to remove them and begin anew."
        )
        raise pytest.UsageError(msg)


def _folder(config: pytest.Config, name: str) -> Path:
    """Where `--out` says, else a folder that the next start of the same finds again, with what a killed one left."""
    if config.getoption("--out"):
        return Path(config.getoption("--out")).resolve()
    root = Path(tempfile.gettempdir(), f"harness-{os.getuid()}")
    root.mkdir(mode=0o700, exist_ok=True)
    if root.is_symlink() or root.stat().st_uid != os.getuid():
        msg = f"{root} belongs to somebody else. Name a folder of your own by --out."
        raise pytest.UsageError(msg)
    return root / f"{config.stash[_PLAN].combination}-{name}"


def _tell(config: pytest.Config, text: str) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(text)


def _reject_unusable_models(config: pytest.Config, chosen: list[Cell]) -> None:
    """Build a user's own models first: what no version explains, such as a probe of another shape, is told.

    That is before anything is recorded, and all of it at once. What else a build raises is recorded: a version may be
    to blame, which the end of a run over several environments tells.
    """
    cells = config.stash[CELLS]
    mistakes = []
    for model in {cell.model: None for cell in chosen}:
        entry = cells.registry.models[model]
        failure = cells.builds.built(model).failure if entry.own else None
        if failure is not None and failure.mistake:
            mistakes.append(failure.told_of(entry.path))
    if mistakes:
        message = "\n".join(mistakes)
        config.stash[_REJECTED] = True
        if config.getoption("--attempt"):
            config.stash[ATTEMPT].refuse(message, mistake=True)
        pytest.exit(message, returncode=pytest.ExitCode.USAGE_ERROR)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Say how the attempt ended, and end what was kept warm."""
    config = session.config
    if _CONTEXT not in config.stash:
        return
    with config.stash[_CONTEXT]:
        if ATTEMPT not in config.stash or config.stash.get(_REJECTED, False):
            return
        attempt = config.stash[ATTEMPT]
        if attempt.state is not State.RUNNING:
            return  # it had not begun
        cause = config.stash.get(CAUSE, "") or _stopped_by(session, exitstatus)
        lacking = _lacking(session, attempt)
        if lacking and not cause:
            cause = f"{len(lacking)} cells have no record{_broke_at(session, lacking, exitstatus)}"
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
        if cause:
            if CELLS in config.stash:
                config.stash[CELLS].close()  # on a full disk there is room for the cause then
            attempt.pause(cause)
        elif not config.getoption("--attempt"):  # there, `harness run` has to look at the environment first
            attempt.end()


def _lacking(session: pytest.Session, attempt: Attempt) -> list[str]:
    """The cells that this session was to bring to their end, and that have no record."""
    plan = session.config.stash[_PLAN]
    items = [item for item in session.items if isinstance(item, CellItem)]
    if not plan.times:  # somebody takes records away as they come
        return [item.cell.id for item in items if not item.came_through]
    cells = [item.cell for item in items] if session.config.getoption("--only-waiting") else plan.cells
    return [cell.id for cell in cells if not attempt.record_of(cell).exists()]


def _broke_at(session: pytest.Session, lacking: list[str], exitstatus: int) -> str:
    """With which of the cells that have no record the bench broke; none is named where it broke beside them."""
    broken = {item.cell.id for item in session.items if isinstance(item, CellItem) and item.broke is not None}
    # Where pytest itself ended, most cells have no record for want of time.
    there = [each for each in lacking if each in broken] or (
        [] if exitstatus == pytest.ExitCode.INTERNAL_ERROR else lacking
    )
    return f", {there[0]} among them: the bench itself broke there." if there else ": the bench itself broke."


def _stopped_by(session: pytest.Session, exitstatus: int) -> str:
    if session.shouldstop or session.shouldfail:
        return str(session.shouldstop or session.shouldfail)
    return "it was interrupted." if exitstatus == pytest.ExitCode.INTERRUPTED else ""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Where the records are."""
    if ATTEMPT not in config.stash or config.getoption("--attempt"):
        return
    attempt = config.stash[ATTEMPT]
    if attempt.state is State.ENDED:
        terminalreporter.write_line(f"records in {attempt.folder}; `harness ingest {attempt.folder}` makes their table")
    elif attempt.state is not None:
        terminalreporter.write_line(f"records in {attempt.folder}; go on with --out {attempt.folder} --resume")
