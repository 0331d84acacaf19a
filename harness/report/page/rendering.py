"""The page itself: template, styles, scripts and data put together into one HTML file.

A content security policy lets just these scripts and styles run, by their digests, and nothing be loaded. The data is
no script: it stands in an element that no browser runs, without the character that could end it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

_HERE = Path(__file__).parent

STYLES = (
    "vendor/uPlot.min.css",
    "styles/tokens.css",
    "styles/layout.css",
    "styles/parts.css",
    "styles/views.css",
    "styles/print.css",
)
SCRIPTS = ("data", "dom", "route", "parts", "filters", "overview", "grid", "matrix", "compare", "cell", "cells", "main")
"""Ours, in their order: each may use what stands before it."""
CHARTS = "vendor/uPlot.iife.min.js"

_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def render(data: Mapping[str, Any]) -> str:
    """The page of `data`, whole: the same bytes for the same data."""
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style = "\n".join(_read(STYLES))
    ours = "\n".join(_read(f"scripts/{name}.js" for name in SCRIPTS))
    script = f'{_read([CHARTS])[0]}\n(() => {{\n"use strict";\n{ours}\n}})();\n'
    return environment.get_template("page.html.j2").render(
        policy=policy(script, style),
        newest=data["newest"],
        # Ours, and read from files beside this one; the data is escaped by `as_json`.
        style=Markup(style),
        script=Markup(script),
        data=Markup(as_json(data)),
    )


def policy(script: str, style: str) -> str:
    """The content security policy under which one script and one style are all there is."""
    allowed = [
        "default-src 'none'",
        f"script-src '{_digest(script)}'",
        f"style-src '{_digest(style)}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    return "; ".join(allowed)


def as_json(data: Mapping[str, Any]) -> str:
    """`data` as JSON that may stand in an HTML element of script."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in _UNSAFE.items():
        text = text.replace(character, escape)
    return text


def _read(names: Iterable[str]) -> list[str]:
    return [(_HERE / name).read_text(encoding="utf-8") for name in names]


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
