"""What a process of a duel may write into its pipe, and what is made of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from harness.duel.answers import LOOK_S, Answers, BadAnswerError


class GaveUpError(Exception):
    pass


def _give_up() -> None:
    raise GaveUpError


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    os.set_blocking(read, False)
    yield read, write
    for descriptor in (read, write):
        os.close(descriptor)


def test_answers_are_told_line_by_line_also_where_they_come_in_pieces(pipe: tuple[int, int]) -> None:
    read, write = pipe
    answers = Answers(read)
    os.write(write, b'{"loaded": true}\n{"median')
    assert answers.next("loaded", _give_up) is True
    os.write(write, b'_s": 1e-3}\n')
    assert answers.seconds("median_s", _give_up) == 0.001


@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "0", "-1e-3", '"soon"', "null", "true", "[1]", "1" + 400 * "0", '"' + 300 * "x" + '"']
)
def test_what_is_no_time_costs_its_cell_alone(pipe: tuple[int, int], value: str) -> None:
    os.write(pipe[1], f'{{"median_s": {value}}}\n'.encode())
    with pytest.raises(BadAnswerError, match="where seconds above 0 were asked for") as raised:
        Answers(pipe[0]).seconds("median_s", _give_up)
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize(
    "line", [b"hello\n", b"[1]\n", b"3\n", b'{"loaded": true}\n', b"\xff\xfe\n", b"\n", 30_000 * b"[" + b"\n"]
)
def test_a_line_that_was_not_asked_for_is_a_bad_answer(pipe: tuple[int, int], line: bytes) -> None:
    os.write(pipe[1], line)
    with pytest.raises(BadAnswerError, match="where 'median_s' was asked for"):
        Answers(pipe[0]).next("median_s", _give_up)


def test_output_without_an_end_is_not_read_for_ever(pipe: tuple[int, int]) -> None:
    read, write = pipe
    os.set_blocking(write, False)

    def more() -> None:
        os.write(write, 4000 * b"x")

    os.write(write, 60_000 * b"x")
    with pytest.raises(BadAnswerError, match="without an end of the line"):
        Answers(read).next("median_s", more)


def test_it_is_looked_after_a_process_also_while_something_comes(pipe: tuple[int, int]) -> None:
    read, write = pipe
    child = os.fork()
    if not child:
        for _ in range(1000):
            os.write(write, b"x")
            time.sleep(0.005)
        os._exit(0)
    began = time.monotonic()
    with pytest.raises(GaveUpError):
        Answers(read).next("median_s", _give_up)
    assert LOOK_S <= time.monotonic() - began < 5 * LOOK_S
    os.kill(child, 9)
    os.waitpid(child, 0)
