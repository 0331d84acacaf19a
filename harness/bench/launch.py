"""Entry of every process that the bench starts: ``launch.py ROLE FOLDER``, and ``launch.py keeper IMPORT…``.

It runs as a plain file so that nothing is on `sys.path` but the environment's own packages and, after them, the
folder that holds `harness`: what the harness is made of never shadows a pinned package. A role is the module of
`harness.bench` whose `main` is called with the folder, where its request is.
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0:1] = []
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    role, *arguments = sys.argv[1:]

    from harness.bench.group import die_with_parent
    from harness.bench.memory import offer_to_oom_killer

    die_with_parent()
    if role != "keeper":
        offer_to_oom_killer()
    main = importlib.import_module(f"harness.bench.{role}").main
    main(arguments) if role == "keeper" else main(Path(arguments[0]))
