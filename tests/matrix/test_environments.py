"""Environments: a Python that is not to be had, an interpreter without the bench, and what never reaches inside."""

from __future__ import annotations

import os
import sys
import venv
from pathlib import Path

import pytest

from harness.bench.errors import UsageError
from harness.matrix.environment import check_ambient, clean_environ, missing_pythons, python_of, require_pythons

ROOT = Path(__file__).resolve().parents[2]
OURS = f"3.{sys.version_info.minor}"


def test_a_python_that_is_not_to_be_had_is_told() -> None:
    missing = missing_pythons([OURS, "3.99"])
    assert list(missing) == ["3.99"]
    assert missing["3.99"]
    assert "http" not in missing["3.99"]


def test_it_is_told_which_combinations_need_it() -> None:
    require_pythons({"one": OURS})
    require_pythons({})
    with pytest.raises(UsageError) as caught:
        require_pythons({"one": OURS, "two": "3.99", "three": "3.99"})
    lines = str(caught.value).splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["two", "three"]
    assert lines[0].startswith("two needs Python 3.99, which is neither installed nor to be had by uv (")
    assert lines[2].endswith("Nothing was built.")


def test_an_interpreter_with_the_bench_beside_it() -> None:
    assert check_ambient(ROOT, Path(sys.executable)).python == Path(sys.executable)


def test_an_interpreter_without_pytest_is_told(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    with pytest.raises(UsageError, match=r"cannot run the bench: .*No module named 'pytest'.* Install pytest and"):
        check_ambient(ROOT, tmp_path / "bare" / "bin" / "python")


@pytest.mark.parametrize("name", ["nothing", ".", "text"])
def test_what_is_no_interpreter_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "text").write_text("hello", encoding="utf-8")
    with pytest.raises(UsageError, match="is no interpreter that can be started"):
        check_ambient(ROOT, tmp_path / name)


def test_nothing_of_ours_reaches_into_a_pinned_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "TOX_ENV_NAME", "PYTEST_ADDOPTS"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("KEPT", "y")
    environ = clean_environ()
    assert environ["KEPT"] == "y"
    assert not [name for name in environ if name.startswith(("TOX_", "PYTEST_", "PYTHONPATH", "LD_"))]
    assert os.environ["PYTHONPATH"] == "x"


def test_the_interpreter_of_an_environment_is_toxs() -> None:
    assert python_of(Path("/r"), "torch2.0") == Path("/r/.tox/torch2.0/bin/python")
