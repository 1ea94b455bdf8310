"""Starts the test server for tests, and what their client processes need to find it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

PROJECT, REGION = "my-project", "us-central1"
PARENT = f"projects/{PROJECT}/locations/{REGION}"


class Cloud:
    """A test server in a process of its own.

    Args:
        folder: Where it keeps its buckets, its certificate and its log; it is made.

    Attributes:
        grpc: Its address for gRPC, such as localhost:40001; there is TLS.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "gcloud").mkdir(parents=True)
        with (folder / "server.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("server.py")), str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
            )
        if not (addresses := self.process.stdout.readline()):
            raise RuntimeError(f"the test server didn't start:\n{(folder / 'server.log').read_text()}")
        self.grpc, self._http = json.loads(addresses).values()
        # The proxies of the environment are for others.
        self._client = httpx.Client(base_url=self._http, trust_env=False, timeout=30)

    def environment(self) -> dict[str, str]:
        """Variables for a process whose clients are to find this server, and no other."""
        certificate = str(self.folder / "cert.pem")
        return {
            "GOOGLE_APPLICATION_CREDENTIALS": str(self.folder / "service-account.json"),
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": certificate,
            "REQUESTS_CA_BUNDLE": certificate,
            # TensorFlow's.
            "CURL_CA_BUNDLE": certificate,
            "STORAGE_EMULATOR_HOST": self._http,
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM": f"https://{self.grpc}/",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER": f"{self._http}/",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING": f"{self._http}/",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_ARTIFACTREGISTRY": f"{self._http}/",
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "CLOUDSDK_CONFIG": str(self.folder / "gcloud"),
            # What goes elsewhere all the same meets a proxy that refuses it.
            **dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), self._http),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), "localhost,127.0.0.1"),
            # Otherwise google-auth looks for a metadata server, which a machine without a network waits for.
            "NO_GCE_CHECK": "true",
        }

    def control(self, **commands: Any) -> None:
        """Tell the server something; control.py lists the commands."""
        answer = self._client.post("/control", json=commands)
        if answer.is_error:
            raise ValueError(answer.json()["error"]["message"])

    def requests(self, method: str | None = None) -> list[dict[str, Any]]:
        """What the server was asked since the last reset, or the requests of one method."""
        return [asked for asked in self._client.get("/requests").json() if method in (None, asked["method"])]

    def file(self, uri: str) -> Path:
        """The file that is an object: gs://bucket/name."""
        return self.folder / "buckets" / uri.removeprefix("gs://")

    def put(self, uri: str, content: bytes | str = b"") -> Path:
        """Make an object."""
        path = self.file(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def reset(self) -> None:
        """Forget all resources, faults and requests."""
        self.control(reset=True)

    def stop(self) -> None:
        """End the server."""
        self.process.stdin.close()
        self.process.wait(10)
