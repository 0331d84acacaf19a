"""What a cluster's own process on a node does: start the process that carries out an order, and pass on what comes.

That one gets none of this one's variables but by the allow-list, nor anything of its paths and threads.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import uuid
from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

from harness.bench.disk import remove_tree
from harness.bench.group import end_leftovers
from harness.bench.hold import held_if_free, hold
from harness.bench.logs import tail
from harness.bench.waiting import WAITING_FILE
from harness.executors.node import BASE, node_cache
from harness.executors.orders import PARENT, Ended, Message, Order, Part, Told, pieces_of
from harness.matrix.variables import on_node

LOG_FILE = "node.log"

_START = (
    "import runpy, sys; sys.path.insert(0, sys.argv[1]); module = sys.argv[2]; del sys.argv[1:3]; "
    "runpy.run_module(module, run_name='__main__')"
)
"""Whatever is installed there, the harness that travelled comes first."""

_POLL_S = 0.2
_GRACE_S = 25.0
_LOG_BYTES = 2000
_NODE = "harness.executors.node"
ATTEMPT = "attempt"
"""The folder, in that of an order, whose processes are ended with it."""

_LARGE = ("waiting/", "kept/")


def deliver(order: Order, given: Iterable[Part] = (), *, base: Path = BASE) -> Generator[Message, None, None]:
    """Carry out an order on this node, where what travelled was unpacked in `base`; what it comes to, as it comes.

    What is `given` are the files that the attempt has from the beginning. Closed early, it ends what it started.
    """
    with order_folder() as folder:
        order.write(folder)
        for part in given:
            part.write(folder / ATTEMPT)
        yield from _carried_out(order, folder, base)


@contextlib.contextmanager
def order_folder() -> Iterator[Path]:
    """A new folder on this node, held until the end: then what is at work in it is ended, and it goes."""
    units = node_cache() / "units"
    folder = units / uuid.uuid4().hex[:12]
    with contextlib.ExitStack() as held:
        with hold(units, str(units), _unheard):  # who sweeps must not meet a folder that is not held yet
            _sweep(units)
            held.enter_context(hold(folder, str(folder), _unheard))
        try:
            yield folder
        finally:
            end_leftovers(str(folder / ATTEMPT))
            remove_tree(folder)


def _sweep(units: Path) -> None:
    """End and remove what died here without doing so itself."""
    for folder in filter(Path.is_dir, units.iterdir()):
        with held_if_free(folder) as free:
            if free:
                end_leftovers(str(folder / ATTEMPT))
                remove_tree(folder)


def start(
    module: str, folder: Path, base: Path, environ: Mapping[str, str], *, asked: bool = False
) -> subprocess.Popen[bytes]:
    """Start `module` of the harness that was unpacked in `base`, with `folder` for its argument.

    What it prints is to be read, what it complains of lies in `node.log`, and `asked` says that it is written to.
    """
    with (folder / LOG_FILE).open("wb") as errors:
        return subprocess.Popen(
            [sys.executable, "-c", _START, str(base), module, str(folder)],
            cwd=base,
            env={**environ, PARENT: str(os.getpid())},
            stdin=subprocess.PIPE if asked else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )


def broken_off(process: subprocess.Popen[bytes], folder: Path) -> Ended:
    """What there is to say where a process that was started in `folder` ended without its last word."""
    code = process.wait()
    said = tail(folder / LOG_FILE, _LOG_BYTES).strip() or f"exit code {code}"
    return Ended(trouble=f"the harness's process on the node did not work: {said}.", killed=code < 0)


def _carried_out(order: Order, folder: Path, base: Path) -> Iterator[Message]:
    environ = on_node(order.environ, os.environ, pinned=bool(order.lock), gpu=order.planned().device != "cpu")
    process = start(_NODE, folder, base, environ)
    assert process.stdout is not None
    ended = False
    try:
        for line in _lines(process.stdout):
            told = json.loads(line)
            if "files" in told:
                for path in told["files"]:
                    yield from _pieces(folder / ATTEMPT, path)
                yield Told(events=tuple(told.get("events", ())), notes=tuple(told.get("notes", ())))
            else:
                ended = True
                yield Ended(**told)
        if not ended:
            yield broken_off(process, folder)
    finally:
        end(process)


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Whole lines as they come, until the end; whoever is to be interrupted can be, in between."""
    kept = b""
    while True:
        if not select.select([stream], [], [], _POLL_S)[0]:
            continue
        piece = os.read(stream.fileno(), 2**16)
        if not piece:
            return
        *lines, kept = (kept + piece).split(b"\n")
        yield from lines


def _pieces(attempt: Path, name: str) -> Iterator[Message]:
    """A file in pieces; one that is waiting takes no room here any more then."""
    if name.endswith("/"):
        yield Part(path=name, content=b"")
        return
    path = attempt / name
    yield from pieces_of(path, name)
    if name.startswith(_LARGE) and path.name != WAITING_FILE:  # for what says that it is whole the bench asks again
        path.unlink(missing_ok=True)


def end(process: subprocess.Popen[bytes]) -> None:
    """Have the process end: by itself, which ends the bench, or killed where it does not in time."""
    process.terminate()
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _unheard(text: str) -> None:
    del text
