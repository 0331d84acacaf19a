from __future__ import annotations

from pathlib import Path

import pytest

from harness.bench.series import folder_name, path_names, series_of, values_of


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "models").mkdir()
    (tmp_path / "src" / "nets").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("values", "series", "folder"),
    [
        (["models"], "models/", "models"),
        (["models/"], "models/", "models"),
        (["./models"], "models/", "models"),
        (["mine.py"], "mine.py", "mine.py"),
        (["src/nets"], "src/nets", "src-nets-"),
        (["b.py", "a.py", "b.py"], "a.py b.py", "a.py-b.py-"),
        (["models", "resnet18", "zoo:vit*"], "models/ resnet18 'zoo:vit*'", "models-resnet18-zoo-vit-"),
        (["../elsewhere/nets"], "../elsewhere/nets", "elsewhere-nets-"),
        (["entry-point:theirs"], "entry-point:theirs", "entry-point-theirs-"),
        (["a b.py"], "'a b.py'", "a-b.py-"),
        (["."], "./", ""),
    ],
)
def test_a_series_is_its_models_relative_to_the_root(root: Path, values: list[str], series: str, folder: str) -> None:
    assert series_of(values, root=root) == series
    assert series_of(values_of(series), root=root) == series, "given again from the root it is the same"
    made = folder_name(series)
    assert made == folder or (made.startswith(folder) and len(made) == len(folder) + 8)


def test_it_is_the_same_from_elsewhere_and_on_another_machine(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = series_of([str(root / "src" / "nets")], root=root)
    monkeypatch.chdir(root / "src")
    assert series_of(["nets"], root=root) == named == "src/nets"


def test_none_is_no_series() -> None:
    assert series_of([], root=Path()) == ""


@pytest.mark.parametrize(
    "series", ["../../../etc", "x/" * 200, "\N{SNOWMAN}.py", "-rf", "..", "a.py b.py", "+models-x"]
)
def test_whatever_a_series_is_called_a_folder_can_be(series: str) -> None:
    made = folder_name(series)
    assert made.isascii()
    assert "/" not in made
    assert 0 < len(made) <= 61
    assert not made.startswith((".", "-", "+"))
    assert made != folder_name(f"{series}x")


def test_folders_are_named_as_from_the_root(root: Path) -> None:
    given = [root / "src", root / "src" / ".." / "src", root.parent / "shared", root]
    assert path_names(given, root=root) == ("src", "../shared", ".")
