"""A node's side of a duel: ``python -m harness.duel.on_node FOLDER``, which takes the pairs that it is asked for.

It has the environments of both sides ready, as cells of a run do (`harness.executors.node`), and says so. Then a line
of its standard input asks for a pair, by `model`, `strategy` and `seed`, and one of its standard output answers. A pair
is told of only once both environments were found to be, after its end, what was installed.
"""

from __future__ import annotations

import contextlib
import json
import random
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from harness.bench.attempt import Attempt
from harness.bench.errors import EnvironmentChangedError
from harness.bench.plan import Plan
from harness.duel.grounds import SCRATCH
from harness.duel.pairing import Pairing, Turns
from harness.duel.preparing import SIDES, Key, ReadyCell, ready_cells
from harness.executors.delivering import ATTEMPT
from harness.executors.node import Say, laid_out, ready, require_the_same, told_to_parent
from harness.executors.orders import Post
from harness.matrix.environment import Prepared
from harness.matrix.wholeness import listed


def answer(folder: Path, questions: Iterable[str], say: Say) -> None:
    """Say when the environments are ready, and then of each question the pair that it asks for.

    Raises `InfrastructureError` for what is no result.
    """
    post, own = Post.read(folder), folder / ATTEMPT
    with contextlib.ExitStack() as stack:
        notes: list[str] = []
        environments: dict[tuple[str, str, str], Prepared] = {}
        sides: dict[str, dict[Key, ReadyCell]] = {letter: {} for letter in SIDES}
        # Whoever has several environments takes them in one order.
        for name, order in sorted(post.orders.items(), key=lambda each: each[1].name):
            which = order.name, order.lock, order.python
            if which not in environments:
                log = folder / f"{name}-install.log"
                environments[which] = stack.enter_context(ready(order, log=log, note=notes.append))
            prepared = environments[which]
            require_the_same(order, prepared)
            attempt = laid_out(order, Attempt(own / name))
            plan = Plan.from_json(json.loads(attempt.plan.read_text(encoding="utf-8")))
            cells, absent = ready_cells(attempt, plan, prepared.python)
            assert not absent, f"not ready there: {absent}"
            sides[name[0]] |= cells
        turns = Turns(**post.told["turns"])
        pairing = stack.enter_context(Pairing(own / SCRATCH, marker=str(own), turns=turns))
        say({"notes": notes})
        for line in questions:
            began, asked = time.monotonic(), json.loads(line)
            a, b = (sides[letter][asked["model"], asked["strategy"]] for letter in SIDES)
            pair = pairing.take((a, b), chance=random.Random(asked["seed"]))
            for (name, *_), prepared in environments.items():
                if changes := prepared.changes():
                    msg = f"{name} changed there while a pair was taken, which does not count: {listed(changes)}."
                    raise EnvironmentChangedError(msg)
            say({"pair": {**asdict(pair), "seconds": time.monotonic() - began}})


def main(folder: Path) -> int:
    """Answer what is asked of the post in `folder`, until nobody asks any more, or say why not."""

    def work(say: Say) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            answer(folder, sys.stdin, say)

    return told_to_parent(work, folder)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
