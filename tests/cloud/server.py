"""A server that speaks the protocol of Google Cloud, for tests of real clients: python server.py FOLDER."""

import contextlib
import json
import os
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
from web import App, Handler
from werkzeug.serving import make_server

_SERVICES = (PipelineService, ScheduleService, JobService, ModelService, EndpointService, PredictionService)
_SERVICES += (MetadataService, Operations)
_LARGEST_MESSAGE = 64 * 1024 * 1024


class Cloud:
    """All servers of this process."""

    def __init__(self, folder: Path) -> None:
        self.state = State(folder)
        certificate, key, context = tls.write_certificate(folder)
        self._credentials = grpc.ssl_server_credentials([(key, certificate)])
        self._handlers = [service(self.state).handler() for service in _SERVICES]
        self._port = 0
        self._grpc = self._serve_grpc()
        app = App(self.state, [*control.rules(self.outage), *rest.RULES, *storage.RULES])
        ports = []
        for tls_context in (context, None):
            server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Handler, ssl_context=tls_context)
            server.daemon_threads = True
            ports.append(server.server_port)
            threading.Thread(target=server.serve_forever, daemon=True).start()
        app.tunnels = {f"{host}:443": ports[0] for host in tls.GOOGLE}
        self.addresses = {"grpc": f"localhost:{self._port}", "http": f"http://localhost:{ports[1]}"}
        self.state.tokens.write_account(folder / "service-account.json", f"{self.addresses['http']}/token")

    def _serve_grpc(self) -> grpc.Server:
        options = [("grpc.max_receive_message_length", _LARGEST_MESSAGE), ("grpc.so_reuseport", 0)]
        server = grpc.server(ThreadPoolExecutor(32), self._handlers, options=options)
        self._port = server.add_secure_port(f"127.0.0.1:{self._port}", self._credentials)
        server.start()
        return server

    def outage(self, seconds: float, gone: threading.Event) -> None:
        """Close the gRPC port and its connections, and open it again later."""
        self._grpc.stop(None).wait()
        gone.set()
        time.sleep(seconds)
        self._grpc = self._serve_grpc()


def main() -> None:
    """Serve until the process that started this one closes its end of standard input, or is gone."""
    cloud = Cloud(Path(sys.argv[1]))
    print(json.dumps(cloud.addresses), flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        sys.stdin.read()
    # A call that holds the lock must not hold the end, nor a thread that serves a slow client.
    cloud.state.lock.acquire(timeout=0.5)
    cloud.state.end()
    os._exit(0)


if __name__ == "__main__":
    main()
