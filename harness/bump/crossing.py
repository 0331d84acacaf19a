"""Exporter or runtime: one side's artifact, served by the other side's runtime."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.bench.plan import imports_of, split
from harness.bench.registry import Registry
from harness.bench.stages import Stage
from harness.bump.asking import Sought, evidence_of
from harness.bump.moves import Mix, Move
from harness.bump.schema import Answer, Evidence, Package, SideFound, SideName
from harness.bump.trials import Laboratory
from harness.matrix.requirements.needs import ModelFile, distributions_of

_SHARED = frozenset({"numpy"})
"""What both sides import to pass arrays on; it is no exporter's and no runtime's."""

_BEFORE_SERVING = (Stage.BUILD, Stage.CONVERT, Stage.VALIDATE)


@dataclass(frozen=True, kw_only=True)
class Route:
    """Whose packages a cell runs through: distributions, canonical.

    `exporter` are those that its model and steps import; `converter` are PyTorch and what converting steps import,
    without what a validating step imports too; `runtime` are those that serve. `converts` is whether there is an
    artifact that could be served elsewhere: PyTorch itself has none.
    """

    exporter: frozenset[str]
    converter: frozenset[str]
    runtime: frozenset[str]
    converts: bool

    @property
    def imported(self) -> frozenset[str]:
        """All that the cell imports."""
        return self.exporter | self.runtime


def route_of(registry: Registry, *, model: str, strategy: str, names: Collection[str], paths: Iterable[Path]) -> Route:
    """The route of a cell, by what its files declare and its model's code imports; `names` are those of both locks.

    `paths` are the further folders of a user's own code.
    """
    runtime = registry.runtimes[registry.strategies[split(strategy)[0]].declared.runtime].declared
    modules = set(imports_of(registry, strategy, [model]))
    steps = [registry.steps.get(step) for step in registry.strategies[split(strategy)[0]].declared.steps]
    declared = [step.value for step in steps if step and step.value]
    validating = {module for step in declared if step.stage == Stage.VALIDATE.value for module in step.imports}
    converting = set(imports_of(registry, strategy, [])) - validating
    if (entry := registry.models.get(model)) is not None:
        modules |= ModelFile(entry.path, tuple(paths)).imports()
    return Route(
        exporter=_distributions(modules, names),
        converter=_distributions(converting, names),
        runtime=_distributions(runtime.imports, names),
        converts=not runtime.needs_module,
    )


def _distributions(modules: Iterable[str], names: Collection[str]) -> frozenset[str]:
    return frozenset(name for module in modules for name in distributions_of(module.partition(".")[0], names))


def side_of(
    laboratory: Laboratory, sought: Sought, route: Route, *, guilty: Collection[str], base: Mix, candidate: Mix
) -> SideFound:
    """Whether the break follows the artifact or what serves it; `guilty` are the packages that are enough for it.

    Where the runtime differs, the base's artifact is served by the candidate's runtime, and where the exporter differs
    too, the other way round. Raises as `Laboratory.cross` does.
    """
    moved = {move.name: move for move in laboratory.moves}
    shared = _SHARED.difference(guilty)
    runtime, exporter = (_moved(names - shared, moved) for names in (route.runtime, route.exporter))
    found = partial(SideFound, runtime=runtime, exporter=exporter)
    if not route.converts:
        return found(side=SideName.FRAMEWORK, reason="PyTorch itself runs the model here: nothing is converted")
    if sought.candidate.stage in _BEFORE_SERVING:
        side, reason = _before_serving(sought.candidate.stage, converter_guilty=bool(route.converter & set(guilty)))
        return found(side=side, reason=reason)
    if not runtime:
        same = f"the runtime is the same on both sides{_versions(route.runtime - _SHARED, laboratory)}"
        if sought.candidate.stage is Stage.IMPORT or not route.exporter.intersection(guilty):
            return found(side=SideName.UNTOLD, reason=f"{same}, and nothing says that it is the exporter")
        return found(side=SideName.EXPORTER, reason=same)
    crossed = [evidence_of(laboratory.cross(converted=base, served=candidate, cell=sought.cell), sought)]
    if exporter:
        crossed.append(evidence_of(laboratory.cross(converted=candidate, served=base, cell=sought.cell), sought))
    side, reason = _read(crossed)
    return found(side=side, reason=reason, crossed=tuple(crossed))


def _before_serving(stage: Stage, *, converter_guilty: bool) -> tuple[SideName, str]:
    """The side of what breaks at `stage`, where no runtime was reached, and why."""
    reason = f"it breaks at {stage.value}, before anything is served"
    if stage is Stage.BUILD:
        return SideName.FRAMEWORK, "it breaks at build, and no exporter was reached"
    if stage is Stage.CONVERT or converter_guilty:
        return SideName.EXPORTER, reason
    return SideName.UNTOLD, f"{reason}, and what checks the artifact may have changed as well as what wrote it"


def _versions(names: Iterable[str], laboratory: Laboratory) -> str:
    """` (onnxruntime-gpu 1.15.1)`; nothing where there is no such package."""
    locked = laboratory.candidate.locked
    told = ", ".join(f"{name} {locked[name]}" for name in sorted(names) if name in locked)
    return f" ({told})" if told else ""


def _read(crossed: list[Evidence]) -> tuple[SideName, str]:
    """What the crossings say: first the base's artifact in the candidate's runtime, then the other way round."""
    told = "the base's artifact {} in the candidate's runtime", "the candidate's artifact {} in the base's runtime"
    reason = ", and ".join(text.format(each.answer.words) for text, each in zip(told, crossed, strict=False))
    # What is as in the base is not the break, and counts as what works.
    answers = tuple(Answer.WORKS if each.answer.no_worse else each.answer for each in crossed)
    match answers:
        case (Answer.BREAKS,) | (Answer.BREAKS, Answer.WORKS):
            side = SideName.RUNTIME
        case (Answer.WORKS,) | (Answer.WORKS, Answer.BREAKS):
            side = SideName.EXPORTER
        case (Answer.BREAKS, Answer.BREAKS):
            side = SideName.EITHER
        case (Answer.WORKS, Answer.WORKS):
            side = SideName.TOGETHER
        case _:
            side = SideName.UNTOLD
    return side, reason


def _moved(names: Iterable[str], moved: Mapping[str, Move]) -> tuple[Package, ...]:
    return tuple(Package.of(moved[name]) for name in sorted(names) if name in moved)
