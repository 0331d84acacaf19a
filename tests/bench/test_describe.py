"""Files of a user's are imported where they can do no harm, and what they do there is told."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.bench import describe
from harness.bench.cards import Card, ModelCard, RuntimeCard, StepCard, card_of, from_json, to_json
from harness.bench.definitions import Strategy
from harness.bench.errors import UsageError
from harness.bench.registry import PACKAGE, discover, load

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
    "base-exception": ("class Strange(BaseException): pass\nraise Strange\n", "raises Strange, which ends a process"),
    "interrupts": ("raise KeyboardInterrupt\n", "raises KeyboardInterrupt, which ends a process"),
    "kills-its-parent": ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", "ends the process by SIGKILL"),
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
    from harness.bench.registry import _cards

    _cards.cache_clear()
    started = time.monotonic()
    discover()
    assert time.monotonic() - started < 1.5
