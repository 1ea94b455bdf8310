"""The HTTP side: Werkzeug finds who answers a request, and errors are said as Google's JSON APIs do."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any

from errors import ApiError
from state import State
from werkzeug import Request, Response
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.serving import WSGIRequestHandler

# What tests ask themselves is not recorded, and a token is asked for without one.
_CONTROL = ("/control", "/requests")
_FREE = (*_CONTROL, "/token")


def rule(method: str, path: str, answer: Callable[..., Any]) -> Rule:
    """Who answers what: a function of the state, the request and the parts of its path."""
    return Rule(path, methods=[method], endpoint=answer)


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes until the end."""
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


class Handler(WSGIRequestHandler):
    """One connection."""

    def log_request(self, *_: Any) -> None:
        """Say nothing: requests are recorded."""

    def do_CONNECT(self) -> None:  # noqa: N802 (http.server asks for this name)
        """Be a proxy to this server alone: clients are told to use this one so that nothing leaves the machine.

        TensorFlow's client of Cloud Storage knows no other address than Google's."""
        self.close_connection = True
        if (port := self.server.app.tunnels.get(self.path)) is None:
            self.send_error(403, "tests don't reach outside")
            return
        self.send_response(200)
        self.end_headers()
        with socket.create_connection(("127.0.0.1", port)) as there:
            back = threading.Thread(target=_pump, args=(there, self.connection))
            back.start()
            _pump(self.connection, there)
            back.join()


class App:
    """All HTTP APIs.

    Attributes:
        tunnels: The port that stands for an address, by CONNECT.
    """

    def __init__(self, state: State, rules: Iterable[Rule]) -> None:
        self.state, self.tunnels = state, dict[str, int]()
        self._map = Map(rules, strict_slashes=False, merge_slashes=False)

    @Request.application
    def __call__(self, request: Request) -> Response:
        """Answer a request as a WSGI application does."""
        status = 200
        try:
            answer = self._answer(request)
        except ApiError as error:
            answer, status = error.json(), error.http
        if isinstance(answer, Response):
            return answer
        return Response(json.dumps(answer), status, mimetype="application/json")

    def _answer(self, request: Request) -> Any:
        state, asked = self.state, f"{request.method} {request.path}"
        if request.path not in _CONTROL:
            state.record(asked, request.get_json(silent=True), query=request.args.to_dict())
        try:
            answer, parts = self._map.bind_to_environ(request.environ).match()
        except HTTPException:
            raise ApiError("NOT_FOUND", f"{asked} is not served") from None
        if request.path in _CONTROL:
            return answer(state, request)
        if request.path not in _FREE and not state.settings.anonymous:
            state.tokens.check(request.headers.get("authorization", ""), "storage.googleapis.com")
        with state.faulty(asked), state.lock:
            state.advance()
            return answer(state, request, **parts)
