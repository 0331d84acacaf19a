"""``python -m tests.report.page.screenshot``: take `docs/report.png` anew, of the page of the committed tables."""

from __future__ import annotations

import tempfile
from pathlib import Path

from click.testing import CliRunner
from playwright.sync_api import sync_playwright

from harness.cli import cli
from tests.report.page.conftest import chromium

ROOT = Path(__file__).resolve().parents[3]
VIEW = "#/grid?table=torch2.1/cpu-quick%2Bextensions/20261121T093907Z"

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        page = Path(folder) / "page.html"
        CliRunner().invoke(cli, ["--root", str(ROOT), "report", "--out", str(page)], catch_exceptions=False)
        browser = chromium(driver)
        shown = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
        shown.goto(page.as_uri() + VIEW)
        shown.screenshot(path=ROOT / "docs" / "report.png")
        browser.close()
