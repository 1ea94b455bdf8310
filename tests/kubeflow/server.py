"""A server that speaks the REST API of Kubeflow Pipelines: python server.py FOLDER.

It listens on a free port of this machine and writes its address to FOLDER/address.json. Tests control it with
POST /control, a JSON object of:

    reset       true: forget everything
    token       what every request has to bring as a bearer token
    namespaces  a list: there are several users, with these
    fails       a list: these tasks will fail
    pace        so many running tasks end at each question for a run
    fault       {"path": "POST /apis/v2beta1/runs", "status": 503, "times": 1, "skip": 0, ...}: answer so;
                "message" says more, "body" and "type" are sent instead, "committed" does the work first,
                "drop" closes the connection, "seconds" waits before

GET /requests lists what was asked, GET /resources what there is.
"""

import base64
import json
import sys
import threading
import time
import traceback
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from service import CODES, ApiError, Service

_FAULT = {"path": "", "status": 0, "times": 1, "skip": 0, "message": "fault", "body": None, "type": "text/html"}
_FAULT |= {"committed": False, "drop": False, "seconds": 0}


class Server(ThreadingHTTPServer):
    """The service and what tests want of it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.service, self.token = Service(), None
        self.faults: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []

    def control(self, commands: dict[str, Any]) -> None:
        """Do what a test says."""
        if unknown := commands.keys() - {"reset", "token", "namespaces", "fails", "pace", "fault"}:
            raise ApiError(400, f"unknown commands: {sorted(unknown)}")
        if commands.get("reset"):
            self.reset()
        self.token = commands.get("token", self.token)
        self.service.namespaces = commands.get("namespaces", self.service.namespaces)
        self.service.fails = commands.get("fails", self.service.fails)
        self.service.pace = commands.get("pace", self.service.pace)
        if fault := commands.get("fault"):
            if fault.keys() - _FAULT.keys():
                raise ApiError(400, f"unknown in a fault: {sorted(fault.keys() - _FAULT.keys())}")
            self.faults.append({**_FAULT, **fault})

    def take_fault(self, call: str) -> dict[str, Any] | None:
        """The fault that a call meets; a path that ends in * is the beginning of one."""
        for fault in self.faults:
            path = fault["path"]
            if call != path and not (path.endswith("*") and call.startswith(path[:-1])):
                continue
            if fault["skip"]:
                fault["skip"] -= 1
            elif fault["times"]:
                fault["times"] -= 1
                return fault
        return None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error of the server's."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: GET /requests says it."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        path, server = unquote(url.path), self.server
        with server.lock:
            try:
                if path == "/control":
                    server.control(json.loads(body))
                    return self._send(200, {})
                if path == "/requests":
                    return self._send(200, server.requests)
                if path == "/resources":
                    kinds = ("pipelines", "versions", "experiments", "runs")
                    return self._send(200, {kind: list(getattr(server.service, kind).values()) for kind in kinds})
            except (ApiError, ValueError) as error:
                return self._send(400, {"message": str(error)})
            fault, call = server.take_fault(f"{self.command} {path}"), {"method": self.command, "path": path}
        if fault:
            time.sleep(fault["seconds"])
        with server.lock:
            try:
                answer = self._answer(call, dict(parse_qsl(url.query)), body, fault)
            except ApiError as error:
                return self._refuse(path, error)
            except Exception:
                traceback.print_exc()
                return self._refuse(path, ApiError(500, f"the test server failed: {traceback.format_exc(limit=-3)}"))
        if fault and fault["drop"]:
            self.close_connection = True
            return None
        if fault and fault["body"] is not None:
            return self._send(fault["status"], fault["body"].encode(), fault["type"])
        if fault and fault["status"]:
            return self._refuse(path, ApiError(fault["status"], fault["message"]))
        return self._send(200, answer)

    def _answer(self, call: dict[str, Any], query: dict[str, str], body: bytes, fault: dict[str, Any] | None) -> Any:
        """What the service answers; a fault that has nothing done before it leaves it unasked."""
        kind, file, content = self.headers.get("Content-Type", ""), None, None
        if kind.startswith("multipart/form-data"):
            file = _uploaded(kind, body)
        elif body:
            try:
                content = json.loads(body)
            except ValueError:
                raise ApiError(400, "invalid character in the request's JSON") from None
        sent = base64.b64encode(file).decode() if file is not None else None
        token = self.headers.get("Authorization")
        self.server.requests.append({**call, "query": query, "body": content, "file": sent, "authorization": token})
        if self.server.token and token != f"Bearer {self.server.token}":
            raise ApiError(401, "Request header error: there is no user identity header")
        if fault and (fault["status"] or fault["drop"]) and not fault["committed"]:
            return None
        return self.server.service.answer(call["method"], call["path"], query, content, file)

    do_GET = do_POST = do_DELETE = do_PATCH = _serve  # noqa: N815 (BaseHTTPRequestHandler's names)

    def _refuse(self, path: str, error: ApiError) -> None:
        # Both shapes come with a stack trace of the server's.
        trace = f"{error.message}\ngithub.com/kubeflow/pipelines/backend/src/common/util.NewUserError\n\t/go/src" * 5
        if "/upload" in path:
            return self._send(error.status, {"error_message": error.message, "error_details": trace})
        details = [{"@type": "type.googleapis.com/google.rpc.Status", "message": trace}]
        code = CODES.get(error.status, 2)
        return self._send(
            error.status, {"error": error.message, "code": code, "message": error.message, "details": details}
        )

    def _send(self, status: int, body: Any, kind: str = "application/json") -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _uploaded(kind: str, body: bytes) -> bytes | None:
    """The file of a form, byte by byte."""
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n")
    boundary = b"--" + str(message.get_boundary()).encode()
    for part in body.split(boundary)[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        if b'name="uploadfile"' in head:
            return content.removesuffix(b"\r\n")
    return None


if __name__ == "__main__":
    served = Server()
    folder = Path(sys.argv[1])
    aside = folder / "address.partial"
    aside.write_text(json.dumps(f"http://127.0.0.1:{served.server_port}"))
    aside.replace(folder / "address.json")
    served.serve_forever()
