"""The image of the server, run as Vertex AI runs it."""

import contextlib
import socket
import time

import httpx
import pytest

from components.artifacts.export import Golden

pytestmark = pytest.mark.slow
LARGEST = 0.45e9


def test_it_answers_the_golden_request_and_ends_when_it_is_stopped(serving_image, docker_client, exports):
    from daemon import ulimits

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    container = docker_client.containers.run(
        serving_image,
        detach=True,
        read_only=True,
        network_mode="host",
        ulimits=ulimits(),
        user="1000:1000",
        volumes={str(exports["pictures"].model): {"bind": "/model", "mode": "ro"}},
        environment={
            "AIP_STORAGE_URI": "/model",
            "AIP_HTTP_PORT": port,
            "AIP_HEALTH_ROUTE": "/ping",
            "AIP_PREDICT_ROUTE": "/invoke",
            "DRAIN_SECONDS": "1",
        },
    )
    try:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 120
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{url}/ping").status_code == 200:
                    break
            assert time.monotonic() < deadline, container.logs().decode()
            time.sleep(0.1)
        request = (exports["pictures"].model / "golden.json").read_bytes()
        answer = httpx.post(f"{url}/invoke", content=request)
        assert Golden.load(exports["pictures"].model).agrees(answer.json()["predictions"], 1e-5)
        assert "process_resident_memory_bytes" in httpx.get(f"{url}/metrics").text
        container.stop(timeout=30)
        container.reload()
        assert container.attrs["State"]["ExitCode"] == 0, container.logs().decode()
        assert container.logs().decode().splitlines()[-1] == "stopped"
    finally:
        container.remove(force=True)


def test_it_holds_no_tensorflow_and_is_not_larger_than_promised(serving_image, in_image):
    def inside(command):
        return in_image(serving_image, ["sh", "-c", command])

    assert int(inside("du -xsb / 2>/dev/null | cut -f1")) < LARGEST
    assert not inside("ls -d /opt/venv/lib/python3*/site-packages/tensorflow 2>/dev/null || true")
    assert inside("id -u").strip() == "1000"
