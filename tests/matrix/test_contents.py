"""What a user's package in a folder is: an edit of what it is built from is seen, and of nothing beside it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.matrix.contents import content_of

_SETUPTOOLS = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
_HATCH = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
_POETRY = '[build-system]\nrequires = ["poetry-core"]\nbuild-backend = "poetry.core.masonry.api"\n'
_FLIT = '[build-system]\nrequires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"\n'
_PDM = '[build-system]\nrequires = ["pdm-backend"]\nbuild-backend = "pdm.backend"\n'
_MATURIN = '[build-system]\nrequires = ["maturin"]\nbuild-backend = "maturin"\n'
_PROJECT = '[project]\nname = "my-acme"\nversion = "1"\n'


def _written(folder: Path, *names: str, text: str = "1") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def _moved_by(folder: Path, names: list[str]) -> set[str]:
    """Those of `names` that the digest follows."""
    moved = set()
    for name in names:
        before = content_of(folder)
        _written(folder, name, text=f"an edit of {name}")
        moved |= {name} if content_of(folder) != before else set()
    return moved


@pytest.mark.parametrize(
    ("settings", "followed"),
    [
        (_PROJECT + _SETUPTOOLS, {"src/acme/net.py", "src/acme/labels.json", "my_acme/table.csv"}),
        (_PROJECT + _HATCH, {"src/acme/net.py", "src/acme/labels.json", "my_acme/table.csv"}),
        (_PROJECT + _PDM, {"src/acme/net.py", "src/acme/labels.json", "my_acme/table.csv"}),
        (_PROJECT + _HATCH + '[tool.hatch.build.targets.wheel]\npackages = ["my_acme"]\n', {"my_acme/table.csv"}),
        (_PROJECT + _SETUPTOOLS + '[tool.setuptools]\npackages = ["my_acme"]\n', {"my_acme/table.csv"}),
        (_PROJECT + _SETUPTOOLS + '[tool.setuptools.package-dir]\n"" = "my_acme"\n', {"my_acme/table.csv"}),
        (
            _PROJECT + _SETUPTOOLS + '[tool.setuptools.packages.find]\ninclude = ["my_acme*"]\n',
            {"my_acme/table.csv"},
        ),
        ('[tool.poetry]\nname = "my-acme"\npackages = [{include = "my_acme"}]\n' + _POETRY, {"my_acme/table.csv"}),
        (_PROJECT + _FLIT + '[tool.flit.module]\nname = "my_acme"\n', {"my_acme/table.csv"}),
        (
            _PROJECT + _MATURIN,
            {"src/acme/net.py", "src/acme/labels.json", "my_acme/table.csv", "csrc/kernel.cu", "tool.py"},
        ),
    ],
)
def test_what_a_package_is_built_from_is_its_content(tmp_path: Path, settings: str, followed: set[str]) -> None:
    of_package = ["src/acme/net.py", "src/acme/labels.json", "my_acme/table.csv", "csrc/kernel.cu", "tool.py"]
    beside = ["tests/test_net.py", "models/mine.py", "docs/conf.py", "results/x.json", ".harness/x.py", ".git/HEAD"]
    made = ["src/acme/__pycache__/net.pyc", "src/acme/_ext.so", "my_acme.egg-info/PKG-INFO", "build/lib/net.py"]
    names = [*of_package, *beside, *made]
    _written(tmp_path, *names)
    _written(tmp_path, "pyproject.toml", text=settings)
    assert _moved_by(tmp_path, names) == followed
    assert _moved_by(tmp_path, ["pyproject.toml", "setup.cfg"]) == {"pyproject.toml", "setup.cfg"}


@pytest.mark.parametrize(
    "settings",
    [
        _PROJECT + _PDM,
        _PROJECT + _SETUPTOOLS + '[tool.setuptools.packages.find]\ninclude = ["my_acme*"]\n',
        _PROJECT + _HATCH + '[tool.hatch.build.targets.sdist]\nonly-include = ["my_acme", "my_acme_two"]\n',
    ],
)
def test_every_package_that_is_built_counts(tmp_path: Path, settings: str) -> None:
    names = ["my_acme/__init__.py", "my_acme_two/__init__.py"]
    _written(tmp_path, *names)
    _written(tmp_path, "pyproject.toml", text=settings)
    assert _moved_by(tmp_path, names) == {*names}


def test_links_to_folders_are_followed_and_to_what_is_above_them_not(tmp_path: Path) -> None:
    _written(tmp_path, "shared/acme/net.py", "elsewhere/labels.json")
    project = tmp_path / "project"
    _written(project, "pyproject.toml", text=_PROJECT + _SETUPTOOLS)
    (project / "src").symlink_to(tmp_path / "shared", target_is_directory=True)
    (tmp_path / "shared" / "acme" / "data").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "shared" / "acme" / "loop").symlink_to(tmp_path / "shared", target_is_directory=True)
    names = ["src/acme/net.py", "src/acme/data/labels.json"]
    assert _moved_by(project, names) == set(names)


def test_where_settings_do_not_tell_it_is_all_that_git_would_track(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    _written(tmp_path, ".gitignore", text="/logs\n")
    _written(tmp_path, "setup.py", text="from setuptools import setup; setup(name='acme')\n")
    names = ["acme/net.py", "csrc/kernel.cpp", "logs/run.txt", "models/__init__.py", "tests/__init__.py", "docs/a.md"]
    _written(tmp_path, *names)
    assert _moved_by(tmp_path, names) == {"acme/net.py", "csrc/kernel.cpp", "models/__init__.py"}


def test_the_files_that_dependencies_come_from_are_part_of_it(tmp_path: Path) -> None:
    dynamic = '[project]\nname = "acme"\nversion = "1"\ndynamic = ["dependencies"]\n' + _SETUPTOOLS
    more = (
        '[tool.setuptools]\npackages = ["acme"]\n[tool.setuptools.dynamic]\ndependencies = {file = ["deps/base.in"]}\n'
    )
    _written(tmp_path, "deps/base.in", "requirements.txt", "acme/__init__.py")
    _written(tmp_path, "pyproject.toml", text=dynamic + more)
    assert _moved_by(tmp_path, ["deps/base.in", "requirements.txt"]) == {"deps/base.in"}
