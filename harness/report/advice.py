"""Advice for a model: the tree with what was seen, a recommendation and a fallback, in three forms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.text import Text

from harness.bench.record import Record
from harness.bench.stages import Outcome
from harness.bench.text import one_line
from harness.bump.advising import Advice, Answer, Branch, BranchAdvice, Limits, Seen, memory_mb
from harness.report.diagnoses import told_of
from harness.report.escaping import sentence, text
from harness.report.latency import CARE, doubts_in
from harness.report.wording import SHORT_ERROR, detail, mark, number, state

_NAMES = 8

_DOES = {
    Branch.EXPORTER: "to ONNX, for ONNX Runtime",
    Branch.CONVERTER: "to TensorFlow, LiteRT or Core ML",
    Branch.RECREATION: "the model written again in TensorFlow",
    Branch.HYBRID: "PyTorch kept, beside TensorFlow",
}
_TWIN = (
    "a twin is `twin(state)` in the model's file: it takes the weights as numpy arrays, and returns the same model as "
    "a callable over TensorFlow tensors in PyTorch's layout (docs/adding.md). A model without a file gets one by "
    "`harness new-model NAME --from SPEC`. The same command then runs it, and holds it against PyTorch"
)


def lines(advice: Advice, *, following: str = "") -> list[Text]:
    """The lines for a terminal; `following` is a command that tells more."""
    shown = [Text(one_line(_title(advice)), style="bold")]
    for label, told in _answers(advice):
        shown.append(Text(f"  {one_line(f'{label}: {told}')}", style="bold green" if label == "recommended" else ""))
    for branch in advice.branches:
        shown += [Text(), Text(f"  {_heading(branch)}", style="bold")]
        for told, known in _points(branch, advice.limits):
            shown.append(Text(f"    {one_line(told)}"))
            shown += [Text(f"      {one_line(f'{label}: {each}')}") for label, each in known]
    return [*shown, Text(), Text(f"Next: {following}")] if following else shown


def joined(advices: Sequence[Sequence[Text]]) -> Iterator[Text]:
    """The lines of several advices, with an empty one between."""
    for index, each in enumerate(advices):
        if index:
            yield Text()
        yield from each


def markdown(advices: Sequence[Advice]) -> str:
    """The same as a Markdown document."""
    parts = []
    for advice in advices:
        parts.append(f"### {text(_title(advice))}")
        parts.append("\n".join(f"- **{label}**: {sentence(told)}" for label, told in _answers(advice)))
        for branch in advice.branches:
            items = []
            for told, known in _points(branch, advice.limits):
                items += [f"- {sentence(told)}", *(f"  - **{label}**: {sentence(each)}" for label, each in known)]
            parts.append("\n".join([f"#### {text(_heading(branch))}", "", *items]))
    return "\n\n".join(parts) + "\n"


def to_json(advices: Sequence[Advice], *, exit_code: int) -> dict[str, Any]:
    """The same as plain values; every claim has the file of its record."""
    return {"exit_code": exit_code, "models": [_as_json(advice) for advice in advices]}


def _as_json(advice: Advice) -> dict[str, Any]:
    return {
        "model": advice.model,
        "combination": advice.combination,
        "device": advice.device,
        "limits": dict(vars(advice.limits)),
        "custom_operator": advice.custom_operator or None,
        "native": advice.native and _seen_as_json(advice.native, advice.limits),
        "recommended": advice.recommended and _seen_as_json(advice.recommended, advice.limits),
        "fallback": advice.fallback and _seen_as_json(advice.fallback, advice.limits),
        "branches": [
            {
                "branch": branch.branch.value,
                "answer": branch.answer.value,
                "lacking": branch.lacking or None,
                "not_run": list(branch.not_run),
                "seen": [_seen_as_json(each, advice.limits) for each in branch.seen],
            }
            for branch in advice.branches
        ],
    }


def _seen_as_json(seen: Seen, limits: Limits) -> dict[str, Any]:
    record = seen.record
    names = (
        *("strategy", "extension", "stage", "opset", "error_type", "error", "difference", "begins_at", "fingerprint"),
        *("operator", "place", "relative_error", "probes_relative_error", "probes_passed", "probes_skipped"),
        *("probes_total", "accuracy_native", "accuracy_converted", "latency_ms", "latency_ratio", "overhead_ms"),
    )
    row = record.to_json()
    return {
        "cell": record.cell_id,
        "outcome": record.outcome.value,
        **{name: row[name] for name in names},
        "memory_mb": memory_mb(record),
        "native_memory_mb": seen.native and memory_mb(seen.native),
        "beyond": list(limits.beyond(record)) if seen.passed else [],
        "known": dict(told_of(record, seen.run)),
        "table": seen.table,
        "record": seen.file,
    }


def _title(advice: Advice) -> str:
    return f"{advice.model} on {advice.combination}, {advice.device}"


def _answers(advice: Advice) -> list[tuple[str, str]]:
    """What it comes to, label and text."""
    told: list[tuple[str, str]] = []
    if advice.native is not None and not advice.runs_natively:
        record = advice.native.record
        why = f"PyTorch itself does not run it here, so there is nothing to hold a conversion against: {_state(record)}"
        return [("nothing", why), *told_of(record, advice.native.run)]
    if advice.recommended is None:
        told.append(("nothing", "no way that was run passes here"))
        if any(branch.answer is Answer.BEYOND for branch in advice.branches):
            told[0] = ("nothing", "what passes does not keep to what was asked for")
    else:
        told.append(("recommended", _recommended(advice, advice.recommended)))
        none = "nothing else that was run passes"
        told.append(("fallback", _fallback(advice, advice.fallback) if advice.fallback else none))
    if advice.custom_operator:
        why = f"the exporter refuses {advice.custom_operator}, so that a recreation comes before converters"
        told.append(("custom operator", why))
    recreation = next(each for each in advice.branches if each.branch is Branch.RECREATION)
    written = recreation.answer is not Answer.NOT_WRITTEN
    if not written and _only(advice, Branch.HYBRID):
        told.append(("to be rid of PyTorch", "write a twin; nothing converts the model as it is"))
    return told


def _only(advice: Advice, branch: Branch) -> bool:
    """Whether a branch is the only one that passes, and all others were gone through."""
    others = [each for each in advice.branches if each.branch is not branch]
    passes = any(each.branch is branch and each.answer is Answer.PASSES for each in advice.branches)
    return passes and all(each.answer not in (Answer.PASSES, Answer.NOT_RUN) for each in others)


def _branch_name(advice: Advice, seen: Seen) -> str:
    return next(branch.branch.value for branch in advice.branches if seen in branch.seen)


def _recommended(advice: Advice, seen: Seen) -> str:
    """The way and its branch; of PyTorch beside TensorFlow what it costs, too."""
    branch = _branch_name(advice, seen)
    cost = " and ".join(_cost(seen))
    affordable = f", where {cost} are affordable" if branch == Branch.HYBRID.value and cost else ""
    return f"{_name(seen)}, {branch}{affordable}"


def _fallback(advice: Advice, fallback: Seen) -> str:
    name, branch = _name(fallback), _branch_name(advice, fallback)
    recommended = advice.recommended
    assert recommended is not None
    if branch != _branch_name(advice, recommended):
        return f"{name}, {branch}"
    same = fallback.record.strategy.partition(":")[0] == recommended.record.strategy.partition(":")[0]
    what = f"the same {branch} at another opset" if same else f"{branch} likewise"
    more = [each.branch.value for each in advice.branches if each.answer is Answer.NOT_RUN]
    return f"{name}, {what}" + (f"; --all looks for one by {_either(more)}" if more else "")


def _either(names: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _name(seen: Seen) -> str:
    """`onnx-torchscript, opset 14`: the spelling, and the opset that the tool chose."""
    opset = seen.record.opset
    return seen.record.strategy + (f", opset {opset}" if opset and ":" not in seen.record.strategy else "")


def _heading(branch: BranchAdvice) -> str:
    return f"{branch.branch.value} ({_DOES[branch.branch]}): {branch.answer.value}"


def _points(branch: BranchAdvice, limits: Limits) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """What was seen, one line for cells that ended alike, each with what is known of it; then what was not run."""
    alike: dict[tuple[str, ...], list[Seen]] = {}
    for each in branch.seen:
        record = each.record
        same = record.outcome is not Outcome.PASSED
        key = (state(record), record.fingerprint or record.error or "") if same else (record.strategy,)
        alike.setdefault(key, []).append(each)
    for group in alike.values():
        yield _point(group, limits), told_of(group[0].record, group[0].run)
    if branch.not_run:
        names = ", ".join(branch.not_run[:_NAMES])
        more = f" and {len(branch.not_run) - _NAMES} more" if len(branch.not_run) > _NAMES else ""
        yield f"not run: {names}{more}", []
    if branch.lacking:
        how = f": {_TWIN}" if branch.answer is Answer.NOT_WRITTEN else ""
        yield f"the model has {branch.lacking}{how}", []


def _point(group: Sequence[Seen], limits: Limits) -> str:
    first = group[0]
    if not first.passed:
        return f"{', '.join(each.record.strategy for each in group)}: {_state(first.record)}"
    beyond = limits.beyond(first.record)
    return f"{_name(first)}: {', '.join(['passed', *_figures(first)])}{''.join(f'; {each}' for each in beyond)}"


def _state(record: Record) -> str:
    return f"{state(record)}: {detail(record, length=SHORT_ERROR)}"


def _figures(seen: Seen) -> Iterator[str]:
    """Probes, error, accuracy, latency and memory, the last two beside PyTorch's own of the same run."""
    record = seen.record
    tried = (record.probes_total or 0) - (record.probes_skipped or 0)
    yield f"{record.probes_passed or 0} of {tried} probes{f' ({marked})' if (marked := mark(record)) else ''}"
    if record.probes_skipped:
        yield f"{record.probes_skipped} of another shape skipped, since the artifact is static in shape"
    errors = [each for each in (record.relative_error, record.probes_relative_error) if each is not None]
    if errors:
        yield f"relative error {max(errors):.1e}"
    if record.accuracy_converted is not None and record.accuracy_native is not None:
        yield f"accuracy {record.accuracy_converted:.4f} (PyTorch {record.accuracy_native:.4f})"
    yield from _cost(seen)


def _cost(seen: Seen) -> Iterator[str]:
    """Latency and memory, beside PyTorch's own of the same run."""
    record = seen.record
    if record.latency_ms is not None:
        ratio = f" (x{record.latency_ratio:.2f} of PyTorch)" if record.latency_ratio is not None else ""
        doubts = doubts_in([record])
        care = f", to be taken with care: {', '.join(doubts)}" if doubts else ""
        yield f"{CARE if doubts else ''}{number(record.latency_ms)} ms{ratio}{care}"
    memory, native = memory_mb(record), seen.native and memory_mb(seen.native)
    if memory is not None:
        processes = " in two processes" if record.service_rss_mb else ""
        yield f"{number(memory)} MiB{processes}{f' (PyTorch {number(native)})' if native else ''}"
