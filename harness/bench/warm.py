"""The warm process: imports the frameworks once, then forks a child for each request that comes in.

Requests and answers are JSON lines on stdin and stdout; ``{"ready": 1}`` once everything is imported, then for each
request ``{"pid": …}`` when the child runs and ``{"returncode": …}`` when it has ended.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.bench.memory import offer_to_oom_killer
from harness.bench.processes import LOG_FILE, die_with_parent


def _answer(descriptor: int, value: dict[str, Any]) -> None:
    os.write(descriptor, json.dumps(value).encode() + b"\n")


def _child(request: dict[str, str]) -> None:
    """What the forked child does; never returns to the loop."""
    os.setsid()
    die_with_parent()
    offer_to_oom_killer()
    os.chdir(request["cwd"])
    null = os.open(os.devnull, os.O_RDONLY)
    log = os.open(Path(request["request"]).with_name(LOG_FILE), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    from harness.bench.worker import main

    main([request["request"]])


def main(imports: Sequence[str]) -> None:
    """Import, say so, and serve requests until stdin ends."""
    protocol = os.dup(1)
    os.dup2(2, 1)  # whatever a framework prints goes to the log
    for name in imports:
        # A child that needs it meets the same error at its stage `import`.
        with contextlib.suppress(Exception, SystemExit):
            importlib.import_module(name)
    # The worker itself, so that no child pays for it.
    importlib.import_module("harness.bench.worker")
    _answer(protocol, {"ready": 1})
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.close(protocol)
            try:
                _child(request)
            finally:
                os._exit(1)  # only reached when the worker itself broke
        _answer(protocol, {"pid": pid})
        _, status = os.waitpid(pid, 0)
        _answer(protocol, {"returncode": os.waitstatus_to_exitcode(status)})
