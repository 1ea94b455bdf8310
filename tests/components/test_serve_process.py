"""The server in a process of its own: its variables, its beginning and its end."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from model_servers import free_port, until

from components.artifacts.export import ONNX, Exported, Format, Golden
from components.common.errors import InputError
from components.serve.model import Model
from components.serve.settings import Settings

ROOT = Path(__file__).parent.parent.parent


def test_a_folder_without_an_onnx_model_says_what_to_do(served, tmp_path):
    about = Exported.model_validate_json((served["fashion"] / "export.json").read_text())
    for onnx, said in (
        ({}, "add onnx to formats of the experiment"),
        ({"onnx": Format(refused="can't be made: no")}, "it was refused, can't be made: no"),
    ):
        formats = {name: made for name, made in about.formats.items() if name != "onnx"} | onnx
        (tmp_path / "export.json").write_text(about.model_copy(update={"formats": formats}).model_dump_json())
        with pytest.raises(InputError, match=rf"no model\.onnx in it: {said}"):
            Model(tmp_path)
    (tmp_path / "export.json").unlink()
    with pytest.raises(InputError, match=r"no model\.onnx in it, expected a model's folder"):
        Model(tmp_path)
    (tmp_path / ONNX).write_bytes(b"broken")
    with pytest.raises(InputError, match=r"model\.onnx: can't be loaded"):
        Model(tmp_path)


def test_every_wrong_variable_is_named(monkeypatch):
    monkeypatch.setenv("AIP_HTTP_PORT", "http")
    monkeypatch.setenv("AIP_HEALTH_ROUTE", "health")
    monkeypatch.setenv("MAX_WAITING", "-1")
    with pytest.raises(InputError) as error:
        Settings.from_environment()
    assert error.value.problems == (
        "AIP_HTTP_PORT: 'http', expected a whole number",
        "AIP_HEALTH_ROUTE: 'health', expected a path that starts with /",
        "MAX_WAITING: '-1', expected a whole number",
    )


def test_the_server_imports_nothing_that_its_image_lacks():
    code = "import sys, components.serve.server; print(*{name.split('.')[0] for name in sys.modules})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"tensorflow", "keras", "pandas", "kfp", "typer", "rich", "yaml", "scipy", "sklearn"} & set(found)


def test_onnx_runtime_tells_nobody_of_its_use(served, tmp_path):
    code = f"from components.serve.model import Model; from pathlib import Path; Model(Path({str(served['told'])!r}))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ORT_"))}
    subprocess.run([sys.executable, "-c", code], env={**environment, "HOME": str(tmp_path)}, check=True)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()], "it would keep an identifier of this machine"


@pytest.fixture
def server():
    """Start a server's process; it is killed if it is still there in the end."""
    processes = []

    def start(folder, command=("-m", "components.serve"), **environment):
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, "AIP_STORAGE_URI": str(folder), "AIP_HTTP_PORT": str(port), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process, f"http://127.0.0.1:{port}"

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def healthy(url, route="/healthz"):
    try:
        return httpx.get(url + route).status_code == 200
    except httpx.TransportError:
        return False


def test_vertex_ais_variables_and_a_graceful_end(served, server):
    routes = {"AIP_HEALTH_ROUTE": "/ping", "AIP_PREDICT_ROUTE": "/invoke", "DRAIN_SECONDS": "1"}
    process, url = server(served["told"], **routes)
    until(lambda: healthy(url, "/ping"))
    expected = Golden.load(served["told"])
    request = (served["told"] / "golden.json").read_bytes()
    assert expected.agrees(httpx.post(url + "/invoke", content=request).json()["predictions"], 1e-5)
    # Half a request is there when the signal comes, and the rest after the server has stopped to listen.
    head = f"POST /invoke HTTP/1.1\r\nHost: x\r\nContent-Length: {len(request)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as slow:
        slow.sendall(head + request[:100])
        process.send_signal(signal.SIGTERM)
        until(lambda: not healthy(url, "/ping"))
        drained = httpx.post(url + "/invoke", content=request)
        assert (drained.status_code, drained.headers["connection"]) == (200, "close"), "one that drains answers"
        until(lambda: refuses(url))
        slow.sendall(request[100:])
        answer = b""
        while part := slow.recv(1 << 16):
            answer += part
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert expected.agrees(json.loads(answer.partition(b"\r\n\r\n")[2])["predictions"], 1e-5)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert output.splitlines()[-1] == "stopped"
    assert not errors


def refuses(url):
    try:
        httpx.get(url)
    except httpx.ConnectError:
        return True
    return False


def test_a_model_that_answers_the_golden_request_otherwise_is_not_served(served, server, tmp_path):
    shutil.copytree(served["fashion"], tmp_path / "model")
    expected = Golden.load(served["fashion"])
    wrong = [expected.predictions[0], expected.predictions[1][::-1]]
    (tmp_path / "model" / "golden.json").write_text(
        expected.model_copy(update={"predictions": wrong}).model_dump_json()
    )
    process, _ = server(tmp_path / "model")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "serving" not in output
    assert errors.startswith("error: ")
    assert "answers the golden request with [[" in errors
    assert len(errors.splitlines()) == 1


def test_the_command_serves_a_registered_model_and_refuses_a_changed_one(registry, served, server):
    port = free_port()
    command = ("-m", "pipeline", "serve", "--model", str(registry), "--port", str(port))
    process, _ = server("", command)
    until(lambda: healthy(f"http://127.0.0.1:{port}"))
    answer = httpx.post(f"http://127.0.0.1:{port}/predict", content=(registry / "golden.json").read_bytes())
    assert Golden.load(served["fashion"]).agrees(answer.json()["predictions"], 1e-5)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    (registry / ONNX).write_bytes(b"another")
    process, _ = server("", command)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert f"{ONNX}: changed after the model was registered" in errors
    assert len(errors.splitlines()) == 1


def test_a_version_that_was_cut_on_its_way_is_not_served(registry, server, tmp_path):
    shutil.copytree(registry, tmp_path / "copy")
    (tmp_path / "copy" / "golden.json").unlink()
    process, _ = server(tmp_path / "copy")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors == f"error: {tmp_path / 'copy' / 'golden.json'}: removed after the model was registered; " + (
        "register it again, or restore it\n"
    )
