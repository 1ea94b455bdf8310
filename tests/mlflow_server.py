"""A real MLflow server on SQLite, in an environment of its own, and a proxy before it that can break."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import requests

ROOT = Path(__file__).parent.parent
LOCK = ROOT / "requirements-mlflow.lock"


def environment():
    """The folder of the environment that LOCK describes. It is kept in build/ until LOCK changes."""
    folder = ROOT / "build" / "mlflow"
    made = folder / "made-from.sha256"
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if not made.is_file() or made.read_text() != digest:
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
        sync = [uv, "pip", "sync", "--quiet", "--python", folder / "bin" / "python", "--require-hashes", LOCK]
        subprocess.run(sync, check=True)
        made.write_text(digest)
    return folder


class Server:
    """The server, and its REST answers as plain HTTP gives them."""

    def __init__(self, folder):
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        # Its folder is no module's place, and nothing of the tests' own environment matters to it.
        command = [environment() / "bin" / "mlflow", "server", "--port", str(self.port), "--workers", "1"]
        command += ["--backend-store-uri", "sqlite:///mlflow.db", "--artifacts-destination", "artifacts"]
        settings = {"PATH": os.environ["PATH"], "HOME": str(folder), "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env=settings, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 300
        while not self._answers():
            if time.monotonic() > deadline or self.process.poll() is not None:
                self.stop()
                raise AssertionError((folder / "log").read_text())
            time.sleep(0.2)

    def _answers(self):
        try:
            return requests.get(f"{self.address}/health", timeout=5).ok
        except OSError:
            return False

    def stop(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)

    def get(self, path, /, **parameters):
        """What a GET of the REST API answers."""
        return self._asked("get", path, params=parameters)

    def _asked(self, method, path, **options):
        answer = requests.request(method, f"{self.address}/api/2.0/mlflow/{path}", timeout=60, **options)
        answer.raise_for_status()
        return answer.json()

    def runs(self, experiment):
        """The active runs of an experiment, by their identifiers."""
        identifier = self.get("experiments/get-by-name", experiment_name=experiment)["experiment"]["experiment_id"]
        answer = self._asked("post", "runs/search", json={"experiment_ids": [identifier], "max_results": 1000})
        return {run["info"]["run_id"]: Sent(self, run) for run in answer.get("runs", [])}


class Sent:
    """A run as the server has it."""

    def __init__(self, server, run):
        self.server = server
        self.id, self.name, self.status = (run["info"][key] for key in ("run_id", "run_name", "status"))
        self.seconds = (run["info"].get("end_time", 0) - run["info"]["start_time"]) / 1000
        data = run["data"]
        self.parameters, self.tags = ({x["key"]: x["value"] for x in data.get(of, [])} for of in ("params", "tags"))
        self.metrics = {metric["key"]: metric["value"] for metric in data.get("metrics", [])}
        self.parent = self.tags.get("mlflow.parentRunId")

    def history(self, metric):
        answer = self.server.get("metrics/get-history", run_id=self.id, metric_key=metric)
        return [(point["step"], point["value"]) for point in sorted(answer.get("metrics", []), key=lambda p: p["step"])]

    def files(self, path=""):
        """The paths of all artifacts, with their sizes."""
        found = {}
        for file in self.server.get("artifacts/list", run_id=self.id, path=path).get("files", []):
            found |= self.files(file["path"]) if file["is_dir"] else {file["path"]: int(file["file_size"])}
        return found


class Proxy:
    """Passes requests on to a server until it breaks: it answers 500, says nothing, or hangs up.

    `left` requests are passed on. Its address stays, for MLflow remembers in a process where a run's artifacts go."""

    def __init__(self, server, how):
        self.left = 0
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                proxy.left -= 1
                if proxy.left < 0:
                    proxy.broken(self, how)
                    return
                headers = {name: value for name, value in self.headers.items() if name not in ("Host", "Connection")}
                url = f"{server.address}{self.path}"
                answer = requests.request(self.command, url, data=body, headers=headers, timeout=60)
                self.answer(answer.status_code, answer.content, answer.headers)

            def answer(self, status, body, headers=()):
                self.send_response(status)
                for name in ("Content-Type",):
                    if name in headers:
                        self.send_header(name, headers[name])
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = forward  # noqa: N815 (http.server's names)

            def log_message(self, *arguments):
                pass

        self.ended = threading.Event()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def broken(self, handler, how):
        if how == "500":
            handler.answer(500, b"out of order")
        elif how == "silent":
            self.ended.wait()
        handler.close_connection = True

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.ended.set()
        self.http.shutdown()
        self.http.server_close()
