"""The server: it reads, it listens on this machine alone, and it gives nothing that lies outside the folder of runs."""

import os
import re
import shutil
import socketserver
import stat
import sys
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, unquote

from components.common.errors import InputError
from components.report.page import FOLDER
from pipeline.runs.history import NAME
from pipeline.ui import pages

HOST = "127.0.0.1"
# Another site that points its name to this machine sends its own name (DNS rebinding).
_HOSTS = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?", re.IGNORECASE)
_HTML, _TEXT = "text/html; charset=utf-8", "text/plain; charset=utf-8"
_CSS, _SCRIPT = "text/css; charset=utf-8", "text/javascript; charset=utf-8"
_ASSETS = {
    "page.css": (FOLDER, _CSS),
    "page.js": (FOLDER, _SCRIPT),
    "ui.css": (pages.TEMPLATES, _CSS),
    "ui.js": (pages.TEMPLATES, _SCRIPT),
}
_TYPES = {".html": _HTML, ".json": "application/json", ".jsonl": _TEXT, ".log": _TEXT, ".yaml": _TEXT, ".txt": _TEXT}
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
# A report has its style and script in itself. In a sandbox it can't read the other pages, whoever wrote it.
_REPORT_POLICY = (
    "sandbox allow-scripts allow-modals; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Server(socketserver.ThreadingTCPServer):
    """The server, with a thread for each request; port 0 is a free one.

    Raises:
        OSError: It can't listen at the port.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, runs: Path, port: int) -> None:
        super().__init__((HOST, port), partial(_Handler, runs))
        self.url = f"http://{HOST}:{self.server_address[1]}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a browser that went away."""
        if not isinstance(error := sys.exception(), ConnectionError | TimeoutError):
            print(f"error: {type(error).__name__}: {error}", file=sys.stderr)


class _Handler(BaseHTTPRequestHandler):
    timeout = 30
    server_version, sys_version = "keras-pipeline", ""

    def __init__(self, runs: Path, *given: object) -> None:
        self._runs = runs
        super().__init__(*given)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Answer with a page or a file."""
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or not _HOSTS.fullmatch(hosts[0].strip()):
            self.send_error(HTTPStatus.FORBIDDEN, f"expected one header Host, of this machine: localhost or {HOST}")
            return
        try:
            self._answer()
        except InputError as error:
            self._page(pages.problem_page("Not found", error.lines()), HTTPStatus.NOT_FOUND)
        except (ConnectionError, TimeoutError):  # the browser takes no more
            raise
        except OSError as error:  # a folder that has gone since
            line = f"{error.filename}: {error.strerror}"
            self._page(pages.problem_page("Not found", [line]), HTTPStatus.NOT_FOUND)
        except Exception as error:  # whatever a folder holds, the reader gets a line, and the server goes on
            line = f"{self.path}: can't be shown: {type(error).__name__}: {error}"
            print(f"error: {line}", file=sys.stderr)
            self._page(pages.problem_page("Can't be shown", [line]), HTTPStatus.INTERNAL_SERVER_ERROR)

    do_HEAD = do_GET  # noqa: N815 (_send leaves the content out)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse a request in one line."""
        if code == HTTPStatus.NOT_IMPLEMENTED:
            code, message = HTTPStatus.METHOD_NOT_ALLOWED, "expected GET or HEAD: this server only reads"
        self.close_connection = True
        more = {"Allow": "GET, HEAD"} if code == HTTPStatus.METHOD_NOT_ALLOWED else {}
        self._send(f"{message or HTTPStatus(code).phrase}\n".encode(errors="replace"), _TEXT, code, more)

    def log_message(self, format: str, *given: object) -> None:
        """Leave the terminal to errors."""

    def _answer(self) -> None:
        path, _, query = self.path.partition("#")[0].partition("?")
        parts = _parts(path)
        match parts:
            case []:
                self._page(pages.experiments_page(self._runs))
            case [name] if name in _ASSETS:
                folder, kind = _ASSETS[name]
                self._send((folder / name).read_bytes(), kind)
            case ["diff"]:
                chosen = parse_qs(query, max_num_fields=8)
                self._page(pages.diff_page(self._runs, *(chosen.get(key, [""])[-1] for key in ("a", "b"))))
            case ["runs", experiment]:
                self._page(pages.runs_page(self._runs, experiment))
            case ["runs", experiment, run]:
                self._page(pages.run_page(self._runs, experiment, run))
            case ["files", experiment, run, _, *_] if NAME.fullmatch(run):
                self._file(Path(*parts[1:]))
            case _:
                raise InputError(f"no page {path}")

    def _page(self, html: str, code: int = HTTPStatus.OK) -> None:
        self._send(html.encode(errors="replace"), _HTML, code)

    def _file(self, path: Path) -> None:
        """Send a file of a run.

        Raises:
            InputError: There is none in the folder of runs.
        """
        root = self._runs.resolve()
        place = (root / path).resolve()
        if not place.is_relative_to(root) or any(part.startswith(".") for part in place.relative_to(root).parts):
            raise InputError(f"{path}: not in {self._runs}")
        try:
            # A pipe would block, and a link that has appeared since is refused.
            file = os.fdopen(os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
        except OSError:
            raise InputError(f"{path}: no such file") from None
        with file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise InputError(f"{path}: not a file")
            more = {"Content-Security-Policy": _REPORT_POLICY}
            if path.suffix not in _TYPES:
                more["Content-Disposition"] = "attachment"
            self._headers(HTTPStatus.OK, _TYPES.get(path.suffix, "application/octet-stream"), status.st_size, more)
            if self.command != "HEAD":
                shutil.copyfileobj(file, self.wfile)

    def _send(self, content: bytes, kind: str, code: int = HTTPStatus.OK, more: Mapping[str, str] = {}) -> None:
        self._headers(code, kind, len(content), {"Content-Security-Policy": _POLICY, **more})
        if self.command != "HEAD":
            self.wfile.write(content)

    def _headers(self, code: int, kind: str, length: int, more: Mapping[str, str]) -> None:
        self.send_response(code)
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(length), **more}.items():
            self.send_header(name, value)
        self.end_headers()


def _parts(path: str) -> list[str]:
    """The parts of a path, decoded.

    Raises:
        InputError: A part could lead out of its folder, or is hidden.
    """
    try:
        parts = [unquote(part, errors="strict") for part in path.strip("/").split("/")] if path.strip("/") else []
    except UnicodeDecodeError:
        parts = [""]
    if not path.startswith("/") or any(
        not part.isprintable() or part[:1] in ("", ".") or "/" in part for part in parts
    ):
        raise InputError(f"no page {path}")
    return parts


def serve(runs: Path, port: int) -> None:
    """Serve the pages until Ctrl-C; port 0 is a free one.

    Raises:
        InputError: The port can't be used, or there are no runs.
    """
    if not runs.is_dir():
        raise InputError(f"{runs}: no such folder; expected that of python -m pipeline run CONFIG")
    try:
        server = Server(runs, port)
    except OSError as error:
        raise InputError(f"--port {port}: {error.strerror}; expected a free port, or none to have one chosen") from None
    with server:
        print(f"{server.url}  (Ctrl-C ends it)", flush=True)
        server.serve_forever()
