"""Environments: a Python that is not to be had, an interpreter without the bench, and what never reaches inside."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from harness.bench.environment import installed
from harness.bench.errors import (
    EnvironmentChangedError,
    IndexUnreachableError,
    InterpreterGoneError,
    UsageError,
)
from harness.matrix.environment import (
    check_ambient,
    clean_environ,
    inspect,
    missing_pythons,
    python_of,
    require_pythons,
)
from harness.matrix.tooling import uv

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


def test_a_python_that_the_network_stands_before_is_no_wrong_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_PYTHON_INSTALL_MIRROR", "http://127.0.0.1:1")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    absent = next(version for version in ("3.14", "3.13", "3.12", "3.10", "3.9") if not _is_there(version))
    with pytest.raises(IndexUnreachableError, match="the download site could not be reached") as caught:
        require_pythons({"one": absent})
    assert "127.0.0.1" not in str(caught.value)


def _is_there(version: str) -> bool:
    done = subprocess.run([uv(), "python", "find", "--no-project", version], capture_output=True, check=False)
    return done.returncode == 0


@pytest.fixture
def ambient(tmp_path: Path) -> Path:
    """An interpreter of a user's own: a virtual environment that finds this one's packages, and one of its own."""
    venv.create(tmp_path / "ambient", with_pip=False, symlinks=True)
    site = _site(tmp_path / "ambient")
    ours = Path(pytest.__file__).parents[1]
    (site / "ours.pth").write_text(f"{ours}\n", encoding="utf-8")
    (site / "mine.py").write_text("one = 1\n", encoding="utf-8")
    (site / "mine-1.0.dist-info").mkdir()
    (site / "mine-1.0.dist-info" / "METADATA").write_text("Name: mine\nVersion: 1.0\n", encoding="utf-8")
    (site / "mine-1.0.dist-info" / "RECORD").write_text("mine.py,,8\n", encoding="utf-8")
    return tmp_path / "ambient" / "bin" / "python"


def _site(environment: Path) -> Path:
    return next((environment / "lib").glob("python*")) / "site-packages"


def test_an_interpreter_with_the_bench_beside_it(ambient: Path) -> None:
    prepared = check_ambient(ROOT, ambient)
    assert prepared.python == ambient
    assert prepared.packages == {**installed(), "mine": "1.0"}
    assert prepared.python_version == ".".join(map(str, sys.version_info[:3]))
    assert prepared.changes() == []


def test_an_ambient_environment_is_watched_and_left_to_its_owner(ambient: Path) -> None:
    prepared = check_ambient(ROOT, ambient)
    site = _site(ambient.parents[1])
    (site / "mine.py").write_text("two = 2\n", encoding="utf-8")
    (site / "another.pth").touch()
    changes = prepared.changes()
    assert [(change.what, Path(change.path).name, change.package) for change in changes] == [
        ("added", "another.pth", ""),
        ("edited", "mine.py", "mine"),
    ]
    notes: list[str] = []
    with pytest.raises(EnvironmentChangedError, match=r"it changed while it was in use: added .*another\.pth, edited"):
        prepared.mended(changes, note=notes.append)
    assert (site / "mine.py").read_text(encoding="utf-8") == "two = 2\n"
    ambient.unlink()
    with pytest.raises(InterpreterGoneError, match="its interpreter has gone"):
        prepared.changes()


def test_the_folder_that_the_harness_is_called_from_is_not_inside(
    tmp_path: Path, ambient: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here" / "strange-1.0.dist-info").mkdir(parents=True)
    (tmp_path / "here" / "strange-1.0.dist-info" / "METADATA").write_text("Name: strange\nVersion: 1\n", "utf-8")
    (tmp_path / "here" / "pytest.py").write_text("raise RuntimeError\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path / "here")
    inside = inspect(ambient, pinned=True)
    assert "strange" not in inside.packages
    assert inside.missing == {}


def test_what_an_interpreter_prints_at_its_start_is_passed_over(ambient: Path) -> None:
    loud = _site(ambient.parents[1]) / "loud.pth"
    loud.write_text("import sys; print('hello'); print('{}', file=sys.stderr)\n", encoding="utf-8")
    assert inspect(ambient, pinned=True).packages["mine"] == "1.0"


def test_a_lock_is_held_against_what_is_inside(tmp_path: Path, ambient: Path) -> None:
    lock = tmp_path / "lock.txt"
    pins = {**installed(), "mine": "2.0", "absent": "1.0"}
    lock.write_text("\n".join(f"{name}=={version}" for name, version in pins.items()), encoding="utf-8")
    assert inspect(ambient, pinned=True, lock=lock).deviations == {
        "absent": "absent: 1.0 locked, not installed",
        "mine": "mine: 2.0 locked, 1.0 installed",
    }


def test_an_interpreter_without_the_bench_is_told_what_is_missing(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    with pytest.raises(UsageError) as caught:
        check_ambient(ROOT, tmp_path / "bare" / "bin" / "python")
    assert "cannot run the bench: ModuleNotFoundError: No module named 'pytest'; " in str(caught.value)
    assert "Install pytest, pytest-benchmark, filelock beside its frameworks" in str(caught.value)


@pytest.mark.parametrize("name", ["pytest_benchmark", "filelock"])
def test_one_that_lacks_one_thing_is_told_that(ambient: Path, name: str) -> None:
    # Its own packages come before those that it borrows.
    (_site(ambient.parents[1]) / f"{name}.py").write_text("raise ImportError('broken on purpose')\n", "utf-8")
    with pytest.raises(UsageError, match=r"cannot run the bench: ImportError: broken on purpose\. Install") as caught:
        check_ambient(ROOT, ambient)
    assert f"Install {name.replace('_', '-')} beside" in str(caught.value)


def test_an_interpreter_that_breaks_at_its_start_is_told(ambient: Path) -> None:
    (_site(ambient.parents[1]) / "ends.pth").write_text("import os; os._exit(3)\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"is no Python that works \(exit code 3\)"):
        inspect(ambient, pinned=False)
    with pytest.raises(EnvironmentChangedError, match=r"is no Python that works \(exit code 3\)"):
        inspect(ambient, pinned=True)


@pytest.mark.parametrize("name", ["nothing", ".", "text"])
def test_what_is_no_interpreter_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "text").write_text("hello", encoding="utf-8")
    with pytest.raises(UsageError, match="is no interpreter that can be started"):
        check_ambient(ROOT, tmp_path / name)


def test_nothing_of_ours_reaches_into_a_pinned_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "TOX_ENV_NAME", "PYTEST_ADDOPTS"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("ORT_LOGGING_LEVEL", "y")
    environ = clean_environ()
    assert environ["ORT_LOGGING_LEVEL"] == "y"
    assert not [name for name in environ if name.startswith(("TOX_", "PYTEST_", "PYTHONPATH", "LD_LIBRARY"))]
    assert os.environ["PYTHONPATH"] == "x"


def test_the_interpreter_of_an_environment_is_toxs() -> None:
    assert python_of(Path("/r"), "torch2.0") == Path("/r/.tox/torch2.0/bin/python")
