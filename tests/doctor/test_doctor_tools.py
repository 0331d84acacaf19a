"""Pythons, uv, tox and the package index: each fault as it is met, and what is told of it."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from harness.doctor import pins, tools
from harness.doctor.finding import Finding, Severity
from harness.matrix.combination import GIVEN

CLOSED_PORT = "http://127.0.0.1:9/simple"


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it, and a uv that has installed nothing."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "none"))
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.setenv("UV_OFFLINE", "1")
    return folder


def _need(root: Path, python: str) -> None:
    (root / "matrices" / "small.in").write_text(f"# python: {python}\nsix==1.16.0\n", encoding="utf-8")


def _only(findings: list[Finding]) -> Finding:
    (finding,) = findings
    return finding


def test_a_python_that_nobody_has(root: Path, alone: Path) -> None:
    _need(root, "3.99")
    finding = _only(tools.pythons(root))
    assert (finding.severity, finding.what) == (Severity.FAULT, "Python 3.99")
    assert finding.found == "neither installed nor known to uv, for small"


def test_a_python_that_uv_knows_and_cannot_download(root: Path, alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _need(root, "3.12")
    finding = _only(tools.pythons(root))
    assert finding.severity is Severity.FAULT
    assert "where uv would download it from does not answer (UV_OFFLINE is set)" in finding.found
    assert finding.remedy.endswith("uv python install 3.12")
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    assert "UV_PYTHON_DOWNLOADS forbids uv to download it" in _only(tools.pythons(root)).found


def test_a_python_on_path_that_does_not_start(root: Path, alone: Path) -> None:
    _need(root, "3.10")
    shim = alone / "python3.10"
    said = "pyenv: python3.10: command not found\n\nThe `python3.10' command exists in:\n  3.10.13\n"
    shim.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{said}END\nexit 127\n".replace("cat", "/bin/cat"), encoding="utf-8")
    shim.chmod(0o755)
    finding = _only(tools.pythons(root))
    assert finding.severity is Severity.FAULT
    assert finding.found == f"{shim} is on PATH and does not start, for small"
    assert finding.remedy == 'export PATH="$(pyenv root)/versions/3.10.13/bin:$PATH"'


def test_a_python_that_is_there(root: Path) -> None:
    finding = _only(tools.pythons(root))
    assert finding.severity is Severity.FINE
    assert finding.found.endswith(", for small")


def test_what_tox_would_have_to_install_for_itself(root: Path) -> None:
    assert {finding.severity for finding in tools.installers(root)} == {Severity.FINE}
    (root / "tox.ini").write_text("[tox]\nrequires =\n    tox>=99\n    tox-uv>=1\n", encoding="utf-8")
    finding = tools.installers(root, root / "tox.ini")[-1]
    assert finding.severity is Severity.WARNING
    assert finding.found.startswith("tox installs tox>=99 for itself")
    assert finding.remedy == "python -m pip install --upgrade 'tox>=99'"


@pytest.mark.parametrize("variable", ["UV_DEFAULT_INDEX", "UV_INDEX_URL"])
def test_an_index_that_does_not_answer(root: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, CLOSED_PORT)
    finding = _only(tools.index(root))
    assert finding.severity is Severity.FAULT
    assert "the package index could not be reached" in finding.found
    assert "UV_DEFAULT_INDEX" in finding.remedy
    assert "run the same command" not in finding.found


def test_a_lock_that_does_not_fit_and_one_that_is_missing(root: Path) -> None:
    assert [finding.severity for finding in pins.locks(root)] == [Severity.FINE]
    (root / "matrices" / "small.in").write_text("# python: 3.11\nsix==1.17.0\n", encoding="utf-8")
    finding = _only(pins.locks(root))
    assert (finding.severity, finding.remedy) == (Severity.FAULT, "harness lock small")
    assert "six==1.17.0 is asked for, and 1.16.0 is locked" in finding.found
    (root / "matrices" / "locks" / "small.txt").unlink()
    assert _only(pins.locks(root)).found == "small has no lock."


def test_requirements_that_were_given_count_too(root: Path) -> None:
    folder = root / ".harness" / "environments" / "base-0123abcd"
    (folder / "env" / "bin").mkdir(parents=True)
    told = {"file": "base.txt", "python": "3.99", "requirements": ["six==1.16.0"]}
    (folder / GIVEN).write_text(json.dumps(told), encoding="utf-8")
    (folder / "lock.txt").write_text("six==1.16.0\n", encoding="utf-8")
    assert [finding.found for finding in tools.pythons(root) if finding.severity is Severity.FAULT] == [
        "neither installed nor known to uv, for base-0123abcd"
    ]
    assert _only(pins.locks(root)).found == "small, base-0123abcd"
    assert _only(pins.environments(root)).what == "base-0123abcd"


def test_what_cannot_be_read_is_told_where_it_is(root: Path) -> None:
    (root / "matrices" / "small.in").write_text("# python: 3.11\nsix=1\n", encoding="utf-8")
    (root / "matrices" / "nightly.toml").write_text('combinations = ["smal"]\n', encoding="utf-8")
    combination, matrix = pins.locks(root)
    assert "small.in, line 2: 'six=1' is no requirement" in combination.found
    assert combination.severity is Severity.FAULT
    assert "Did you mean 'small'?" in matrix.found
    assert tools.pythons(root) == []


def test_environments_that_no_run_installed(root: Path) -> None:
    assert "none is installed yet" in _only(pins.environments(root)).found
    (root / ".tox" / "small" / "bin").mkdir(parents=True)
    gone = _only(pins.environments(root))
    assert "its interpreter has gone" in gone.found
    (root / ".tox" / "small" / "bin" / "python").write_text(textwrap.dedent("#!/bin/sh\n"), encoding="utf-8")
    finding = _only(pins.environments(root))
    assert finding.severity is Severity.WARNING
    assert "not installed by a run from its lock as it is" in finding.found
    assert finding.remedy == "harness run small"
