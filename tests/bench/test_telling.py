"""What pytest shows of a broken cell, by the amount that `--tb` asks for."""

from __future__ import annotations

import pytest

from harness.bench.record import Record
from harness.bench.stages import Outcome, Stage
from harness.bench.telling import Told, told

FRAMES = 'Traceback (most recent call last):\n{frames}KeyError: "lost"\n'
FRAME = '  File "/models/part{number}.py", line {number}, in step{number}\n    call({number})\n    ^^^^^^^\n'


def _told(style: str, *, frames: int = 0, log: str = "", outcome: Outcome = Outcome.FAILED) -> Told:
    record = Record(
        combination="torch2.1",
        extension="",
        model="lstm",
        strategy="native",
        device="cpu",
        tier="quick",
        outcome=outcome,
        stage=Stage.CONVERT,
        error_type="KeyError",
        error='"lost"',
    )
    traceback = FRAMES.format(frames="".join(FRAME.format(number=number) for number in range(frames))) if frames else ""
    return told("torch2.1/lstm/native", record, {"traceback": traceback, "log": log}, style)


def test_the_words_are_the_records() -> None:
    broken = _told("auto")
    assert broken.reprcrash.message == 'KeyError: "lost"'
    assert str(broken.reprcrash) == 'torch2.1/lstm/native: failed at convert: KeyError: "lost"'
    assert str(broken) == 'failed at convert: KeyError: "lost"'


@pytest.mark.parametrize(
    ("style", "lines"),
    [
        ("no", 1),
        ("short", 2 + 9 * 2 + 1),
        ("auto", 2 + 2 * 2 + 1 + 2 * 2 + 1),
        ("long", 2 + 1 + 9 * 3 + 1 + 2 + 30),
        ("native", 2 + 1 + 9 * 3 + 1),
    ],
)
def test_how_much_is_shown_of_a_long_traceback(style: str, lines: int) -> None:
    broken = _told(style, frames=9, log="\n".join(map(str, range(30))))
    shown = broken.lines(style)
    assert len(shown) == lines
    assert shown[0] == 'failed at convert: KeyError: "lost"'
    assert str(broken) == "\n".join(broken.lines("long"))
    if style in ("short", "auto"):
        assert shown[2:4] == ["/models/part0.py:0: in step0", "    call(0)"]
        assert shown[-3:] == ["/models/part8.py:8: in step8", "    call(8)", 'KeyError: "lost"']
    assert ("  … 5 frames between, which --tb=short shows" in shown) is (style == "auto")


@pytest.mark.parametrize(("style", "lines"), [("short", 10), ("auto", 20), ("long", 30), ("native", 0), ("no", 0)])
def test_what_crashed_is_told_by_the_end_of_its_log(style: str, lines: int) -> None:
    shown = _told(style, log="\n".join(map(str, range(30))), outcome=Outcome.CRASHED).lines(style)
    assert shown[:1] == ['crashed at convert: KeyError: "lost"']
    assert shown[3:] == [f"    {number}" for number in range(30 - lines, 30)]
    assert ("the end of its log:" in shown) is (lines > 0)


def test_an_error_that_came_of_another_keeps_both() -> None:
    first = FRAMES.format(frames=FRAME.format(number=1))
    second = FRAMES.format(frames=FRAME.format(number=2)).replace("lost", "found")
    between = "\nDuring handling of the above exception, another exception occurred:\n\n"
    broken = Told(_told("auto").reprcrash, "failed", first + between + second, "", "auto")
    assert [line for line in broken.lines("auto")[2:] if not line.startswith("    ")] == [
        "/models/part1.py:1: in step1",
        'KeyError: "lost"',
        between.strip(),
        "/models/part2.py:2: in step2",
        'KeyError: "found"',
    ]
