"""Entry of every process that the bench starts: ``launch.py warm IMPORT…``, ``launch.py worker|serve REQUEST``.

It runs as a plain file so that nothing is on `sys.path` but the environment's own packages and, after them, the
folder that holds `harness`: what the harness is made of never shadows a pinned package.
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0:1] = []
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    role, *arguments = sys.argv[1:]

    from harness.bench.memory import offer_to_oom_killer
    from harness.bench.processes import die_with_parent

    die_with_parent()
    if role != "warm":
        offer_to_oom_killer()
    importlib.import_module(f"harness.bench.{role}").main(arguments)
