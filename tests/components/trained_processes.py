"""Trainings in processes of `training_process.py`, and what they leave."""

import contextlib
import json
import os
import socket
import tempfile
from pathlib import Path

from components.common.forked import start_module


def ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("localhost", 0))
    found = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return found


def start(job, output, worker=None, hosts=None):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_NUM_INTRAOP_THREADS": "1"}
    environment["PYTHONPATH"] = str(Path(__file__).parent)
    environment.pop("TF_CONFIG", None)
    if worker is not None:
        # As Vertex AI sets it: a chief, and workers counted from 0.
        kinds = [("chief", 0), *(("worker", i) for i in range(len(hosts) - 1))]
        kind, index = kinds[worker]
        cluster = {"chief": hosts[:1], "worker": hosts[1:]}
        task = {"type": kind, "index": index}
        environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task, "environment": "cloud"})
    return start_module(["training_process", json.dumps(job)], output.fileno(), environment)


def run(job, workers=1):
    """Run a training, and give what each process printed and how it ended."""
    hosts = [f"localhost:{port}" for port in ports(workers)] if workers > 1 else None
    with contextlib.ExitStack() as stack:
        outputs = [stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) for _ in range(workers)]
        processes = [start(job, output, i if hosts else None, hosts) for i, output in enumerate(outputs)]
        try:
            codes = [process.wait(300) for process in processes]
        finally:
            for process in processes:
                process.kill()
        for output in outputs:
            output.seek(0)
        return [output.read() for output in outputs], codes


def result(folder, name):
    import keras

    model = Path(folder) / "run" / f"train-{name}" / "model"
    info = json.loads((model / "model.json").read_text())
    history = [{key: value for key, value in epoch.items() if key != "seconds"} for epoch in info["history"]]
    return history, keras.saving.load_model(model / "model.keras", compile=False).get_weights()
