"""Stages and results of a process, whatever ends it."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.bench import NotApplicable
from harness.bench.binding import BindingError
from harness.bench.failure import failure_of
from harness.bench.processes import Ended, Limits
from harness.bench.progress import (
    LONGEST,
    RESULT_FILE,
    STAGES_FILE,
    InputsError,
    ProbeRejectedError,
    Progress,
    Trail,
    described,
    read_trail,
)
from harness.bench.stages import Outcome, Stage
from tests.bench.children import ROOT, raised, run_job

LIMITS = Limits(timeout_s=5.0, memory_limit_mb=512)

KILLED = """
import os, signal, sys
from pathlib import Path
from harness.bench.progress import Progress
from harness.bench.stages import Stage

progress = Progress(Path(sys.argv[1]))
progress.enter(Stage.IMPORT, rss_base_mb=12.5)
progress.enter(Stage.LOAD, provider="x")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_the_stages_that_it_entered(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, check=False)
    assert done.returncode == -9
    trail = read_trail(tmp_path)
    assert [line["stage"] for line in trail.stages] == ["import", "load"]
    assert trail.last is Stage.LOAD
    assert trail.result is None
    assert (trail.fact("rss_base_mb"), trail.fact("provider"), trail.fact("nothing")) == (12.5, "x", None)
    assert list(trail.seconds()) == ["import", "load"]


def test_half_a_line_is_left_out(tmp_path: Path) -> None:
    Progress(tmp_path).enter(Stage.CONVERT)
    with (tmp_path / STAGES_FILE).open("a", encoding="utf-8") as file:
        file.write('{"stage": "valid')
    assert read_trail(tmp_path).last is Stage.CONVERT


def test_a_process_that_left_nothing_has_an_empty_trail(tmp_path: Path) -> None:
    trail = read_trail(tmp_path)
    assert (trail.stages, trail.result, trail.last, trail.seconds()) == ((), None, None, {})


def test_a_process_that_ends_well_says_so(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    progress.enter(Stage.CONVERT)
    progress.finish(kind="onnx")
    trail = read_trail(tmp_path)
    assert trail.result == {"outcome": "passed", "kind": "onnx"}
    assert trail.last is Stage.CONVERT
    assert failure_of(trail, Ended(0), LIMITS, fallback=Stage.IMPORT) is None


def test_seconds_add_up_by_stage_and_leave_out_what_follows_the_end() -> None:
    lines: list[dict[str, Any]] = [
        {"stage": "convert", "at": 10.0},
        {"stage": "validate", "at": 12.0},
        {"stage": "convert", "at": 13.0},
        {"stage": None, "at": 14.0},
    ]
    assert Trail(tuple(lines), None, ended=99.0).seconds() == {"convert": 3.0, "validate": 1.0}


class _OutOfMemoryError(RuntimeError):
    """What torch.cuda raises is called so."""


_OutOfMemoryError.__name__ = "OutOfMemoryError"


NO_SPACE = "/x.pb; No space left on device"


class _ExhaustedError(Exception):
    """TensorFlow raises it for memory, and for a disk."""


_ExhaustedError.__name__ = "ResourceExhaustedError"


class _OrtError(Exception):
    """ONNX Runtime's are made in C++, and no subclasses of anything."""


_OrtError.__name__ = "RuntimeException"
_OrtError.__module__ = "onnxruntime.capi.onnxruntime_pybind11_state"


class _Mute(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise OSError


@pytest.mark.parametrize(
    ("error", "outcome", "kind", "text"),
    [
        (ValueError("no"), Outcome.FAILED, "ValueError", "no"),
        (ValueError(), Outcome.FAILED, "ValueError", "ValueError without a message"),
        (SystemExit(0), Outcome.FAILED, "SystemExit", "the tool ended the process: SystemExit(0)"),
        (SystemExit("bye"), Outcome.FAILED, "SystemExit", "the tool ended the process: SystemExit('bye')"),
        (KeyboardInterrupt(), Outcome.FAILED, "KeyboardInterrupt", "KeyboardInterrupt without a message"),
        (NotApplicable("needs 2.5"), Outcome.NOT_APPLICABLE, "NotApplicable", "needs 2.5"),
        (MemoryError("x"), Outcome.OUT_OF_MEMORY, "MemoryError", "x"),
        (_OutOfMemoryError("x"), Outcome.OUT_OF_MEMORY, "OutOfMemoryError", "x"),
        (RuntimeError("CUDA error: out of memory"), Outcome.OUT_OF_MEMORY, "RuntimeError", "CUDA error: out of memory"),
        (_OrtError("std::bad_alloc"), Outcome.OUT_OF_MEMORY, "RuntimeException", "std::bad_alloc"),
        (OSError(errno.ENOMEM, "no"), Outcome.OUT_OF_MEMORY, "OSError", f"[Errno {errno.ENOMEM}] no"),
        (ValueError("cannot fuse: out of memory"), Outcome.FAILED, "ValueError", "cannot fuse: out of memory"),
        (OSError("std::bad_alloc"), Outcome.FAILED, "OSError", "std::bad_alloc"),
        (NotImplementedError("out of memory"), Outcome.FAILED, "NotImplementedError", "out of memory"),
        (RecursionError("out of memory"), Outcome.FAILED, "RecursionError", "out of memory"),
        (
            _ExhaustedError("OOM when allocating"),
            Outcome.OUT_OF_MEMORY,
            "ResourceExhaustedError",
            "OOM when allocating",
        ),
        (_ExhaustedError(NO_SPACE), Outcome.FAILED, "ResourceExhaustedError", NO_SPACE),
        (OSError("\udcff"), Outcome.FAILED, "OSError", "?"),
        (_Mute(), Outcome.FAILED, "_Mute", "(its message cannot be told: OSError)"),
    ],
)
def test_exceptions_become_outcomes(error: BaseException, outcome: Outcome, kind: str, text: str) -> None:
    told = described(error)
    assert (told["outcome"], told["error_type"], told["error"]) == (outcome.value, kind, text)
    assert told["mistake"] is False
    json.dumps(told).encode()


def test_messages_are_cut_where_they_are_made() -> None:
    told = described(raised("raise ValueError('begin' + 'x' * 10**7 + 'end')"))
    assert told["error"].startswith("beginxxx")
    assert told["error"].endswith("xxxend")
    assert "[... 9980008 characters ...]" in told["error"]
    assert told["traceback"].startswith("Traceback")
    assert len(json.dumps(told)) < 3 * LONGEST


ODD = """
class S(str):
    def encode(self, *a): raise KeyError
class E(Exception):
    def __str__(self): return S("odd")
raise E
"""

AWKWARD = {
    "no end to the recursion": ("def f(): f()\nf()", "RecursionError", "maximum recursion depth"),
    "a class name of megabytes": ("raise type('E' * 10**7, (Exception,), {})('x')", "E" * 200, "x"),
    "a message that ends the process": (
        "class E(Exception):\n    def __str__(self): raise SystemExit(3)\nraise E",
        "E",
        "cannot be told: SystemExit",
    ),
    "a message that is a string of its own kind": (
        ODD,
        "E",
        "odd",
    ),
    "not to be pickled": ("raise ValueError(lambda: 0)", "ValueError", "<function <lambda>"),
    "of no Exception": ("class E(BaseException): pass\nraise E('deep')", "E", "deep"),
    "a group": ("raise GeneratorExit('x')", "GeneratorExit", "x"),
    "a long chain": (
        "e = None\nfor i in range(5000):\n    n = ValueError(i); n.__cause__ = e; e = n\nraise e",
        "ValueError",
        "4999",
    ),
    "a chain without an end": (
        "a, b = ValueError('a'), ValueError('b')\na.__cause__, b.__cause__ = b, a\nraise a",
        "ValueError",
        "a",
    ),
    "control characters": (r"raise ValueError('\0 \x1b[31m \ud800')", "ValueError", "\0 \x1b[31m ?"),
}


@pytest.mark.parametrize("name", AWKWARD)
def test_any_exception_becomes_a_result(tmp_path: Path, name: str) -> None:
    code, kind, text = AWKWARD[name]
    Progress(tmp_path).fail(raised(code))
    result = read_trail(tmp_path).result
    assert result is not None
    assert (result["outcome"], result["error_type"]) == ("failed", kind)
    assert text in result["error"]
    assert (tmp_path / RESULT_FILE).stat().st_size < 10 * LONGEST


class _StrangeError(ImportError):
    @property
    def __dict__(self) -> dict[str, object]:  # type: ignore[override]
        raise KeyboardInterrupt


def test_an_error_whose_attributes_raise_is_told_all_the_same() -> None:
    told = described(_StrangeError("no such thing"))
    assert (told["error"], told["where"]) == ("no such thing", "")


def test_a_mistake_is_what_no_version_has_a_part_in() -> None:
    assert described(InputsError("x"))["mistake"] is True
    assert described(ProbeRejectedError("x"))["mistake"] is False
    assert described(BindingError("x"))["mistake"] is False


def test_an_exception_is_the_result_and_its_stage_the_last_one(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    progress.enter(Stage.VALIDATE)
    try:
        os.environ["NOBODY_SETS_THIS"]
    except KeyError as error:
        progress.fail(error)
    failure = failure_of(read_trail(tmp_path), Ended(0), LIMITS, fallback=Stage.IMPORT)
    assert failure is not None
    assert (failure.outcome, failure.stage, failure.error_type) == (Outcome.FAILED, Stage.VALIDATE, "KeyError")
    assert failure.traceback.startswith("Traceback")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([STAGES_FILE, RESULT_FILE])


def _garbage(path: Path, kind: str) -> None:
    if kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a link":
        path.symlink_to("/dev/zero")
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(2**34)
    else:
        path.write_bytes(GARBAGE[kind])


GARBAGE = {
    "a folder": b"",
    "a pipe": b"",
    "a link": b"",
    "huge": b"",
    "empty": b"",
    "bytes": bytes(range(256)) * 100,
    "a list": b"[1]\n",
    "deep": b"[" * 10**6,
    "a number": b"9" * 10**5 + b"\n",
    "no outcome": b'{"stage": "convert"}\n{"at": 1.0}\n{"stage": ["x"], "at": 1.0}\n',
    "an outcome of nobody's": b'{"outcome": "excellent"}\n{"stage": "excellent", "at": 1.0}\n',
    "an outcome that is none of its own": b'{"outcome": "timed-out", "error_type": "x", "error": "y"}\n',
    "no error": b'{"outcome": "failed", "error": 3}\n{"stage": "convert", "at": "now"}\n{"stage": null, "at": NaN}\n',
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_whatever_a_step_writes_into_the_result_is_a_crash_that_says_so(tmp_path: Path, kind: str) -> None:
    _garbage(tmp_path / RESULT_FILE, kind)
    trail = read_trail(tmp_path)
    failure = failure_of(trail, Ended(0), LIMITS, fallback=Stage.CONVERT)
    assert failure is not None
    assert (failure.outcome, failure.error_type) == (Outcome.CRASHED, "NoResult")
    assert "left a result that cannot be used: it" in failure.error
    assert len(failure.error) < 200


@pytest.mark.parametrize("kind", GARBAGE)
def test_whatever_a_step_writes_into_the_stages_is_left_out(tmp_path: Path, kind: str) -> None:
    _garbage(tmp_path / STAGES_FILE, kind)
    assert read_trail(tmp_path).stages == ()


def test_stages_after_gigabytes_of_garbage_are_found(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    progress.enter(Stage.IMPORT)
    with (tmp_path / STAGES_FILE).open("r+b") as file:
        file.truncate(2**33)
        file.seek(0, os.SEEK_END)
        file.write(b"\n")
    progress.enter(Stage.CONVERT)
    assert read_trail(tmp_path).last is Stage.CONVERT


ABUSES = {
    "closes descriptors": "import os; os.closerange(0, 256)",
    "opens all descriptors": "import os, resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
    "try:\n    while True: os.open('/', os.O_RDONLY)\nexcept OSError: pass",
    "removes its folder": "import os, shutil; shutil.rmtree(os.getcwd())",
    "removes the folder above": "import os, shutil; shutil.rmtree(os.path.dirname(os.getcwd()))",
    "goes elsewhere": "import os; os.chdir('/')",
    "changes umask": "import os; os.umask(0o777)",
    "clears the environment": "import os; os.environ.clear(); os.environ['LANG'] = 'C'",
    "changes the locale": "import locale; locale.setlocale(locale.LC_ALL, 'C')",
    "clears sys.path": "import sys; sys.path.clear(); sys.path_importer_cache.clear()",
    "takes the streams": "import sys; sys.stdout = sys.stderr = None",
    "breaks the streams": "import sys\nclass S:\n    def flush(self): raise SystemExit(3)\nsys.stdout = S()",
    "runs an exit handler": "import atexit, os; atexit.register(os._exit, 9)",
    "writes its own result": "open('result.json', 'w').write('{\"outcome\": \"passed\"}')",
    "writes its own stages": "open('stages.jsonl', 'a').write('x' * 10**7 + '\\n')",
    "removes its stages": "import os; os.unlink('stages.jsonl')",
}


@pytest.mark.parametrize("abuse", ABUSES)
def test_whatever_a_step_does_to_its_process_the_result_is_written(tmp_path: Path, abuse: str) -> None:
    folder = tmp_path / "cell" / "convert"
    folder.mkdir(parents=True)
    done = run_job(ABUSES[abuse], folder)
    assert done.returncode == 0, done.stderr
    trail = read_trail(folder)
    failure = failure_of(trail, Ended(done.returncode), LIMITS, fallback=Stage.IMPORT)
    assert failure is not None
    assert failure.outcome is Outcome.FAILED
    if abuse != "opens all descriptors":
        assert (failure.stage, failure.error_type, failure.error) == (Stage.VALIDATE, "KeyError", "'after it'")
        assert trail.fact("rss_base_mb") == 1.5 or abuse == "writes its own stages"


@pytest.mark.parametrize("value", [object(), {1: {2}}, float])
def test_a_result_that_no_file_can_hold_is_a_failure(tmp_path: Path, value: object) -> None:
    Progress(tmp_path).finish(facts=value)
    result = read_trail(tmp_path).result
    assert result is not None
    assert (result["outcome"], result["error_type"]) == ("failed", "TypeError")
