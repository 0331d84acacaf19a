"""The pytest plugin: a plan in, one item a cell, records out.

``python -m pytest -c harness/bench/pytest.ini -p harness.bench --out DIR`` plans the zoo's quick tier for the active
environment and runs it; `--plan` takes a plan that `harness run` made. Into DIR go `plan.json`, `session.json` (what
ran where), `records/*.json` (one a cell, written as it ends) and `events.jsonl` (for a live display).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.bench import environment, gpu
from harness.bench.cell import Bench
from harness.bench.definitions import TIERS
from harness.bench.errors import UsageError
from harness.bench.failure import describe_failure
from harness.bench.plan import Cell, Plan, Policy, expand, split_models
from harness.bench.processes import die_with_parent
from harness.bench.registry import Registry, discover
from harness.bench.session import Output
from harness.bench.stages import Outcome

CELLS_FILE = Path(__file__).with_name("cells")

_PLAN = pytest.StashKey[Plan]()
_REGISTRY = pytest.StashKey[Registry]()
_BENCH = pytest.StashKey[Bench]()
_OUTPUT = pytest.StashKey[Output]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The bench's options, for plan and policy."""
    group = parser.getgroup("harness", "conversion bench")
    policy = Policy()
    group.addoption("--out", metavar="DIR", help="folder for the records; scratch where it is left out")
    group.addoption("--plan", metavar="FILE", help="plan.json, as `harness run` writes it; replaces the options below")
    group.addoption("--combination", default="ambient", help="name of this environment in the records")
    group.addoption("--models", action="append", default=[], metavar="GLOB|FILE", help="models of the zoo, or your own")
    group.addoption("--strategies", action="append", default=[], metavar="GLOB")
    group.addoption("--tier", default="quick", choices=TIERS)
    group.addoption("--device", default="auto", choices=gpu.DEVICES)
    group.addoption("--plugin-folder", action="append", default=[], metavar="DIR", help="folder with your own steps, …")
    group.addoption("--lock", default="", metavar="FILE", help="lock that this environment was installed from")
    group.addoption("--fresh", action="store_true", help="start a fresh process for each cell instead of forking")
    group.addoption("--resume", action="store_true", help="keep the records that DIR already has")
    group.addoption("--timeout-s", type=float, default=policy.timeout_s, help="for each process of a cell")
    group.addoption("--memory-limit-mb", type=int, default=policy.memory_limit_mb, help="for each process group")
    group.addoption("--launches", type=int, default=policy.launches, help="serving processes to time, a cell")
    group.addoption("--measure-s", type=float, default=policy.measure_s, help="how long a launch is timed")
    group.addoption("--threads", type=int, default=policy.threads, help="threads of every runtime")


def _plan_from_options(config: pytest.Config) -> Plan:
    option = config.getoption
    if option("--plan"):
        die_with_parent()  # `harness run` made the plan and waits; killed, it leaves nothing running
        return Plan.from_json(json.loads(Path(option("--plan")).read_text(encoding="utf-8")))
    files, globs = split_models(option("--models"))
    plugins = [Path(folder).resolve() for folder in option("--plugin-folder")]
    registry = discover(models=files, plugins=plugins)
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
    return Plan(
        combination=combination,
        extension=extension,
        device=device,
        tier=option("--tier"),
        cells=cells,
        models=tuple(map(str, files)),
        plugins=tuple(map(str, plugins)),
        lock=option("--lock"),
        policy=Policy(
            timeout_s=option("--timeout-s"),
            memory_limit_mb=option("--memory-limit-mb"),
            launches=option("--launches"),
            measure_s=option("--measure-s"),
            threads=option("--threads"),
        ),
        selected=bool(option("--models") or option("--strategies") or plugins),
    )


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
    if not any(Path(arg.partition("::")[0]).name == "serving_case.py" for arg in config.args):
        try:
            plan = _plan_from_options(config)
            config.stash[_REGISTRY] = plan.registry()
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None
        config.stash[_PLAN] = plan
        if config.args_source is not pytest.Config.ArgsSource.ARGS:
            config.args = [str(CELLS_FILE)]


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """The plan's cells stand for one file."""
    if file_path == CELLS_FILE and _PLAN in parent.config.stash:
        return CellsFile.from_parent(parent, path=file_path)
    return None


class CellsFile(pytest.File):
    """All cells of the plan, those that share what they import side by side."""

    def collect(self) -> Iterator[pytest.Item]:
        """One item a cell."""
        plan = self.config.stash[_PLAN]
        registry = self.config.stash[_REGISTRY]
        bench = Bench(plan, registry, Path(), fresh=True)
        groups: dict[tuple[str, ...], int] = {}
        for cell in plan.cells:
            groups.setdefault(bench.imports(cell.strategy), len(groups))
        # The fewest imports first: PyTorch alone, then the exporters, then TensorFlow.
        for cell in sorted(plan.cells, key=lambda c: (len(i := bench.imports(c.strategy)), groups[i])):
            yield CellItem.from_parent(self, name=cell.id, cell=cell)


class CellFailedError(Exception):
    """Tells pytest that a cell is broken; the record says all there is."""


class CellItem(pytest.Item):
    """One cell."""

    def __init__(self, *, cell: Cell, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cell = cell
        self.extra_keyword_matches.update({cell.model, cell.strategy, cell.device})

    def runtest(self) -> None:
        """Run the cell and write its record."""
        bench = self.config.stash[_BENCH]
        output = self.config.stash[_OUTPUT]
        output.started(self.cell)
        record, details = bench.run(self.cell)
        output.write(self.cell, record, details)
        native = bench.native(self.cell.model)
        if native is not None:
            output.write_native(self.cell.model, native)
        self.user_properties.append(("outcome", record.outcome.value))
        self.user_properties.append(("stage", record.stage.value))
        if record.outcome is Outcome.NOT_APPLICABLE:
            pytest.skip(record.error or "not applicable")
        if record.outcome.broken:
            raise CellFailedError(describe_failure(record))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The record's own words; a traceback only where the bench itself broke."""
        if isinstance(excinfo.value, CellFailedError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """The cell's id is its name."""
        return self.path, None, self.name


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what a resumed run already has."""
    if not config.getoption("--resume") or not config.getoption("--out"):
        return
    output = Output(Path(config.getoption("--out")))
    done = [item for item in items if isinstance(item, CellItem) and output.record_of(item.cell).exists()]
    if done:
        config.hook.pytest_deselected(items=done)
        items[:] = [item for item in items if item not in done]


def pytest_runtestloop(session: pytest.Session) -> None:
    """Prepare the output folder and the bench once it is known that cells will run."""
    config = session.config
    if _PLAN not in config.stash or config.option.collectonly or not session.items:
        return
    plan = config.stash[_PLAN]
    out = Path(config.getoption("--out") or tempfile.mkdtemp(prefix="harness-")).resolve()
    work = Path(tempfile.mkdtemp(prefix="harness-bench-"))
    bench = Bench(plan, config.stash[_REGISTRY], work, fresh=config.getoption("--fresh"))
    config.stash[_BENCH] = bench
    config.stash[_OUTPUT] = Output(out)
    _reject_unusable_models(config, bench, [item.cell for item in session.items if isinstance(item, CellItem)])
    config.stash[_OUTPUT].begin(plan, environment.description(), resume=config.getoption("--resume"))


def _reject_unusable_models(config: pytest.Config, bench: Bench, cells: list[Cell]) -> None:
    """Build a user's own models first: a probe that their `forward` rejects is told before anything is written."""
    if not bench.plan.models:
        return
    for model in {cell.model: None for cell in cells}:
        failure = bench.built(model).failure
        if failure is not None and failure.rejected_probe:
            bench.close()
            message = f"{bench.registry.models[model].path}: {failure.error}"
            if config.getoption("--plan"):
                config.stash[_OUTPUT].refusal.write_text(message, encoding="utf-8")
            pytest.exit(message, returncode=pytest.ExitCode.USAGE_ERROR)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Say that the run came to its end, and end what was kept warm."""
    config = session.config
    if _BENCH in config.stash:
        config.stash[_BENCH].close()
        config.stash[_OUTPUT].end()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Where the records are."""
    if _OUTPUT in config.stash and config.stash[_OUTPUT].session.exists():
        folder = config.stash[_OUTPUT].folder
        terminalreporter.write_line(f"records in {folder}; `harness ingest {folder}` makes their table")
