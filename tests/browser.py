"""Pages in the browser that say nothing on the console, and ask nobody else."""

from contextlib import contextmanager


@contextmanager
def watched(chromium, address):
    """A function that opens pages below an address. At the end, what they said and asked is judged."""
    said, asked, contexts = [], [], []

    def open_page(url, width=1440, scheme="light"):
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("data:", address))] == []
