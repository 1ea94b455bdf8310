"""A server that speaks the REST API of Kubeflow Pipelines, in a thread of the tests."""

import json
import threading
import time
import traceback
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from service import CODES, ApiError, Service

_API = "/apis/v2beta1/"
_FAULT = {"status": 0, "times": 1, "message": "fault", "body": None, "committed": False, "drop": False, "seconds": 0}


class Server(ThreadingHTTPServer):
    """The service and what a test wants of it.

    Attributes:
        service: The resources.
        token: What every request has to bring as a bearer token; None for nothing.
        asked: The requests.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lock = threading.Lock()
        self.host = f"http://127.0.0.1:{self.server_port}"
        self.service, self.token = Service(), None
        self.faults: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def fault(self, call: str, **more: Any) -> None:
        """Let a call such as "POST runs" fail; one that ends in * is the beginning of some.

        Args:
            call: Method and path.
            more: `status` of an answer whose `message` says why or whose `body` is HTML; `times`; `committed` does the
                work first; `drop` closes the connection; `seconds` waits before.
        """
        if more.keys() - _FAULT.keys():
            raise ValueError(f"unknown in a fault: {sorted(more.keys() - _FAULT.keys())}")
        self.faults.append({"call": call, **_FAULT, **more})

    def take_fault(self, call: str) -> dict[str, Any] | None:
        """The fault that a call meets."""
        for fault in self.faults:
            same = call == fault["call"] or (fault["call"].endswith("*") and call.startswith(fault["call"][:-1]))
            if same and fault["times"]:
                fault["times"] -= 1
                return fault
        return None

    def requests(self, call: str | None = None) -> list[dict[str, Any]]:
        """What was asked, or the requests of one method and path."""
        return [asked for asked in self.asked if call in (None, asked["call"])]

    def resources(self) -> dict[str, list[dict[str, Any]]]:
        """What there is."""
        kinds = ("pipelines", "versions", "experiments", "runs")
        return {kind: [dict(one) for one in getattr(self.service, kind).values()] for kind in kinds}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error of the server's."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the requests say it."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url, server = urlsplit(self.path), self.server
        path = unquote(url.path)
        call = f"{self.command} {path.removeprefix(_API)}"
        with server.lock:
            fault = server.take_fault(call)
        if fault:
            time.sleep(fault["seconds"])
        with server.lock:
            try:
                answer = self._answer(call, path, dict(parse_qsl(url.query)), body, fault)
            except ApiError as error:
                return self._refuse(path, error)
            except Exception:
                traceback.print_exc()
                return self._refuse(path, ApiError(500, f"the test server failed: {traceback.format_exc(limit=-3)}"))
        if fault and fault["drop"]:
            self.close_connection = True
            return None
        if fault and fault["body"] is not None:
            return self._send(fault["status"], fault["body"].encode(), "text/html")
        if fault and fault["status"]:
            return self._refuse(path, ApiError(fault["status"], fault["message"]))
        return self._send(200, json.dumps(answer).encode())

    def _answer(self, call: str, path: str, query: dict[str, str], body: bytes, fault: dict[str, Any] | None) -> Any:
        """What the service answers; a fault that has nothing done before it leaves it unasked."""
        kind, file, content = self.headers.get("Content-Type", ""), None, None
        if kind.startswith("multipart/form-data"):
            form = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
            (part,) = form.iter_parts()
            assert part.get_param("name", header="content-disposition") == "uploadfile"
            file = part.get_payload(decode=True)
        elif body:
            content = json.loads(body)
        token = self.headers.get("Authorization")
        self.server.asked.append({"call": call, "query": query, "body": content, "file": file, "authorization": token})
        if self.server.token and token != f"Bearer {self.server.token}":
            raise ApiError(401, "Request header error: there is no user identity header")
        if fault and (fault["status"] or fault["drop"]) and not fault["committed"]:
            return None
        if not path.startswith(_API):
            raise ApiError(404, f"{path}: not found")
        return self.server.service.answer(call, query, content, file)

    do_GET = do_POST = do_DELETE = _serve  # noqa: N815 (BaseHTTPRequestHandler's names)

    def _refuse(self, path: str, error: ApiError) -> None:
        # An upload's details hold a stack trace; otherwise an error of the server's own has it in its message.
        trace = "\ngithub.com/kubeflow/pipelines/backend/src/common/util.Wrap\n\t/go/src" * 5
        body: dict[str, Any] = {"error_message": error.message, "error_details": error.message + trace}
        if "/upload" not in path:
            said = error.message + trace * (error.status == 500)
            details = [{"@type": "type.googleapis.com/google.rpc.Status", "message": error.message.split(": ")[-1]}]
            body = {"code": CODES[error.status], "message": said, "details": details}
        self._send(error.status, json.dumps(body).encode())

    def _send(self, status: int, data: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
