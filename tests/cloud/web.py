"""The HTTP side: finds who answers a request, and says errors as Google's JSON APIs do."""

import contextlib
import json
import re
import socket
import ssl
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from errors import ApiError
from state import State


@dataclass
class Request:
    """What was asked."""

    state: State
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    base: str
    parts: tuple[str, ...] = ()

    def json(self) -> Any:
        """The body, which has to be JSON."""
        try:
            return json.loads(self.body or b"{}")
        except ValueError:
            raise ApiError("INVALID_ARGUMENT", "Parse Error") from None


@dataclass
class Answer:
    """What is answered: a dictionary as JSON, bytes as they are."""

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Route:
    """Who answers what."""

    method: str
    path: re.Pattern[str]
    answer: Callable[[Request], Answer]
    credentials: bool = True
    recorded: bool = True


def route(method: str, path: str, answer: Callable[[Request], Answer], **more: bool) -> Route:
    """A route whose path is a pattern; its groups are the request's parts."""
    return Route(method, re.compile(path), answer, **more)


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes until the end."""
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "WebServer"

    def __getattr__(self, name: str) -> Any:
        # BaseHTTPRequestHandler asks for do_GET, do_POST and so on.
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def setup(self) -> None:
        if self.server.tls:
            # Here and not in the accepting thread, which a client that never shakes hands would block.
            self.request.settimeout(30)
            self.request.do_handshake()
            self.request.settimeout(None)
        super().setup()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: requests.jsonl says it."""

    def do_CONNECT(self) -> None:
        """Be a proxy to this server alone: clients are told to use this one so that nothing leaves the machine.

        TensorFlow's client of Cloud Storage knows no other address than Google's."""
        if self.path in self.server.tunnels:
            self.send_response(200)
            self.end_headers()
            with socket.create_connection(("127.0.0.1", self.server.tunnels[self.path])) as there:
                back = threading.Thread(target=_pump, args=(there, self.connection))
                back.start()
                _pump(self.connection, there)
                back.join()
            self.close_connection = True
            return
        with self.server.state.lock, (self.server.state.folder / "outside.txt").open("a") as file:
            file.write(f"{self.path}\n")
        self.send_error(403, "tests don't reach outside")

    def _serve(self) -> None:
        body = self._body()
        url = urlsplit(self.path)
        headers = {key.lower(): value for key, value in self.headers.items()}
        scheme = "https" if self.server.tls else "http"
        base = f"{scheme}://{headers.get('host', f'localhost:{self.server.server_port}')}"
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        request = Request(self.server.state, self.command, url.path, query, headers, body, base)
        try:
            answer = _answer(request, self.server.routes)
        except ApiError as error:
            answer = Answer(error.json(), error.http)
            if error.http == 401:
                answer.headers["WWW-Authenticate"] = f'Bearer realm="{base}/v2/token",service="localhost"'
        except Exception:
            traceback.print_exc()
            message = f"the test server failed: {traceback.format_exc(limit=-3)}"
            answer = Answer(ApiError("INTERNAL", message).json(), 500)
        self._send(answer)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, answer: Answer) -> None:
        data, headers = answer.body, dict(answer.headers)
        if not isinstance(data, bytes):
            data = json.dumps(data).encode()
            headers.setdefault("Content-Type", "application/json; charset=UTF-8")
        self.send_response(answer.status)
        for key, value in headers.items():
            self.send_header(key, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _answer(request: Request, routes: list[Route]) -> Answer:
    state, found = request.state, None
    for candidate in routes:
        match = candidate.path.fullmatch(request.path)
        if match and candidate.method == request.method:
            found, request.parts = candidate, tuple(unquote(part or "") for part in match.groups())
            break
    if found is None or found.recorded:
        state.record(f"{request.method} {request.path}", _shown(request), request.headers, query=request.query)
    if found is None:
        raise ApiError("NOT_FOUND", f"{request.method} {request.path} is not served")
    if found.credentials and not state.settings.anonymous:
        state.tokens.check(request.headers.get("authorization", ""), "storage.googleapis.com")
    if not found.recorded:
        return found.answer(request)
    with state.faulty(f"{request.method} {request.path}"), state.lock:
        state.advance()
        return found.answer(request)


def _shown(request: Request) -> Any:
    """A body as it's recorded: JSON as it is, of others the size."""
    kind = request.headers.get("content-type", "")
    if kind.startswith("application/json"):
        try:
            return json.loads(request.body or b"null")
        except ValueError:
            pass
    if kind.startswith("application/x-www-form-urlencoded"):
        form = dict(parse_qsl(request.body.decode(errors="replace")))
        # It's as good as a password while it lasts.
        return {key: value for key, value in form.items() if key != "assertion"}
    return {"bytes": len(request.body)}


class WebServer(ThreadingHTTPServer):
    """Serves routes on a free port, with TLS if it's given a certificate."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, state: State, routes: list[Route], certificate: tuple[Path, Path] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.state, self.routes, self.tls = state, routes, certificate is not None
        # The port that stands for an address, by CONNECT.
        self.tunnels: dict[str, int] = {}
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error of the server's."""
