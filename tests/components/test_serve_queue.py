"""Requests that come together, more of them than are answered, and a model that fails or isn't there yet."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from model_servers import IMAGE, healthy_one, running, until

from components.serve.model import load_checked


class Held:
    """A model that computes only when it is let go."""

    def __init__(self, model):
        self.model, self.inputs, self.batches, self.go = model, model.inputs, [], threading.Event()
        self.parse, self.answer = model.parse, model.answer

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
