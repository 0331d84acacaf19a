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
from dataclasses import fields
from pathlib import Path

import pytest

from harness.bench import describe
from harness.bench.cards import KINDS, Card, ModelCard, RuntimeCard, StepCard, card_of, from_json, rule_of, to_json
from harness.bench.definitions import Strategy
from harness.bench.errors import UsageError
from harness.bench.logs import LARGEST
from harness.bench.registry import PACKAGE, _cards, discover, load
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


def test_a_card_has_the_wrong_types_of_a_file_told(tmp_path: Path) -> None:
    path = _written(tmp_path, "wrong", MODEL.replace('"a model"', "3"))
    with pytest.raises(UsageError, match=r"wrong\.py: summary is int, and must be a text"):
        discover(models=[path])
    path = _written(tmp_path, "list", MODEL.replace('("torch", "x")', '"torch"'))
    with pytest.raises(UsageError, match=r"list\.py: imports must be a tuple of texts"):
        discover(models=[path])


def test_a_name_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.py"))
    path.write_text(MODEL, encoding="utf-8")
    with pytest.raises(UsageError, match="the file's name is no UTF-8"):
        discover(models=[path])


def test_cards_come_back_from_json_as_they_were() -> None:
    registry = discover()
    kinds: dict[str, tuple[list[Card], type]] = {
        "model": ([entry.declared for entry in registry.models.values()], ModelCard),
        "step": ([entry.declared for entry in registry.steps.values()], StepCard),
        "strategy": ([entry.declared for entry in registry.strategies.values()], Strategy),
        "runtime": ([entry.declared for entry in registry.runtimes.values()], RuntimeCard),
    }
    for kind, (cards, expected) in kinds.items():
        assert cards
        for card in cards:
            assert isinstance(card, expected)
            assert from_json(kind, to_json(card)) == card


def test_a_card_says_what_the_file_says() -> None:
    from harness.bench import Model

    path = PACKAGE.parent / "model_zoo" / "resnet18.py"
    model = load(path, "MODEL", Model).declared
    card = card_of(model)
    assert isinstance(card, ModelCard)
    assert (card.has_twin, card.probes, card.tier) == (True, tuple(model.probes), "quick")


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


def test_each_field_has_a_rule() -> None:
    for _, declared, card in KINDS.values():
        for kind in (declared, card):
            for field in fields(kind):
                assert rule_of(kind, field.name).must_be


WRONG = {
    "train_mode=object()": "train_mode is object, and must be True or False",
    "train_mode=1": "train_mode is int, and must be True or False",
    "keep_weights='no'": "keep_weights is str, and must be True or False",
    "tolerance='0.1', tolerance_reason='x'": "tolerance must be a number from 0 on, or None",
    "tolerance=True, tolerance_reason='x'": "tolerance must be a number from 0 on, or None",
    "tolerance=float('nan'), tolerance_reason='x'": "tolerance must be a number from 0 on, or None",
    "tolerance=10**400, tolerance_reason='x'": "tolerance must be a number from 0 on, or None",
    "tolerance=-0.1, tolerance_reason='x'": "tolerance must be a number from 0 on, or None",
    "tolerance=0.1, tolerance_reason=3": "tolerance_reason is int, and must be a text",
    "dynamic={'x': {'0': 'batch'}}": "dynamic must be names by input and dimension, as in {'x': {0: 'batch'}}",
    "dynamic={'x': ('batch',)}": "dynamic must be names by input and dimension, as in {'x': {0: 'batch'}}",
    "gains={'*': 'much'}": "gains must be numbers by parameter, as in {'*.weight': 2.0}",
    "gains=[1.0]": "gains must be numbers by parameter, as in {'*.weight': 2.0}",
    "imports=3": "imports must be a tuple of texts, as in ('torch',)",
    "imports=('torch', 3)": "imports must be a tuple of texts, as in ('torch',)",
    "twin=3": "twin is int, and must be a function or None",
    "extension=None": "extension is NoneType, and must be a text",
    "expected_breaks='\\udcff'": "expected_breaks is str, and must be a text",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_value_of_a_wrong_type_is_refused(tmp_path: Path, wrong: str) -> None:
    declared = f"MODEL = Model(summary='', family='', build=dict, example=dict, probes={{}}, {wrong})\n"
    path = _written(tmp_path, "wrong", "from harness.bench import Model\n" + declared)
    (line,) = describe.described([("model", path)])
    assert line == {"refused": f"{path}: {WRONG[wrong]}."}


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        (
            "model",
            "Model(summary='', family='', build=3, example=dict, probes={})",
            "build is int, and must be a function",
        ),
        (
            "model",
            "Model(summary='', family='', build=dict, example=dict, probes=[dict])",
            "probes must be functions by",
        ),
        ("step", "Step(summary='', run=dict, produces='x', stage='serve')", "stage must be 'convert' or 'validate'"),
        ("step", "Step(summary='', run=dict, produces=b'x')", "produces is bytes, and must be a text"),
        ("strategy", "Strategy(summary='', steps='native', runtime='torch')", "steps must be a tuple of texts"),
        ("strategy", "Strategy(summary='', steps=(), runtime='torch', parameter=1)", "parameter is int, and must be a"),
        (
            "strategy",
            "Strategy(summary='', steps=(), runtime='', values={'quick': 13})",
            "values must be tuples of whole",
        ),
        ("strategy", "Strategy(summary='', steps=(), runtime='', needs_twin=None)", "needs_twin is NoneType, and must"),
        (
            "runtime",
            "Runtime(summary='', serves='', load=dict, imports=(), needs_module=1)",
            "needs_module is int, and",
        ),
    ],
)
def test_the_types_of_every_kind_are_looked_at(tmp_path: Path, kind: str, text: str, told: str) -> None:
    imported = "from harness.bench import Model, Runtime, Step, Strategy\n"
    path = _written(tmp_path, "wrong", f"{imported}{kind.upper()} = {text}\n")
    (line,) = describe.described([(kind, path)])
    assert line["refused"].startswith(f"{path}: {told}")


def test_what_is_declared_may_not_read_itself(tmp_path: Path) -> None:
    body = """
import dataclasses
from harness.bench import Model

@dataclasses.dataclass(frozen=True)
class Strange(Model):
    def __getattribute__(self, name):
        raise KeyboardInterrupt

MODEL = object.__new__(Strange)
"""
    (line,) = describe.described([("model", _written(tmp_path, "strange", body))])
    assert "what it declares cannot be read: KeyboardInterrupt." in line["refused"]


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
        return bool(self.all()) and not any(alive(pid) for pid in self.all())


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


def test_a_daemon_does_not_outlive_its_killed_keeper(tmp_path: Path, pids: Pids) -> None:
    path = _written(tmp_path, "starter", DAEMON.format(pids=str(pids.path)) + KILLS_ITS_PARENT + MODEL)
    (told,) = describe.described([("model", path)])
    assert "importing it kills the process that started it" in told["refused"]
    assert pids.gone()


def test_a_copy_of_the_process_tells_nothing(tmp_path: Path) -> None:
    files = [("model", _written(tmp_path, "copies", "import os\nos.fork()\n" + MODEL))]
    files += [("model", _written(tmp_path, f"after-{index}", MODEL)) for index in range(3)]
    assert ["card" in line for line in describe.described(files)] == [True] * 4


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
