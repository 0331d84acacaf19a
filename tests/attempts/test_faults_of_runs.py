"""What may befall a run: killed, interrupted, out of disk, bereft of its interpreter, started twice. It goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.attempts.settling import table_of
from harness.bench.attempt import Attempt, State
from tests.attempts.conftest import ROOT, SLEEP_S, add_package, add_route, make_ambient, running

DAEMON = """
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", "SECONDS"])
        os._exit(0)
"""


class Checkout:
    """The `harness` command in a checkout, on an ambient interpreter."""

    def __init__(self, root: Path, python: Path) -> None:
        self.root = root
        self.python = python
        self.strategies: list[str] = []

    def add(self, name: str, body: str) -> None:
        """A strategy whose step runs `body`."""
        add_route(self.root.parent / "plugins", name, body)
        self.strategies.append(name)

    @property
    def command(self) -> list[str]:
        given = ["--root", self.root, "run", "--python", self.python, "--plugin-folder", self.root.parent / "plugins"]
        given += ["--models", self.root.parent / "good.py", *(f"--strategies={name}" for name in self.strategies)]
        return [sys.executable, "-m", "harness.cli", *map(str, given)]

    def start(self, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command,
            cwd=ROOT,
            env={**os.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command,
            cwd=ROOT,
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    @property
    def attempt(self) -> Attempt:
        (file,) = (self.root / ".harness" / "attempts").glob("*/*/attempt.json")
        return Attempt(file.parent)

    def outcomes(self) -> dict[str, tuple[str, str | None]]:
        return {r.strategy: (r.outcome.value, r.error_type) for r in table_of([self.attempt], pins={}).records}


@pytest.fixture
def checkout(root: Path, ambient: Path) -> Checkout:
    made = Checkout(root, ambient)
    made.strategies.append("recite")
    return made


def _until(process: subprocess.Popen[str], text: str) -> str:
    """Read what a process prints until `text` comes."""
    assert process.stdout is not None
    read = ""
    for line in process.stdout:
        read += line
        if text in line:
            return read
    raise AssertionError(read)


def _await(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.05)


def _end(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    rest = process.stdout.read()
    process.wait(60)
    process.stdout.close()
    return rest


@pytest.fixture
def waiting(checkout: Checkout, tmp_path: Path) -> Iterator[Checkout]:
    """A checkout with a step that starts a daemon and waits, until a file is there."""
    release = tmp_path / "release"
    body = DAEMON.replace("SECONDS", SLEEP_S) + (
        f"    open({str(tmp_path / 'under-way')!r}, 'w').close()\n"
        f"    while not os.path.exists({str(release)!r}):\n        time.sleep(0.05)"
    )
    checkout.add("waits", body.strip())
    yield checkout
    release.touch()
    for pid in running(f"sleep {SLEEP_S}"):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_ends_a_run_with_nothing_left_and_the_next_goes_on(
    waiting: Checkout, tmp_path: Path, number: signal.Signals
) -> None:
    process = waiting.start()
    _await(tmp_path / "under-way")
    process.send_signal(number)
    said = _end(process)
    assert process.returncode == 3, said
    assert "Run the same command again to go on" in said
    assert not running(f"sleep {SLEEP_S}")
    assert not running(str(waiting.root))
    assert waiting.attempt.state is State.PAUSED
    assert not list(waiting.attempt.scratch.glob("*"))
    (tmp_path / "release").touch()
    done = waiting.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert waiting.outcomes()["waits"] == ("not-applicable", "NotApplicable")
    assert not running(f"sleep {SLEEP_S}")


def test_after_a_kill_9_the_next_start_removes_what_was_left_and_goes_on(waiting: Checkout, tmp_path: Path) -> None:
    process = waiting.start()
    _await(tmp_path / "under-way")
    bench = running("-pharness.bench", under=process.pid)
    for pid in [process.pid, *bench]:
        os.kill(pid, signal.SIGKILL)
    _end(process)
    attempt = waiting.attempt
    assert attempt.state is State.RUNNING
    assert list(attempt.scratch.glob("*")), "a killed run leaves its scratch"
    (tmp_path / "release").touch()
    done = waiting.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "going on with 1 cells" in done.stdout
    assert waiting.attempt.folder == attempt.folder
    assert not list(attempt.scratch.glob("*"))
    assert not running(f"sleep {SLEEP_S}")


def test_a_second_run_of_the_same_says_who_has_it_and_waits(waiting: Checkout, tmp_path: Path) -> None:
    first = waiting.start()
    _await(tmp_path / "under-way")
    second = waiting.start()
    said = _until(second, "Waiting for it to end.")
    assert f"is held by process {first.pid} since" in said
    (tmp_path / "release").touch()
    assert "Table: " in _end(first)
    assert first.returncode == 0
    said += _end(second)
    assert second.returncode == 0, said
    assert "Table: " in said
    assert len(list((waiting.root / ".harness" / "scratch").glob("*/*/*/cells.csv"))) == 1, "one table, of one run"


def test_an_interpreter_that_goes_in_mid_run_stops_it_with_the_cause(root: Path, tmp_path: Path) -> None:
    python = make_ambient(tmp_path / "doomed")
    checkout = Checkout(root, python)
    checkout.add("a-good", "pass")
    checkout.add("takes-it-away", f"os.rename({str(python)!r}, {str(python)!r} + '.gone')\n    raise OSError('done')")
    checkout.add("z-good", "pass")
    done = checkout.run()
    assert done.returncode == 3, done.stdout + done.stderr
    assert "interpreter has gone" in done.stderr
    assert checkout.attempt.state is State.PAUSED
    assert "interpreter has gone" in (checkout.attempt.read() or {})["cause"]
    assert not list(root.rglob("cells.csv"))
    kept = len(list(checkout.attempt.records.iterdir()))
    Path(f"{python}.gone").rename(python)
    add_route(root.parent / "plugins", "takes-it-away", f"assert {kept}")


def test_a_disk_that_fills_within_a_cell_is_no_result_of_the_cell(
    checkout: Checkout, small_disk: Path, tmp_path: Path
) -> None:
    (checkout.root / ".harness").symlink_to(small_disk)
    flag = tmp_path / "roomy"
    fill = (
        f"if not os.path.exists({str(flag)!r}):\n"
        "        with open(context.folder / 'fill', 'wb') as file:\n"
        "            while True:\n                file.write(b'x' * 2**16)"
    )
    checkout.add("z-fills", fill)
    done = checkout.run()
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Make room" in done.stderr
    assert checkout.attempt.state is State.PAUSED
    assert not list(checkout.root.rglob("cells.csv"))
    flag.touch()
    done = checkout.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "going on with" in done.stdout
    assert checkout.outcomes() == dict.fromkeys(["recite", "z-fills"], ("not-applicable", "NotApplicable"))


def test_a_folder_that_may_not_be_written_to_is_told(checkout: Checkout) -> None:
    (checkout.root / ".harness").write_text("in the way", encoding="utf-8")
    done = checkout.run()
    assert done.returncode == 3, done.stdout + done.stderr
    assert "bug" not in done.stderr
    assert ".harness" in done.stderr


def test_a_step_that_changes_its_models_native_outputs_costs_its_own_cell(checkout: Checkout) -> None:
    body = (
        "import json\n    request = json.loads((context.folder.parent / 'request.json').read_text())\n"
        "    target = os.path.join(request['built'], 'native-0.npz')\n"
        "    os.chmod(target, 0o600)\n    open(target, 'ab').write(b'more')"
    )
    checkout.add("a-vandal", body)
    done = checkout.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert checkout.outcomes() == {
        "a-vandal": ("failed", "ForeignFilesChanged"),
        "recite": ("not-applicable", "NotApplicable"),
    }


def test_a_step_that_says_something_of_the_wrong_type_costs_its_own_cell(checkout: Checkout) -> None:
    for name, facts in (
        ("a-text", "{'opset': 'sixteen'}"),
        ("a-truth", "{'opset': True}"),
        ("a-half", "{'opset': 1.5}"),
    ):
        checkout.add(name, f"return Artifact('thing', context.folder, {facts})")
    done = checkout.run()
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = checkout.outcomes()
    assert [outcomes[name] for name in ("a-text", "a-truth", "a-half")] == [("failed", "TypeError")] * 3
    assert outcomes["recite"] == ("not-applicable", "NotApplicable")


def test_a_step_that_prints_no_end_and_one_that_tells_too_much_are_bounded(checkout: Checkout) -> None:
    checkout.add(
        "a-flood", "block = b'x' * 2**20\n    [os.write(1, block) for _ in range(2048)]\n    raise OSError('done')"
    )
    checkout.add("a-message", "raise ValueError('\\x00\\x1b]0;title\\x07' + 'x' * 10**7)")
    started = time.monotonic()
    done = checkout.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - started < 60
    assert checkout.outcomes()["a-flood"] == ("failed", "OSError")
    assert checkout.outcomes()["a-message"] == ("failed", "ValueError")
    sizes = [path.stat().st_size for path in checkout.attempt.records.iterdir()]
    assert max(sizes) < 200_000
    (cells,) = checkout.root.rglob("cells.csv")
    assert not set(cells.read_bytes()) & {0, 0x1B, 0x07}


def test_a_run_that_ended_leaves_nothing_but_its_attempt_and_its_table(checkout: Checkout) -> None:
    done = checkout.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert checkout.attempt.state is State.SETTLED
    assert (checkout.attempt.read() or {})["table"].endswith("Z")
    assert not list(checkout.attempt.scratch.glob("*"))
    stated = json.loads(checkout.attempt.file.read_text(encoding="utf-8"))
    assert stated["packages"]["pytest"]
    assert not running(str(checkout.root))
    shutil.rmtree(checkout.root / ".harness" / "attempts")
    assert checkout.run().returncode == 0


def test_what_another_run_left_is_removed_by_the_next_whatever_it_is_of(waiting: Checkout, tmp_path: Path) -> None:
    process = waiting.start()
    _await(tmp_path / "under-way")
    keepers = running("launch.py keeper", under=process.pid)
    for pid in [process.pid, *running("-pharness.bench", under=process.pid), *keepers]:
        os.kill(pid, signal.SIGKILL)
    _end(process)
    left = waiting.attempt
    waiting.strategies.remove("waits")
    add_route(waiting.root.parent / "plugins", "waits", "pass  # mended")
    done = waiting.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert not left.scratch.exists()
    assert not running(f"sleep {SLEEP_S}")


def test_a_step_that_leaves_rubbish_in_the_place_of_a_result_costs_its_own_cell(checkout: Checkout) -> None:
    rubbish = {"a-number": "3", "a-fact": '{"outcome": "passed", "facts": {"zz": 1}, "kind": "thing", "path": "/x"}'}
    for name, text in rubbish.items():
        body = f"(context.folder.parent / 'result.json').write_text({text!r})\n    os._exit(0)"
        checkout.add(name, body)
    full = '{"outcome": "passed", "facts": {"zz": 1}, "kind": 3, "path": 4, "artifact_bytes": "x", "convert_s": []}'
    checkout.add("a-whole", f"(context.folder.parent / 'result.json').write_text({full!r})\n    os._exit(0)")
    done = checkout.run()
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = checkout.outcomes()
    assert {name: outcomes[name][0] for name in ("a-number", "a-fact", "a-whole")} == {
        "a-number": "crashed",
        "a-fact": "crashed",
        "a-whole": "failed",
    }
    assert outcomes["recite"] == ("not-applicable", "NotApplicable")


def test_a_file_that_is_edited_while_cells_run_is_found_out(checkout: Checkout) -> None:
    target = checkout.root.parent / "plugins" / "steps" / "recite.py"
    checkout.add("a-editor", f"open({str(target)!r}, 'a').write('# more' + chr(10))")
    done = checkout.run()
    assert done.returncode == 3, done.stdout + done.stderr
    assert "files were edited while cells ran (a file of a strategy, a step or a runtime differs)" in done.stderr
    assert checkout.attempt.state is State.PAUSED
    assert not list(checkout.root.rglob("cells.csv"))
    add_route(checkout.root.parent / "plugins", "recite")
    add_route(checkout.root.parent / "plugins", "a-editor")
    checkout.strategies = ["recite"]
    again = checkout.run()
    assert again.returncode == 0, again.stdout + again.stderr
    assert "going on with" not in again.stdout


def test_a_cell_that_changes_an_environment_of_somebodys_is_told(root: Path, tmp_path: Path) -> None:
    python = make_ambient(tmp_path / "theirs")
    checkout = Checkout(root, python)
    checkout.add("a-good", "pass")
    checkout.add("m-vandal", f"open({str(add_package(python))!r}, 'a').write(chr(10))")
    checkout.add("z-good", "pass")
    done = checkout.run()
    assert done.returncode == 3, done.stdout + done.stderr
    assert "theirs.py" in done.stderr
    assert "Only its owner can mend it" in done.stderr
    kept = [path.stem for path in checkout.attempt.records.iterdir()]
    assert kept == ["good--a-good"], "what ran in the changed environment is taken back"


def test_an_interrupted_run_takes_back_what_ran_in_a_changed_environment(root: Path, tmp_path: Path) -> None:
    python = make_ambient(tmp_path / "theirs")
    checkout = Checkout(root, python)
    checkout.add("a-good", "pass")
    checkout.add("m-vandal", f"open({str(add_package(python))!r}, 'a').write(chr(10))")
    checkout.add("z-waits", f"open({str(tmp_path / 'under-way')!r}, 'w').close()\n    time.sleep(60)")
    process = checkout.start()
    _await(tmp_path / "under-way")
    process.send_signal(signal.SIGINT)
    said = _end(process)
    assert process.returncode == 3, said
    assert [path.stem for path in checkout.attempt.records.iterdir()] == ["good--a-good"]


def test_a_build_that_failed_is_tried_again(checkout: Checkout) -> None:
    helper = checkout.root.parent / "their_helper.py"
    helper.write_text("raise OSError('no such disk')\n", encoding="utf-8")
    model = checkout.root.parent / "good.py"
    text = model.read_text(encoding="utf-8")
    body = "    import importlib\n    importlib.import_module('their' + '_helper')\n"
    model.write_text(text.replace("    import torch\n", f"{body}    import torch\n"), encoding="utf-8")
    assert checkout.run().returncode == 2, "it raised wherever it was built"
    assert checkout.outcomes()["recite"] == ("failed", "OSError")
    attempt = checkout.attempt
    attempt.pause("it was interrupted.")
    shutil.rmtree(checkout.root / ".harness" / "scratch")
    helper.write_text("VALUE = 1\n", encoding="utf-8")
    done = checkout.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert checkout.attempt.folder == attempt.folder
    assert checkout.outcomes()["recite"] == ("not-applicable", "NotApplicable")


def test_an_out_folder_that_holds_somebodys_files_is_refused(checkout: Checkout, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    (theirs / "records").mkdir(parents=True)
    (theirs / "records" / "thesis.json").write_text("{}", encoding="utf-8")
    command = [str(checkout.python), "-m", "pytest", "-c", "harness/bench/pytest.ini", "-p", "harness.bench"]
    command += [f"--models={checkout.root.parent / 'good.py'}", f"--plugin-folder={checkout.root.parent / 'plugins'}"]
    command += ["--strategies=recite", "--device=cpu", "-p", "no:cacheprovider"]

    def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)

    done = bench(f"--out={theirs}")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "there are files in it that are no attempt's" in done.stderr
    assert (theirs / "records" / "thesis.json").exists()
    out = tmp_path / "out"
    assert bench(f"--out={out}").returncode == 0
    assert Attempt(out).state is State.ENDED
    wrong = [f"--models={checkout.root.parent / 'wrong.py'}"]
    done = bench(f"--out={out}", *wrong)
    assert done.returncode == 4, done.stdout + done.stderr
    assert [path.stem for path in Attempt(out).records.iterdir()] == ["good--recite"], "a refusal removes no record"
    done = bench(f"--out={out}", "--resume", "--measure-s=0.02")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "is of another execution: the policy differs" in done.stdout + done.stderr


def test_a_part_of_a_plan_is_a_selection(checkout: Checkout, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [str(checkout.python), "-m", "pytest", "-c", "harness/bench/pytest.ini", "-p", "harness.bench"]
    command += [f"--models={checkout.root.parent / 'good.py'}", "--device=cpu", "-p", "no:cacheprovider"]
    command += ["-k", "native", f"--out={out}", "--measure-s=0.01"]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=60)
    table = table_of([Attempt(out)], pins={})
    assert (table.run.selected, table.run.planned, table.run.complete) == (True, 1, True)
