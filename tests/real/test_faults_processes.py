"""What a step may do to its processes, to memory and to the disk, and what ends a run from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.bench.group import processes
from harness.bench.logs import LARGEST
from harness.matrix.environment import clean_environ
from tests.real.conftest import ROOT
from tests.real.plugins import add_strategy

pytestmark = pytest.mark.real

ENVIRONMENT = "torch2.1"
TIMEOUT_S, LIMIT_MB = 12, 3000

# The seconds that these sleep are their name: nobody else sleeps that long.
NAME = f"36{os.getpid() % 10_000:04d}"

DAEMON = f"""
    import subprocess
    def daemon(environ):
        first = os.fork()
        if first == 0:
            os.setsid()
            if os.fork() == 0:
                os.execvpe("sleep", ["sleep", "{NAME}"], environ)
            os._exit(0)
        os.waitpid(first, 0)
    daemon(os.environ)
    daemon({{}})
    subprocess.Popen(["sleep", "{NAME}"])
    subprocess.Popen(["sleep", "{NAME}"], start_new_session=True)
"""

# What `test_faults.py` does not have: the same again from where it is harder to find.
FAULTS = {
    "leaves-daemons": (DAEMON, "passed", None),
    "closes-every-descriptor": ("os.closerange(0, 256)", "passed", None),
    "removes-its-folder-and-raises": (
        "import shutil; shutil.rmtree(os.getcwd()); raise KeyError('x')",
        "failed",
        "KeyError",
    ),
    "kills-its-parent": (DAEMON + "    os.kill(os.getppid(), 9); time.sleep(60)", "crashed", "SIGKILL"),
    "stops-its-parent": ("os.kill(os.getppid(), 19); time.sleep(60)", "timed-out", "Timeout"),
    "hangs": (
        DAEMON + "    import signal; [signal.signal(number, signal.SIG_IGN) for number in (1, 2, 15)]\n"
        f"    [subprocess.Popen(['sleep', '{NAME}']) for _ in range(200)]\n"
        "    import threading; [threading.Thread(target=time.sleep, args=(60,)).start() for _ in range(3000)]\n"
        "    time.sleep(60)",
        "timed-out",
        "Timeout",
    ),
    "garbles-its-result": (
        "open('result.json', 'wb').write(os.urandom(9999)); open('stages.jsonl', 'ab').write(b'x' * 9999); os._exit(0)",
        "crashed",
        "NoResult",
    ),
    "leaves-shared-memory": (
        f"file = open('/dev/shm/harness-{NAME}', 'wb'); file.write(bytes(2**26)); time.sleep(1)",
        "passed",
        None,
    ),
}


def _sleepers() -> list[int]:
    found = []
    for pid in processes():
        try:
            words = Path("/proc", str(pid), "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if NAME.encode() in words:
            found.append(pid)
    return found


def _records(out: Path) -> dict[str, Any]:
    found = [json.loads(path.read_text(encoding="utf-8")) for path in (out / "records").glob("*.json")]
    return {record["row"]["strategy"]: record for record in found}


def _state(out: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((out / "attempt.json").read_text(encoding="utf-8"))
    return value


@pytest.fixture(scope="module")
def out(bench: Callable[..., subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The attempt in which every strategy, from a folder of a user's own, misbehaves, beside two that do not."""
    plugins, out = tmp_path_factory.mktemp("plugins"), tmp_path_factory.mktemp("out")
    for name, (body, _, _) in FAULTS.items():
        add_strategy(plugins, name, body)
    selected = [f"--strategies={name}" for name in (*FAULTS, "native")]
    limits = [f"--timeout-s={TIMEOUT_S}", f"--memory-limit-mb={LIMIT_MB}", "--measure-s=0.2", "--launches=1"]
    done = bench(ENVIRONMENT, "--models=length-loop", "--plugin-folder", plugins, *selected, *limits, "--out", out)
    assert done.returncode == 1, done.stdout + done.stderr
    return out


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_becomes_its_outcome(out: Path, name: str) -> None:
    record = _records(out)[name]
    row = record["row"]
    assert (row["outcome"], row["error_type"]) == FAULTS[name][1:], record
    assert row["stage"] == ("measure" if row["outcome"] == "passed" else "convert")
    assert row["duration_s"] < 2 * TIMEOUT_S + 20  # what hangs in a fork is tried once more in a fresh process
    assert len(json.dumps(record)) < 150_000


def test_every_other_cell_is_recorded_and_nothing_is_left(out: Path) -> None:
    records = _records(out)
    assert set(records) == {*FAULTS, "native"}
    assert records["native"]["row"]["outcome"] == "passed"
    assert _state(out)["state"] == "ended"
    assert not _sleepers()
    assert not list(Path("/dev/shm").glob(f"harness-{NAME}*"))
    assert not [path for path in (out / "scratch").rglob("*") if path.is_file()]


def test_what_passed_is_timed_once_all_was_run(out: Path) -> None:
    events = [json.loads(line) for line in (out / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    told: dict[str, list[str]] = {}
    for event in events:
        told.setdefault(event["strategy"], []).append(event["event"])
    for strategy, record in _records(out).items():
        timed = record["row"]["outcome"] == "passed"
        assert told[strategy] == (["started", "waiting", "timing", "ended"] if timed else ["started", "ended"])
    kinds = [event["event"] for event in events]
    assert kinds.index("timing") > len(kinds) - 1 - kinds[::-1].index("waiting")


def _started(python: Path, out: Path, plugins: Path, *arguments: str) -> subprocess.Popen[str]:
    """The bench with one model and the strategies of a folder, in any environment."""
    command = [str(python), "-m", "pytest", "-c", "harness/bench/pytest.ini", "-p", "harness.bench", "--device=cpu"]
    command += ["--models=length-loop", "--plugin-folder", str(plugins), "--measure-s=0.2", "--launches=1", "--resume"]
    return subprocess.Popen(
        [*command, "--out", str(out), "--strategies=native", *arguments],
        cwd=ROOT,
        env=clean_environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


# `tests/attempts/test_faults_of_runs.py` has all of them, and the disk that a file fills, without a framework.
_BY_HAND = pytest.mark.long


@pytest.mark.parametrize(
    "name", ["SIGTERM", pytest.param("SIGHUP", marks=_BY_HAND), pytest.param("SIGINT", marks=_BY_HAND), "SIGKILL"]
)
def test_a_run_that_was_ended_goes_on_and_nothing_is_left(
    pinned: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    plugins, out, flag = tmp_path / "plugins", tmp_path / "out", tmp_path / "flag"
    flag.touch()
    body = f"{DAEMON}    time.sleep(60)".replace("\n    ", "\n        ")
    add_strategy(plugins, "waits", f"if os.path.exists({str(flag)!r}):{body}")
    run = _started(pinned(ENVIRONMENT), out, plugins, "--strategies=waits")
    deadline = time.monotonic() + 90
    while len(_sleepers()) < 4 and time.monotonic() < deadline and run.poll() is None:
        time.sleep(0.1)
    assert len(_sleepers()) == 4
    recorded = set(_records(out))
    run.send_signal(signal.Signals[name])
    output = run.communicate(timeout=30)[0]
    if name == "SIGKILL":
        assert run.returncode == -9
        assert _state(out)["state"] == "running"
        deadline = time.monotonic() + 5
        while _sleepers() and time.monotonic() < deadline:  # it could not do so itself; what started them does
            time.sleep(0.05)
        assert not _sleepers()
    else:
        assert run.returncode == pytest.ExitCode.INTERRUPTED, output
        assert not _sleepers()
        assert _state(out)["state"] == "paused"
        assert not (out / "scratch").exists() or not list((out / "scratch").iterdir())
    flag.unlink()
    again = _started(pinned(ENVIRONMENT), out, plugins, "--strategies=waits")
    output = again.communicate(timeout=120)[0]
    assert again.returncode == 0, output
    assert not _sleepers()
    assert {strategy: record["row"]["outcome"] for strategy, record in _records(out).items()} == {
        "native": "passed",
        "waits": "passed",
    }
    assert _state(out)["state"] == "ended"
    assert recorded <= {"native"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small file system takes root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


TEMPORARY = """import tempfile
    with tempfile.TemporaryFile() as file:
        for _ in range(64): file.write(bytes(2**20)); time.sleep(0.02)
"""


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("open(context.folder / 'filling', 'wb').write(bytes(2**26))", marks=_BY_HAND),
        "import torch; torch.save(torch.zeros(2**24), context.folder / 'filling')",
        TEMPORARY,
    ],
    ids=["a file", "torch.save", "the temporary folder"],
)
def test_a_disk_that_fills_within_a_cell_pauses_the_run(
    pinned: Callable[[str], Path], tmp_path: Path, small_disk: Path, body: str
) -> None:
    plugins, out = tmp_path / "plugins", small_disk / "out"
    add_strategy(plugins, "fills", body)
    run = _started(pinned(ENVIRONMENT), out, plugins, "--strategies=fills")
    output = run.communicate(timeout=120)[0]
    assert run.returncode not in (0, 1), output
    state = _state(out)
    assert (state["state"], "disk is full" in state["cause"]) == ("paused", True), state
    assert "fills" not in _records(out)
    subprocess.run(["mount", "-o", "remount,size=1g", str(small_disk)], check=True)
    again = _started(pinned(ENVIRONMENT), out, plugins, "--strategies=fills")
    output = again.communicate(timeout=120)[0]
    assert {strategy: record["row"]["outcome"] for strategy, record in _records(out).items()} == {
        "native": "passed",
        "fills": "passed",
    }, output
    assert _state(out)["state"] == "ended"


def test_an_environment_that_vanishes_within_a_run_pauses_it(pinned: Callable[[str], Path], tmp_path: Path) -> None:
    real = pinned(ENVIRONMENT)
    packages = next(real.parents[1].glob("lib/python*/site-packages"))
    venv = tmp_path / "venv"
    subprocess.run([str(real.resolve()), "-m", "venv", "--without-pip", str(venv)], check=True)
    next(venv.glob("lib/python*/site-packages")).joinpath("all.pth").write_text(str(packages), encoding="utf-8")
    plugins, out = tmp_path / "plugins", tmp_path / "out"
    add_strategy(plugins, "removes", f"import shutil; shutil.rmtree({str(venv)!r})")
    run = _started(venv / "bin" / "python", out, plugins, "--strategies=removes")
    output = run.communicate(timeout=120)[0]
    assert run.returncode not in (0, 1), output
    state = _state(out)
    assert (state["state"], "interpreter has gone" in state["cause"]) == ("paused", True), state
    assert "removes" not in _records(out) or _records(out)["removes"]["row"]["outcome"] == "passed"


def test_logs_are_capped_where_a_user_can_see_them(out: Path) -> None:
    assert all(path.stat().st_size <= LARGEST for path in out.rglob("*") if path.is_file())
