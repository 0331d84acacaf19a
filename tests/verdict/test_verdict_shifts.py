"""Memory of the cells of two tables: what is told once, what is a cell's own, and what a gate makes of it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.bench.record import Record
from harness.tables.launches import Launch
from harness.tables.reading import read_table
from harness.verdict.comparison import Comparison, compare
from harness.verdict.gate import judge
from harness.verdict.policy import GatePolicy, GateRule, Limits
from harness.verdict.shifts import MemoryChanges, Phase
from harness.verdict.together import Group
from tests.tables.samples import passed, table

RESULTS = Path(__file__).resolve().parents[2] / "results"
QUICK = ("cpu-quick/20261121T193232Z", "cpu-quick/20261121T193556Z")
MODELS = [f"model-{n}" for n in range(15)]


def cell(
    model: str, strategy: str = "native", *, imported: float = 320.0, beyond: float = 15.0, **values: Any
) -> Record:
    """A cell that takes so many MiB up to the import, and so many beyond it."""
    figures = {
        "provider": "torch-cpu",
        "rss_import_mb": imported,
        "rss_load_mb": imported + beyond * 0.6,
        "rss_peak_mb": imported + beyond,
        "rss_source": "VmRSS",
    }
    return passed(model, strategy, **{**figures, **values})


def sides(*cells: tuple[Record, Record], **conditions: Any) -> Comparison:
    base, candidate = (
        table(*side, started=f"2026-01-3{n}T12:00:00Z") for n, side in enumerate(zip(*cells, strict=True))
    )
    return compare(base, replace(candidate, run=replace(candidate.run, **conditions)))


def limited(percent: float, *rules: GateRule) -> GatePolicy:
    return GatePolicy(limits=Limits(memory_percent=percent), rules=rules, source="x.toml")


def launched(record: Record, *memory_mb: tuple[float, float, float]) -> list[Launch]:
    """Launches of a cell, by what each took in MiB after the import, after loading and at its peak."""
    return [
        Launch(
            extension=record.extension,
            model=record.model,
            strategy=record.strategy,
            device=record.device,
            launch=number,
            started="2026-01-31T12:01:00Z",
            latency_ms=2.0,
            q1_ms=2.0,
            q3_ms=2.0,
            rounds=100,
            calls=10,
            warm_up_s=None,
            steady=None,
            drift=None,
            busy_cores=None,
            gpu_use=None,
            load_s=None,
            rss_base_mb=None,
            rss_import_mb=imported,
            rss_load_mb=loaded,
            rss_peak_mb=peak,
        )
        for number, (imported, loaded, peak) in enumerate(memory_mb)
    ]


def varying(random: np.random.Generator, *, peak: float, noise: float, more: float) -> list[tuple[float, float, float]]:
    """Three launches whose memory beyond the import, and little of that at import, varies; in whole pages of 4 KiB."""
    found = []
    for _ in range(3):
        imported = peak * 0.6 + random.normal(0.0, 0.1)
        beyond = peak * 0.4 * (1 + random.normal(0.0, noise)) + peak * more
        pages = [round(each * 256) / 256 for each in (imported, imported + 0.9 * beyond, imported + beyond)]
        found.append((pages[0], pages[1], pages[2]))
    return found


def simulated(noise: float, *, more: float, seed: int) -> MemoryChanges:
    """Tables of 150 cells with three launches each; in the candidate the tenth of each fifteen takes a share more."""
    random = np.random.default_rng(seed)
    names = [(model, f"onnx-torchscript:{opset}") for opset in range(10) for model in MODELS]
    records = [cell(model, strategy, provider="CPUExecutionProvider") for model, strategy in names]
    made = []
    for started, share in (("2026-01-30T12:00:00Z", 0.0), ("2026-01-31T12:00:00Z", more)):
        launches = [
            launch
            for number, record in enumerate(records)
            for launch in launched(
                record,
                *varying(
                    random,
                    peak=60.0 * 1.4 ** (number % len(MODELS)),
                    noise=noise,
                    more=share if record.model == MODELS[9] else 0.0,
                ),
            )
        ]
        made.append(table(*records, launches=launches, started=started))
    return compare(*made).memory


@pytest.mark.parametrize("noise", [0.001, 0.003, 0.01, 0.03])
def test_15_percent_more_is_found_ten_times_of_ten_and_nothing_in_150_that_are_alike(noise: float) -> None:
    alike = simulated(noise, more=0.0, seed=1)
    assert len(alike.cells) == 150
    assert not alike.common
    assert not alike.own
    found = simulated(noise, more=0.15, seed=2)
    moved = [each for each in found.cells if each.own_mb]
    heavier = [each for each in moved if each.model == MODELS[9]]
    assert len(heavier) == 10
    assert all(each.percent == pytest.approx(15.0, abs=3.0) for each in heavier)
    # With that much noise about one alike cell of two thousand is an alarm.
    assert len(moved) - len(heavier) <= (1 if noise > 0.01 else 0)


def test_a_model_whose_launches_differ_by_themselves_asks_for_more() -> None:
    """Launches of the same model under the same runtime tell together how much it varies."""
    one, other = cell("m", "onnx:1"), cell("m", "onnx:2")
    quiet = [(60.0, 100.0, peak) for peak in (120.0, 120.5, 121.0)]
    above = [(60.0, 100.0, peak + 18.0) for _, _, peak in quiet]
    loud = launched(other, *((60.0, 90.0, peak) for peak in (100.0, 110.0, 125.0)))

    def found(base: list[Launch], candidate: list[Launch], *cells: Record) -> MemoryChanges:
        tables = [table(*cells, launches=launches) for launches in (base, candidate)]
        return compare(*tables).memory

    alone = found(launched(one, *quiet), launched(one, *above), one)
    assert alone.cells[0].own_mb == {Phase.RUN: pytest.approx(18.0)}
    assert not found([*launched(one, *quiet), *loud], [*launched(one, *above), *loud], one, other).own
    # What only one side has enough launches of is judged by the figures of both tables.
    assert not found(launched(one, *quiet), launched(one, *above[:2]), one).own


def test_single_launches_of_what_is_mostly_import_tell_too() -> None:
    random = np.random.default_rng(3)

    def side(more: float) -> list[Record]:
        noise = random.uniform(-0.12, 0.12, 150)
        names = itertools.product(MODELS, [f"onnx-torchscript:{n}" for n in range(10)])
        cells = [cell(m, s, beyond=100.0 * (1 + up), provider="cpu") for (m, s), up in zip(names, noise, strict=True)]
        return [
            replace(each, rss_peak_mb=(each.rss_peak_mb or 0.0) * (1 + more)) if each.model == "model-9" else each
            for each in cells
        ]

    alike = sides(*zip(side(0.0), side(0.0), strict=True)).memory
    assert (len(alike.cells), alike.common, alike.own) == (150, (), ())
    (own,) = sides(*zip(side(0.0), side(0.15), strict=True)).memory.own
    assert (len(own.cells), own.phase) == (10, Phase.RUN)


@pytest.mark.parametrize("runs", [QUICK, ("cpu-quick/20261121T100027Z", "cpu-quick/20261121T100210Z")])
def test_in_committed_tables_what_torch_takes_more_is_one_finding(runs: tuple[str, str]) -> None:
    found = compare(read_table(RESULTS / "torch2.0" / runs[0]), read_table(RESULTS / "torch2.1" / runs[1]))
    (shift,) = found.memory.common
    assert (shift.group, shift.spellings) == (Group(runtime="torch-cpu"), ("native",))
    assert len(shift.cells) == shift.of == 10
    assert 77 < shift.import_mb < 80
    assert shift.beyond_mb == 0.0
    # The three models that import torchvision, which moved too.
    (own,) = found.memory.own
    assert (own.runtime, own.phase) == ("torch-cpu", Phase.IMPORT)
    assert {each.model for each in own.cells} == {"resnet18", "vgg11-bn", "vgg16-features"}
    assert judge(found).exit_code == 1  # for other reasons
    assert not judge(found).grown
    told = judge(found, policy=limited(10.0))
    assert len(told.grown) == 10
    assert "memory of 10 cells grew by more than [gate] allows" in told.reasons
    (note,) = [each for each in told.notes if each.startswith("Memory grew")]
    assert note.count("torch-cpu") == 1
    assert "in 10 cells alike" in note
    assert "the package's, not your models'" in note
    assert not judge(found, policy=limited(40.0)).grown


@pytest.mark.parametrize(
    ("base", "candidate"),
    [
        (f"torch2.0/{QUICK[0]}", f"torch2.1/{QUICK[1]}"),
        ("torch2.0/cpu-core/20261121T092931Z", "torch2.1/cpu-core/20261121T093628Z"),
        ("torch2.0/cpu-quick+extensions/20261121T091043Z", "torch2.1/cpu-quick+extensions/20261121T093907Z"),
    ],
)
def test_of_runtimes_that_did_not_move_nothing_is_found_in_single_launches(base: str, candidate: str) -> None:
    """ONNX Runtime, TensorFlow and TFLite have one version on both sides: as good as the same table twice."""
    found = compare(read_table(RESULTS / base), read_table(RESULTS / candidate)).memory
    same = [each for each in found.cells if "torch" not in each.runtime]
    assert len(same) >= 30
    assert not [each.name for each in same if each.own_mb or each.common_mb]


def test_a_shift_of_all_is_told_once_and_what_a_cell_moves_beyond_it_by_itself() -> None:
    names = ["a", "b", "c", "d", "e"]
    cells = [(cell(name), cell(name, imported=398.0, beyond=17.0)) for name in names[:4]]
    cells.append((cell("e"), cell("e", imported=398.0, beyond=65.0)))
    found = sides(*cells).memory
    (shift,) = found.common
    assert (len(shift.cells), shift.of, shift.import_mb, shift.beyond_mb) == (5, 5, 78.0, 0.0)
    (own,) = found.own
    assert [(each.name, each.own_mb) for each in own.cells] == [("e/native", {Phase.LOAD: 50.0})]
    assert own.cells[0].found_mb == 128.0
    assert own.cells[0].percent == pytest.approx(100 * 128 / 335)


def test_less_is_found_as_more_is() -> None:
    cells = [(cell(name), cell(name, imported=398.0, beyond=17.0)) for name in "abcd"]
    cells.append((cell("e"), cell("e", imported=430.0, beyond=15.0)))
    there, back = sides(*cells).memory, sides(*((after, before) for before, after in cells)).memory
    assert [each.import_mb for each in there.common] == [-each.import_mb for each in back.common] == [78.0]
    assert [each.own_mb for each in there.cells] == [
        {phase: -moved for phase, moved in each.own_mb.items()} for each in back.cells
    ]
    assert back.own[0].sizes_mb == (-32.0,)
    assert not judge(sides(*((after, before) for before, after in cells)), policy=limited(1.0)).grown


def test_one_strategy_may_move_alone() -> None:
    cells = [
        (cell(m, s, provider="cpu"), cell(m, s, provider="cpu", beyond=45.0 if s == "tf2onnx:18" else 15.0))
        for m in "abcd"
        for s in ("onnx-torchscript", "tf2onnx:18")
    ]
    (shift,) = sides(*cells).memory.common
    assert shift.group == Group(runtime="cpu", strategy="tf2onnx")
    assert (shift.import_mb, shift.beyond_mb, shift.of) == (0.0, 30.0, 4)


@pytest.mark.parametrize("models", [["a", "b"], ["a", "a", "a"]])
def test_few_cells_or_one_model_share_nothing(models: list[str]) -> None:
    cells = [(cell(m, f"onnx:{n}"), cell(m, f"onnx:{n}", imported=400.0)) for n, m in enumerate(models)]
    found = sides(*cells).memory
    assert not found.common
    assert [len(own.cells) for own in found.own] == [len(models)]


def test_what_one_in_ten_does_not_do_is_shared_all_the_same() -> None:
    cells = [(cell(m), cell(m, imported=320.0 if m == "model-0" else 400.0)) for m in MODELS[:10]]
    found = sides(*cells).memory
    assert [(len(each.cells), each.of) for each in found.common] == [(9, 10)]
    assert not found.own
    two = [
        (before, replace(after, rss_import_mb=320.0) if before.model == "model-1" else after) for before, after in cells
    ]
    assert not sides(*two).memory.common


def test_where_a_peak_cannot_be_had_memory_after_loading_tells() -> None:
    cells = [(cell(m, rss_peak_mb=None), cell(m, imported=400.0, rss_peak_mb=None)) for m in "abc"]
    found = sides(*cells).memory
    assert [each.import_mb for each in found.common] == [80.0]
    assert found.cells[0].whole.a_mb == pytest.approx(329.0)
    bare = [(cell(m, rss_import_mb=None), cell(m, rss_import_mb=None, rss_peak_mb=500.0)) for m in "abc"]
    assert [(each.import_mb, each.beyond_mb) for each in sides(*bare).memory.common] == [(0.0, 165.0)]


AMOUNTS = st.one_of(
    st.none(), st.sampled_from([0.0, 1.0, 5.0, 300.0, 1e6, float("nan"), float("inf")]), st.floats(0, 1e4)
)


@given(st.lists(st.tuples(*[AMOUNTS] * 6), min_size=1, max_size=12))
@settings(max_examples=150, derandomize=True, deadline=None)
def test_any_figures_can_be_compared(rows: list[tuple[float | None, ...]]) -> None:
    def side(n: int, imported: float | None, loaded: float | None, peak: float | None) -> Record:
        return cell(f"m{n}", rss_import_mb=imported, rss_load_mb=loaded, rss_peak_mb=peak)

    cells = [(side(n, *row[:3]), side(n, *row[3:])) for n, row in enumerate(rows)]
    found = sides(*cells)
    assert judge(found, policy=limited(5.0)).exit_code in (0, 1, 3)
    alike = sides(*((before, before) for before, _ in cells))
    assert not alike.memory.own
    assert not alike.memory.common


def test_a_few_cells_that_vary_by_themselves_share_nothing() -> None:
    """Three large models under ONNX Runtime, in single launches of equal versions."""
    moved = {"a": 9.0, "b": 14.0, "c": 11.0}
    cells = [
        (cell(m, beyond=80.0, provider="cpu"), cell(m, beyond=80.0 + up, provider="cpu")) for m, up in moved.items()
    ]
    found = sides(*cells).memory
    assert (found.common, found.own) == ((), ())
    many = [(cell(m, beyond=80.0, provider="cpu"), cell(m, beyond=92.0, provider="cpu")) for m in MODELS]
    assert [round(each.beyond_mb) for each in sides(*many).memory.common] == [12]
