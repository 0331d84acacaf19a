from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.bench.errors import UsageError
from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage
from harness.tables.assembly import merge
from harness.tables.schema import Table
from harness.verdict.comparison import MEANINGS, UNTOLD, WORSE, Category, CellChange, categorise, compare
from harness.verdict.environments import PackageChange
from harness.verdict.numbers import Quantity
from tests.tables.samples import (
    GPU,
    MACHINE,
    PACKAGES,
    PINS,
    failed,
    mismatched,
    not_applicable,
    passed,
    record,
    table,
)

PASSED = passed("m", "s")
AT_LOAD = failed("m", "s", Stage.LOAD)
AT_CONVERT = failed("m", "s", Stage.CONVERT)
CRASHED_AT_LOAD = record("m", "s", Outcome.CRASHED, Stage.LOAD, fingerprint="f" * 8)
OTHER_AT_LOAD = failed("m", "s", Stage.LOAD, fingerprint="0" * 8)
WRONG = mismatched("m", "s")
WRONG_PROBE = mismatched("m", "s", Stage.PROBE)
NEVER = not_applicable("m", "s")
UNRESOLVABLE = record("m", "s", Outcome.UNRESOLVABLE, Stage.RESOLVE, fingerprint="r" * 8)
NOT_INSTALLED = failed("m", "s", Stage.INSTALL)
SLOW = record("m", "s", Outcome.TIMED_OUT, Stage.EXECUTE)


@pytest.mark.parametrize(
    ("base", "candidate", "category"),
    [
        (PASSED, PASSED, Category.UNCHANGED),
        (PASSED, AT_LOAD, Category.NEWLY_FAILING),
        (PASSED, SLOW, Category.NEWLY_FAILING),
        (PASSED, UNRESOLVABLE, Category.NEWLY_FAILING),
        (PASSED, WRONG, Category.MISMATCHED),
        (PASSED, NEVER, Category.NO_LONGER_APPLICABLE),
        (AT_LOAD, PASSED, Category.FIXED),
        (WRONG, PASSED, Category.FIXED),
        (AT_LOAD, AT_LOAD, Category.UNCHANGED),
        (AT_LOAD, AT_CONVERT, Category.FAILING_EARLIER),
        (AT_CONVERT, AT_LOAD, Category.FAILING_LATER),
        (AT_LOAD, CRASHED_AT_LOAD, Category.FAILING_DIFFERENTLY),
        (AT_LOAD, OTHER_AT_LOAD, Category.FAILING_DIFFERENTLY),
        (AT_LOAD, WRONG, Category.MISMATCHED),
        (AT_LOAD, WRONG_PROBE, Category.MISMATCHED),
        (NOT_INSTALLED, WRONG, Category.FAILING_LATER),
        (UNRESOLVABLE, WRONG_PROBE, Category.FAILING_LATER),
        (WRONG, WRONG, Category.UNCHANGED),
        (WRONG, WRONG_PROBE, Category.FAILING_LATER),
        (WRONG_PROBE, WRONG, Category.FAILING_EARLIER),
        (WRONG, AT_LOAD, Category.FAILING_EARLIER),
        (WRONG, failed("m", "s", Stage.MATCH), Category.FAILING_DIFFERENTLY),
        (AT_LOAD, NEVER, Category.FAILING_DIFFERENTLY),
        (NEVER, not_applicable("m", "s", "another reason"), Category.UNCHANGED),
        (NEVER, PASSED, Category.NEWLY_APPLICABLE),
        (NEVER, AT_LOAD, Category.NEWLY_APPLICABLE),
        (NEVER, WRONG, Category.NEWLY_APPLICABLE),
        (UNRESOLVABLE, UNRESOLVABLE, Category.UNCHANGED),
        (UNRESOLVABLE, NOT_INSTALLED, Category.FAILING_LATER),
        (AT_LOAD, UNRESOLVABLE, Category.FAILING_EARLIER),
        (UNRESOLVABLE, PASSED, Category.FIXED),
    ],
)
def test_every_pair_of_states_has_its_category(base: Record, candidate: Record, category: Category) -> None:
    assert categorise(base, candidate) is category


def test_only_a_loss_is_worse() -> None:
    """Whatever the two records: nothing is worse where the candidate passes or the base could not exist."""
    states = [PASSED, AT_LOAD, AT_CONVERT, CRASHED_AT_LOAD, WRONG, WRONG_PROBE, NEVER, UNRESOLVABLE, SLOW]
    for base in states:
        assert categorise(base, base) is Category.UNCHANGED
        assert not categorise(base, PASSED).worse
        assert not categorise(NEVER, base).worse
        if base is not PASSED:
            assert categorise(PASSED, base).worse


def test_every_category_has_a_meaning_and_none_is_both_worse_and_untold() -> None:
    assert set(MEANINGS) == set(Category)
    assert not WORSE & UNTOLD


def only(*pair: Record) -> CellChange:
    base, candidate = (table(each) for each in pair)
    (change,) = compare(base, candidate).changes
    return change


@pytest.mark.parametrize(
    ("digests", "reason"),
    [
        ({"model_digest": "new"}, "the model's code differs"),
        ({"weights_digest": "new"}, "the bits of the weights differ"),
    ],
)
def test_a_cell_whose_model_changed_is_not_comparable(digests: dict[str, Any], reason: str) -> None:
    change = only(PASSED, replace(PASSED, **digests))
    assert change.category is Category.NOT_COMPARABLE
    assert reason in change.reason
    assert change.numbers == ()


def test_a_digest_that_one_side_never_came_to_does_not_matter() -> None:
    assert only(PASSED, UNRESOLVABLE).category is Category.NEWLY_FAILING


def test_cells_of_one_side_are_missing_in_the_other() -> None:
    found = compare(table(PASSED, passed("a", "s")), table(PASSED, passed("z", "s:2"), passed("z", "s:10")))
    assert [(change.name, change.category) for change in found.changes] == [
        ("a/s", Category.MISSING_IN_CANDIDATE),
        ("m/s", Category.UNCHANGED),
        ("z/s:2", Category.MISSING_IN_BASE),
        ("z/s:10", Category.MISSING_IN_BASE),
    ]
    assert found.counts == {Category.MISSING_IN_CANDIDATE: 1, Category.MISSING_IN_BASE: 2, Category.UNCHANGED: 1}


def test_of_a_larger_tier_only_the_cells_of_the_smaller_are_compared() -> None:
    quick, core = table(PASSED, passed("a", "s")), table(PASSED, passed("z", "s"), tier="core")
    for found, missing in (
        (compare(quick, core), Category.MISSING_IN_CANDIDATE),
        (compare(core, quick), Category.MISSING_IN_BASE),
    ):
        assert [(change.name, change.category) for change in found.changes] == [
            ("a/s", missing),
            ("m/s", Category.UNCHANGED),
        ]
        assert "2 cells compared, and 1 that only the larger tier has left out." in found.notes[-1]


def test_tables_of_two_devices_share_no_cell() -> None:
    with pytest.raises(UsageError, match="Compare two tables of one device"):
        compare(table(PASSED), table(PASSED, device="cuda"))


def test_numbers_stand_beside_a_cell_that_passes_on_both_sides() -> None:
    change = only(PASSED, replace(PASSED, latency_ms=3.0, artifact_bytes=None))
    assert {n.quantity: (n.base, n.candidate) for n in change.numbers} == {
        Quantity.LATENCY: (2.0, 3.0),
        Quantity.MEMORY: (300.0, 300.0),
        Quantity.ERROR: (1.2e-7, 1.2e-7),
    }
    assert only(PASSED, WRONG).numbers == ()


@pytest.mark.parametrize(
    ("conditions", "reason"),
    [
        ({"machine": replace(MACHINE, cpu="Other CPU")}, "the machines differ: cpu 'Example CPU' and 'Other CPU'"),
        ({"threads": 4}, "the runs had different numbers of threads, 2 and 4"),
        (
            {"threads": 4, "driver": "550"},
            "the machines differ: driver none and '550'; the runs had different numbers of threads, 2 and 4",
        ),
        ({"gpu": GPU}, "the machines differ: gpu none and '1 x Example GPU, 81559 MiB'"),
        ({"driver": "550"}, "the machines differ: driver none and '550'"),
    ],
)
def test_latency_and_memory_are_left_out_between_machines(conditions: dict[str, Any], reason: str) -> None:
    found = compare(table(PASSED), table(PASSED, **conditions))
    assert found.numbers_left_out == reason
    assert {n.quantity for change in found.changes for n in change.numbers} == {Quantity.SIZE, Quantity.ERROR}


def test_memory_tells_machines_apart_beyond_what_firmware_takes() -> None:
    def left_out(memory_mb: int) -> str:
        return compare(table(PASSED), table(PASSED, machine=replace(MACHINE, memory_mb=memory_mb))).numbers_left_out

    assert left_out(MACHINE.memory_mb - MACHINE.memory_mb // 200) == ""
    less = MACHINE.memory_mb // 2
    assert left_out(less) == f"the machines differ: memory_mb {MACHINE.memory_mb} and {less}"


def test_on_one_machine_nothing_is_left_out() -> None:
    assert compare(table(PASSED), table(PASSED)).numbers_left_out == ""


def test_bumped_pins_are_told_from_what_else_differs() -> None:
    packages = {"torch": "2.1.0", "onnx": "1.14.0", "numpy": "1.25.0", "fsspec": "2023.1"}
    found = compare(table(PASSED), table(PASSED, pins={"torch": "2.1.0", "onnx": "1.14.0"}, packages=packages))
    assert found.bumped == (PackageChange(name="torch", base="2.0.1", candidate="2.1.0"),)
    assert found.also_differs == (
        PackageChange(name="fsspec", base=None, candidate="2023.1"),
        PackageChange(name="numpy", base="1.24.3", candidate="1.25.0"),
        PackageChange(name="triton", base="2.0.0", candidate=None),
    )


def test_beside_an_ambient_environment_the_installed_versions_stand_for_pins() -> None:
    ambient = table(PASSED, pins={}, packages={**PACKAGES, "torch": "2.1.0+cpu"})
    found = compare(table(PASSED), ambient)
    assert found.bumped == (PackageChange(name="torch", base="2.0.1", candidate="2.1.0+cpu"),)
    assert found.also_differs == ()


def test_an_installed_version_that_belies_its_pin_is_among_what_else_differs() -> None:
    found = compare(table(PASSED), table(PASSED, packages={**PACKAGES, "torch": "2.0.1+cpu"}))
    assert found.bumped == ()
    assert [change.name for change in found.also_differs] == ["torch"]


def test_an_environment_that_could_not_be_had_differs_in_its_pins_alone() -> None:
    found = compare(table(PASSED), table(UNRESOLVABLE, packages={}, python="", pins={**PINS, "torch": "2.1.0"}))
    assert [change.name for change in found.bumped] == ["torch"]
    assert found.also_differs == ()
    assert found.notes == ("The candidate's installed packages are not known: its environment could not be had.",)


def test_what_a_side_without_an_environment_does_not_pin_is_not_said_to_be_absent() -> None:
    nothing = table(UNRESOLVABLE, packages={}, python="", pins={"torch": "2.0.1"})
    found = compare(nothing, table(PASSED, pins={"torch": "2.1.0", "onnx": "1.14.0"}))
    assert found.bumped == (PackageChange(name="torch", base="2.0.1", candidate="2.1.0"),)
    told = "its environment could not be had. It does not pin onnx: what it would have of that is not known."
    assert f"The base's installed packages are not known: {told}" in found.notes


def test_what_else_to_know_is_noted() -> None:
    candidate = table(
        replace(PASSED, strategy_digest="new"),
        missing=[("z", "s")],
        python="3.12.1",
        harness_version="0.2.0",
        selected=True,
        policy={"timeout_s": 60.0, "launches": 1, "threads": 4},
    )
    assert compare(table(PASSED), candidate).notes == (
        "Python differs: 3.11.7 and 3.12.1.",
        "The harness differs: 0.1.0 and 0.2.0.",
        "The cells were run under different policies: timeout_s 300.0 and 60.0.",
        "The candidate's table is incomplete: 1 of 2 cells are recorded.",
        "The candidate's table is of selected cells only.",
        "The files of a strategy, its steps or its runtime differ on 1 cell.",
    )


def test_how_cells_of_an_extension_were_run_is_noted_where_both_tables_say() -> None:
    often, seldom = ({"timeout_s": 300.0, "launches": launches} for launches in (3, 1))

    def made(own: dict[str, float], of_tools: dict[str, float]) -> Table:
        tools = table(replace(PASSED, extension="tools", strategy="t"), extension="tools", policy=of_tools)
        return merge([table(PASSED, policy=own), tools])

    base = made(often, seldom)
    of_tools = "The cells of the extension tools were run under different policies: launches 1 and 3."
    assert compare(base, made(often, often)).notes == (of_tools,)
    assert compare(base, base).notes == compare(base, made(often, {})).notes == ()
    of_all = "The cells were run under different policies: launches 1 and 3."
    assert compare(made(seldom, seldom), made(often, often)).notes == (of_all,)


def with_extension(*records: Record, extension: str = "tools", packages: dict[str, str] | None = None) -> Table:
    """A table of `PASSED`, and of `records` in an extension whose environment holds `packages` beside the others."""
    belonging = [replace(each, extension=extension) for each in records]
    extended = {**PACKAGES, **(packages or {})}
    return merge([table(PASSED), table(*belonging, extension=extension, packages=extended)])


CONVERTED = passed("m", "onnx2tf")


@pytest.mark.parametrize("swapped", [False, True])
def test_an_extension_that_only_one_side_ran_is_left_out(swapped: bool) -> None:
    sides = (table(PASSED), with_extension(CONVERTED, passed("n", "onnx2tf")))
    found = compare(*(sides[::-1] if swapped else sides))
    assert [(change.name, change.category) for change in found.changes] == [("m/s", Category.UNCHANGED)]
    assert found.notes == (
        "Only one side ran the extension tools: 2 cells left out. Run both sides with --extensions to compare them.",
    )


def test_extensions_that_either_side_ran_alone_are_named_together() -> None:
    found = compare(with_extension(CONVERTED), with_extension(passed("m", "x"), extension="hf4"))
    assert found.notes[0].startswith("Only one side ran the extensions hf4, tools: 2 cells left out.")


def test_an_extension_of_both_sides_is_compared() -> None:
    found = compare(with_extension(CONVERTED, passed("n", "x")), with_extension(failed("m", "onnx2tf")))
    assert [(change.name, change.category) for change in found.changes] == [
        ("m/onnx2tf", Category.NEWLY_FAILING),
        ("m/s", Category.UNCHANGED),
        ("n/x", Category.MISSING_IN_CANDIDATE),
    ]
    assert found.notes == ()


def test_an_extension_that_was_planned_and_not_reached_is_missing_and_not_left_out() -> None:
    killed = merge([table(PASSED), table(extension="tools", missing=[("m", "onnx2tf")], ended=None)])
    found = compare(with_extension(CONVERTED), killed)
    assert [(change.name, change.category) for change in found.changes] == [
        ("m/onnx2tf", Category.MISSING_IN_CANDIDATE),
        ("m/s", Category.UNCHANGED),
    ]


def test_what_one_side_ran_without_the_extension_is_compared() -> None:
    """In an environment of someone's own, a strategy needs no extension where its tools are there already."""
    found = compare(with_extension(CONVERTED), table(PASSED, replace(CONVERTED, extension="")))
    assert [(change.name, change.category) for change in found.changes] == [
        ("m/onnx2tf", Category.UNCHANGED),
        ("m/s", Category.UNCHANGED),
    ]
    assert found.notes == ()


def test_a_cell_is_left_out_once_where_tier_and_extension_differ() -> None:
    own = table(PASSED, passed("z", "s"), tier="core")
    tools = table(replace(CONVERTED, extension="tools"), extension="tools", tier="core")
    found = compare(table(PASSED), merge([own, tools]))
    assert [change.name for change in found.changes] == ["m/s"]
    assert [note.split(":")[1].split(".")[0] for note in found.notes] == [
        " 1 cell left out",
        " 1 cell compared, and 1 that only the larger tier has left out",
    ]


def test_packages_of_an_extension_that_both_sides_have_are_compared() -> None:
    base = with_extension(CONVERTED, packages={"onnx2tf": "1.17.5", "nobuco": "0.14"})
    candidate = with_extension(CONVERTED, packages={"onnx2tf": "1.28.8", "jax": "0.4"})
    assert compare(base, candidate).also_differs == (
        PackageChange(name="jax", base=None, candidate="0.4", extension="tools"),
        PackageChange(name="nobuco", base="0.14", candidate=None, extension="tools"),
        PackageChange(name="onnx2tf", base="1.17.5", candidate="1.28.8", extension="tools"),
    )
    assert compare(table(PASSED), candidate).also_differs == ()


def test_what_differs_in_an_extension_just_as_without_it_is_said_once() -> None:
    bumped = {**PACKAGES, "torch": "2.1.0", "numpy": "1.25.0"}
    base = with_extension(CONVERTED, packages={"triton": "1.9"})
    own = table(PASSED, packages=bumped, pins={**PINS, "torch": "2.1.0"})
    tools = replace(CONVERTED, extension="tools")
    for packages, expected in [
        (bumped, [("", "numpy"), ("tools", "triton")]),
        ({**bumped, "numpy": "1.26.0", "triton": "1.9"}, [("", "numpy"), ("tools", "numpy")]),
        ({}, [("", "numpy")]),
    ]:
        found = compare(base, merge([own, table(tools, extension="tools", packages=packages)]))
        assert [change.name for change in found.bumped] == ["torch"]
        assert [(change.extension, change.name) for change in found.also_differs] == expected


def test_an_extension_is_compared_where_the_combination_itself_could_not_be_had() -> None:
    own = table(UNRESOLVABLE, packages={}, python="", pins={**PINS, "torch": "2.1.0"})
    packages = {**PACKAGES, "torch": "2.1.0", "onnx2tf": "2.0"}
    tools = table(replace(CONVERTED, extension="tools"), extension="tools", packages=packages)
    found = compare(with_extension(CONVERTED, packages={"onnx2tf": "1.0"}), merge([own, tools]))
    assert [(change.extension, change.name) for change in found.also_differs] == [("tools", "onnx2tf")]


def test_a_table_of_an_extension_alone_is_held_against_that_extension() -> None:
    alone = table(replace(CONVERTED, extension="tools"), extension="tools", packages={**PACKAGES, "onnx2tf": "2.0"})
    found = compare(with_extension(CONVERTED, packages={"onnx2tf": "1.0"}), alone)
    assert found.also_differs == (PackageChange(name="onnx2tf", base="1.0", candidate="2.0", extension="tools"),)
