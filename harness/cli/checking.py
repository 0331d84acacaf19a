"""`harness check`: what is wrong with a model's file whatever the versions."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from harness.attempts.mistakes import here
from harness.bench.checking import CHECKED_FILE, PLAN_FILE
from harness.bench.errors import BenchBrokenError, FilesRefusedError, ModelsWrongError, NoEvidenceError, UsageError
from harness.bench.group import MARKER, end_leftovers
from harness.bench.logs import tail
from harness.bench.plan import Cell, Plan, Policy, select_models, split_models
from harness.bench.processes import LAUNCHER
from harness.bench.record import write_json
from harness.bench.registry import Registry, discover, model_files, passed_over
from harness.cli.context import input_option, path_option, root_of, say, shown
from harness.cli.requirements import requirements_options, take
from harness.given.placing import placed
from harness.matrix import choosing, environment, locks, matrixfile
from harness.matrix import combination as combinations
from harness.matrix.environment import FactOfPins, Prepared, check_ambient, clean_environ
from harness.matrix.installing import holding, prepare_environment
from harness.matrix.places import own_folder
from harness.matrix.requirements.needs import models_of
from harness.matrix.selection import Selection

_LOG_BYTES = 2000
_MISSING = re.compile(r"ModuleNotFoundError: No module named '(?P<name>[^']+)'")
_AMBIENT = "ambient"


@click.command(short_help="Tell what is wrong with model files, whatever the versions.")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@input_option
@path_option
@click.option("--combination", "name", help="Build the models in this combination's environment, installed if needed.")
@click.option(
    "--python", "interpreter", type=click.Path(path_type=Path), help="Build them in this interpreter's environment."
)
@click.option("--requirements", metavar="FILE", help="Build them in the environment of these requirements.")
@requirements_options
@click.pass_context
def check(
    context: click.Context,
    models: tuple[str, ...],
    inputs: tuple[str, ...],
    paths: tuple[Path, ...],
    name: str | None,
    interpreter: Path | None,
    requirements: str | None,
    python: str,
    everything: bool,
) -> int:
    """Tell what is wrong with model files that no version explains, and what was seen of those that are right.

    MODEL is what --models of `harness run` takes. Files are read first, without any environment; then their models are
    built and run on their example and their probes: where no environment is named, in the one that was used last of
    those that have what the files import, once no run has it. Nothing is converted. Exits with 2 where a file is
    wrong, and tells all that are; with 3 where one cannot be told in that environment, since a package is not
    installed or memory runs out.
    """
    root = root_of(context)
    if sum(map(bool, (name, interpreter, requirements))) > 1:
        msg = "--combination, --python and --requirements name one environment each: leave all but one out."
        raise UsageError(msg)
    if (python or everything) and not requirements:
        msg = "--python-version and --all say what is made of requirements: name them by --requirements FILE."
        raise UsageError(msg)
    values, found = placed(root, models, inputs)
    files, globs = split_models(values)
    given = paths or [root / folder for folder in matrixfile.of(root, None, names=models, known=[]).paths]
    roots = [folder.resolve() for folder in (*given, *found)]
    with_zoo = bool(globs or not files)
    has = choosing.installed(root)
    there = interpreter is not None or (name in has if name else bool(has))
    registry, readable, refused = _read(files, roots, with_zoo=with_zoo, others_too=there and not requirements)
    chosen = select_models(registry, globs, "full")
    for file in passed_over(files):
        say(f"{shown(file)}: passed over, since there is no MODEL in it")
    plan = Plan(
        combination=_AMBIENT,
        device="cpu",
        tier="full",
        cells=tuple(Cell(_AMBIENT, model, "native", "cpu") for model in chosen),
        models=tuple(map(str, readable)),
        paths=tuple(map(str, roots)),
        zoo=with_zoo,
        policy=Policy(),
    )
    if requirements:
        selection = Selection(tier="full", device="cpu", models=values, strategies=("native",), paths=roots)
        name, *_ = take(root, [requirements], [selection], python=python, everything=everything)
    modules = _imported(registry, plan)
    choice = choosing.choose(root, modules) if not name and interpreter is None else None
    name = choice.name if choice else name
    if name is None and interpreter is None:
        for model in chosen:
            say(f"{shown(registry.models[model].path)}: can be read")
        say("Nothing was built: no environment is installed. Name one by --combination, --requirements or --python.")
        return 0
    with _prepared(root, name, interpreter) as prepared:
        cells = tuple(replace(cell, combination=name or _AMBIENT) for cell in plan.cells)
        seen = _built(prepared, replace(plan, combination=name or _AMBIENT, cells=cells), pinned=interpreter is None)
    choice = choice or choosing.held_against(root, name or _AMBIENT, prepared.python, modules)
    try:
        code = _tell(registry, chosen, seen, f"{name or interpreter} (Python {prepared.python_version})", choice)
    except (ModelsWrongError, NoEvidenceError) as error:
        if refused:
            msg = f"{refused}\n{error}"
            raise ModelsWrongError(msg) from error
        raise
    if refused:
        raise refused
    return code


def _read(
    files: Sequence[Path], roots: Sequence[Path], *, with_zoo: bool, others_too: bool
) -> tuple[Registry, Sequence[Path], FilesRefusedError | None]:
    """The registry with the files of models, these files, and what was told of others that cannot be read.

    Raises the last where it is of all of them, or the `others_too` are not to be looked into.
    """
    try:
        return discover(models=files, paths=roots, with_zoo=with_zoo, strict=True), files, None
    except FilesRefusedError as error:
        readable = [file for file in model_files(files) if file not in error.files]
        if not others_too or not error.files or not readable:
            raise
        return discover(models=readable, paths=roots, with_zoo=with_zoo, strict=True), readable, error


def _imported(registry: Registry, plan: Plan) -> set[str]:
    """The top-level modules that the models of a plan need, and that are not the user's own."""
    models = [registry.models[cell.model].value for cell in plan.cells]
    declared = {module.partition(".")[0] for model in models if model for module in model.imports}
    return declared.union(*(model.imports() for model in models_of([plan])))


@contextlib.contextmanager
def _prepared(root: Path, name: str | None, interpreter: Path | None) -> Iterator[Prepared]:
    """The environment to build in, held while that lasts."""
    if interpreter is not None:
        yield check_ambient(root, interpreter.absolute())
        return
    assert name is not None
    combination = combinations.read(root, name)
    lock = locks.read_lock(root, combination)
    environment.require_pythons({} if lock.reason else {name: combination.python})
    log = own_folder(root) / "logs" / f"{name}-install.log"
    with holding(root, name, _note):
        prepared = prepare_environment(root, name, lock, log=log, note=_note, busy=_note)
        if isinstance(prepared, FactOfPins):
            msg = f"{name} cannot be had: {prepared.reason}\nName another combination to build in."
            raise NoEvidenceError(msg)
        yield prepared


def _note(text: str) -> None:
    """Say what is waited for where it is seen at once, also where what is found goes to a file or a pipe."""
    say(text, err=True)


def _built(prepared: Prepared, plan: Plan, *, pinned: bool) -> Mapping[str, Any]:
    """What building the models told, by name: see `harness.bench.checking`."""
    with tempfile.TemporaryDirectory(prefix="harness-check-", ignore_cleanup_errors=True) as place:
        folder = Path(place).resolve()
        write_json(folder / PLAN_FILE, plan.to_json())
        environ = {**clean_environ(pinned=pinned), MARKER: str(folder)}
        log = folder / "log.txt"
        command = [str(prepared.python), str(LAUNCHER), "checking", str(folder)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            returncode = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        finally:
            end_leftovers(str(folder))
        told = folder / CHECKED_FILE
        if returncode or not told.is_file():
            msg = f"the models could not be built (exit code {returncode}):\n{tail(log, _LOG_BYTES)}\n"
            raise BenchBrokenError(msg)
        seen: dict[str, Any] = json.loads(told.read_text(encoding="utf-8"))
        return seen


def _tell(
    registry: Registry, chosen: Sequence[str], seen: Mapping[str, Any], where: str, choice: choosing.Choice
) -> int:
    """Print what was seen of each model; raises with all that are wrong, else with those that cannot be told here."""
    wrong, untold = [], []
    for model in chosen:
        one = seen[model]
        if "failure" in one:
            lost = _MISSING.search(one["failure"])
            module = lost["name"].partition(".")[0] if lost else ""
            if module in choice.elsewhere:
                path, there = shown(registry.models[model].path), choice.elsewhere[module]
                untold.append(f"{path}: cannot be told here: {module} is not installed in it, and is in {there}")
            elif one["wrong"]:
                wrong.append(one["failure"])
            else:
                untold.append(f"{shown(registry.models[model].path)}: cannot be told here: {one['reason']}")
            continue
        say(f"{shown(registry.models[model].path)}: nothing is wrong with it under {where}")
        for label, text in _lines(one):
            say(f"  {label:<11} {text}")
    if wrong:
        lines = "\n".join(here(line) for line in wrong)
        msg = f"{len(wrong)} of {len(chosen)} models {'is' if len(wrong) == 1 else 'are'} wrong under {where}:\n{lines}"
        raise ModelsWrongError("\n".join([msg, *untold]))
    if untold:
        lines = "\n".join(untold)
        msg = (
            f"{len(untold)} of {len(chosen)} models cannot be told to be right under {where}:\n{lines}\n"
            f"Name an environment that they can be built in by --combination, --requirements or --python."
        )
        raise NoEvidenceError(msg)
    return 0


def _lines(one: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    dynamic = one["dynamic"]
    for name, shape in one["inputs"].items():
        axes = ", ".join(f"{axis} is {label}" for axis, label in dynamic.get(name, {}).items())
        yield "input", f"{name} {shape}" + (f", dimension {axes}" if axes else "")
    for name, shape in one["outputs"].items():
        yield "output", f"{name} {shape}"
    made = " (made from the example, since the file has none)" if one["derived"] else ""
    yield "probes", (", ".join(one["probes"]) or "none") + made
    for name, reason in one["dropped_probes"].items():
        yield "no probe", f"{name}: {reason}"
    yield "parameters", str(one["parameters"])
    yield "built in", f"{one['seconds']:.1f} s"
