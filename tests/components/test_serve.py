"""The server: its protocol in this process, its beginning and end in one of its own."""

import base64
import io
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn
import yaml
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Value
from PIL import Image

from components.artifacts.export import ONNX, Exported, Format, load_golden
from components.common.errors import InputError
from components.export import golden
from components.export.export import export
from components.register import kserve
from components.register.kserve import manifest
from components.serve.app import Limits, Routes, State, create_app
from components.serve.model import Model, load_checked
from components.serve.server import Server, Settings
from pipeline.commands.registry import manifest_command

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def served(exports):
    """Export folders by data set."""
    return {name: exports[name].model for name in ("fashion", "told", "pictures")}


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def running(load, **limits):
    """A client of a server in a thread of this process."""
    state, port = State(), free_port()
    app = create_app(load, state, Routes(), Limits(**limits))
    server = Server(uvicorn.Config(app, port=port, log_level="warning"), state, 0)
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        yield client
    server.should_exit = True
    thread.join()


@contextmanager
def healthy_one(load, **limits):
    with running(load, **limits) as client:
        until(lambda: client.get("/healthz").status_code == 200)
        yield client


def until(true, seconds=60):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def clients(served):
    """A client of a server of each model, by the model's name."""
    with ExitStack() as stack:
        yield {n: stack.enter_context(healthy_one(partial(load_checked, folder))) for n, folder in served.items()}


@pytest.mark.parametrize("name", ["fashion", "told", "pictures"])
def test_the_golden_request_is_answered_as_recorded(clients, served, name):
    for route in ("/predict", "/v1/models/model:predict"):
        answer = clients[name].post(route, content=(served[name] / "golden.json").read_bytes())
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert load_golden(served[name]).agrees(answer.json()["predictions"], 1e-5)


def test_an_instance_of_one_input_may_be_its_value(clients, served):
    expected = load_golden(served["fashion"])
    bare = {"instances": [one["image"] for one in expected.instances]}
    answer = clients["fashion"].post("/predict", json=bare)
    assert expected.agrees(answer.json()["predictions"], 1e-5)


def picture(array, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind)
    return {"b64": base64.b64encode(file.getvalue()).decode()}


def test_an_image_may_be_a_file_in_base64(clients, served):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8)
    both = {"instances": [{"image": pixels.tolist()}, {"image": picture(pixels)}, picture(pixels)]}
    numbers, file, bare = clients["pictures"].post("/predict", json=both).json()["predictions"]
    assert numbers == file == bare
    # The training's pictures were resized, so these are too.
    larger = np.asarray(Image.fromarray(pixels).resize((60, 40)))
    (resized,) = clients["pictures"].post("/predict", json={"instances": [picture(larger)]}).json()["predictions"]
    expected = np.asarray(Image.fromarray(larger).resize((6, 8)))
    assert [resized] == clients["pictures"].post("/predict", json={"instances": [expected.tolist()]}).json()[
        "predictions"
    ]
    small = picture(np.zeros((5, 5), np.uint8))
    refused = clients["fashion"].post("/predict", json={"instances": [small]})
    assert refused.status_code == 400
    assert refused.json() == {"error": "Instance 0 has image of 5 x 5, expected 28 x 28."}


def test_a_large_image_of_the_golden_request_is_a_file_and_the_request_stays_small(exports, tmp_path, monkeypatch):
    monkeypatch.setattr(golden, "MAX_NUMBERS", 8 * 6 * 3 - 1)
    trained, dataset = exports["pictures"].trained, exports["pictures"].dataset
    made = export(str(trained), str(dataset), str(tmp_path / "export"), ["onnx"])
    assert not made.blessing.faults, "a process that has TensorFlow alone reads it"
    assert [list(one["image"]) for one in load_golden(tmp_path / "export").instances] == [["b64"], ["b64"]]
    load_checked(tmp_path / "export")


@pytest.mark.parametrize("shape", [(144, 144, 3), (224, 224, 3), (2000, 1000, 3), (1000, 2000, 1)])
def test_the_golden_request_is_within_vertex_ais_limit(shape):
    images = np.random.default_rng(0).integers(0, 256, (2, *shape), np.uint8)
    request = golden.golden_request({"image": images}, lambda asked: np.zeros((2, 10), np.float32))
    assert len(json.dumps({"instances": request.instances})) < 1_500_000
    values = [ParseDict(instance, Value()) for instance in request.instances]
    assert sum(value.ByteSize() for value in values) < 1_500_000, "as an endpoint gets it by gRPC"


IMAGE = [[[0]] * 28] * 28
WINDOW, FUTURE = [[0.5, 0.5, 0.5]] * 24, [[0.0] * 5] * 6


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("fashion", b"", "The request is not JSON"),
        ("fashion", b"{", "The request is not JSON"),
        ("fashion", b"\xff\xfe", "The request is not JSON"),
        ("fashion", b"[" * 100_000, "The request is not JSON"),
        ("fashion", b'"text"', "Expected {"),
        ("fashion", {"inputs": []}, "Expected {"),
        ("fashion", {"instances": []}, "Expected {"),
        ("fashion", {"instances": {"image": IMAGE}}, "Expected {"),
        ("fashion", {"instances": [{"image": IMAGE}, {"picture": IMAGE}]}, "Instance 1 has picture, expected image."),
        ("fashion", {"instances": [{"image": IMAGE, "more": 1}]}, "Instance 0 has image, more, expected image."),
        ("fashion", {"instances": [{}]}, "Instance 0 has no inputs, expected image."),
        ("fashion", {"instances": [IMAGE, IMAGE[1:]]}, "Instance 1 has image of the shape [27, 28, 1], expected"),
        ("fashion", {"instances": [[[[0]] * 28] * 27 + [[[0]]]]}, "Instance 0 has image of rows of several lengths"),
        ("fashion", {"instances": [7]}, "Instance 0 has image of the shape [], expected [28, 28, 1]."),
        ("fashion", {"instances": [None]}, "Instance 0 has image of the shape [], expected"),
        ("fashion", {"instances": [[[["0"]] * 28] * 28]}, "The values of image are not all whole numbers."),
        ("fashion", {"instances": [[[[None]] * 28] * 28]}, "The values of image are not all whole numbers."),
        ("fashion", {"instances": [[[[0.5]] * 28] * 28]}, "The values of image are not all whole numbers."),
        ("fashion", {"instances": [[[[True]] * 28] * 28]}, "The values of image are not all whole numbers."),
        ("fashion", {"instances": [[[[256]] * 28] * 28]}, "The values of image are not all from 0 to 255."),
        ("fashion", {"instances": [[[[-1]] * 28] * 28]}, "The values of image are not all from 0 to 255."),
        ("fashion", {"instances": [[[[10**30]] * 28] * 28]}, "The values of image are not all whole numbers."),
        ("fashion", {"instances": [{"image": {"b64": "no base64"}}]}, "Instance 0 has image that can't be read"),
        ("fashion", {"instances": [{"image": {"b64": "AAAA"}}]}, "Instance 0 has image that can't be read"),
        ("fashion", {"instances": [{"image": {"b64": 7}}]}, "Instance 0 has image of another form"),
        ("told", {"instances": [{"window": WINDOW}]}, "Instance 0 has window, expected"),
        ("told", {"instances": [WINDOW]}, "Instance 0 has list, expected"),
        ("told", {"instances": [{"window": [[0.5]] * 24, "future": FUTURE}]}, "Instance 0 has window of the shape"),
        (
            "told",
            {"instances": [{"window": [[math.nan, 0, 0]] * 24, "future": FUTURE}]},
            "The values of window are not all",
        ),
        ("told", {"instances": [{"window": [[1e300, 0, 0]] * 24, "future": FUTURE}]}, "The values of window"),
    ],
)
def test_what_is_malformed_is_refused_in_one_sentence(clients, name, body, said):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = clients[name].post("/predict", content=content)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(said)
    assert answer.json()["error"].endswith(".")
    assert "\n" not in answer.json()["error"]


def test_what_is_too_large_is_refused(served):
    with healthy_one(lambda: load_checked(served["fashion"]), request_bytes=20_000) as client:
        assert client.post("/predict", json={"instances": [IMAGE]}).status_code == 200
        for content in (b"0" * 20_001, iter([b"0" * 10_000] * 3)):
            answer = client.post("/predict", content=content)
            assert (answer.status_code, answer.json()) == (413, {"error": "The request is larger than 20,000 bytes."})


def test_other_routes_and_methods_are_refused(clients):
    client = clients["fashion"]
    assert (client.get("/predict").status_code, client.get("/predict").json()) == (
        405,
        {"error": "Method Not Allowed."},
    )
    assert (client.get("/docs").status_code, client.get("/docs").json()) == (404, {"error": "Not Found."})
    assert client.post("/v1/models/other:predict", json={}).status_code == 404
    assert client.get("/v1/models/model").json() == {"name": "model", "ready": True}


class Held:
    """A model that computes only when it is let go."""

    def __init__(self, model):
        self.model, self.inputs, self.batches, self.go = model, model.inputs, [], threading.Event()
        self.parse = model.parse

    def run(self, batch):
        self.batches.append(len(batch["image"]))
        assert self.go.wait(60)
        return self.model.run(batch)


def test_what_comes_together_is_answered_together_as_if_it_came_alone(served):
    held = Held(load_checked(served["fashion"]))
    with healthy_one(lambda: held) as client:
        images = np.random.default_rng(1).integers(0, 256, (12, 28, 28, 1))
        parts = np.split(images, [1, 3, 4, 8, 9])  # requests of 1, 2, 1, 4, 1 and 3 examples
        with ThreadPoolExecutor(len(parts)) as pool:
            first = pool.submit(client.post, "/predict", json={"instances": parts[0].tolist()})
            until(lambda: held.batches)
            others = [pool.submit(client.post, "/predict", json={"instances": part.tolist()}) for part in parts[1:]]
            until(lambda: "predict_waiting_examples 11.0" in client.get("/metrics").text)
            held.go.set()
            answers = [future.result().json()["predictions"] for future in (first, *others)]
        assert held.batches == [1, 11]
        for part, answer in zip(parts, answers, strict=True):
            alone = np.concatenate([held.model.run({"image": one[None].astype(np.uint8)}) for one in part])
            np.testing.assert_allclose(answer, alone, atol=1e-6)
        shown = client.get("/metrics").text
        assert 'predict_requests_total{code="200"} 6.0' in shown
        assert 'predict_batch_examples_bucket{le="16.0"} 2.0' in shown


def test_a_full_queue_is_said_at_once(served):
    held = Held(load_checked(served["fashion"]))
    with healthy_one(lambda: held, waiting=2) as client:
        with ThreadPoolExecutor(3) as pool:
            under_way = [pool.submit(client.post, "/predict", json={"instances": [IMAGE]})]
            until(lambda: held.batches)
            under_way.append(pool.submit(client.post, "/predict", json={"instances": [IMAGE] * 2}))
            until(lambda: "predict_waiting_examples 2.0" in client.get("/metrics").text)
            refused = client.post("/predict", json={"instances": [IMAGE]})
            assert refused.status_code == 429
            assert refused.headers["retry-after"] == "1"
            assert refused.json() == {"error": "The queue is full, 2 examples wait."}
            assert client.get("/healthz").status_code == 200, "one that is busy isn't ill"
            held.go.set()
            assert [future.result().status_code for future in under_way] == [200, 200]
        assert client.post("/predict", json={"instances": [IMAGE] * 5}).status_code == 200, "alone it is no queue"


def test_a_model_that_fails_is_an_error_of_the_server_and_it_goes_on(served, capsys):
    model = load_checked(served["fashion"])
    run, model.run = model.run, lambda batch: 1 / 0
    with healthy_one(lambda: model) as client:
        answer = client.post("/predict", json={"instances": [IMAGE]})
        assert (answer.status_code, answer.json()) == (500, {"error": "The model failed."})
        assert "ZeroDivisionError" in capsys.readouterr().err
        model.run = run
        assert client.post("/predict", json={"instances": [IMAGE]}).status_code == 200


def test_before_the_model_is_loaded_nothing_is_healthy(served):
    go = threading.Event()

    def load():
        assert go.wait(60)
        return load_checked(served["fashion"])

    with running(load) as client:
        assert client.get("/healthz").status_code == 503
        answer = client.post("/predict", json={"instances": [IMAGE]})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert client.get("/v1/models/model").json() == {"name": "model", "ready": False}
        go.set()
        until(lambda: client.get("/healthz").status_code == 200)
        assert client.post("/predict", json={"instances": [IMAGE]}).status_code == 200


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
    expected = load_golden(served["told"])
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
    expected = load_golden(served["fashion"])
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
    assert load_golden(served["fashion"]).agrees(answer.json()["predictions"], 1e-5)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    (registry / ONNX).write_bytes(b"another")
    process, _ = server("", command)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert f"{ONNX}: changed after the model was registered" in errors
    assert len(errors.splitlines()) == 1


def test_kserves_manifest_tells_the_server_what_it_reads(monkeypatch):
    service = yaml.safe_load(manifest("My_experiment-fashion", "gs://bucket/x", "registry/serving@sha256:1"))
    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert service["metadata"] == {"name": "my-experiment-fashion"}
    (container,) = service["spec"]["predictor"]["containers"]
    assert (container["name"], container["image"]) == ("kserve-container", "registry/serving@sha256:1")
    for variable in container["env"]:
        monkeypatch.setenv(variable["name"], variable["value"])
    settings = Settings.from_environment()
    assert (settings.model, settings.routes.name) == ("/mnt/models", "my-experiment-fashion")
    assert [port["containerPort"] for port in container["ports"]] == [settings.port]
    assert container["readinessProbe"]["httpGet"] == {"path": settings.routes.health, "port": settings.port}


def test_a_version_on_this_machine_has_no_manifest_until_it_is_copied(registry, capsys):
    assert not (registry / "inference_service.yaml").exists()
    manifest_command("test-fashion", "gs://bucket/fashion")
    service = yaml.safe_load(capsys.readouterr().out)
    assert service == yaml.safe_load(manifest("test-fashion", "gs://bucket/fashion"))


def test_a_version_in_a_claim_has_a_manifest_with_its_address(run_registered, tmp_path, monkeypatch):
    monkeypatch.setattr(kserve, "CLAIMS", tmp_path / "pvc")
    version = run_registered(tmp_path / "pvc" / "team-models" / "registry")
    service = yaml.safe_load((version / "inference_service.yaml").read_text())
    assert service["metadata"] == {"name": "test-fashion"}
    (container,) = service["spec"]["predictor"]["containers"]
    assert container["env"][0] == {"name": "STORAGE_URI", "value": "pvc://team-models/registry/test/fashion/1"}


def test_a_version_that_was_cut_on_its_way_is_not_served(registry, server, tmp_path):
    shutil.copytree(registry, tmp_path / "copy")
    (tmp_path / "copy" / "golden.json").unlink()
    process, _ = server(tmp_path / "copy")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors == f"error: {tmp_path / 'copy' / 'golden.json'}: removed after the model was registered; " + (
        "register it again, or restore it\n"
    )
