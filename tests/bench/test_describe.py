"""Files of a user's are imported where they can do no harm, and what they do there is told."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.bench import describe
from harness.bench.errors import BenchBrokenError, UsageError
from harness.bench.logs import LARGEST
from harness.bench.registry import _cards, discover
from tests.bench.children import alive, until

ROOT = Path(__file__).resolve().parents[2]

MODEL = """
from harness.bench import Model

MODEL = Model(summary="a model", family="own", build=dict, example=dict, probes={"other": dict}, imports=("torch", "x"))
"""

REFUSED = {
    "exits-zero": ("import os\nos._exit(0)\n", "ends the process with exit code 0"),
    "exits-three": ("import os\nos._exit(3)\n", "ends the process with exit code 3"),
    "segfault": ("import ctypes\nctypes.string_at(0)\n", "ends the process by SIGSEGV"),
    "endless": ("while True:\n    pass\n", "does not come to an end (not within 1 s)"),
    "endless-and-closed": (
        "import os\nos.closerange(0, 256)\nwhile True:\n    pass\n",
        "does not come to an end (not within 1 s)",
    ),
    "base-exception": ("class Strange(BaseException): pass\nraise Strange\n", "raises Strange, which ends a process"),
    "interrupts": ("raise KeyboardInterrupt\n", "raises KeyboardInterrupt, which ends a process"),
    "kills-itself": ("import os\nos.kill(os.getpid(), 9)\n", "ends the process by SIGKILL"),
    "kills-its-parent": (
        "import os\nos.kill(os.getppid(), 9)\nimport signal\nsignal.pause()\n",
        "kills the process that started it",
    ),
    "goes-into-the-background": ("import os\nif os.fork():\n    os._exit(0)\n", "ends the process with exit code 0"),
}


def _written(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name.replace('-', '_')}.py"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_ends_its_process_is_refused_and_told(tmp_path: Path, name: str) -> None:
    text, told = REFUSED[name]
    path = _written(tmp_path, name, text + MODEL)
    with pytest.raises(UsageError) as caught:
        discover(models=[path], timeout_s=1.0)
    assert f"{path}: importing it {told}" in str(caught.value)
    assert "move what it does into functions" in str(caught.value)
    assert caught.value.exit_code == 2


def test_the_files_after_a_bad_one_are_described_all_the_same(tmp_path: Path) -> None:
    names = ["a-good", "exits-zero", "b-good", "raises", "segfault", "c-good"]
    bodies = {name: REFUSED[name][0] if name in REFUSED else "" for name in names} | {
        "raises": "raise OSError('no disk')\n"
    }
    files = [("model", _written(tmp_path, name, body + MODEL)) for name, body in bodies.items()]
    told = describe.described(files, timeout_s=5.0)
    assert ["card" in line for line in told] == [True, False, True, False, False, True]
    assert ["refused" in line for line in told] == [False, True, False, False, True, False]
    assert told[3]["error"] == "OSError: no disk"


def test_what_a_file_prints_goes_nowhere(tmp_path: Path) -> None:
    path = _written(tmp_path, "talker", "import os\nprint('hello' * 1000)\nos.write(1, b'more')\n" + MODEL)
    command = [sys.executable, "-m", "harness.cli", "--root", str(ROOT), "plan", "torch2.1", "--json"]
    done = subprocess.run(
        [*command, "--models", str(path), "--strategies", "native"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[")
    assert "hello" not in done.stdout + done.stderr


def test_what_a_file_started_is_ended_with_it(tmp_path: Path) -> None:
    body = "import subprocess\nsubprocess.Popen(['sleep', '86321'])\n"
    discover(models=[_written(tmp_path, "starter", body + MODEL)])
    time.sleep(0.1)
    running = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert b"sleep\x0086321\0" not in running


def test_a_name_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.py"))
    path.write_text(MODEL, encoding="utf-8")
    with pytest.raises(UsageError, match="the file's name is no UTF-8"):
        discover(models=[path])


@pytest.mark.alone
def test_the_zoo_is_described_in_less_than_a_second() -> None:
    _cards.cache_clear()
    started = time.monotonic()
    discover()
    assert time.monotonic() - started < 1.5


def test_a_longer_limit_than_the_most_describes_nothing_anew() -> None:
    discover(timeout_s=60.0)
    before = _cards.cache_info()
    discover(timeout_s=300.0)
    after = _cards.cache_info()
    assert (after.misses, after.hits) == (before.misses, before.hits + 1)


def test_no_temporary_folder_is_told_as_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError):
        describe.described([("model", _written(tmp_path, "a", MODEL))])


DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 256)
        with open({pids!r}, "a") as file:
            file.write(str(os.getpid()) + chr(10))
        while True:
            time.sleep(0.01)
    os._exit(0)
os.wait()
while not os.path.exists({pids!r}):
    time.sleep(0.01)
"""
COPY = """
import os, time
if os.fork() == 0:
    with open({pids!r}, "a") as file:
        file.write(str(os.getpid()) + chr(10))
    time.sleep(1000)
while not os.path.exists({pids!r}):
    time.sleep(0.01)
"""
STARTER = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=True)
with open({pids!r}, "a") as file:
    file.write(str(child.pid) + chr(10))
"""
LOOPING = "import os\nopen({pids!r}, 'a').write(str(os.getpid()) + chr(10))\nwhile True:\n    pass\n"
KILLS_ITS_PARENT = "os.kill(os.getppid(), 9)\ntime.sleep(1000)\n"


class Pids:
    """Where started processes write their pids."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def all(self) -> list[int]:
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        return [int(line) for line in text.splitlines()]

    def gone(self) -> bool:
        return bool(self.all()) and not self.left()

    def left(self) -> list[int]:
        """Those that are there yet, once what was killed has had two seconds to die."""
        until = time.monotonic() + 2.0
        while (found := [pid for pid in self.all() if alive(pid)]) and time.monotonic() < until:
            time.sleep(0.01)
        return found


@pytest.fixture
def pids(tmp_path: Path) -> Iterator[Pids]:
    """Whatever a failing test leaves behind is ended with it."""
    found = Pids(tmp_path / "pids")
    yield found
    for pid in found.all():
        if alive(pid):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("body", [DAEMON, COPY, STARTER], ids=["daemon", "copy", "starter"])
def test_nothing_that_a_file_starts_is_left_or_waited_for(tmp_path: Path, pids: Pids, body: str) -> None:
    path = _written(tmp_path, "starter", body.format(pids=str(pids.path)) + MODEL)
    started = time.monotonic()
    (told,) = describe.described([("model", path)])
    assert time.monotonic() - started < 10
    assert "card" in told
    assert pids.gone()


@pytest.mark.parametrize("_", range(4))  # who notices first, and how, is a matter of milliseconds
def test_a_daemon_does_not_outlive_its_killed_keeper(tmp_path: Path, pids: Pids, _: int) -> None:
    path = _written(tmp_path, "starter", DAEMON.format(pids=str(pids.path)) + KILLS_ITS_PARENT + MODEL)
    (told,) = describe.described([("model", path)])
    assert "importing it kills the process that started it" in told["refused"]
    assert pids.left() == []  # it may have been ended before it wrote its own


def test_a_copy_of_the_process_tells_nothing(tmp_path: Path) -> None:
    body = "import os, time\npid = os.fork()\nif pid:\n    time.sleep(0.2)\n"
    declared = MODEL.replace('"a model"', '"own" if pid else "a copy\'s"')
    files = [("model", _written(tmp_path, "copies", body + declared))]
    files += [("model", _written(tmp_path, f"after-{index}", MODEL)) for index in range(3)]
    assert [line["card"]["summary"] for line in describe.described(files)] == ["own", *["a model"] * 3]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_file_does_not_outlive_its_caller(tmp_path: Path, pids: Pids, number: signal.Signals) -> None:
    path = _written(tmp_path, "looping", (DAEMON + LOOPING).format(pids=str(pids.path)) + MODEL)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    caller = subprocess.Popen(
        [sys.executable, "-m", "harness.cli", "--root", str(ROOT), "plan", "torch2.1", "--models", str(path)],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        assert until(lambda: len(pids.all()) == 2, 20.0)
        caller.send_signal(number)
        _, error = caller.communicate(timeout=20)
    finally:
        caller.kill()
    assert until(pids.gone)
    if number != signal.SIGKILL:
        assert b"Traceback" not in error
        assert list(temporary.iterdir()) == []


def _largest(folder: Path, until_set: threading.Event, found: list[int]) -> None:
    while not until_set.wait(0.02):
        size = 0
        for path in folder.rglob("*"):
            with contextlib.suppress(OSError):
                size += path.stat().st_size
        found.append(size)


def test_what_a_file_prints_without_end_takes_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _written(tmp_path, "talker", "while True:\n    print('x' * 10000)\n" + MODEL)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    stop, sizes = threading.Event(), [0]
    looking = threading.Thread(target=_largest, args=(temporary, stop, sizes))
    looking.start()
    (told,) = describe.described([("model", path)], timeout_s=1.0)
    stop.set()
    looking.join()
    assert "does not come to an end (not within 1 s)" in told["refused"]
    assert 2**20 < max(sizes) < LARGEST + 2**21


def test_a_file_may_not_take_all_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(describe, "MOST_MB", 200.0)
    path = _written(
        tmp_path,
        "hungry",
        "import time\nkept = []\nwhile True:\n    kept.append(bytes(range(256)) * 40000)\n    time.sleep(0.01)\n"
        + MODEL,
    )
    (told,) = describe.described([("model", path)], timeout_s=30.0)
    assert "importing it takes more than 200 MiB of memory" in told["refused"]


OWN_FOLDER = (
    "import os, pathlib, shutil\nfolder = pathlib.Path(os.environ['TMPDIR'])\ntold = folder / 'described.jsonl'\n"
)
SPOILS = {
    "garbage": ("told.write_bytes(told.read_bytes() + b'\\xff{]' + bytes([10]))", "writes to what is told of it"),
    "no-object": ("told.open('a').write('[1]' + chr(10))", "writes to what is told of it"),
    "forged": ("told.open('a').write('{\"index\": 1, \"card\": {}}' + chr(10))", "writes to what is told of it"),
    "cut": ("os.truncate(told, 0)", "writes to what is told of it"),
    "pipe": ("told.unlink(); os.mkfifo(told)", "spoils what is told of it"),
    "link": ("told.unlink(); told.symlink_to('/dev/null')", "spoils what is told of it"),
    "removed": ("shutil.rmtree(folder.parent); os._exit(0)", "ends the process with exit code 0, and removes what"),
    "large": ("os.truncate(told, 2**40)", "spoils what is told of it"),
}


@pytest.mark.parametrize("name", SPOILS)
def test_a_file_that_spoils_what_is_told_is_refused_alone(tmp_path: Path, name: str) -> None:
    body, _ = SPOILS[name]
    names = ["a", "bad", "c"]
    files = [
        ("model", _written(tmp_path, each, (OWN_FOLDER + body if each == "bad" else "") + MODEL)) for each in names
    ]
    told = describe.described(files, timeout_s=2.0)
    assert ["card" in line for line in told] == [True, False, True]
    assert re.search(f"bad.py: importing it ({SPOILS[name][1]})", told[1]["refused"])


@pytest.mark.parametrize(
    "body",
    [
        "shutil.rmtree(folder)",
        "told.unlink()",
        "os.chdir('/')",
        "for n in range(3, 99):\n  try: os.write(n, b'x')\n  except OSError: pass",
    ],
)
def test_what_a_file_does_to_its_folder_costs_nothing(tmp_path: Path, body: str) -> None:
    files = [
        ("model", _written(tmp_path, each, (OWN_FOLDER + body if each == "bad" else "") + MODEL))
        for each in ("a", "bad", "c")
    ]
    assert ["card" in line for line in describe.described(files, timeout_s=5.0)] == [True] * 3


@pytest.mark.parametrize(
    "body",
    [
        "import signal\nsignal.setitimer(signal.ITIMER_REAL, 0.1)\n",
        "import os, threading\nthreading.Timer(0.1, lambda: os._exit(7)).start()\n",
        "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n",
        "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n",
        "import atexit, time\natexit.register(time.sleep, 1000)\n",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\n",
    ],
)
def test_no_file_is_refused_for_what_another_did(tmp_path: Path, body: str) -> None:
    names = ["a", "guilty", *(f"after-{index}" for index in range(20))]
    texts = {"guilty": body, "after-9": "import time\ntime.sleep(0.3)\n"}
    files = [("model", _written(tmp_path, name, texts.get(name, "") + MODEL)) for name in names]
    told = describe.described(files, timeout_s=5.0)
    assert [name for name, line in zip(names, told, strict=True) if "card" not in line and name != "guilty"] == []


def test_a_harness_that_is_broken_is_no_fault_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [("model", _written(tmp_path, name, MODEL)) for name in ("a", "b")]
    describe.described(files)  # there is a keeper now
    broken = _written(tmp_path, "launcher", "raise ImportError('half an update')\n")
    monkeypatch.setattr("harness.bench.processes.LAUNCHER", broken)
    with pytest.raises(
        BenchBrokenError, match=r"what imports them ends the process with exit code 1(.|\n)*half an update"
    ):
        describe.described(files)
