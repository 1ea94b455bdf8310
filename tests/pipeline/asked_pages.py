"""Five runs in a folder, and functions that ask the server for their pages by sockets."""

import http.client
import socket
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

from made_runs import make_run

ROOT = Path(__file__).parent.parent.parent
FIRST, SECOND, FAILED, KILLED, STOPPED = (f"2026010{i}-080000" for i in range(1, 6))
ELSEWHERE = "it lies elsewhere"


class Text(HTMLParser):
    """The text of a page, and its links."""

    def __init__(self, html):
        super().__init__()
        self.text, self.links = "", []
        self.feed(html)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attributes):
        self.text += " " * (tag in ("br", "td", "th"))
        self.links += [value for name, value in attributes if name in ("href", "src")]

    def handle_data(self, data):
        self.text += data


def five_runs(folder):
    """Five runs: the first, a better one, one that failed, one that was killed, one that was stopped."""
    runs = folder / "project" / "runs"
    make_run(runs, FIRST, epochs=1, right=120)
    make_run(runs, SECOND, epochs=8, right=180, models=("mlp", "<b>bold"))
    make_run(runs, FAILED, state="failed", failures={"train-mlp": "ValueError: <script>alert(1)</script>"})
    make_run(runs, KILLED, state="running")
    make_run(runs, STOPPED, state="stopped")
    (folder / "secret.json").write_text(ELSEWHERE)
    (runs / "small" / ".work").mkdir()
    (runs / "small" / ".work" / "notes.log").write_text(ELSEWHERE)
    return runs


def asking(port):
    """Functions that ask the server."""

    def get(path, method="GET", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        kind = response.headers["Content-Type"]
        text = Text(content.decode()) if kind.startswith("text/html") else None
        return SimpleNamespace(
            code=response.status, content=content, headers=response.headers, text=text and text.text,
            links=text and text.links,
        )  # fmt: skip

    def raw(request):
        """The answer to bytes."""
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(1 << 16), b""))

    return SimpleNamespace(get=get, raw=raw, port=port)
