"""The page as a reader meets it, in headless Chromium."""

import json
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from browser import watched
from reported import page as make_page
from reported import searched, trial
from small_run import compared

WIDTHS = (360, 400, 1280, 1440)
LONG = "a_model_whose_name_is_rather_long_for_a_column_of_a_table"
SCHEMES = ("light", "dark")


def changed(source, folder, file, change):
    """A copy of an artifact's folder with a JSON file changed."""
    shutil.copytree(source, folder)
    content = json.loads((folder / file).read_text())
    change(content)
    (folder / file).write_text(json.dumps(content))
    return SimpleNamespace(path=str(folder))


def lengthened(results, folder, leaderboard):
    """The results with long names of models, classes and files, and every format, where tables are widest."""

    def add_models(content):
        first = content["models"][0]
        content["models"] += [{**first, "model": f"{LONG}_{i}", "rank": 2 + i, "behind": [0.1, 0.2]} for i in range(2)]

    def add_formats(content):
        times = {f"batch_{n}_{what}_ms": 1234.5678 for n in (1, 32) for what in ("median", "p95")}
        made = {"bytes": 123456789, "max_abs_difference": 1.23456e-7, "agreement": 1.0, "batch": 1, **times}
        quality = {"metric": "accuracy", "quantized": 0.25, "model": 0.26, "test_examples": 10000}
        content["formats"]["litert_int8"] = {**made, "left_in_float": ["CAST", "SPLIT"], "quality": quality}
        content["formats"]["onnx"] = {"refused": f"fails at /{LONG * 3}"}

    def rename(content):
        content["classes"][1] = "Donaudampfschifffahrtsgesellschaftskapitän"

    def name_files(content):
        for mistake in content["mistakes"]:
            mistake["file"] = f"{LONG}/{LONG}.png"

    board = Path(leaderboard.path)
    changed(board, folder / "copy", "leaderboard.json", add_models)
    shutil.copyfile(folder / "copy" / "leaderboard.json", board / "leaderboard.json")
    return {
        **results,
        "export_mlp": changed(results["export_mlp"].path, folder / "export", "export.json", add_formats),
        "dataset_fashion": changed(results["dataset_fashion"].path, folder / "data", "dataset.json", rename),
        "evaluation_mlp": changed(results["evaluation_mlp"].path, folder / "evaluated", "evaluation.json", name_files),
    }


@pytest.fixture(scope="module")
def address(results, tmp_path_factory):
    """The URL of a page with everything on it: a search, a failed task, a model below its gate."""
    folder = tmp_path_factory.mktemp("page")
    leaderboard, _ = compared(results, folder, gates={"fashion": {"linear": 0.99}})
    search = searched(folder / "search", [trial(1, 0.5), trial(2, reason="RuntimeError: NaN"), trial(3, 0.7, 0.002)])
    failures = {"export-other": "RuntimeError: it differs"}
    results = lengthened(results, folder, leaderboard)
    make_page(results, folder / "report.html", leaderboard, failures, {"mlp": search})
    return (folder / "report.html").as_uri()


@pytest.fixture
def opened(chromium, address):
    """Opens the page."""
    with watched(chromium, address) as open_page:
        yield partial(open_page, address)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_figure_is_there_and_the_page_fits(opened, width, scheme):
    page = opened(width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    sizes = page.eval_on_selector_all(
        "svg, img", "all => all.map(e => [e.getBoundingClientRect().width, e.getBoundingClientRect().height])"
    )
    assert len(sizes) > 30
    assert all(min(size) > 8 for size in sizes)
    assert page.eval_on_selector_all("img", "all => all.every(e => e.naturalWidth > 0)")


@pytest.mark.parametrize("width", WIDTHS)
def test_no_headline_figure_is_broken_in_two(opened, width):
    lines = """all => all.map(e => {
        e.textContent = "98608.26?"
        return e.getBoundingClientRect().height / parseFloat(getComputedStyle(e).lineHeight)
    })"""
    found = opened(width).eval_on_selector_all(".verdict .value", lines)
    assert found
    assert max(found) < 1.5


@pytest.mark.parametrize("width", WIDTHS)
def test_no_cell_of_a_table_is_cut_or_lies_over_another(opened, width):
    page = opened(width)
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    wrong = page.evaluate(
        """() => {
            const text = (element) => element.textContent.trim().slice(0, 40);
            const found = [];
            for (const table of document.querySelectorAll('table')) {
                const place = table.parentElement;
                if (place.scrollWidth > place.clientWidth) found.push(['wider than its place', text(table)]);
                for (const row of table.rows) {
                    const boxes = [...row.cells].map((cell) => [cell, cell.getBoundingClientRect()]);
                    for (const [cell, box] of boxes) {
                        if (cell.scrollWidth > Math.ceil(box.width)) found.push(['cut', text(cell)]);
                        for (const [other, its] of boxes) {
                            const across = Math.min(box.right, its.right) - Math.max(box.left, its.left);
                            const down = Math.min(box.bottom, its.bottom) - Math.max(box.top, its.top);
                            if (cell !== other && across > 1 && down > 1) found.push(['overlaps', text(cell)]);
                        }
                    }
                }
            }
            return found;
        }"""
    )
    assert wrong == []


def test_light_and_dark_are_told_apart(opened):
    colors = {}
    for scheme in SCHEMES:
        page = opened(scheme=scheme)
        line = "getComputedStyle(document.querySelector('figure svg [style*=\"stroke: var(--first)\"]')).stroke"
        colors[scheme] = (page.evaluate("getComputedStyle(document.body).backgroundColor"), page.evaluate(line))
    assert colors["light"][0] != colors["dark"][0]
    assert colors["light"][1] != colors["dark"][1]
    assert all(line.startswith("rgb") for _, line in colors.values())


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nothing_hinders_a_screen_reader(opened, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = opened(scheme=scheme)
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    found = Axe().run(page).response["violations"]
    assert [(rule["id"], rule["nodes"][0]["html"]) for rule in found] == []


def column(page, name):
    """The cells of a column of the first leaderboard, and the heading's aria-sort."""
    return page.evaluate(
        """name => {
            const table = document.querySelector('#leaderboard table');
            const heads = [...table.tHead.rows[0].cells];
            const place = heads.findIndex(cell => cell.textContent.trim() === name);
            return [[...table.tBodies[0].rows].map(row => row.cells[place].textContent.trim()), heads[place].ariaSort];
        }""",
        name,
    )


def test_tables_sort_by_click(opened):
    page = opened()
    before, order = column(page, "accuracy")
    assert order is None
    button = page.locator("#leaderboard table").first.get_by_role("button", name="accuracy", exact=True)
    button.click()
    values, order = column(page, "accuracy")
    assert (values, order) == (sorted(before, key=float), "ascending")
    button.click()
    values, order = column(page, "accuracy")
    assert (values, order) == (sorted(before, key=float, reverse=True), "descending")


def test_tables_sort_by_keyboard_and_empty_cells_stay_last(opened):
    page = opened()
    page.locator("#leaderboard table").first.get_by_role("button", name="parameters", exact=True).focus()
    page.keyboard.press("Enter")
    values, order = column(page, "parameters")
    assert order == "ascending"
    assert [bool(value) for value in values] == sorted((bool(value) for value in values), reverse=True)
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    assert column(page, "95 % interval of accuracy")[1] == "ascending"
    assert column(page, "parameters")[1] is None


def test_the_first_key_reaches_the_content_and_focus_is_seen(opened):
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    box = page.locator(".skip").bounding_box()
    assert box["x"] >= 0
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_what_is_folded_is_printed(opened):
    page = opened()
    assert page.locator("details[open]").count() == 0
    page.pdf()
    assert page.locator("details:not([open])").count() == 0
