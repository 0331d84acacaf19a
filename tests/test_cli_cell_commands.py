"""`harness explain`, `rerun` and `open`, after a run of a user's own models in an environment without frameworks."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pyarrow import parquet

from harness import cli
from harness.bench.hold import hold
from harness.bench.kept import read_artifact
from harness.cli import opening
from harness.tables.writing import write_table
from tests.attempts.conftest import make_ambient
from tests.bench.linear import add_model, add_strategy
from tests.tables.samples import failed, table

ROOT = Path(__file__).resolve().parents[1]
STEPS = {
    "good": "facts = {'opset': 16}",
    "doubled": "weight = weight * 2",
    "raises": "print('almost'); raise KeyError(f'lost in {path}')",
    "also-raises": "raise KeyError(f'lost in {path}')",
    "moody": "assert not os.path.exists(MOOD), 'not today'",
}
TOLD = (
    "KeyError",
    "The end of the log",
    "almost",
    "Traceback",
    "kept in .harness/details/ambient/",
    "ambient/linear/also-raises",
)


@pytest.fixture(scope="module")
def ambient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_ambient(tmp_path_factory.mktemp("ambient"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, ambient: Path) -> Path:
    """A repository with a model of a user's own, after a run of it."""
    folder = tmp_path_factory.mktemp("repository")
    (folder / "matrices").mkdir()
    text = 'combinations = ["small"]\ndevices = ["cpu"]\n[policy]\nmeasure_s = 0.01\nthreads = 1\ntimeout_s = 30.0\n'
    (folder / "matrices" / "nightly.toml").write_text(text, encoding="utf-8")
    (folder / "matrices" / "small.in").write_text("# python: 3.11\nsix==1.16.0\n", encoding="utf-8")
    add_model(folder)
    for name, body in STEPS.items():
        add_strategy(folder, name, body.replace("MOOD", repr(str(folder / "mood"))), shapes="dynamic")
    strategies = [f"--strategies={name}" for name in STEPS]
    own = ["--models=linear.py", "--plugin-folder=plugins"]
    done = call(folder, "run", "--python", ambient, *own, *strategies)
    assert done.exit_code == 0, done.output
    return folder


def call(root: Path, *arguments: str | Path) -> Result:
    """The `harness` command in a repository, as a user calls it."""
    with contextlib.chdir(root):
        return CliRunner().invoke(cli.cli, [str(each) for each in arguments], prog_name="harness")


def test_explain_tells_all_and_paths_that_messages_name_exist(root: Path) -> None:
    done = call(root, "explain", "ambient/linear/raises")
    assert done.exit_code == 0, done.output
    for words in TOLD:
        assert words in done.stdout
    named = re.findall(r"<scratch>/(\S+) is (\S+)", call(root, "explain", "ambient/linear/doubled").stdout)
    told = json.loads(call(root, "explain", "ambient/linear/doubled", "--json").stdout)
    assert told["row"]["outcome"] == "mismatched"
    assert all((root / path).exists() for _, path in named)
    kept = root / told["kept"]
    assert (kept / read_artifact(kept).path).is_file()
    raised = json.loads(call(root, "explain", "ambient/linear/raises", "--json").stdout)
    assert "KeyError" in raised["details"]["traceback"]
    assert raised["alike"] == ["ambient/linear/also-raises"]
    assert raised["packages"]["pytest"]


def test_explain_tells_each_launch_and_where_the_samples_of_it_are(root: Path) -> None:
    told = json.loads(call(root, "explain", "ambient/linear/good", "--json").stdout)
    assert [launch["launch"] for launch in told["launches"]] == [0, 1, 2]
    text = call(root, "explain", "ambient/linear/good").stdout
    assert f"the median of 3 launches, which differ by {told['row']['latency_spread'] * 100:.1f} %" in text
    assert f"raw samples: {told['samples']}, one row a round" in text
    columns = ["strategy", "launch", "round", "calls", "call_s"]
    rows = parquet.read_table(root / told["samples"], columns=columns).to_pylist()
    for launch in told["launches"]:
        of_launch = [row for row in rows if (row["strategy"], row["launch"]) == ("good", launch["launch"])]
        assert [row["round"] for row in of_launch] == list(range(launch["rounds"]))
        assert {row["calls"] for row in of_launch} == {launch["calls"]}
        assert abs(statistics.median(row["call_s"] for row in of_launch) * 1000 - launch["latency_ms"]) < 1e-6
        assert f"launch {launch['launch']}: " in text
        assert "samples_s" not in told["details"]["launches"][launch["launch"]]
    broken = call(root, "explain", "ambient/linear/raises").stdout
    assert "Launches" not in broken


def test_the_commands_that_explain_names_work_as_printed(root: Path, ambient: Path) -> None:
    told = json.loads(call(root, "explain", "ambient/linear/raises", "--json").stdout)
    (again,) = [command for command in told["next"] if " rerun " in command]
    words = shlex.split(again)
    refused = call(root, *words[1:])
    assert refused.exit_code == 2
    assert "--python PATH" in refused.stderr  # no combination says what to install
    folder = root / words[words.index("--keep") + 1]
    assert not folder.exists()
    done = call(root, *words[1:], "--python", ambient)
    assert done.exit_code == 0, done.output
    assert "It ended as it was recorded: failed at convert: KeyError" in done.stdout
    record = json.loads((folder / "record.json").read_text())
    assert record["row"]["fingerprint"] == told["row"]["fingerprint"]
    assert "lost in" in (folder / "traceback.txt").read_text()
    assert "almost" in (folder / "convert" / "log.txt").read_text()
    assert json.loads((folder / "environment.json").read_text())["packages"]["pytest"]

    (folder / "convert" / "more.txt").write_text("mine")
    assert call(root, *words[1:], "--python", ambient).exit_code == 0  # its own folder is made anew
    assert not (folder / "convert" / "more.txt").exists()
    (folder / "notes.txt").write_text("mine")
    refused = call(root, *words[1:], "--python", ambient)
    assert refused.exit_code == 2
    assert "there are other things in it" in refused.stderr
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_rerun_that_ends_in_another_way_says_so_and_is_no_success(root: Path, ambient: Path) -> None:
    (root / "mood").write_text("bad")
    done = call(root, "rerun", "ambient/linear/moody", "--python", ambient, "--keep", root / "moody")
    (root / "mood").unlink()
    assert done.exit_code == 3, done.output
    assert "It ended in another way." in done.stdout
    assert "recorded: passed" in done.stdout
    assert "now:      failed at convert: AssertionError: not today" in done.stdout
    assert "not today" in (root / "moody" / "traceback.txt").read_text()


def test_a_rerun_keeps_a_passing_cell_whole_and_makes_no_table(root: Path, ambient: Path) -> None:
    before = sorted((root / ".harness" / "scratch").rglob("run.json"))
    done = call(root, "rerun", "ambient/linear/good", "--python", ambient, "--keep", root / "good")
    assert done.exit_code == 0, done.output
    assert "It ended as it was recorded: passed" in done.stdout
    artifact = read_artifact(root / "good")
    assert (artifact.kind, artifact.facts) == ("array", {"opset": 16})
    assert (root / "good" / artifact.path).is_file()
    assert sorted((root / ".harness" / "scratch").rglob("run.json")) == before
    assert not (root / "results").exists()


def test_details_outlive_the_next_run_of_the_same(root: Path, ambient: Path) -> None:
    (folder,) = (root / ".harness" / "scratch" / "ambient").glob("*/*")
    strategies = [f"--strategies={name}" for name in STEPS]
    done = call(root, "run", "--python", ambient, "--models=linear.py", "--plugin-folder=plugins", *strategies)
    assert done.exit_code == 0, done.output
    told = json.loads(call(root, "explain", f"{folder}/linear/raises", "--json").stdout)
    assert "KeyError" in told["details"]["traceback"]
    assert (root / told["kept"] / "convert" / "log.txt").is_file()


def test_where_only_the_row_is_here_it_says_so_and_how_to_have_the_rest(root: Path) -> None:
    write_table(root / "elsewhere", table(failed("linear", "raises")))
    done = call(root, "explain", "torch2.0/linear/raises", "--results", root / "elsewhere")
    assert done.exit_code in (2, 3)  # it is of another lock than the combination's own
    (folder,) = (root / "elsewhere" / "torch2.0").glob("*/*")
    done = call(root, "explain", f"{folder}/linear/raises")
    assert done.exit_code == 0, done.stderr
    assert "Only the row is here" in done.stdout
    again = rf"`harness rerun {re.escape(str(folder.relative_to(root)))}/linear/raises --keep linear-raises(-2)?` makes"
    assert re.search(again, done.stdout)


def _shown(root: Path, *arguments: str | Path) -> tuple[str, str]:
    """What `harness open` prints, and the page that is at the address that it prints, until Ctrl-C."""
    process = subprocess.Popen(
        [sys.executable, "-m", "harness.cli", "open", *map(str, arguments), "--no-browser"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    printed = ""
    try:
        for line in process.stdout:
            printed += line
            if found := re.search(r"Netron: (http://localhost:\d+)", line):
                page = urllib.request.urlopen(found[1], timeout=20).read().decode()
                process.send_signal(signal.SIGINT)
                assert process.wait(20) == 0
                return printed, page
    finally:
        process.kill()
        process.wait()
    pytest.fail(printed)


def test_open_shows_the_artifact_that_was_kept_and_one_that_is_converted_now(root: Path, ambient: Path) -> None:
    before = sorted((root / ".harness" / "details").rglob("artifact.json"))
    printed, page = _shown(root, "ambient/linear/doubled")
    assert "/linear--doubled/convert/artifact-0/weight.npy" in printed
    assert "weight.npy" in page
    assert sorted((root / ".harness" / "details").rglob("artifact.json")) == before
    printed, page = _shown(root, "ambient/linear/good", "--python", ambient)
    assert "/linear--good/convert/artifact-0/weight.npy" in printed
    assert "weight.npy" in page
    assert len(list((root / ".harness" / "details").rglob("artifact.json"))) == len(before) + 1


def test_open_keeps_as_much_as_the_plan_of_the_table_or_the_matrix_file_says_and_what_it_shows(
    root: Path, ambient: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "NETRON", "netron_of_nobody")
    matrix = root / "matrices" / "nightly.toml"
    before = matrix.read_text(encoding="utf-8")
    plan = max((root / ".harness" / "details").rglob("plan.json"), key=lambda path: path.parent.name)
    planned = json.loads(plan.read_text(encoding="utf-8"))
    older = plan.parents[1] / "20200101T000000Z" / "kept" / "linear--raises" / "model.onnx"
    there = []
    for in_plan, in_matrix in ((1, 1), (1, 64), (64, 1)):
        shutil.rmtree(plan.parent / "kept" / "linear--good", ignore_errors=True)
        older.parent.mkdir(parents=True, exist_ok=True)
        older.write_bytes(bytes(2 * 2**20))
        plan.write_text(json.dumps({**planned, "keeping": {"all_mb": in_plan}}), encoding="utf-8")
        matrix.write_text(f"{before}[keep]\nall_mb = {in_matrix}\n", encoding="utf-8")
        done = call(root, "open", "ambient/linear/good", "--python", ambient)
        assert "linear--good/convert/artifact-0/weight.npy" in done.stderr
        assert (plan.parent / "kept" / "linear--good" / "convert" / "artifact-0" / "weight.npy").is_file()
        there.append(older.exists())
    matrix.write_text(before, encoding="utf-8")
    plan.write_text(json.dumps(planned), encoding="utf-8")
    shutil.rmtree(older.parents[2])
    assert there == [False, True, True]


def test_open_says_where_a_cell_comes_to_no_artifact(root: Path, ambient: Path) -> None:
    done = call(root, "open", "ambient/linear/raises", "--no-browser", "--python", ambient)
    assert done.exit_code == 3, done.output
    assert "ambient/linear/raises comes to no artifact: failed at convert: KeyError" in done.stderr


@pytest.fixture(scope="module")
def unresolvable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a combination whose pins have no solution, after a run of it."""
    folder = tmp_path_factory.mktemp("unresolvable")
    (folder / "matrices" / "locks").mkdir(parents=True)
    (folder / "matrices" / "nightly.toml").write_text('combinations = ["none"]\ndevices = ["cpu"]\n', encoding="utf-8")
    (folder / "matrices" / "none.in").write_text("# python: 3.11\nsix==1.16.0\n", encoding="utf-8")
    reason = "# python: 3.11\n# six==1.16.0\n\nNo solution found: six==1.16.0 needs what there is not.\n"
    (folder / "matrices" / "locks" / "none.unresolvable").write_text(reason, encoding="utf-8")
    add_model(folder)
    done = call(folder, "run", "none", "--models=linear.py", "--strategies=native")
    assert done.exit_code == 0, done.output
    return folder


@pytest.mark.parametrize(("command", "code"), [("explain", 0), ("open", 3)])
def test_of_pins_without_a_solution_the_next_step_is_to_edit_and_lock_them(
    unresolvable: Path, command: str, code: int
) -> None:
    done = call(unresolvable, command, "none/linear/native")
    assert done.exit_code == code, done.output
    said = " ".join(done.output.split())
    again = "`harness run none --models linear.py --tier quick --device cpu` installs and runs them."
    assert (
        f"edit matrices/none.in until its environment can be had: `harness lock none` resolves its pins, and {again}"
        in said
    )
    assert not re.search("harness (rerun|open)", said), said
    if command == "explain":
        assert "no environment; " in said
        assert "nothing is installed; " in said
        assert "resolver's reason, whole: " in said
    else:
        assert "none/linear/native comes to no artifact: unresolvable at resolve" in said


@pytest.mark.parametrize("command", [["check", "linear.py", "--combination", "none"], ["open", "none/linear/native"]])
def test_what_waits_for_an_environment_says_so_at_once_and_promises_no_recorded_cell(
    unresolvable: Path, command: Sequence[str]
) -> None:
    with hold(unresolvable / ".harness" / "environments" / "none", "the environment none", print):
        process = subprocess.Popen(
            [sys.executable, "-m", "harness.cli", "--root", str(unresolvable), *command],
            cwd=unresolvable,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        assert any("Waiting for it to end" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate()
    assert process.returncode == 3, told
    assert "interrupted. It records no cells: the same command begins anew." in told


def test_open_says_what_to_install(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "NETRON", "netron_of_nobody")
    done = call(root, "open", "ambient/linear/doubled")
    assert done.exit_code == 2, done.output
    assert "`pip install netron`" in done.stderr
    assert "linear--doubled/convert/artifact-0/weight.npy" in done.stderr


def test_a_cell_runs_again_from_its_table_alone_with_the_folders_that_no_table_has(root: Path, ambient: Path) -> None:
    shutil.rmtree(root / ".harness" / "details")
    cell = "ambient/linear/also-raises"
    done = call(root, "rerun", cell, "--python", ambient)
    assert done.exit_code == 2
    assert "unknown strategy 'also-raises'" in done.stderr
    done = call(root, "rerun", cell, "--python", ambient, "--plugin-folder=plugins")
    assert done.exit_code == 0, done.output
    assert "It ended as it was recorded: failed at convert: KeyError" in done.stdout
    assert "only the table is here, which has the policy and no folders of --plugin-folder" in done.stdout
