"""What a step may do to its process, its machine and its neighbours, and what becomes of the cell and of the others.

Each body runs inside a step under torch 2.0, with a limit of 10 s and 2500 MiB.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.real.plugins import add_strategy

pytestmark = pytest.mark.real

SLEEP = "86420"
"""What daemons sleep for, to be known by."""


class Fault(NamedTuple):
    """What a step does, and what the cell must come to: outcome and error type."""

    body: str
    outcome: str
    error_type: str | None


def failed(body: str, error_type: str) -> Fault:
    return Fault(body, "failed", error_type)


def crashed(body: str, error_type: str) -> Fault:
    return Fault(body, "crashed", error_type)


def passed(body: str) -> Fault:
    return Fault(body, "passed", None)


_DAEMON = (
    "pid = os.fork()\n"
    "    if pid == 0:\n"
    "        os.setsid()\n"
    "        if os.fork() == 0:\n"
    f"            os.execvp('sleep', ['sleep', '{SLEEP}'])\n"
    "        os._exit(0)\n"
    "    os.waitpid(pid, 0)"
)
_OWN_SESSION = f"__import__('subprocess').Popen(['sleep', '{SLEEP}'], start_new_session=True)"

FAULTS = {
    # It ends its process, or raises what it likes.
    "segfault": crashed("ctypes.string_at(0)", "SIGSEGV"),
    "abort": crashed("os.abort()", "SIGABRT"),
    "hard-exit-0": crashed("os._exit(0)", "NoResult"),
    "hard-exit-3": crashed("os._exit(3)", "NoResult"),
    "exit-0": failed("sys.exit(0)", "SystemExit"),
    "exit-1": failed("sys.exit(1)", "SystemExit"),
    "interrupt": failed("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "raises": failed("raise KeyError('lost')", "KeyError"),
    "recursion": failed("f = lambda: f()\n    f()", "RecursionError"),
    "unprintable": failed(
        "class Mute(Exception):\n        def __str__(self):\n            raise OSError\n    raise Mute", "Mute"
    ),
    "unpicklable": failed(
        "class Odd(Exception):\n        def __reduce__(self):\n            raise OSError\n    raise Odd(lambda: 0)",
        "Odd",
    ),
    "long-message": failed("raise ValueError('x' * 10**7)", "ValueError"),
    "harmful-message": failed(
        "raise ValueError('\\x00\\x1b]0;title\\x07\\u202e=HYPERLINK(\"x\") @someone <b>|`')", "ValueError"
    ),
    "talks-of-memory": failed("raise ValueError('the model ran out of memory of its past')", "ValueError"),
    "no-artifact": failed("return Artifact('state-dict', context.folder / 'nothing')", "RuntimeError"),
    "wrong-fact": failed("return Artifact('state-dict', context.folder, {'opset': 'sixteen'})", "TypeError"),
    # It takes time or memory.
    "hang": Fault("time.sleep(3600)", "timed-out", "Timeout"),
    "glutton": Fault("data = [b'x' * 2**26 for _ in range(2**10)]", "out-of-memory", "MemoryLimit"),
    "slow-glutton": Fault(
        "data = []\n    while True:\n        data.append(b'x' * 2**26)\n        time.sleep(0.02)",
        "out-of-memory",
        "MemoryLimit",
    ),
    "refused-allocation": Fault("bytearray(2**60)", "out-of-memory", "MemoryError"),
    "shared-memory": Fault(
        "with open('/dev/shm/harness-fault', 'wb') as file:\n        while True:\n            file.write(b'x' * 2**24)",
        "out-of-memory",
        "MemoryLimit",
    ),
    "flood": failed("[os.write(1, b'x' * 2**20) for _ in range(2048)]\n    raise OSError('done')", "OSError"),
    # It starts others.
    "threads": passed(
        "import threading\n    stop = threading.Event()\n"
        "    [threading.Thread(target=stop.wait, daemon=True).start() for _ in range(1000)]"
    ),
    "children": passed(f"[__import__('subprocess').Popen(['sleep', '{SLEEP}']) for _ in range(200)]"),
    "own-session-passing": passed(_OWN_SESSION),
    "daemon": crashed(f"{_DAEMON}\n    os._exit(0)", "NoResult"),
    "daemon-passing": passed(_DAEMON),
    # It changes what is around it.
    "closes-descriptors": passed("os.closerange(3, 256)"),
    "chdir": passed("os.chdir('/')"),
    "umask": passed("os.umask(0o777)"),
    "environment": passed("os.environ.clear()"),
    "locale": passed("import locale\n    locale.setlocale(locale.LC_ALL, 'C')"),
    "import-path": passed("sys.path.clear()"),
    "own-folder": failed("__import__('shutil').rmtree(os.getcwd())", "RuntimeError"),
    "kills-its-parent": crashed("os.kill(os.getppid(), 9); time.sleep(60)", "SIGKILL"),
    "native-outputs": failed(
        "request = __import__('json').loads((context.folder.parent / 'request.json').read_text())\n"
        "    target = os.path.join(request['built'], 'native-0.npz')\n"
        "    os.chmod(target, 0o600)\n"
        "    open(target, 'ab').write(b'more')",
        "ForeignFilesChanged",
    ),
}

HANGS = {
    "hang-deaf": "import signal\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    time.sleep(3600)",
    "hanging-child": f"__import__('subprocess').Popen(['sleep', '{SLEEP}']); time.sleep(3600)",
    "own-session": f"{_OWN_SESSION}; time.sleep(3600)",
}
"""Ways to hang, each by itself; `test_faults_processes.py` has one cell that does all of it."""

OTHERS = ("missing-import", "well-behaved", "native")
LIMITS = ("--timeout-s=10", "--memory-limit-mb=2500")


class Ran(NamedTuple):
    """A run in which most strategies, from a folder of a user's own, misbehave: records by strategy, the folder."""

    records: dict[str, Any]
    out: Path


def _ran(
    bench: Callable[..., subprocess.CompletedProcess[str]], plugins: Path, out: Path, strategies: Iterable[str]
) -> Ran:
    selected = [f"--strategies={name}" for name in strategies]
    done = bench("torch2.0", "--models=length-loop", "--plugin-folder", plugins, *selected, *LIMITS, "--out", out)
    assert done.returncode == 1, done.stdout + done.stderr
    found = [json.loads(path.read_text(encoding="utf-8")) for path in (out / "records").glob("*.json")]
    return Ran({record["row"]["strategy"]: record for record in found}, out)


@pytest.fixture(scope="module")
def ran(bench: Callable[..., subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory) -> Ran:
    plugins, out = tmp_path_factory.mktemp("plugins"), tmp_path_factory.mktemp("out")
    for name, fault in FAULTS.items():
        add_strategy(plugins, name, fault.body)
    add_strategy(plugins, "missing-import", "pass", imports="('antigravity_that_is_not_there',)")
    add_strategy(plugins, "well-behaved", "pass")
    return _ran(bench, plugins, out, (*FAULTS, *OTHERS))


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_becomes_its_outcome(ran: Ran, name: str) -> None:
    row = ran.records[name]["row"]
    assert (row["outcome"], row["error_type"]) == FAULTS[name][1:], row
    if FAULTS[name].outcome != "passed":
        assert row["stage"] == "convert"
        assert row["fingerprint"]
        assert row["error"]


def test_every_cell_is_recorded_and_the_others_pass(ran: Ran) -> None:
    assert set(ran.records) == {*FAULTS, *OTHERS}
    assert ran.records["native"]["row"]["outcome"] == "passed"
    assert json.loads((ran.out / "attempt.json").read_text(encoding="utf-8"))["state"] == "ended"


def test_a_module_that_no_package_of_the_environment_has_costs_only_the_cells_that_need_it(ran: Ran) -> None:
    row = ran.records["missing-import"]["row"]
    assert (row["outcome"], row["stage"], row["error_type"]) == ("not-applicable", "import", "NotApplicable")


def test_a_step_and_a_strategy_of_a_users_own_run(ran: Ran) -> None:
    row = ran.records["well-behaved"]["row"]
    assert (row["outcome"], row["stage"], row["probes_passed"]) == ("passed", "probe", row["probes_total"]), row


def _sleeping() -> list[bytes]:
    """The commands of daemons that are still there."""
    commands = [
        path.read_bytes().replace(b"\0", b" ") for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()
    ]
    return [command for command in commands if command.startswith(f"sleep {SLEEP}".encode())]


def test_no_process_and_no_file_is_left_behind(ran: Ran) -> None:
    assert not _sleeping()
    assert not Path("/dev/shm/harness-fault").exists()
    assert not list((ran.out / "scratch").glob("*"))
    marked = [path for path in Path("/proc").glob("[0-9]*/environ") if _carries(path, str(ran.out))]
    assert not marked


def _carries(path: Path, marker: str) -> bool:
    try:
        return f"HARNESS_ATTEMPT={marker}".encode() in path.read_bytes().split(b"\0")
    except OSError:
        return False


def test_what_is_told_is_bounded_and_harmless(ran: Ran) -> None:
    for path in (ran.out / "records").glob("*.json"):
        assert path.stat().st_size < 200_000, path.name
    error = ran.records["harmful-message"]["row"]["error"]
    assert all(character.isprintable() for character in error), error
    assert len(ran.records["long-message"]["row"]["error"]) <= 500


def test_a_flood_ends_within_its_limit(ran: Ran) -> None:
    assert ran.records["flood"]["row"]["duration_s"] < 20


def test_the_bench_itself_lived(ran: Ran) -> None:
    events = [json.loads(line) for line in (ran.out / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    told: dict[str, list[str]] = {}
    for event in events:
        told.setdefault(event["strategy"], []).append(event["event"])
    assert set(told) == set(ran.records)
    assert all(each == ["started", "ended"] for each in told.values()), told


@pytest.fixture(scope="module")
def hung(bench: Callable[..., subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A run in which all strategies hang, but one."""
    plugins, out = tmp_path_factory.mktemp("plugins"), tmp_path_factory.mktemp("out")
    for name, body in HANGS.items():
        add_strategy(plugins, name, body)
    return _ran(bench, plugins, out, (*HANGS, "native"))


@pytest.mark.long
@pytest.mark.parametrize("name", HANGS)
def test_each_way_to_hang_is_ended(hung: Ran, name: str) -> None:
    row = hung.records[name]["row"]
    assert (row["outcome"], row["error_type"], row["stage"]) == ("timed-out", "Timeout", "convert"), row
    assert hung.records["native"]["row"]["outcome"] == "passed"
    assert not _sleeping()
