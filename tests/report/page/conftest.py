"""A real browser, one for each file of tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from tests.report.page.pages import hostile_tables, many_cells, small_tables, write_page

NAMES = ("chromium", "google-chrome", "google-chrome-stable", "chromium-browser")


def chromium(driver: Playwright) -> Browser:
    """Chromium without a head; raises `LookupError` where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        msg = "the page is tested in Chromium, and there is none: `apt-get install chromium`"
        raise LookupError(msg)
    # A sandbox needs another user than root.
    return driver.chromium.launch(executable_path=found, args=["--no-sandbox"] if os.geteuid() == 0 else [])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for one file of tests: while it is driven, nothing else may run an event loop."""
    with sync_playwright() as driver:
        try:
            made = chromium(driver)
        except LookupError as error:
            if os.environ.get("CI"):
                pytest.fail(str(error))
            pytest.skip(str(error))
        yield made
        made.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of 1280 x 860 that must not raise, log an error, or ask for anything but files."""
    context = browser.new_context(viewport={"width": 1280, "height": 860}, reduced_motion="reduce")
    made = context.new_page()
    wrong: list[str] = []
    made.on("pageerror", lambda error: wrong.append(str(error)))
    made.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    made.on("dialog", lambda dialog: wrong.append(dialog.message))
    made.on("request", lambda request: None if request.url.startswith("file://") else wrong.append(request.url))
    yield made
    context.close()
    assert not wrong


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a page of few cells."""
    return write_page(tmp_path_factory.mktemp("small"), small_tables())


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a page with a table of 3000 cells, and another one beside it."""
    return write_page(tmp_path_factory.mktemp("large"), many_cells(60, 50))


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a page of texts that want to be run."""
    return write_page(tmp_path_factory.mktemp("hostile"), hostile_tables())


@pytest.fixture(scope="session")
def axe() -> str:
    """What finds faults of accessibility."""
    return (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
