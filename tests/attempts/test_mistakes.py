"""Models of a user's own that raise wherever they are built, and those that do so somewhere only."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest

from harness.attempts import execution, mistakes
from harness.attempts.settling import table_of
from harness.attempts.tasks import Task
from harness.bench.attempt import Attempt
from harness.bench.plan import Plan, Policy, expand
from harness.bench.registry import discover
from harness.tables.writing import write_table
from tests.attempts.conftest import Observer, make_ambient


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another interpreter with all that the bench needs."""
    return make_ambient(tmp_path_factory.mktemp("other"))


def _plan(root: Path, combination: str) -> Plan:
    """The good model of `root`, and one that raises in a helper of its own, under the interpreter `other` or both."""
    files = [root.parent / name for name in ("good.py", "raising.py")]
    plugins = [root.parent / "plugins"]
    cells = expand(
        discover(models=files, plugins=plugins),
        combination=combination,
        device="cpu",
        tier="quick",
        strategies=["recite"],
    )
    return Plan(
        combination=combination,
        device="cpu",
        tier="quick",
        cells=cells,
        models=tuple(map(str, files)),
        plugins=tuple(map(str, plugins)),
        policy=Policy(measure_s=0.01, threads=1),
        selected=True,
        zoo=False,
    )


def _raising(root: Path, condition: str) -> None:
    text = (root.parent / "good.py").read_text(encoding="utf-8")
    call = "    import raising_helper\n    raising_helper.check()\n    import torch\n"
    (root.parent / "raising.py").write_text(text.replace("    import torch\n", call), encoding="utf-8")
    helper = f"import sys\n\n\ndef check():\n    if {condition}:\n        raise OSError('no such thing')\n"
    (root.parent / "raising_helper.py").write_text(helper, encoding="utf-8")


def _ran(root: Path, *, observer: Observer | None = None, **pythons: Path) -> list[Attempt]:
    told = observer or Observer()
    with contextlib.ExitStack() as holds:
        return [
            execution.execute(root, Task(plan=_plan(root, name), interpreter=python), told, holds, run="one")
            for name, python in pythons.items()
        ]


def test_what_raises_in_every_environment_is_told_with_the_place_in_the_users_own_code(
    root: Path, ambient: Path, other: Path
) -> None:
    _raising(root, "True")
    observer = Observer()
    attempts = _ran(root, observer=observer, first=ambient, second=other)
    (found,) = mistakes.raised_everywhere(root, attempts, results=root / "results").items()
    place = f"{root.parent / 'raising_helper.py'}:6"
    assert (found[0], found[1][0].place, found[1][1]) == ("raising", place, ["first", "second"])
    told = mistakes.told(dict([found]))
    assert "1 model raised wherever it was built (first, second), which no version explains." in told
    assert f"raising: {place}: OSError: no such thing" in told
    assert "Mend it, look with `harness check FILE`, and run the same command again." in told
    early = [line for line in observer.told if line.startswith("raising raised while it was built, at ")]
    assert len(early) == 2, "once in each environment"
    assert early[0].startswith(f"raising raised while it was built, at {place}: OSError: no such thing. If it does so")


def test_what_raises_in_some_environments_only_is_a_result(root: Path, ambient: Path, other: Path) -> None:
    _raising(root, f"sys.prefix == {str(other.parent.parent)!r}")
    attempts = _ran(root, first=ambient, second=other)
    assert mistakes.built_in(attempts[1])["raising"] is not None
    assert mistakes.raised_everywhere(root, attempts, results=root / "results") == {}
    assert mistakes.raised_everywhere(root, attempts[1:], results=root / "results") == {}, "an attempt built the same"
    write_table(root / "results", table_of(attempts[:1], pins={}))
    shutil.rmtree(attempts[0].folder)
    assert mistakes.raised_everywhere(root, attempts[1:], results=root / "results") == {}, "a table tells as much"
    assert list(mistakes.raised_everywhere(root, attempts[1:], results=root / "elsewhere")) == ["raising"]
    (root.parent / "raising_helper.py").write_text("def check():\n    raise OSError\n", encoding="utf-8")
    (again,) = _ran(root, second=other)
    assert list(mistakes.raised_everywhere(root, [again], results=root / "results")) == ["raising"], (
        "that was other code"
    )


VERSIONED = """
import sys

import numpy
import torch

if sys.prefix == PREFIX:

    class Layer(torch.nn.Linear):
        def forward(NEW):
            BODY
            return super().forward(x)

else:

    class Layer(torch.nn.Linear):
        def forward(self, x, head_mask=None):
            return super().forward(x)
"""


@pytest.mark.parametrize(
    ("new", "body", "told"),
    [
        ("self, x", "", ("failed", "BindingError")),
        (
            "self, x, head_mask=None",
            "if x.shape[0] > 2: raise RuntimeError('too many')",
            ("failed", "ProbeRejectedError"),
        ),
        (
            "self, x, head_mask=None",
            "numpy.empty(2**50 if x.shape[0] > 2 else 1)",
            ("out-of-memory", "MemoryError"),
        ),
    ],
)
def test_what_only_one_version_raises_is_recorded_though_it_looks_like_a_mistake(
    root: Path, ambient: Path, other: Path, new: str, body: str, told: tuple[str, str]
) -> None:
    """A signature that changes, a probe that is not taken any more: what an upgrade breaks has to reach the gate."""
    text = (root.parent / "good.py").read_text(encoding="utf-8")
    text = text.replace("import torch\n\n    return torch.nn.Linear", "from layers import Layer\n\n    return Layer")
    text = text.replace('{"x": uniform((2, 8))}', '{"x": uniform((2, 8)), "head_mask": uniform((2, 8))}')
    text = text.replace(
        '{"x": uniform((2, 8), seed=1)}', '{"x": uniform((3, 8), seed=1), "head_mask": uniform((2, 8))}'
    )
    (root.parent / "raising.py").write_text(text.replace("{1: ", "{0: "), encoding="utf-8")
    layers = VERSIONED.replace("PREFIX", repr(str(other.parent.parent))).replace("NEW", new).replace("BODY", body)
    (root.parent / "layers.py").write_text(layers, encoding="utf-8")
    attempts = _ran(root, first=ambient, second=other)
    found = [[row for row, _ in mistakes._records(attempt.records, "*")] for attempt in attempts]
    rows = [{row["model"]: (row["outcome"], row["stage"], row["error_type"]) for row in each} for each in found]
    assert rows[0]["raising"] == rows[0]["good"] == rows[1]["good"] == ("not-applicable", "load", "NotApplicable")
    assert rows[1]["raising"] == (told[0], "build", told[1])
    assert mistakes.raised_everywhere(root, attempts, results=root / "results") == {}


def test_what_could_not_be_built_for_other_reasons_does_not_count(root: Path, ambient: Path) -> None:
    _raising(root, "__import__('os')._exit(1)")
    (attempt,) = _ran(root, first=ambient)
    assert mistakes.built_in(attempt) == {"good": None}
    assert mistakes.raised_everywhere(root, [attempt], results=root / "results") == {}


def test_a_change_of_their_code_changes_the_digest_in_the_record(root: Path, ambient: Path) -> None:
    _raising(root, "False")
    digests = []
    for text in ("", "# more\n"):
        with (root.parent / "raising_helper.py").open("a", encoding="utf-8") as file:
            file.write(text)
        (attempt,) = _ran(root, first=ambient)
        rows = {row["model"]: row["model_digest"] for row, _ in mistakes._records(attempt.records, "*")}
        digests.append(rows)
    assert digests[0]["good"] == digests[1]["good"]
    assert digests[0]["raising"] != digests[1]["raising"]


def test_a_traceback_keeps_the_users_own_file_and_line(root: Path, ambient: Path) -> None:
    _raising(root, "True")
    (attempt,) = _ran(root, first=ambient)
    ((_, details),) = mistakes._records(attempt.records, "raising--*")
    assert f'File "{root.parent / "raising_helper.py"}", line 6, in check' in details["traceback"]
    assert f'File "{root.parent / "raising.py"}", line ' in details["traceback"]
    assert 'File "<harness>/harness/bench/' in details["traceback"]
