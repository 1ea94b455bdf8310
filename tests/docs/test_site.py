"""The documentation's site as a reader meets it, in headless Chromium."""

import functools
import http.server
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(path.with_suffix(".html").name for path in (ROOT / "docs").glob("*.md"))


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of the site, built as `make docs` builds it: a link that leads nowhere fails."""
    folder = tmp_path_factory.mktemp("site")
    subprocess.run([sys.executable, "-m", "mkdocs", "build", "--site-dir", folder], cwd=ROOT, check=True)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def opened(chromium, site):
    """Opens a page; in the end nothing may have been said on the console, and nothing asked of another place."""
    said, asked = [], []
    context = chromium.new_context()

    def open_page(name):
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.on("response", lambda response: said.extend([response.url] if response.status >= 400 else []))
        page.goto(site + name, wait_until="networkidle")
        return page

    yield open_page
    context.close()
    assert said == []
    assert [url for url in asked if not url.startswith((site, "data:"))] == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_and_its_links_hold(opened, name):
    page = opened(name)
    assert page.locator("h1").inner_text()
    assert page.eval_on_selector_all("article img", "all => all.every(image => image.naturalWidth > 0)")
    links = page.eval_on_selector_all("article a[href], nav a[href]", "all => all.map(link => link.href)")
    here = {link for link in links if link.startswith(page.url.rpartition("/")[0])}
    assert len(here) > len(PAGES) // 2
    for link in here:
        address, _, anchor = link.partition("#")
        if address == page.url:
            assert not anchor or page.evaluate("anchor => document.getElementById(anchor) !== null", anchor), link
        else:
            assert page.request.get(address).ok, link


def test_a_search_finds_the_page(opened):
    page = opened("index.html")
    page.get_by_role("textbox", name="Search").click()
    page.keyboard.type("checkpoints")
    page.locator(".md-search-result__link[href*='training.html']").first.wait_for(state="attached")
