"""The page in a real browser: what it shows, by mouse and by keyboard."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from harness.bench.stages import Stage
from tests.report.page.pages import BROKEN, CELL, open_page, small_tables, write_page
from tests.tables.samples import MACHINE, failed, mismatched, not_applicable, passed, table


def test_the_overview_says_first_what_broke_last(page: Page, small: str) -> None:
    open_page(page, small)
    first = page.locator(".change").first
    expect(first.get_by_role("link").first).to_have_text("torch2.0 → torch2.1, cpu-quick")
    expect(first).to_contain_text("embedding/onnx-torchscript")
    first.get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("What changed")
    expect(page.locator(".tile.worse strong")).to_have_text("1")


def test_a_grid_tells_outcomes_by_signs_and_opens_cells(page: Page, small: str) -> None:
    open_page(page, f"{small}#/grid")
    link = page.get_by_role("link", name="embedding, onnx-torchscript: failed at load")
    expect(link).to_contain_text("✗")
    expect(link).to_contain_text("load")
    signs = page.locator("td.cell a").evaluate_all("links => links.map(each => each.firstChild.data)")
    assert set(signs) == {*"✓✗≠⧗⊠∅·", "!!"}
    link.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("torch2.1/embedding/onnx-torchscript")


def test_a_cell_has_error_cause_remedy_and_what_shows_it_again(page: Page, small: str) -> None:
    open_page(page, f"{small}{CELL}")
    expect(page.locator("main")).to_contain_text("INVALID_GRAPH")
    expect(page.locator("dt", has_text="remedy")).to_be_visible()
    known = page.locator("dt", has_text="known as").locator("+ dd")
    expect(known).to_contain_text("pytorch#110597, in torch ")
    expect(page.get_by_role("link", name="pytorch#110597")).to_have_count(1)
    expect(known.get_by_role("link")).to_have_attribute("href", "https://github.com/pytorch/pytorch/issues/110597")
    expect(page.locator("main")).not_to_contain_text("upstream")
    expect(page.locator(".command code").first).to_have_text(
        f"harness reproduce results/{BROKEN}/embedding/onnx-torchscript"
    )
    outcomes = page.locator(".spark a").evaluate_all("links => links.map(each => each.className)")
    assert outcomes == ["passed", "failed", "failed"]


def test_a_cell_that_is_not_there_is_told(page: Page, small: str) -> None:
    open_page(page, f"{small}#/cell?table=none&cell=a/b")
    expect(page.get_by_role("heading", level=1)).to_have_text("No such cell")


def test_the_matrix_marks_what_a_version_broke(page: Page, small: str) -> None:
    open_page(page, f"{small}#/matrix")
    row = page.get_by_role("row", name="embedding")
    expect(row).to_contain_text("▼1")
    row.get_by_role("link").nth(1).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("What changed")
    expect(page.get_by_role("searchbox")).to_have_value("embedding")


def test_the_matrix_says_why_all_passed_and_some_are_worse(page: Page, tmp_path: Path) -> None:
    tables = [
        table(passed("a", "native"), of, combination=f"torch2.{at}")
        for at, of in enumerate((passed("a", "tflite"), not_applicable("a", "tflite")))
    ]
    open_page(page, f"{write_page(tmp_path, tables)}#/matrix")
    expect(page.get_by_role("row", name="a", exact=False)).to_contain_text("1/1 ▼1")
    expect(page.locator("h1 + .lede")).to_contain_text(
        "A cell that passed there and cannot exist here counts as worse, too, and is not among the n of n"
    )


def test_probes_that_never_ran_are_not_told_as_broken(page: Page, tmp_path: Path) -> None:
    cells = [
        failed("a", "tflite", probes_total=4),
        mismatched("b", "tflite", Stage.PROBE, probes_total=4, probes_passed=0),
    ]
    address = write_page(tmp_path, [table(*cells)])
    for model, said in (("a", "4, none was run"), ("b", "0 of 4 passed")):
        open_page(page, f"{address}#/cell?table=torch2.0/cpu-quick/20260131T120000Z&cell={model}/tflite")
        expect(page.locator("dt", has_text="probes").locator("+ dd").last).to_have_text(said)


def test_any_two_tables_are_compared(page: Page, small: str) -> None:
    open_page(page, f"{small}#/compare?base={BROKEN}&candidate=torch2.0/cpu-quick/20260131T120000Z")
    expect(page.locator(".change.better")).to_contain_text("embedding/onnx-torchscript")
    page.get_by_role("button", name="Swap").click()
    expect(page.locator(".change.worse")).to_contain_text("embedding/onnx-torchscript")


def test_where_no_blame_is_recorded_it_says_what_makes_it(page: Page, small: str) -> None:
    open_page(page, f"{small}#/compare?base=torch2.0/cpu-quick/20260131T120000Z&candidate={BROKEN}")
    blame = page.locator("section", has=page.get_by_role("heading", name="Who is to blame"))
    expect(blame.locator("code")).to_contain_text("harness bump torch2.0 torch==2.1.0 ")


def test_packages_that_moved_with_the_lock_are_told_a_line_a_family(page: Page, tmp_path: Path) -> None:
    of = {f"nvidia-cu{each}-cu11": "11.7.99" for each in ("blas", "fft", "da-runtime")}
    two = [
        table(passed("a", "native"), packages={"torch": "2.0.1"} | of),
        table(passed("a", "native"), packages={"torch": "2.0.1"}, started="2026-02-02T00:00:00Z"),
    ]
    open_page(page, f"{write_page(tmp_path, two)}#/compare")
    also = page.locator(".panel", has=page.get_by_role("heading", name="Also differs: 3 installed packages"))
    expect(also.get_by_role("listitem")).to_have_text(["CUDA 11.7 → absent (3 packages)"])


def test_filters_stand_in_the_address_and_survive_a_reload(page: Page, small: str) -> None:
    open_page(page, f"{small}#/grid")
    page.get_by_role("searchbox").fill("embed")
    page.get_by_role("combobox", name="Outcome", exact=True).select_option("broken")
    expect(page.locator(".count")).to_contain_text("1 of 9 cells")
    expect(page.get_by_role("status")).to_have_text("1 of 9 cells")
    address = page.url
    assert "q=embed" in address
    assert "outcome=broken" in address
    page.reload()
    expect(page.locator(".count")).to_contain_text("1 of 9 cells")
    expect(page.get_by_role("searchbox")).to_have_value("embed")
    assert page.url == address
    page.get_by_role("button", name="Show all").click()
    expect(page.locator(".count")).to_contain_text("9 of 9 cells")
    assert "q=" not in page.url


def test_a_cause_filters_the_list(page: Page, small: str) -> None:
    open_page(page, small)
    page.get_by_role("link", name="gives new_zeros and the like").click()
    expect(page.locator(".count")).to_contain_text("1 of ")
    expect(page.locator("tbody th")).to_have_text(["embedding/onnx-torchscript"])

    assert "cause=new-zeros-float-index" in page.url


@pytest.mark.parametrize(
    ("view", "said"),
    [
        ("#/grid?table=torch9.9/cpu-quick/20260101T000000Z", "no table torch9.9/cpu-quick/20260101T000000Z"),
        ("#/list?table=torch9.9/a/b", "no table torch9.9/a/b"),
        (f"#/compare?base=torch9.9/a/b&candidate={BROKEN}", "no table torch9.9/a/b"),
        (f"#/compare?base={BROKEN}&candidate=torch9.9/a/b", "no table torch9.9/a/b"),
        ("#/matrix?series=gpu-full", "of the series gpu-full"),
        ("#/matrix?strategy=onnx-none", "the strategy onnx-none"),
        ("#/?series=gpu-full", "of the series gpu-full"),
        ("#/heatmap", "no view heatmap"),
    ],
)
def test_what_an_address_asks_for_in_vain_is_told(page: Page, small: str, view: str, said: str) -> None:
    open_page(page, small + view)
    expect(page.locator(".absent")).to_contain_text(said)


def test_of_a_table_that_is_not_here_it_says_why_and_what_shows_it(page: Page, tmp_path: Path) -> None:
    file = write_page(tmp_path, small_tables(), left_out=["results/torch1.9/cpu-quick/20250101T000000Z"])
    for name, why, shows in (
        ("torch9.9/cpu-quick/20260101T000000Z", "on another page, or newer", "results/torch9.9/cpu-quick/"),
        ("torch1.9/cpu-quick/20250101T000000Z", "left out of this page, which stays below a size", "results/torch1.9/"),
        ("x/y/$(id)", "on another page", "TABLE"),
    ):
        open_page(page, f"{file}#/grid?table={name}")
        expect(page.locator(".absent")).to_contain_text(why)
        expect(page.locator(".absent code")).to_contain_text(f"harness report {shows}")
        open_page(page, f"{file}#/cell?table={name}&cell=a/b")
        expect(page.locator(".absent code")).to_contain_text(f"harness report {shows}")


@pytest.mark.parametrize("name", ["constructor", "toString", "__proto__"])
def test_what_every_object_has_is_no_choice_of_an_address(page: Page, small: str, name: str) -> None:
    open_page(page, f"{small}#/grid?show={name}")
    expect(page.get_by_role("combobox", name="In each cell")).to_have_value("outcome")
    expect(page.get_by_role("link", name="embedding, onnx-torchscript: failed at load")).to_contain_text("load")
    for view in (f"#/{name}", f"#/matrix?strategy={name}", f"#/matrix?series={name}"):
        open_page(page, small + view)
        expect(page.locator(".absent")).to_contain_text(name)


def test_a_pin_named_as_what_every_object_has_is_absent_where_it_is(page: Page, tmp_path: Path) -> None:
    pins = ({"torch": "2.0.1"}, {"torch": "2.0.1", "constructor": "1.0"})
    tables = [table(passed("a", "native"), combination=f"c{at}", pins=of) for at, of in enumerate(pins)]
    open_page(page, f"{write_page(tmp_path, tables)}#/matrix")
    assert page.locator("th .pins").all_text_contents() == ["constructor absent", "constructor 1.0"]


@pytest.mark.parametrize("asked", ["cause=3", "strategy=onnx-none", "outcome=lost", "model=none"])
def test_a_filter_that_no_cell_meets_is_told(page: Page, small: str, asked: str) -> None:
    open_page(page, f"{small}#/list?{asked}")
    expect(page.locator(".count")).to_contain_text("0 of ")
    title, _, value = asked.partition("=")
    chosen = page.get_by_role("combobox", name=title.capitalize(), exact=True)
    expect(chosen.locator("option:checked")).to_have_text(f"{value} (no cell here)")


def test_two_tables_that_are_not_compared_here_are_not_taken_for_others(page: Page, small: str) -> None:
    open_page(page, f"{small}#/compare?base={BROKEN}&candidate={BROKEN}")
    expect(page.locator("main")).to_contain_text("does not have this comparison")
    expect(page.get_by_role("combobox", name="Candidate")).to_have_value(BROKEN)
    expect(page.locator(".command code")).to_have_text(f"harness compare results/{BROKEN} results/{BROKEN}")


def test_the_link_to_the_content_leaves_the_view(page: Page, small: str) -> None:
    open_page(page, f"{small}#/grid")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("table.grid")).to_be_visible()
    expect(page.locator("main")).to_be_focused()
    assert page.url.endswith("#/grid")


def test_a_history_has_what_had_moved(page: Page, tmp_path: Path) -> None:
    tables = [
        table(passed("a", "native", latency_ms=1.0), pins={"torch": pin}, started=f"2026-01-0{day}T00:00:00Z")
        for day, pin in ((1, "2.0.0"), (2, "2.0.1"))
    ]
    open_page(page, f"{write_page(tmp_path, tables)}#/cell?table=torch2.0/cpu-quick/20260102T000000Z&cell=a/native")
    expect(page.get_by_role("row", name="2026-01-02")).to_contain_text("torch 2.0.0 → 2.0.1")


def test_a_history_has_machines_as_letters_and_fits_the_window(page: Page, tmp_path: Path) -> None:
    other = replace(MACHINE, cpu="Intel(R) Xeon(R) Platinum 8480C Processor @ 2.00GHz", cores=96)
    tables = [
        table(
            passed("a", "native", latency_ms=1.0, rss_peak_mb=180.0, relative_error=1e-7, strategy_digest=f"{day}"),
            failed("b", "native", error="none", carried_from="2026-01-01T00:00:00Z" if day == 3 else None),
            combination="torch2.0-with-all-extensions",
            machine=other if day == 2 else MACHINE,
            pins={"torch": f"2.0.{day}"},
            started=f"2026-01-0{day}T00:00:00Z",
        )
        for day in (1, 2, 3)
    ]
    file = write_page(tmp_path, tables)
    cell = "#/cell?table=torch2.0-with-all-extensions/cpu-quick/20260103T000000Z&cell="
    open_page(page, f"{file}{cell}a/native")
    history = page.get_by_role("region", name="History", exact=True)
    assert history.locator("tbody td:nth-child(2)").all_text_contents() == ["A", "B", "A"]
    assert [each[:3] for each in page.get_by_label("Machines").get_by_role("listitem").all_text_contents()] == [
        *("A: ", "B: ")
    ]
    expect(page.get_by_label("Machines")).to_contain_text("Platinum 8480C")
    expect(history).to_contain_text("code of the strategy, its steps or its runtime edited")
    assert history.evaluate("each => each.scrollWidth - each.clientWidth") == 0
    open_page(page, f"{file}{cell}b/native")
    expect(history.get_by_role("row", name="2026-01-03")).to_contain_text(
        "torch 2.0.2 → 2.0.3; carried over from 2026-01-01T00:00:00Z"
    )


def test_the_names_of_tables_to_choose_from_are_whole(page: Page, tmp_path: Path) -> None:
    tables = [
        table(passed("a", "native"), missing=[("b", "native")], combination=name)
        for name in ("torch2.0-with-all-extensions", "torch2.1-with-all-extensions")
    ]
    file = write_page(tmp_path, tables)
    for view in ("grid", "compare"):
        open_page(page, f"{file}#/{view}")
        picked = page.locator(".picks select")
        expect(picked.first.locator("option").first).to_have_text(
            "torch2.0-with-all-extensions · cpu-quick · newest, incomplete, 2026-01-31 12:00"
        )
        assert (
            picked.evaluate_all("""all => all.map((each) => {
            const copy = each.cloneNode(true);
            copy.style.cssText = "width: max-content; max-width: none; position: absolute";
            document.body.append(copy);
            return each.offsetWidth < copy.offsetWidth && each.value;
        })""")
            == [False] * picked.count()
        )


def test_back_goes_to_where_the_reader_was(page: Page, small: str) -> None:
    open_page(page, f"{small}#/grid?outcome=broken")
    page.get_by_role("link", name="embedding, onnx-torchscript: failed at load").click()
    expect(page.locator(".cell-id")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("combobox", name="Outcome", exact=True)).to_have_value("broken")


def test_all_of_it_can_be_walked_by_keyboard(page: Page, small: str) -> None:
    open_page(page, small)
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("g")
    page.keyboard.press("g")
    expect(page.locator("table.grid")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.press("Escape")
    first = page.locator("td.cell a[tabindex='0']")
    expect(first).to_have_count(1)
    first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("link", name="embedding, onnx-torchscript: failed at load")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("link", name="grid, onnx-torchscript: passed")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".cell-id")).to_have_text("torch2.1/grid/onnx-torchscript")
    page.keyboard.press("Escape")
    expect(page.locator("table.grid")).to_be_visible()


def test_a_cell_without_a_record_is_told(page: Page, small: str) -> None:
    open_page(page, f"{small}#/grid?table=torch2.1/cpu-quick/20260201T120000Z")
    expect(page.locator("td.no-record")).to_contain_text("no record")
    expect(page.locator("main")).to_contain_text("It is not complete: 8 of 9 cells")
