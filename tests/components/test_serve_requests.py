"""What the server answers to requests, right and wrong ones."""

import base64
import io
import json
import math
from contextlib import ExitStack
from functools import partial

import numpy as np
import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Value
from model_servers import IMAGE, healthy_one
from PIL import Image

from components.artifacts.export import Golden
from components.export import golden
from components.export.export import export
from components.serve.model import load_checked


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
        assert Golden.load(served[name]).agrees(answer.json()["predictions"], 1e-5)


def test_an_instance_of_one_input_may_be_its_value(clients, served):
    expected = Golden.load(served["fashion"])
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
    assert [list(one["image"]) for one in Golden.load(tmp_path / "export").instances] == [["b64"], ["b64"]]
    load_checked(tmp_path / "export")


@pytest.mark.parametrize("shape", [(144, 144, 3), (224, 224, 3), (2000, 1000, 3), (1000, 2000, 1)])
def test_the_golden_request_is_within_vertex_ais_limit(shape):
    images = np.random.default_rng(0).integers(0, 256, (2, *shape), np.uint8)
    request = golden.golden_request({"image": images}, lambda asked: np.zeros((2, 10), np.float32), ["probabilities"])
    assert len(json.dumps({"instances": request.instances})) < 1_500_000
    values = [ParseDict(instance, Value()) for instance in request.instances]
    assert sum(value.ByteSize() for value in values) < 1_500_000, "as an endpoint gets it by gRPC"


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
        ("fashion", {"instances": [7]}, "Instance 0 has image of another form, expected [28, 28, 1]."),
        ("fashion", {"instances": [None]}, "Instance 0 has image of another form, expected"),
        ("fashion", {"instances": [[[["0"]] * 28] * 28]}, "The values of image are not all whole numbers."),
        ("fashion", {"instances": [[[[None]] * 28] * 28]}, "The values of image are not all whole numbers."),
        ("fashion", {"instances": [[[[0.5]] * 28] * 28]}, "The values of image are not all whole numbers."),
        ("fashion", {"instances": [[[[True]] * 28] * 28]}, "The values of image are not all whole numbers."),
        ("fashion", {"instances": [[[[True], *[[1]] * 27]] * 28]}, "The values of image are not all whole numbers."),
        ("told", {"instances": [{"window": [[0.5, 0, False]] * 24, "future": FUTURE}]}, "The values of window are not"),
        ("told", {"instances": [{"window": {"b64": "AA"}, "future": FUTURE}]}, "Instance 0 has window of another form"),
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
            "Instance 0 has window of values that are not all finite.",
        ),
        (
            "told",
            {"instances": [{"window": [[n, 0, 0]] * 24, "future": FUTURE} for n in (0, 1e300)]},
            "Instance 1 has window of values that are not all finite.",
        ),
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
    assert client.head("/healthz").status_code == 200, "as some load balancers ask"
