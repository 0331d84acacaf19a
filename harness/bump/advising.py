"""What a model of one's own is moved by: the guides' decision tree, answered from cells that were run.

An exporter where the model converts and is accurate, else a converter, else a recreation by hand, else PyTorch kept
beside what was migrated. Where the exporters refuse an operator that is not PyTorch's own, a recreation comes before
converters, which read the same graph. Nothing is recommended that has not passed here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from harness.bench.plan import Cell, spellings, split
from harness.bench.record import Record
from harness.bench.registry import Registry
from harness.bench.stages import Outcome, Stage
from harness.tables.schema import Run, strategy_order

NATIVE = "native"
_PYTORCH_ITSELF = frozenset({"state-dict", "torch-service"})
"""Kinds of artifacts that are the model's weights: nothing was converted."""
_OPERATORS_OF_PYTORCH = frozenset({"aten", "ai", "com", "onnx", "prim", "prims", "quantized", "torch", "torchvision"})
"""Namespaces of operators that exporters name and that nobody wrote for a model of their own."""
_AS_FAST = 1.25
"""Latencies within this factor of the fastest are taken for equal: one launch says no more."""


class Branch(str, Enum):
    """The branches of the tree, in their order."""

    EXPORTER = "exporter"
    CONVERTER = "converter"
    RECREATION = "recreation"
    HYBRID = "hybrid"


_TREE = tuple(Branch)
_TREE_OF_CUSTOM_OPERATORS = (Branch.EXPORTER, Branch.RECREATION, Branch.CONVERTER, Branch.HYBRID)


class Answer(str, Enum):
    """What a branch comes to."""

    PASSES = "passes"
    BEYOND = "passes, but not within what was asked for"
    FAILS = "does not work"
    NOT_APPLICABLE = "not applicable"
    NOT_WRITTEN = "not written"
    NOT_RUN = "not run"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a way has to keep to: relative error, latency in ms, memory of all serving processes in MiB; None is any."""

    relative_error: float | None = None
    latency_ms: float | None = None
    memory_mb: float | None = None

    def beyond(self, record: Record) -> tuple[str, ...]:
        """The limits that a record does not keep to, in words; what was not measured keeps to none."""
        errors = [each for each in (record.relative_error, record.probes_relative_error) if each is not None]
        told = []
        for name, unit, value, limit in (
            ("relative error", "", max(errors, default=None), self.relative_error),
            ("latency", " ms", record.latency_ms, self.latency_ms),
            ("memory", " MiB", memory_mb(record), self.memory_mb),
        ):
            if limit is not None and (value is None or value > limit):
                was = "not measured" if value is None else f"{value:.3g}{unit}"
                told.append(f"{name} {was}, and {limit:g}{unit} was asked for")
        return tuple(told)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A cell that was run. `run` is that of its table, `table` the folder of that, `file` what else was recorded.

    `native` is PyTorch itself in the same run: what latency and memory are held against.
    """

    record: Record
    run: Run
    table: str
    file: str = ""
    native: Record | None = None

    @property
    def passed(self) -> bool:
        """Whether the cell passed, whatever was asked for."""
        return self.record.outcome is Outcome.PASSED

    @property
    def pace(self) -> float | None:
        """Latency over that of PyTorch itself in the same run, so that runs under other load can be compared."""
        native = self.native.latency_ms if self.native else None
        return self.record.latency_ms / native if self.record.latency_ms is not None and native else None


@dataclass(frozen=True, kw_only=True)
class BranchAdvice:
    """One branch for one model: what it comes to, the cells that were seen, best first, and those that were not run.

    `lacking` says what the model has not that some cells of the branch need: `no twin`.
    """

    branch: Branch
    answer: Answer
    seen: tuple[Seen, ...] = ()
    not_run: tuple[str, ...] = ()
    lacking: str = ""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What one model is moved by in one combination.

    `recommended` is the best cell of the first branch that passes within `limits`, `fallback` the best of another
    branch, else of another strategy, else of another opset; None where nothing that was run is that.
    `custom_operator` is the operator that the exporters refuse and that is not PyTorch's own.
    """

    model: str
    combination: str
    device: str
    limits: Limits
    branches: tuple[BranchAdvice, ...]
    native: Seen | None = None
    recommended: Seen | None = None
    fallback: Seen | None = None
    custom_operator: str = ""

    @property
    def runs_natively(self) -> bool:
        """Whether PyTorch itself ran the model: without that there is nothing to hold a conversion against."""
        return self.native is not None and self.native.passed


def branch_of(registry: Registry, strategy: str) -> Branch | None:
    """The branch of a strategy, in any spelling; None for PyTorch itself. It follows from the strategy's own files."""
    name, _ = split(strategy)
    if name == NATIVE:
        return None
    declared = registry.strategies[name].declared
    if declared.needs_twin or declared.needs_implementation:
        return Branch.RECREATION
    runtime = registry.runtimes.get(declared.runtime)
    serves = runtime.value.serves if runtime is not None and runtime.value is not None else ""
    if serves in _PYTORCH_ITSELF:
        return Branch.HYBRID
    return Branch.EXPORTER if serves == "onnx" else Branch.CONVERTER


def memory_mb(record: Record) -> float | None:
    """Peak memory in MiB of all processes that serve an artifact; None where it was not measured."""
    return None if record.rss_peak_mb is None else record.rss_peak_mb + (record.service_rss_mb or 0.0)


def advise(
    model: str, cells: Sequence[Cell], seen: Mapping[str, Seen], *, registry: Registry, limits: Limits
) -> Advice:
    """The tree for one model. `cells` are all that there could be of it, `seen` those that were run, by strategy."""
    custom = _custom_operator(seen, registry)
    tree = _TREE_OF_CUSTOM_OPERATORS if custom else _TREE
    branches = tuple(_branch(branch, cells, seen, registry, limits) for branch in tree)
    good = [each for branch in branches for each in branch.seen if _good(each, limits)]
    recommended = good[0] if good else None
    return Advice(
        model=model,
        combination=cells[0].combination,
        device=cells[0].device,
        limits=limits,
        branches=branches,
        native=seen.get(NATIVE),
        recommended=recommended,
        fallback=_fallback(recommended, good[1:], registry) if recommended else None,
        custom_operator=custom,
    )


def next_cells(
    cells: Sequence[Cell], seen: Mapping[str, Seen], *, registry: Registry, limits: Limits, everything: bool
) -> list[Cell]:
    """The cells of one model to run next; none where enough is known.

    That is a recommendation and a fallback, or that PyTorch itself does not run the model. Branches are gone through
    in the order of the tree; in each of them what the combination itself has all for comes first, and opsets are
    swept only where nothing has passed. What begins with a step that has failed for the model already is left out.
    `everything` goes on to the end, and leaves out nothing.
    """
    advice = advise(cells[0].model, cells, seen, registry=registry, limits=limits)
    left = [cell for cell in cells if cell.strategy not in seen and not _lacking(registry, cell)]
    if not everything:
        failed = _failed_steps(seen, registry)
        left = [cell for cell in left if _first_step(registry, cell.strategy) not in failed]
    if advice.native is None:
        first = [cell for cell in left if cell.strategy == NATIVE]
        return [*first, *_group(advice, left, registry, everything=everything)]
    if not advice.runs_natively or (not everything and advice.recommended and advice.fallback):
        return []
    return _group(advice, left, registry, everything=everything)


def _group(advice: Advice, left: Sequence[Cell], registry: Registry, *, everything: bool) -> list[Cell]:
    """The cells of the first branch that has any left, of one environment: as they are spelled alone, else swept."""
    for branch in advice.branches:
        inside = [cell for cell in left if branch_of(registry, cell.strategy) is branch.branch]
        sweep = everything or branch.answer is not Answer.PASSES
        rest = [cell for cell in inside if sweep or not _is_swept(registry, cell)]
        if not rest:
            continue
        if everything:
            return rest
        counts = {cell.extension: sum(each.extension == cell.extension for each in left) for cell in rest}
        order = sorted(counts, key=lambda name: (bool(name), -counts[name], name))
        here = [cell for cell in rest if cell.extension == order[0]]
        return [cell for cell in here if not _is_swept(registry, cell)] or here
    return []


def _first_step(registry: Registry, strategy: str) -> tuple[str, int | None]:
    """What a strategy begins with: its first step, and the value that its parameter is bound to."""
    name, value = split(strategy)
    return registry.strategies[name].declared.steps[0], value


def _failed_steps(seen: Mapping[str, Seen], registry: Registry) -> set[tuple[str, int | None]]:
    """The first steps that are known to fail: those of routes that failed to convert and have no other such step."""
    found = set()
    for strategy, each in seen.items():
        steps = [registry.steps[name].value for name in registry.strategies[split(strategy)[0]].declared.steps]
        alone = sum(step is None or step.stage == Stage.CONVERT.value for step in steps) == 1
        if alone and each.record.outcome is Outcome.FAILED and each.record.stage is Stage.CONVERT:
            found.add(_first_step(registry, strategy))
    return found


def _is_swept(registry: Registry, cell: Cell) -> bool:
    """Whether a cell is of an opset that only a sweep asks for."""
    name, _ = split(cell.strategy)
    return cell.strategy not in spellings(name, registry.strategies[name].declared, "quick")


def _branch(
    branch: Branch, cells: Sequence[Cell], seen: Mapping[str, Seen], registry: Registry, limits: Limits
) -> BranchAdvice:
    own = [cell for cell in cells if branch_of(registry, cell.strategy) is branch]
    lacking = [cell for cell in own if _lacking(registry, cell)]
    found = [seen[cell.strategy] for cell in own if cell.strategy in seen]
    fastest = min((pace for each in found if each.passed and (pace := each.pace)), default=0.0)
    found.sort(key=lambda each: _rank(each, fastest, registry, limits))
    return BranchAdvice(
        branch=branch,
        answer=_answer(found, limits, lacking=len(lacking) == len(own)),
        seen=tuple(found),
        not_run=tuple(cell.strategy for cell in own if cell.strategy not in seen and cell not in lacking),
        lacking=" and ".join(sorted({_lacking(registry, cell) for cell in lacking}, reverse=True)),
    )


def _answer(found: Sequence[Seen], limits: Limits, *, lacking: bool) -> Answer:
    if any(_good(each, limits) for each in found):
        return Answer.PASSES
    if any(each.passed for each in found):
        return Answer.BEYOND
    if any(each.record.outcome.broken for each in found):
        return Answer.FAILS
    if found:
        return Answer.NOT_APPLICABLE
    return Answer.NOT_WRITTEN if lacking else Answer.NOT_RUN


def _good(seen: Seen, limits: Limits) -> bool:
    return seen.passed and not limits.beyond(seen.record)


def _rank(seen: Seen, fastest: float, registry: Registry, limits: Limits) -> tuple[Any, ...]:
    """Sorting key: what passes, then what lost no accuracy, then the better probed, then the faster by more than noise.

    Among equals a strategy that leaves the opset to the tool comes before one that binds it, then the names decide.
    """
    record = seen.record
    native, converted = record.accuracy_native, record.accuracy_converted
    lost = max(round((native or 0.0) - (converted or 0.0), 4), 0.0)
    return (
        not _good(seen, limits),
        not seen.passed,
        record.outcome is Outcome.NOT_APPLICABLE,
        lost,
        0 if record.probes_passed and not record.probes_derived else 1 if record.probes_passed else 2,
        bool(record.probes_skipped),
        seen.pace is None or seen.pace > _AS_FAST * fastest,
        _is_swept(registry, _cell_of(record)),
        ":" in record.strategy,
        strategy_order(record.strategy),
    )


def _cell_of(record: Record) -> Cell:
    return Cell(record.combination, record.model, record.strategy, record.device, record.extension)


def _fallback(recommended: Seen, others: Sequence[Seen], registry: Registry) -> Seen | None:
    """The first of `others`, best first, that has least in common with what is recommended."""
    branch, name = branch_of(registry, recommended.record.strategy), split(recommended.record.strategy)[0]

    def common(seen: Seen) -> tuple[bool, bool]:
        other = seen.record.strategy
        return branch_of(registry, other) is branch, split(other)[0] == name

    return min(others, key=common, default=None)


def _lacking(registry: Registry, cell: Cell) -> str:
    """What a model's file has not that the cell needs, in words; empty where it has all, or cannot be read."""
    card = registry.models[cell.model].value
    strategy = registry.strategies[split(cell.strategy)[0]].declared
    if card is None:
        return ""
    if strategy.needs_twin and not card.has_twin:
        return "no twin"
    if strategy.needs_implementation and not card.has_tensorflow_implementation:
        return "no TensorFlow implementation"
    return ""


def _custom_operator(seen: Mapping[str, Seen], registry: Registry) -> str:
    """The operator that an exporter refused and that is not PyTorch's own, as it spells it; empty where none is."""
    for strategy, each in seen.items():
        operator = each.record.operator or ""
        namespace, *rest = re.split(r"::|\.", operator)
        refused = each.record.stage is Stage.CONVERT and each.record.outcome.broken
        foreign = bool(rest) and namespace not in _OPERATORS_OF_PYTORCH
        if refused and foreign and branch_of(registry, strategy) is Branch.EXPORTER:
            return operator
    return ""
