"""Documents show only what a command really prints of the committed tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from harness import bench
from harness.bench.structure import walk
from tests.documents import ROOT, existing, pages, rendered


@pytest.mark.parametrize("path", existing(), ids=lambda path: path.name)
def test_the_output_shown_is_the_output_of_the_committed_tables(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert rendered(text) == text, "run `python -m tests.documents`"


@pytest.mark.parametrize(("name", "page"), pages().items())
def test_a_page_is_what_metadata_and_tables_make_of_it(name: str, page: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == page, "run `python -m tests.documents`"


def test_the_readme_shows_output() -> None:
    assert "<!-- output: harness compare torch2.0 torch2.1 -->" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_block_is_rendered_and_the_rest_is_kept() -> None:
    text = "a\n<!-- output: harness x y -->\n```\nold\n```\n<!-- /output -->\nb\n"
    assert rendered(text, lambda command: f"<{command}>\n") == text.replace("old", "<x y>")


def test_the_declarations_of_models_that_are_shown_are_right() -> None:
    text = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")
    blocks = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "    …,\n" in block]
    assert len(blocks) == 2
    for block in blocks:
        # What the others show is left out there.
        whole = block.replace("…,", 'summary="as shown", family="own", build=dict, probes={},')
        names: dict[str, Any] = {**vars(bench)}
        exec(whole, names)
        model = names["MODEL"]
        assert set(model.dynamic) <= {path for name, value in model.example().items() for path, _ in walk(value, name)}
