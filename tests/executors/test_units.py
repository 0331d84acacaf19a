"""Cells divided over units."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from harness.bench.plan import Cell
from harness.executors.units import CELL_S, divide

IMPORTS = {"native": ("torch",), "script": ("torch",), "onnx": ("torch", "onnx"), "tf": ("torch", "onnx", "tensorflow")}


def _cells(models: int, strategies: list[str]) -> list[Cell]:
    return [Cell("c", f"m{number}", name, "cpu") for number in range(models) for name in strategies]


@given(
    models=st.integers(0, 40),
    strategies=st.lists(st.sampled_from(sorted(IMPORTS)), unique=True, min_size=1),
    jobs=st.integers(1, 16),
    seconds=st.dictionaries(st.integers(0, 39), st.just(0.0) | st.floats(0.1, 600.0)),
)
def test_every_cell_is_in_one_unit_with_those_that_share_its_imports_and_its_model(
    models: int, strategies: list[str], jobs: int, seconds: dict[int, float]
) -> None:
    cells = _cells(models, strategies)

    def expected(cell: Cell) -> float:
        return seconds.get(int(cell.model[1:]), CELL_S)

    units = divide(cells, IMPORTS, jobs=jobs, seconds=expected)
    if jobs == 1:
        assert units == []
    if not units:
        return
    assert len(units) > 1
    assert all(units)
    assert Counter(cell for unit in units for cell in unit) == Counter(cells)
    for unit in units:
        assert len({IMPORTS[cell.strategy] for cell in unit}) == 1
    for imports in set(IMPORTS.values()):
        of_model = Counter(
            model for unit in units for model in {c.model for c in unit if IMPORTS[c.strategy] == imports}
        )
        assert set(of_model.values()) <= {1}
    lengths = [sum(map(expected, unit)) for unit in units]
    assert lengths == sorted(lengths, reverse=True)


def test_few_short_cells_are_left_to_one_bench() -> None:
    assert divide(_cells(3, ["native"]), IMPORTS, jobs=4) == []


def test_units_are_many_enough_for_the_jobs_to_end_together() -> None:
    units = divide(_cells(60, ["native", "onnx", "tf"]), IMPORTS, jobs=2)
    whole = 60 * 3 * CELL_S
    assert len(units) >= 6
    assert max(len(unit) * CELL_S for unit in units) <= whole / 2 / 2


def test_what_takes_long_is_begun_first_and_alone_in_its_unit() -> None:
    cells = _cells(12, ["native"])
    first, *others = divide(cells, IMPORTS, jobs=2, seconds=lambda cell: 300.0 if cell.model == "m7" else 2.0)
    assert [cell.model for cell in first] == ["m7"]
    assert others


def test_the_last_units_are_short_and_import_least() -> None:
    units = divide(_cells(60, ["native", "onnx", "tf"]), IMPORTS, jobs=2)
    last, longest = units[-4:], max(map(len, units))
    assert {cell.strategy for unit in last for cell in unit} == {"native"}
    assert all(3 * len(unit) <= longest for unit in last)


def test_no_unit_is_without_a_cell_where_most_take_no_time() -> None:
    of_models = {"m0": 30.0}
    units = divide(_cells(4, ["native"]), IMPORTS, jobs=2, seconds=lambda cell: of_models.get(cell.model, 0.0))
    assert sorted(len(unit) for unit in units) == [1, 1, 2]
