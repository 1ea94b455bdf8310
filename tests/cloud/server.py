"""A server that speaks the protocol of Google Cloud, for tests of real clients: python server.py FOLDER."""

import json
import logging
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import control
import grpc
import rest
import storage
import tls
from endpoints import EndpointService, PredictionService
from jobs import JobService
from metadata import MetadataService
from models import ModelService
from pipelines import PipelineService
from rpc import Operations
from schedules import ScheduleService
from state import State
from web import WebServer

_SERVICES = (
    PipelineService,
    ScheduleService,
    JobService,
    ModelService,
    EndpointService,
    PredictionService,
    MetadataService,
    Operations,
)
_THREADS = 32
_LARGEST_MESSAGE = 64 * 1024 * 1024


class Cloud:
    """All servers of this process."""

    def __init__(self, folder: Path) -> None:
        self.state = State(folder)
        certificate, key = folder / "cert.pem", folder / "key.pem"
        if not key.exists():
            tls.write(tls.make_certificate(), folder)
        self.credentials = grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
        self.handlers = [service(self.state).handler() for service in _SERVICES]
        self.port = 0
        self.grpc = self._serve_grpc()
        routes = [*control.routes(self.state, self.outage), *rest.routes(self.state), *storage.routes(self.state)]
        self.http = WebServer(self.state, routes)
        self.https = WebServer(self.state, routes, (certificate, key))
        self.http.tunnels = {f"{host}:443": self.https.server_port for host in tls.GOOGLE}
        key.unlink()
        for server in (self.http, self.https):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        plain = f"http://localhost:{self.http.server_port}"
        self.state.tokens.write_account(folder / "service-account.json", f"{plain}/token")
        address = {"grpc": f"localhost:{self.port}", "https": f"localhost:{self.https.server_port}", "http": plain}
        aside = folder / ".address.json.partial"
        aside.write_text(json.dumps(address))
        aside.replace(folder / "address.json")

    def _serve_grpc(self) -> grpc.Server:
        options = [("grpc.max_receive_message_length", _LARGEST_MESSAGE), ("grpc.so_reuseport", 0)]
        server = grpc.server(ThreadPoolExecutor(_THREADS), self.handlers, options=options)
        self.port = server.add_secure_port(f"127.0.0.1:{self.port}", self.credentials)
        server.start()
        return server

    def outage(self, seconds: float, gone: threading.Event) -> None:
        """Close the gRPC port and its connections, and open it again later."""
        self.grpc.stop(None).wait()
        gone.set()
        time.sleep(seconds)
        self.grpc = self._serve_grpc()

    def stop(self) -> None:
        """End whatever was started."""
        self.grpc.stop(None)
        # A call that holds the lock must not hold the end.
        self.state.lock.acquire(timeout=0.5)
        for forget in self.state.resets:
            forget()


logging.basicConfig(level=logging.WARNING)


def main() -> None:
    """Serve until SIGTERM, or until the process that started this one is gone."""
    if len(sys.argv) != 2:
        sys.exit("usage: python server.py FOLDER")
    parent, ended = os.getppid(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    cloud = Cloud(folder)
    while not ended.wait(0.2) and os.getppid() == parent:
        pass
    cloud.stop()
    # Threads that serve a slow client would hold the process.
    os._exit(0)


if __name__ == "__main__":
    main()
