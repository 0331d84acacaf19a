"""What moved between two locks, and mixes of them."""

from __future__ import annotations

from dataclasses import asdict

from harness.bump.moves import Mix, Move, Side, mix_of, moves_between, same_version

BASE = Side(
    name="torch2.0",
    python="3.11",
    direct={"torch": "2.0.1", "torchvision": "0.15.2", "onnx": "1.14.0", "numpy": None},
    locked={
        "torch": "2.0.1",
        "torchvision": "0.15.2",
        "onnx": "1.14.0",
        "numpy": "1.24.3",
        "lit": "18.1",
        "sympy": "1",
    },
)
CANDIDATE = Side(
    name="next",
    python="3.11",
    direct={"torch": "2.1.0", "torchvision": "0.16.0", "onnx": "1.14.0", "numpy": None},
    locked={
        "torch": "2.1.0",
        "torchvision": "0.16.0",
        "onnx": "1.14",
        "numpy": "1.26.4",
        "fsspec": "2023.1",
        "sympy": "1",
    },
)


def test_moves_are_those_whose_versions_differ_the_direct_ones_first() -> None:
    moves = moves_between(BASE, CANDIDATE)
    assert [(move.name, move.before, move.after, move.direct) for move in moves] == [
        ("numpy", "1.24.3", "1.26.4", True),
        ("torch", "2.0.1", "2.1.0", True),
        ("torchvision", "0.15.2", "0.16.0", True),
        ("fsspec", None, "2023.1", False),
        ("lit", "18.1", None, False),
    ]
    assert [str(moves[1]), str(moves[3]), str(moves[4])] == [
        "torch 2.0.1 to 2.1.0",
        "fsspec 2023.1 (new)",
        "lit 18.1 (gone)",
    ]


def test_one_version_has_several_spellings() -> None:
    assert same_version("2.1", "2.1.0")
    assert same_version(None, None)
    assert not same_version("2.1", None)
    assert not same_version("2.1.0", "2.1.0+cpu")
    assert not same_version("any", "1.0")


def test_mixes_are_values() -> None:
    one, other = Mix(pins={"b": "2", "a": "1"}), Mix(pins={"a": "1", "b": "2"})
    assert one == other
    assert hash(one) == hash(other)
    assert Mix(**asdict(one)) == one
    assert str(Mix()) == "the base as it is"
    assert str(Mix(pins={"torch": "2.1.0", "onnx": ""}, bounds={"protobuf": "3"}, without=frozenset({"tf"}))) == (
        "onnx at any version, torch 2.1.0, protobuf held at 3, without tf"
    )
    assert str(Mix(pins={"torch": "2.1.0"}, bounds=dict.fromkeys("abcd", "1"))) == "torch 2.1.0, 4 packages held"


def test_a_mix_takes_what_is_named_from_the_candidate_and_all_else_from_the_base() -> None:
    moves = moves_between(BASE, CANDIDATE)
    assert mix_of(moves, candidate=["torch", "torchvision"]) == Mix(
        pins={"numpy": "1.24.3", "torch": "2.1.0", "torchvision": "0.16.0"}
    )
    further = (*moves, Move(name="protobuf", before="3", after="4", direct=False))
    assert mix_of(further, candidate=["protobuf"], without=["torchvision"]) == Mix(
        pins={"numpy": "1.24.3", "torch": "2.0.1"}, bounds={"protobuf": "4"}, without=frozenset({"torchvision"})
    )


def test_a_direct_requirement_that_a_side_does_not_have_is_left_out_of_its_mixes() -> None:
    new = Move(name="onnxscript", before=None, after="0.5", direct=True)
    assert mix_of([new], candidate=[]).without == {"onnxscript"}
    assert mix_of([new], candidate=["onnxscript"]) == Mix(pins={"onnxscript": "0.5"})
