"""Runs whose tasks are containers, as a user starts them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from components.common.errors import InputError
from pipeline.local import containers
from pipeline.local.processes import Running
from pipeline.local.server import Server

pytestmark = pytest.mark.slow
ONLY_MLP = """\
seed: 1
datasets:
  fashion: {source: fashion_mnist, use: 0.01, gate: {majority_class: 0.1}}
models:
  mlp: {family: mlp, dataset: fashion, epochs: 2, batch_size: 50, hyperparameters: {units: [16], dropout: [0.2]}}
"""


@pytest.fixture(scope="module", autouse=True)
def settings(project, image):
    """The project runs one model, in the image that was built."""
    project.config.write_text(ONLY_MLP)
    project.environment["IMAGE"] = image


def of(client, project):
    home = project.folder / "runs/small"
    # Sparse: asking about one that is removed meanwhile is an error.
    return client.containers.list(all=True, sparse=True, filters={"label": f"{containers.LABEL}={home}"})


def long_run(project, seed, client, until="epoch 2/"):
    """A run that is training, and its training's container."""
    runs = project.folder / "runs/small"
    earlier = set(runs.iterdir()) if runs.exists() else set()
    process = project.start(
        "run", project.config, "--containers", "--set", "models.mlp.epochs=100000", "--set", f"seed={seed}"
    )
    project.until(until, process, earlier)
    (container,) = of(client, project)
    return process, container


def test_a_killed_container_fails_its_task_and_training_goes_on_from_its_checkpoint(project, docker_client):
    process, container = long_run(project, 5, docker_client)
    container.kill("SIGKILL")
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 1, output
    assert "train-mlp failed: it was ended by SIGKILL, as the kernel does when memory runs out" in output
    assert not (project.folder / "runs/small/latest").exists()
    assert not of(docker_client, project)
    process, _ = long_run(project, 5, docker_client, until="going on from the checkpoint")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert not of(docker_client, project), "a container goes on"


def test_a_run_that_was_killed_leaves_no_container(project, docker_client):
    process, _ = long_run(project, 6, docker_client)
    process.kill()
    deadline = time.monotonic() + 60
    while of(docker_client, project) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not of(docker_client, project)


def test_a_run_in_containers_writes_what_a_run_writes_and_is_cached(project):
    code, output = project.run_anew("run", project.config, "--containers")
    assert code == 0, output
    assert project.states(output)["train-mlp"] == "done"
    assert (project.folder / "runs/small/latest/models/mlp/model.keras").is_file()
    assert (project.folder / "runs/registry/small/fashion/current/model.keras").is_file()
    code, output = project.run_anew("run", project.config, "--containers")
    assert code == 0
    assert {task for task, state in project.states(output).items() if state == "done"} == {"register"}
    code, output = project.run("run", project.config)
    assert code == 0, output
    assert set(project.states(output).values()) == {"done"}, "a process' cache isn't a container's"


def test_a_series_of_ones_own_is_read_where_it_lies(project):
    folder = project.folder.parent / "my series"
    folder.mkdir()
    rows = [f"2024-01-{1 + hour // 24:02}T{hour % 24:02}:00,{hour % 24}" for hour in range(24 * 28)]
    (folder / "load.csv").write_text("\n".join(["time,load", *rows, ""]))
    config = project.folder / "configs/mine.yaml"
    config.write_text(
        "datasets:\n  mine: {source: csv, path: '../../my series/load.csv', time: time, target: load, frequency: h, "
        "lookback: 24, horizon: 2}\nmodels:\n  mlp: {family: mlp, dataset: mine, epochs: 1}\n"
    )
    code, output = project.run_anew("run", config, "--containers")
    assert code == 0, output


def test_a_folder_that_cannot_be_mounted_is_one_line(project):
    from pipeline.experiment.experiment import load_experiment

    home = project.folder / 'a "b"'
    with pytest.raises(InputError, match=r"in its name can.t be mounted in a container"):
        containers.start_command(
            "podman", load_experiment(project.config, []), home, home / "outputs", home / "registry"
        )


def test_a_task_can_write_to_the_folders_of_its_run_alone(project, image):
    from pipeline.experiment.experiment import load_experiment

    home = project.folder / "runs/small"
    outputs, registry = home / ".work-containers/outputs", project.folder / "runs/registry"
    start = containers.start_command(containers.engine(), load_experiment(project.config, []), home, outputs, registry)

    def said(*command):
        return subprocess.run([*start, image, *command], capture_output=True, text=True, check=True).stdout

    places = [outputs, registry, "/tmp", "/app", "/home/runner", "/etc", "/var/tmp", home, project.folder, "/",
              os.environ["TFDS_DATA_DIR"]]  # fmt: skip
    script = (
        'for place in "$@"; do (touch "$place/.probe" && rm "$place/.probe") 2>/dev/null && echo "$place"; done; id -u'
    )
    *written, uid = said("sh", "-c", script, "sh", *map(str, places)).splitlines()
    # podman has memory in place of /var/tmp too.
    assert set(written) - {"/var/tmp"} == {str(outputs), str(registry), "/tmp"}
    assert uid != "0"
    assert "CapEff:\t0000000000000000" in said("cat", "/proc/self/status")


def test_an_exit_code_is_never_lost(image, tmp_path):
    start = [containers.engine(), "run", "--rm", "--network=host", *containers.limits(), image]
    with Server() as server:
        for code in (0, 3):
            command = ["sh", "-c", f"printf 'one\\ntw'; printf 'ö\\nthree'; exit {code}"]
            task = Running(server, [*start, *command], tmp_path / "scratch", tmp_path / "log", tmp_path / "events")
            while task.read():
                pass
            assert (task.end(), task.last_lines()) == (code, ["one", "twö", "three"])


def refused(project, *parts, **environment):
    runs = project.folder / "runs/small"
    before = sorted(runs.iterdir())
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "run", project.config, "--containers"],
        cwd=project.folder,
        env={**project.environment, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for part in parts:
        assert part in done.stderr
    assert sorted(runs.iterdir()) == before


def test_an_image_that_is_not_there_is_refused(project):
    refused(project, "image keras-pipeline-python-none:latest: there is none here; make images",
            IMAGE="keras-pipeline-python-none:latest")  # fmt: skip


def test_an_image_that_cannot_be_pulled_is_refused(project):
    refused(project, "image localhost:1/none:latest:", IMAGE="localhost:1/none:latest")


def test_an_image_of_other_code_is_refused(project, image):
    family = project.folder / "components/families/mlp.py"
    original = family.read_text()
    family.write_text(original + "\nCHANGED = True\n")
    try:
        refused(project, f"image {image}: holds other code than this folder: components/families/mlp.py; make images")
    finally:
        family.write_text(original)


def test_without_docker_and_podman_it_is_one_line(project, tmp_path):
    refused(project, "no Docker daemon answers, and there is no podman", PATH=str(tmp_path))


def test_a_docker_host_that_does_not_answer_is_one_line(project):
    refused(project, "DOCKER_HOST: nothing answers at unix:///none", DOCKER_HOST="unix:///none")


def test_data_in_cloud_storage_are_mounted_where_vertex_mounts_them(project, monkeypatch):
    """Their copies; a container has no credentials to read them with."""
    from components.sources.csv import Options

    monkeypatch.chdir(project.folder)
    (project.folder / "data/gs/my-bucket").mkdir(parents=True)
    options = Options(path="gs://my-bucket/a/b.csv", time="time", target="load", frequency="h", lookback=24, horizon=2)
    (project.folder / "presets").mkdir()
    models = {"mine": SimpleNamespace(hyperparameters={"preset": "presets", "dropout": 0.1})}
    found = containers.mounts(SimpleNamespace(datasets={"mine": SimpleNamespace(options=options)}, models=models))
    assert (project.folder / "data/gs/my-bucket", Path("/gcs/my-bucket")) in found
    assert (project.folder / "presets", project.folder / "presets") in found


ANSWER = """
import json, sys
import keras
import numpy as np
import tensorflow as tf
for folder in sys.argv[1:]:
    golden = json.load(open(f"{folder}/golden.json"))
    images = np.array([instance["image"] for instance in golden["instances"]], np.uint8)
    loaded = keras.saving.load_model(f"{folder}/model.keras", compile=False)
    served = tf.saved_model.load(f"{folder}/saved_model").signatures["serving_default"]
    answers = [loaded(images).numpy(), served(image=tf.constant(images))["probabilities"].numpy()]
    print(tf.__version__, max(float(np.abs(answer - golden["predictions"]).max()) for answer in answers))
"""


def test_models_of_one_tensorflow_load_under_the_other(project, image, tpu_image, in_image):
    """The TPU's image, which only trains, has an older TensorFlow: the other one evaluates and exports its models."""
    folders = []
    # The training takes the image of a machine's accelerator.
    project.environment["IMAGE_GPU"] = tpu_image
    for machine in ("cpu-small", "gpu-t4"):
        code, output = project.run_anew(
            "run", project.config, "--containers", "--set", "formats=[]", "--set", f"models.mlp.machine={machine}"
        )
        assert code == 0, output
        folders.append(str((project.folder / "runs/small/latest/models/mlp").resolve()))
    spec = yaml.safe_load((project.folder / "build/small.yaml").read_text())
    images = {name: about["container"]["image"] for name, about in spec["deploymentSpec"]["executors"].items()}
    assert [name for name, used in images.items() if used == tpu_image] == ["exec-train-mlp"]
    said = in_image(
        tpu_image, ["python3", "-c", ANSWER, *folders], volumes=folders, environment={"TPU_SKIP_MDS_QUERY": "1"}
    )
    # libtpu complains before them, that this isn't a TPU.
    answers = [line.split() for line in said.splitlines() if line.startswith("2.")]
    assert [version for version, _ in answers] == ["2.20.0", "2.20.0"], said
    assert all(float(difference) < 1e-6 for _, difference in answers)
