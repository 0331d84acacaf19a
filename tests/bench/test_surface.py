"""The bench as a pytest suite, in somebody's own repository: ids, `-v`, `--tb`, `--lf`, `--sw`, JUnit, the summary."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from harness.bench.asked import CELLS_FILE, collected
from harness.bench.attempt import Attempt
from harness.bench.errors import UsageError
from tests.bench.linear import MODEL, ROOT, RUNTIME, STAND_IN, add_strategy, write

STEPS = {
    "good": "pass",
    "off": "weight = weight * 1.01",
    "raises": "raise KeyError('lost')",
    "crashes": "print('the last words', flush=True); os.abort()",
    "impossible": "raise NotApplicable('needs x 2.5,\\nwhich is not here')",
    "impossible-too": "raise NotApplicable('needs x 2.5, which is not here')",
    "impossible-otherwise": "raise NotApplicable('needs y')",
}

# What a repository has for its own tests, and what would stop the bench in a pinned environment.
SETTINGS = """
[pytest]
addopts = --cov=package -n auto --strict-config
required_plugins = pytest-of-theirs
filterwarnings = error
testpaths = tests
"""

Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody's own, with settings and conftest files that are about its tests."""
    made = tmp_path_factory.mktemp("repository")
    files = {
        "pytest.ini": SETTINGS,
        "conftest.py": "import nothing_like_it\n",
        "tests/conftest.py": "import nothing_like_it\n",
        "models/linear.py": MODEL,
        "plugins/runtimes/arrays.py": RUNTIME,
    }
    for path, text in files.items():
        write(made / path, text)
    for name, body in STEPS.items():
        add_strategy(made, name, body, shapes="dynamic")
    return made


@pytest.fixture(scope="module")
def bench(repository: Path) -> Call:
    """Plain pytest with the plugin, and nothing else that would name its settings."""

    def call(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytest", "-p", "harness.bench", "--models=models/linear.py"]
        command += ["--plugin-folder=plugins", *(f"--strategies={name}" for name in STEPS)]
        command += ["--measure-s=0.01", "--timeout-s=20", "--device=cpu"]
        return subprocess.run(
            [*command, *map(str, arguments)],
            cwd=repository,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{STAND_IN}", "COLUMNS": "200", **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return call


def _recorded(out: Path) -> set[str]:
    return {path.stem.partition("--")[2] for path in (out / "records").glob("*.json")}


def test_what_collect_only_prints_can_be_given_back(bench: Call, tmp_path: Path) -> None:
    listed = bench("--collect-only", "-q")
    ids = [line for line in listed.stdout.splitlines() if "::" in line]
    assert ids == [f"cells::ambient/linear/{name}" for name in sorted(STEPS)], listed.stdout + listed.stderr
    done = bench(ids[0], "ambient/linear/good", ids[0], "--out", tmp_path / "out", "-v", "-pno:cacheprovider")
    assert done.returncode == 1, done.stdout + done.stderr
    assert _recorded(tmp_path / "out") == {"crashes", "good"}
    assert (Attempt(tmp_path / "out").read() or {})["selected"] is True
    assert re.search(r"^cells::ambient/linear/crashes CRASHED at convert +\[ 50%\]$", done.stdout, re.MULTILINE)
    assert re.search(r"^cells::ambient/linear/good PASSED at measure +\[100%\]$", done.stdout, re.MULTILINE)
    assert "the end of its log:\n    the last words" in done.stdout


@pytest.mark.parametrize("name", ["ambient/linear/god", "cells::ambient/linear/god", "sub/cells::ambient/linear/god"])
def test_an_unknown_id_is_told_with_the_nearest(bench: Call, tmp_path: Path, name: str) -> None:
    done = bench(name, "--out", tmp_path / "out")
    assert done.returncode == 4
    assert "unknown cell 'ambient/linear/god'. Did you mean 'ambient/linear/good'?" in done.stderr
    assert not (tmp_path / "out").exists()


def test_ids_become_what_pytest_collects() -> None:
    known = ["torch2.1/lstm/native", "torch2.1/lstm/onnx-torchscript:16"]
    asked = [f"harness/bench/cells::{known[1]}", known[0], f"cells::{known[0]}"]
    assert collected(asked, known) == [f"{CELLS_FILE}::{known[1]}", f"{CELLS_FILE}::{known[0]}"]
    assert collected([known[0], str(CELLS_FILE)], known) == [str(CELLS_FILE)]
    for other in ("tests", "tests/test_mine.py::test_it", "torch2.1/lstm", "cells::"):
        with pytest.raises(UsageError, match="`--collect-only -q` lists all"):
            collected([other], known)


def test_the_summary_and_a_junit_file_say_what_the_records_say(bench: Call, repository: Path, tmp_path: Path) -> None:
    done = bench("--out", tmp_path / "out", "--tb=line", "--durations=1", f"--junit-xml={tmp_path / 'j.xml'}")
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert "ambient/linear/raises: failed at convert: KeyError: 'lost'" in lines
    assert "FAILED at convert cells::ambient/linear/raises - KeyError: 'lost'" in lines
    assert "NOT-APPLICABLE [2] convert: needs x 2.5, which is not here" in lines
    assert "NOT-APPLICABLE [1] convert: needs y" in lines
    assert any(re.fullmatch(r"\d+\.\d\ds call +cells::ambient/linear/\w+", line) for line in lines)
    assert "3 failed, 1 passed, 3 skipped" in lines[-1]
    assert not (repository / "plugins" / ".pytest_cache").exists()

    suite = ET.parse(tmp_path / "j.xml").getroot().find("testsuite")
    assert suite is not None
    assert [suite.get(name) for name in ("tests", "failures", "skipped")] == ["7", "3", "3"]
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    for path in (tmp_path / "out" / "records").glob("*.json"):
        told = json.loads(path.read_text(encoding="utf-8"))
        row, case = told["row"], cases[f"ambient/linear/{told['row']['strategy']}"]
        properties = {each.get("name"): each.get("value") for each in case.iter("property")}
        assert properties == {"outcome": row["outcome"], "stage": row["stage"]}
        failure, skipped = case.find("failure"), case.find("skipped")
        if row["outcome"] == "not-applicable":
            assert skipped is not None
            assert skipped.get("message") == " ".join(row["error"].split())
        elif row["outcome"] != "passed":
            assert failure is not None
            assert (row["difference"] or row["error"]) in (failure.get("message") or "")
            assert told["details"].get("traceback", "").strip() in (failure.text or "")
    crashed = cases["ambient/linear/crashes"].find("failure")
    assert crashed is not None
    assert "the last words" in (crashed.text or "")


def test_lf_sw_and_maxfail_go_by_the_same_ids(bench: Call, tmp_path: Path) -> None:
    cache = f"-ocache_dir={tmp_path / 'cache'}"
    stopped = bench("--out", tmp_path / "1", cache, "--sw", "--tb=no", "-q")
    assert stopped.returncode == 2
    assert _recorded(tmp_path / "1") == {"crashes"}
    assert "CRASHED at convert cells::ambient/linear/crashes - SIGABRT" in stopped.stdout
    assert "the last words" not in stopped.stdout
    skipped = bench("--out", tmp_path / "2", cache, "--sw", "--sw-skip", "--tb=no", "-q")
    assert skipped.returncode == 2
    # What came through waits to be timed until all others were run, and this run ended before that.
    told = {"impossible", "impossible-otherwise", "impossible-too", "off", "crashes"}
    assert _recorded(tmp_path / "2") == told
    last = bench("--out", tmp_path / "3", cache, "--lf", "--maxfail=1", "--tb=no", "-q")
    assert last.returncode == 1
    assert _recorded(tmp_path / "3") == {"crashes"}


def test_what_a_variable_says_counts_and_n_is_refused(bench: Call, tmp_path: Path) -> None:
    done = bench("--out", tmp_path / "out", PYTEST_ADDOPTS="-k nothing_like_it -q")
    assert done.returncode == 5
    assert "7 deselected" in done.stdout
    assert not (tmp_path / "out").exists()


def test_records_of_another_plan_are_not_run_over(bench: Call, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert bench("ambient/linear/good", "ambient/linear/off", "--out", out, "-q").returncode == 1
    before = {path.name: path.read_bytes() for path in (out / "records").iterdir()}
    refused = bench("ambient/linear/good", "--out", out)
    assert refused.returncode == 4, refused.stdout
    assert (
        f"--out {out}: it holds cells of another plan: 2 recorded, of selected cells of ambient (cpu, tier quick)."
        in (refused.stderr)
    )
    assert "Name another folder, or add --replace to remove them and begin anew." in refused.stderr
    assert {path.name: path.read_bytes() for path in (out / "records").iterdir()} == before
    assert bench("ambient/linear/off", "ambient/linear/good", "--out", out, "-q").returncode == 1, "the same plan again"
    assert _recorded(out) == {"good", "off"}
    assert bench("ambient/linear/good", "--out", out, "--replace").returncode == 0
    assert _recorded(out) == {"good"}
