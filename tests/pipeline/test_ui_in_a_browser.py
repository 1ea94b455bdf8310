"""The pages of runs as a reader meets them, in headless Chromium."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from browser import watched
from made_runs import make_run, serving

SCHEMES = ("light", "dark")
LONG = "a_model_whose_name_is_rather_long_for_a_column_of_a_table"
NAMES = [f"2026010{i}-080000" for i in range(1, 8)]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Seven runs, with long names, a failure of many words, and folders that can't be read."""
    runs = tmp_path_factory.mktemp("project") / "runs"
    reason = "ValueError: " + "x" * 300
    for i, name in enumerate(NAMES):
        failed = {"state": "failed", "failures": {f"train-{LONG}": reason}} if i == 3 else {}
        models = ("mlp", LONG, "cnn", f"{LONG}_2") if i % 2 else ("mlp", LONG)
        make_run(runs, name, epochs=i, right=[120, 180, 20, 0, 2, 150, 160][i], models=models, **failed)
    (runs / "small" / "20260109-080000").mkdir()
    (runs / "small" / NAMES[2] / "logs" / "long.log").write_bytes(bytes(3_000_000))
    make_run(runs, NAMES[0], experiment="an_experiment_with_a_name_that_has_no_end_in_sight_" * 2)
    with serving(runs) as server:
        yield server


PAGES = {
    "experiments": "",
    "runs": "runs/small",
    "run": f"runs/small/{NAMES[5]}",
    "failed": f"runs/small/{NAMES[3]}",
    "diff": f"diff?a=small/{NAMES[0]}&b=small/{NAMES[1]}",
}


@pytest.fixture
def opened(chromium, server):
    """Opens a page of the server."""
    with watched(chromium, server.url) as open_page:
        yield lambda path, *given, **more: open_page(server.url + path, *given, **more)


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("page", PAGES)
def test_pages_fit(opened, page, width):
    page = opened(PAGES[page], width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("getComputedStyle(document.body).margin") == "0px", "the style was loaded"
    wider = "all => all.filter(e => e.scrollWidth > e.clientWidth).map(e => e.ariaLabel)"
    if width == 360:
        assert page.eval_on_selector_all(".scroll", wider) == []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("page", PAGES)
def test_nothing_hinders_a_screen_reader(opened, page, scheme):
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(opened(PAGES[page], scheme=scheme)).response["violations"]
    assert [(rule["id"], rule["nodes"][0]["html"]) for rule in found] == []


def test_light_and_dark_are_told_apart(opened):
    color = "getComputedStyle(document.body).backgroundColor"
    assert len({opened("runs/small", scheme=scheme).evaluate(color) for scheme in SCHEMES}) == 2


def focused(page):
    """The element that has the focus, as text, and whether its outline is seen."""
    return page.evaluate(
        """() => {
            const e = document.activeElement, style = getComputedStyle(e);
            const box = e.getBoundingClientRect();
            const seen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
            return [e.ariaLabel || e.textContent.trim(), seen && box.bottom > 0 && box.top < innerHeight];
        }"""
    )


def test_two_runs_are_chosen_and_compared_by_the_keyboard_alone(opened):
    page = opened("runs/small")
    passed = []
    for _ in range(16):
        page.keyboard.press("Tab")
        passed.append(focused(page))
        if passed[-1][0].startswith("B: "):
            break
    assert all(seen for _, seen in passed)
    names = [name for name, _ in passed]
    assert names[:4] == ["To the content", "Experiments", "Compare A with B", "Runs of small"]
    assert names[4:9] == ["run", "began (UTC)", "state", "images: accuracy", "disk"]
    assert names[9:] == ["changed", "20260109-080000", f"B: {NAMES[6]}"], "the newest that is a run"
    for key, name in (
        ("ArrowDown", f"B: {NAMES[5]}"),
        ("ArrowLeft", f"A: {NAMES[5]}"),
        ("ArrowDown", f"A: {NAMES[4]}"),
        ("ArrowRight", f"B: {NAMES[4]}"),
        ("ArrowUp", f"B: {NAMES[5]}"),
    ):
        page.keyboard.press(key)
        assert focused(page) == [name, True]
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/diff"))
    assert parse_qs(urlsplit(page.url).query) == {"a": [f"small/{NAMES[4]}"], "b": [f"small/{NAMES[5]}"]}
    assert page.locator("h1").text_content() == "Two runs"
    assert f"A: small/{NAMES[4]}" in page.locator("nav").text_content()


def test_the_list_is_sorted_by_a_metric_by_the_keyboard(opened):
    page = opened("runs/small")
    page.get_by_role("button", name="images: accuracy").focus()
    page.keyboard.press("Enter")
    values = page.eval_on_selector_all("#main tbody td strong", "all => all.map(e => Number(e.textContent))")
    assert values == [0.01, 0.1, 0.6, 0.75, 0.8, 0.9]
    last = page.eval_on_selector_all("#main tbody th", "all => all.slice(-2).map(e => e.textContent)")
    assert last == ["20260109-080000", NAMES[3]], "what has no value stays at the end"
    page.get_by_role("button", name="disk").focus()
    page.keyboard.press("Space")
    last = page.eval_on_selector_all("#main tbody tr", "all => all.at(-1).textContent.split(/\\s+/)")
    assert NAMES[2] in last, "3 MB is more than 50 kB"
    assert "MB" in last


def test_from_the_first_page_to_a_report_and_back(opened, server):
    page = opened("")
    page.get_by_role("link", name="small", exact=True).click()
    page.get_by_role("link", name=NAMES[1]).first.click()
    assert page.locator("h1").text_content() == NAMES[1]
    page.get_by_role("link", name="Report").click()
    assert page.title() == f"report of {NAMES[1]}"
    assert page.evaluate("self.origin") == "null", "it can't read the other pages"
    page.go_back()
    page.get_by_role("link", name="Difference from the run before").click()
    assert "better by" in page.locator("table").text_content()
    page.get_by_role("link", name="A and B the other way round").click()
    assert "worse by" in page.locator("table").text_content()
