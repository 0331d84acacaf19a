"""What makes requirements other ones than those of another file with the same text: what the text refers to."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.matrix.requirements.lines import Direct, Option


def told_apart(root: Path, *, direct: Iterable[Direct], options: Iterable[Option], project: Path | None) -> str:
    """The packages on this machine and the folders of links that are meant, by their paths from the root, as text.

    The paths of `direct` are absolute, and so are those of `options`.
    """
    told = {
        "directs": [
            [_from(root, each.target) if each.is_local else each.target, each.extras, each.editable, each.marker]
            for each in direct
        ],
        "links": [
            _from(root, each.value) for each in options if each.name == "--find-links" and "://" not in each.value
        ],
        "project": _from(root, str(project)) if project else "",
    }
    return json.dumps(told)


def uv_settings(*folders: Path) -> str:
    """What uv, started in these folders, reads from settings of its own: overrides and indexes among them; as text."""
    return json.dumps([settings_of(folder)[1] for folder in dict.fromkeys(folders)], sort_keys=True, default=str)


def settings_of(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The nearest folder that has settings of uv's, as uv looks for them, and what they are."""
    for place in (folder, *folder.parents):
        if own := _toml(place / "uv.toml"):
            return place, own
        tool = _toml(place / "pyproject.toml").get("tool", {})
        if isinstance(tool, dict) and isinstance(tool.get("uv"), dict) and tool["uv"]:
            return place, tool["uv"]
    return folder, {}


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # uv says what is wrong with it


def _from(root: Path, path: str) -> str:
    return os.path.relpath(path, root)
