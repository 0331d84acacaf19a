"""A node's side of questions: a process of the harness's own that answers them, for as long as it is kept.

That process is started like one that carries out an order, by the variables of the allow-list alone. Questions go to
its standard input and answers come from its standard output, a JSON object a line; its first line answers its start.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.executors.delivering import ATTEMPT, broken_off, end, order_folder, start
from harness.executors.node import BASE
from harness.executors.orders import Part, Post
from harness.matrix.variables import on_node

_SLICE_S = 5.0
"""For how long a call waits for an answer: whoever wants to end it waits no longer than that."""


class Answerer:
    """Keeps one process on this node, where what travelled was unpacked in `base`."""

    def __init__(self, base: Path = BASE) -> None:
        self._base = base
        self._held = contextlib.ExitStack()
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._incoming = b""

    def begin(self, post: Post, given: Iterable[Part]) -> None:
        """Start the process, with the files that it has from the beginning; to be called once."""
        self._folder = self._held.enter_context(order_folder())
        post.write(self._folder)
        for part in given:
            part.write(self._folder / ATTEMPT)
        orders = list(post.orders.values())
        environ = on_node(
            {name: value for order in orders for name, value in order.environ.items()},
            os.environ,
            pinned=all(order.lock for order in orders),
            gpu=any(order.planned().device != "cpu" for order in orders),
        )
        self._process = start(post.module, self._folder, self._base, environ, asked=True)

    def ask(self, question: Mapping[str, Any]) -> None:
        """Put a question to the process; it has none before it that was not answered."""
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # who asks for the answer is told
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()

    def answer(self) -> dict[str, Any] | None:
        """The next answer, or None where there is none yet; `trouble` says why there will be none.

        `killed` is then whether somebody ended the process.
        """
        assert self._process is not None
        assert self._process.stdout is not None
        until = time.monotonic() + _SLICE_S
        while b"\n" not in self._incoming:
            left_s = until - time.monotonic()
            if left_s <= 0:
                return None
            if select.select([self._process.stdout], [], [], left_s)[0]:
                piece = os.read(self._process.stdout.fileno(), 2**16)
                if not piece:
                    ended = broken_off(self._process, self._folder)
                    return {"trouble": ended.trouble, "killed": ended.killed}
                self._incoming += piece
        line, _, self._incoming = self._incoming.partition(b"\n")
        told: dict[str, Any] = json.loads(line)
        return told

    def end(self) -> None:
        """End the process, and all that it started; nothing of it stays on the node."""
        if self._process is not None:
            end(self._process)
        self._held.close()
