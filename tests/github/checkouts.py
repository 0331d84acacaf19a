"""A repository with pins of its own, in git, whose packages are in a folder of wheels: nothing is asked of an index."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness.matrix.locks import BENCH_REQUIREMENTS
from tests.matrix.wheels import wheel

VERSIONS = ("1.0", "2.0")


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.invalid", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True, timeout=30)
    return done.stdout


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", message)


def repository(root: Path) -> Path:
    """`root` with the combinations `one` and `two` and an extension of `one`, torch and six at 1.0, committed."""
    for name in ("torch", "six", "extra"):
        for version in VERSIONS:
            wheel(root / "matrices" / "wheels", name, version)
    (root / BENCH_REQUIREMENTS).parent.mkdir(parents=True)
    (root / BENCH_REQUIREMENTS).write_text("six\n", encoding="utf-8")
    (root / ".gitignore").write_text(".harness/\n", encoding="utf-8")
    head = "# python: 3.11\n--no-index\n--find-links wheels\n"
    for name in ("one", "two"):
        (root / "matrices" / f"{name}.in").write_text(f"{head}torch==1.0\nsix==1.0\n", encoding="utf-8")
    (root / "matrices" / "one+more.in").write_text("# python: 3.11\n-r one.in\nextra==1.0\n", encoding="utf-8")
    git(root, "init", "--quiet")
    commit(root, "before")
    return root


def edit(path: Path, before: str, after: str) -> None:
    """Edit one pin, as a bot does: nothing else of the file changes."""
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1
    path.write_text(text.replace(before, after), encoding="utf-8")
