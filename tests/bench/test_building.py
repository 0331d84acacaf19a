"""The child that builds, as far as it goes without a framework: what it refuses, and which code it says it ran."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.bench.building import _Answer, _check_numbers
from harness.bench.group import MARKER
from harness.bench.processes import LAUNCHER
from harness.bench.requests import BuildRequest, DescribeRequest, Request

NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("output", "throughout"),
    [
        (np.full((2, 3), NAN, np.float32), "NaN"),
        (np.array(NAN), "NaN"),
        (np.full(2, NAN, np.complex64), "NaN"),
        (np.array([NAN, INF, -INF], np.float16), "NaN or infinite"),
    ],
)
def test_an_output_without_any_number_is_refused(output: Any, throughout: str) -> None:
    with pytest.raises(
        ValueError, match=rf"^outputs\.b on the example is {throughout} throughout, .*NaN in the weights"
    ):
        _check_numbers("the example", _Answer([np.ones(3), output], ["outputs.a", "outputs.b"], []))


@pytest.mark.parametrize(
    "output",
    [
        np.array([NAN, 1.0]),
        np.array([NAN + 1j, 1.0 + 1j]),
        np.array([INF, INF]),
        np.array([-INF]),
        np.zeros((0, 4)),
        np.array([True]),
        np.array([1, 2]),
    ],
)
def test_an_output_that_says_anything_is_kept(output: Any) -> None:
    _check_numbers("the example", _Answer([output], ["output"], []))


def built(request: Request, role: str = "building", **environ: str) -> dict[str, Any]:
    """The result of a child of that role."""
    folder = Path(request.folder)
    folder.mkdir(exist_ok=True)
    request.write()
    subprocess.run(
        [sys.executable, str(LAUNCHER), role, str(folder)],
        cwd=folder,
        env={**os.environ, **environ},
        check=True,
        timeout=60,
    )
    return {
        **json.loads((folder / "result.json").read_text(encoding="utf-8")),
        "stages": [json.loads(line)["stage"] for line in (folder / "stages.jsonl").read_text().splitlines()],
    }


def of_file(tmp_path: Path, text: str, **facts: Any) -> dict[str, Any]:
    path = tmp_path / "mine.py"
    path.write_text(text, encoding="utf-8")
    return built(BuildRequest(folder=str(tmp_path / "work"), model="mine", model_file=str(path), **facts))


def test_an_import_that_fails_is_told_at_its_stage(tmp_path: Path) -> None:
    result = of_file(tmp_path, "MODEL = None", imports=("not_there",))
    assert (result["outcome"], result["error_type"]) == ("failed", "ModuleNotFoundError")
    assert result["stages"] == ["import", None]


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        ("raise KeyError('lost')\nMODEL = None", "ImportError", "mine.py raised at import: KeyError: 'lost'"),
        ("import sys\nsys.exit(0)\nMODEL = None", "ImportError", "mine.py raised at import: SystemExit: 0"),
        ("OTHER = 1", "UsageError", "no MODEL in it"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_told_at_build(tmp_path: Path, text: str, kind: str, told: str) -> None:
    result = of_file(tmp_path, text)
    assert (result["outcome"], result["error_type"]) == ("failed", kind)
    assert told in result["error"]
    assert result["stages"] == ["import", "build", None]


def test_a_request_for_another_child_is_refused(tmp_path: Path) -> None:
    result = built(DescribeRequest(folder=str(tmp_path / "work"), files=()))
    assert (result["outcome"], result["error_type"]) == ("failed", "TypeError")
    assert "the request is a DescribeRequest, and this child serves a BuildRequest" in result["error"]


TELLING = """
import json, sys
from pathlib import Path
sys.path.append(HARNESS)
from harness.bench.definitions import Model
from harness.bench.imported import imported_code
from harness.bench.registry import load
before = imported_code()
build = load(Path(MODEL_FILE), "MODEL", Model).declared.build
loaded = imported_code()
build()
sys.path.append(GENERATED)
import generated
print(json.dumps([before, loaded, imported_code()]))
"""

MODEL_FILE = """
import sys
import numpy
from pathlib import Path
from harness.bench import Model

sys.path.insert(0, str(Path(__file__).parent))
import _beside


def build():
    import elsewhere.deep


MODEL = Model(summary="", family="own", build=build, example=dict, probes={})
"""


def test_what_a_model_imports_is_told_by_content_and_what_is_installed_is_not(tmp_path: Path) -> None:
    files = {
        "models/mine.py": MODEL_FILE,
        "models/_beside.py": "VALUE = 1\n",
        "elsewhere/__init__.py": "",
        "elsewhere/deep.py": "import json.tool\nimport pytest\n",
        "attempt/generated.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    named = {
        "HARNESS": str(LAUNCHER.parents[2]),
        "MODEL_FILE": str(tmp_path / "models/mine.py"),
        "GENERATED": str(tmp_path / "attempt"),
    }
    script = "\n".join(f"{name} = {value!r}" for name, value in named.items()) + TELLING
    environ = {**os.environ, MARKER: str(tmp_path / "attempt"), "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True)
    before, loaded, after = json.loads(done.stdout)
    assert before == {}
    assert list(loaded) == [str(tmp_path / "models/_beside.py"), str(tmp_path / "models/mine.py")]
    wanted = ("elsewhere/__init__.py", "elsewhere/deep.py", "models/_beside.py", "models/mine.py")
    assert after == {str(tmp_path / name): hashlib.sha256(files[name].encode()).hexdigest()[:16] for name in wanted}
