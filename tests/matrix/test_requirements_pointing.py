"""Which line asks for a package, in each form that requirements have."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.matrix.requirements.pointing import lines_of

WANTED = {"torch": "2.1.0", "numpy": "1.26.0"}

REQUIREMENTS = """\
# torch==2.1.0 was tried
--extra-index-url https://example.invalid
numpy>=1.20  # any
torch==2.0.1 ; python_version < "3.11"
Torch[opt] == 2.1.0 \\
    --hash=sha256:aa
"""

PROJECT = """\
[project]
name = "torch"
keywords = ["torch"]
dependencies = ["numpy<2", 'six',
    "torch>=2",
]
[dependency-groups]
convert = ["torch==2.1.0", {include-group = "other"}]
"""

UV_LOCK = """\
version = 1

[[package]]
name = "numpy"
version = "1.26.0"
dependencies = [
    { name = "torch", version = "1.0", source = { registry = "https://example.invalid" } },
]

[[package]]
name = "torch"
version = "2.1.0"
"""

PYLOCK = """\
lock-version = "1.0"

[[packages]]
name = "torch"
version = "2.1.0"
wheels = []

[packages.tool]
name = "numpy"
"""


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("requirements.txt", REQUIREMENTS, {"numpy": 3, "torch": 5}),
        ("requirements.txt", "torch==2.0.0\ntorch==2.0.1\n", {"torch": 1}),
        ("pyproject.toml", PROJECT, {"numpy": 4, "torch": 8}),
        ("uv.lock", UV_LOCK, {"numpy": 5, "torch": 12}),
        ("pylock.cpu.toml", PYLOCK, {"torch": 5}),
        ("pyproject.toml", "not = [toml", {}),
        ("requirements.txt", "-r nowhere.txt\n", {}),
        ("requirements.txt", "torch==2.1.0\n-r requirements.txt\n", {"torch": 1}),
        ("requirements.txt", "torch==2.1.0\n??\n", {"torch": 1}),
    ],
)
def test_the_line_that_asks_for_a_package(tmp_path: Path, name: str, text: str, lines: dict[str, int]) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert {name: each.line for name, each in lines_of(tmp_path / name, WANTED).items()} == lines


def test_what_is_included_is_pointed_at_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "pins").mkdir()
    (tmp_path / "pins" / "base.txt").write_text("-c bounds.txt\nnumpy\n", encoding="utf-8")
    (tmp_path / "pins" / "bounds.txt").write_text("\ntorch==2.1.0\n", encoding="utf-8")
    (tmp_path / "requirements.txt").write_text("torch\n-r pins/base.txt\n", encoding="utf-8")
    found = lines_of(tmp_path / "requirements.txt", WANTED)
    assert {name: (each.path.name, each.line) for name, each in found.items()} == {
        "torch": ("bounds.txt", 2),
        "numpy": ("base.txt", 2),
    }
