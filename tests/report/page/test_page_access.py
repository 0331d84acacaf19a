"""The page in a real browser: that nobody is kept out of it, and what it never does."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.report.page.pages import VIEWS, open_page


def _faults(page: Page, axe: str) -> list[str]:
    page.evaluate(axe)
    found: list[dict[str, Any]] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [f"{each['impact']}: {each['id']}: {each['nodes'][0]['html']}" for each in found]


def _serious(page: Page, axe: str) -> list[str]:
    return [each for each in _faults(page, axe) if not each.startswith(("minor", "moderate"))]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_nobody_is_kept_out(page: Page, small: str, axe: str, view: str, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    open_page(page, small + VIEWS[view])
    assert _serious(page, axe) == []


@pytest.mark.parametrize(
    ("pages", "view", "scheme"),
    [
        ("large", "#/", "dark"),
        ("large", "#/matrix?strategy=way-01", "light"),
        ("large", "#/list?of=all", "dark"),
        ("hostile", "#/", "light"),
        ("hostile", "#/compare", "dark"),
        ("hostile", "#/list?q=%3Cimg%20src%3Dx", "light"),
        ("hostile", "#/cell?table=torch2.1/cpu-quick/20260201T120000Z&cell=model0/onnx-torchscript", "dark"),
        ("hostile", f"#/grid?table={'x' * 300}", "light"),
    ],
)
def test_nobody_is_kept_out_by_size_or_by_what_is_written(
    page: Page, request: pytest.FixtureRequest, axe: str, pages: str, view: str, scheme: Any
) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme=scheme)
    open_page(page, request.getfixturevalue(pages) + view)
    assert _serious(page, axe) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_nobody_is_kept_out_of_a_grid_of_three_thousand_cells(page: Page, large: str, axe: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark")
    open_page(page, f"{large}#/grid")
    assert _serious(page, axe) == []


# Of a grid one cell can be reached by tab, and the others from there by arrows.
_USABLE = """() => {
    const wanted = "a[href], button, select, input, summary, [tabindex='0']";
    const there = [...document.querySelectorAll(wanted)].filter((each) => !each.matches("td.cell a[tabindex='-1']"));
    return there.filter((each) => each.checkVisibility({ visibilityProperty: true })).length;
}"""
_FOCUSED = """() => {
    const here = document.activeElement;
    if (here === document.body) return null;
    const style = getComputedStyle(here);
    const box = here.getBoundingClientRect();
    const header = document.querySelector(".top").getBoundingClientRect();
    return {
        what: here.outerHTML.slice(0, 120),
        ringed: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
        seen: here.closest(".top, .skip") !== null || box.bottom > header.bottom,
        first: !here.seenBefore && (here.seenBefore = true),
    };
}"""


@pytest.mark.parametrize("view", VIEWS)
def test_all_that_can_be_used_is_reached_by_tab_and_seen_there(page: Page, small: str, view: str) -> None:
    open_page(page, small + VIEWS[view])
    asked = page.evaluate(_USABLE)
    reached = 0
    for _ in range(asked + 5):
        page.keyboard.press("Tab")
        at = page.evaluate(_FOCUSED)
        if at is None or not at["first"]:
            break
        assert (at["ringed"], at["seen"]) == (True, True), at["what"]
        reached += 1
    assert reached == asked


def test_axe_finds_what_is_wrong(page: Page, small: str, axe: str) -> None:
    open_page(page, small)
    page.evaluate("document.querySelector('main').append(document.createElement('select'))")
    assert any("select-name" in each for each in _faults(page, axe))


@pytest.mark.parametrize("view", VIEWS)
def test_a_phone_needs_no_scrolling_sideways(page: Page, small: str, view: str) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    open_page(page, small + VIEWS[view])
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize(
    "view",
    [
        *("#/", "#/grid", "#/matrix", "#/compare", "#/list?of=all"),
        *(f"#/cell?table=torch2.1/cpu-quick/20260201T120000Z&cell=model{n}/onnx-torchscript" for n in range(8)),
        "#/list?q=%3Cimg%20src%3Dx%20onerror%3Dwindow.ran%3D1%3E",
        "#/cell?table=x&cell=%3Cimg%20src%3Dx%20onerror%3Dwindow.ran%3D1%3E",
    ],
)
def test_nothing_that_records_or_addresses_say_runs(page: Page, hostile: str, view: str) -> None:
    open_page(page, hostile + view)
    assert page.evaluate("window.ran") is None
    assert page.locator("main img, main script, main iframe").count() == 0
    shown = page.locator("body").inner_text()
    assert not any(each in shown for each in "\x00\x1b\u202e\u2066")
    assert page.locator("a[href^='javascript']").count() == 0


def test_a_script_that_came_in_all_the_same_would_not_run(browser: Any, small: str) -> None:
    page = browser.new_page()  # that the policy is broken is logged as an error, which is meant here
    page.goto(small)
    page.evaluate("""() => {
        const made = document.createElement("script");
        made.textContent = "window.ran = 1";
        document.body.append(made);
        document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.ran = 2'>");
    }""")
    page.wait_for_timeout(50)
    assert page.evaluate("window.ran") is None
    page.close()


def test_it_prints_without_what_only_a_screen_needs(page: Page, small: str) -> None:
    open_page(page, f"{small}#/grid")
    page.emulate_media(media="print")
    expect(page.locator(".filters")).to_be_hidden()
    expect(page.locator("table.grid")).to_be_visible()
