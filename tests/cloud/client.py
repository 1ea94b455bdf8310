"""Starts the test server for tests, and what their client processes need to find it."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import tls

PROJECT, NUMBER, REGION = "my-project", "123456789012", "us-central1"
PARENT = f"projects/{PROJECT}/locations/{REGION}"
_SERVER = Path(__file__).with_name("server.py")
_START_SECONDS = 60.0
_ERROR_LINES = 30


# A process reads the certificates that it trusts over gRPC once, so all servers that it starts have the same.
_CERTIFICATE = tls.make_certificate()


class Cloud:
    """A test server in a process of its own.

    Args:
        folder: Where it keeps its buckets, its certificate and its log; it is made.

    Attributes:
        grpc: Its address for gRPC, such as localhost:40001; there is TLS.
        http: Its address for HTTP, such as http://localhost:40003.
        https: The same with TLS.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "gcloud").mkdir(exist_ok=True)
        address, self.log = folder / "address.json", folder / "server.log"
        address.unlink(missing_ok=True)
        tls.write(_CERTIFICATE, folder)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(_SERVER), str(folder)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until = time.monotonic() + _START_SECONDS
        while not address.exists():
            if self.process.poll() is not None or time.monotonic() > until:
                self.stop()
                lines = self.log.read_text(errors="replace").splitlines()[-_ERROR_LINES:]
                raise RuntimeError("the test server didn't start:\n" + "\n".join(lines))
            time.sleep(0.02)
        addresses = json.loads(address.read_text())
        self.grpc, self.http = addresses["grpc"], addresses["http"]
        self.https = f"https://{addresses['https']}"

    def environment(self) -> dict[str, str]:
        """Variables for a process whose clients are to find this server, and no other."""
        certificate = str(self.folder / "cert.pem")
        return {
            "GOOGLE_APPLICATION_CREDENTIALS": str(self.folder / "service-account.json"),
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": certificate,
            "REQUESTS_CA_BUNDLE": certificate,
            # TensorFlow's.
            "CURL_CA_BUNDLE": certificate,
            "STORAGE_EMULATOR_HOST": self.http,
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM": f"https://{self.grpc}/",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER": f"{self.http}/",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING": f"{self.http}/",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_ARTIFACTREGISTRY": f"{self.http}/",
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "CLOUDSDK_CONFIG": str(self.folder / "gcloud"),
            # What goes elsewhere all the same meets a proxy that refuses it, and notes it in outside.txt.
            **dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), self.http),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), "localhost,127.0.0.1"),
            # Otherwise google-auth looks for a metadata server, which a machine without a network waits for.
            "NO_GCE_CHECK": "true",
        }

    def control(self, **commands: Any) -> None:
        """Tell the server something; control.py lists the commands."""
        request = urllib.request.Request(  # noqa: S310 (an address of this machine)
            f"{self.http}/control", json.dumps(commands).encode(), {"Content-Type": "application/json"}
        )
        try:
            urllib.request.urlopen(request, timeout=30).close()  # noqa: S310
        except urllib.error.HTTPError as error:
            raise ValueError(json.load(error)["error"]["message"]) from None

    def requests(self, method: str | None = None) -> list[dict[str, Any]]:
        """What the server was asked since the last reset, or the requests of one method."""
        with urllib.request.urlopen(f"{self.http}/requests", timeout=30) as answer:  # noqa: S310
            return [asked for asked in json.load(answer) if method in (None, asked["method"])]

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
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
