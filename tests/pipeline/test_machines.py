"""The table of machines: what is refused, and what a compiled pipeline asks for."""

import json
import subprocess
import sys

import pytest
import yaml
from small_experiment import changed, write

from components.common.errors import InputError
from pipeline.experiment import machines as table
from pipeline.experiment.experiment import load_experiment
from pipeline.graph.compile import compile_experiment


@pytest.fixture
def with_machines(tmp_path, monkeypatch):
    """A table of machines of the test's own."""

    def use(text):
        path = tmp_path / "machines.yaml"
        path.write_text(text)
        monkeypatch.setattr(table, "FILE", path)
        table.machines.cache_clear()

    yield use
    monkeypatch.undo()
    table.machines.cache_clear()


def compiled(tmp_path, machine, target="vertex", **changes):
    path = write(tmp_path, changed("models.mlp.machine", machine))
    experiment = load_experiment(path, [f"models.mlp.{key}={value}" for key, value in changes.items()])
    file, _ = compile_experiment(experiment, tmp_path / "build", target)
    return list(yaml.safe_load_all(file.read_text()))


def train_of(document, name="train-mlp"):
    task = document["root"]["dag"]["tasks"][name]
    executor = document["components"][task["componentRef"]["name"]]["executorLabel"]
    return task, document["deploymentSpec"]["executors"][executor]["container"]


def test_the_shipped_machines_are_offered():
    names = [
        "cpu-small",
        "cpu-large",
        "gpu-t4",
        "gpu-l4",
        "gpu-a100",
        "gpu-h100",
        "multi-gpu",
        "multi-worker",
        "tpu-v5e",
    ]
    assert list(table.machines()) == names
    jobs = [name for name, machine in table.machines().items() if machine.needs_job]
    assert jobs == ["gpu-h100", "multi-worker", "tpu-v5e"]
    assert table.machines()["tpu-v5e"].replicas == 4
    assert table.machines()["multi-worker"].replicas == 2


@pytest.mark.parametrize(
    ("entry", "parts"),
    [
        (
            "{machine_type: n1-standard-64, accelerator: NVIDIA_TESLA_T4, count: 1}",
            ["4 NVIDIA_TESLA_T4", "n1-standard-4"],
        ),
        ("{machine_type: g2-standard-8, accelerator: NVIDIA_TESLA_A100, count: 1}", ["1 NVIDIA_L4", "a2-highgpu-1g"]),
        ("{machine_type: e2-standard-4, accelerator: NVIDIA_L4, count: 1}", ["none", "g2-standard-4"]),
        ("{machine_type: n1-standard-8, accelerator: BOGUS, count: 1}", ["BOGUS"]),
        ("{machine_type: n1-standard-9}", ["n1-standard-9", "n1-standard-8"]),
        ("{machine_type: n1-standard-8, accelerator: NVIDIA_TESLA_T4}", ["go together"]),
        ("{machine_type: n1-standard-8, count: 2}", ["go together"]),
        ("{machine_type: ct5lp-hightpu-4t, tpu_topology: 4x4}", ["4x4 spans 4 hosts", "ct5lp-hightpu-8t"]),
        ("{machine_type: ct5lp-hightpu-4t, tpu_topology: 3x3}", ["2x2"]),
        (
            "{machine_type: n1-standard-8, accelerator: NVIDIA_TESLA_P100, count: 1}",
            ["no NVIDIA_TESLA_P100 since 2026-09-15", "cloud.google.com/"],
        ),
        ("{machine_type: ct5lp-hightpu-4t}", ["2x2"]),
        ("{machine_type: ct5lp-hightpu-4t, tpu_topology: 2x2, workers: 2}", ["one worker"]),
        ("{machine_type: n1-standard-8, tpu_topology: 2x2}", ["isn't one"]),
        ("{machine_type: n1-standard-8, disk_gb: 10}", ["disk_gb", "10"]),
        ("{machine_type: n1-standard-8, timeout_hours: 200}", ["timeout_hours", "200"]),
        ("{machine_type: n1-standard-8, workers: 0}", ["workers"]),
        ("{machine_type: n1-standard-8, acelerator: X}", ["acelerator"]),
        ("{accelerator: NVIDIA_L4, count: 1}", ["machine_type"]),
    ],
)
def test_a_machine_that_is_not_offered_is_refused(with_machines, entry, parts):
    with_machines(f"mine: {entry}\n")
    with pytest.raises(InputError) as refused:
        table.machines()
    assert "machines.yaml: mine" in str(refused.value)
    assert "\n" not in str(refused.value)
    for part in parts:
        assert part in str(refused.value)


@pytest.mark.parametrize("text", ["- a\n", "mine: [\n", ""])
def test_a_table_that_is_none_is_refused(with_machines, text):
    with_machines(text)
    with pytest.raises(InputError, match=r"machines\.yaml"):
        table.machines()


def test_a_users_machine_can_be_named(with_machines, tmp_path):
    with_machines("mine: {machine_type: n2-standard-8, retries: 3}\n")
    task, container = train_of(compiled(tmp_path, "mine")[0])
    assert container["resources"]["cpuLimit"] == 8.0
    assert container["resources"]["memoryLimit"] == 32.0
    assert task["retryPolicy"]["maxRetryCount"] == 3


def test_a_plain_task_has_its_accelerator(tmp_path):
    task, container = train_of(compiled(tmp_path, "gpu-l4")[0])
    resources = container["resources"]
    assert resources["accelerator"] == {
        "count": "1",
        "resourceCount": "1",
        "resourceType": "NVIDIA_L4",
        "type": "NVIDIA_L4",
    }
    assert (resources["cpuLimit"], resources["memoryLimit"]) == (8.0, 32.0)
    placement = json.loads(task["inputs"]["parameters"]["placement"]["runtimeValue"]["constant"])
    assert placement == {"precision": "mixed_bfloat16"}
    assert "vertex" not in task["inputs"]["parameters"]


def test_a_tpu_is_a_job_of_its_own(tmp_path):
    task, container = train_of(compiled(tmp_path, "tpu-v5e")[0])
    assert "resources" not in container
    placement = json.loads(task["inputs"]["parameters"]["placement"]["runtimeValue"]["constant"])
    assert placement["pools"] == [
        {"machine": {"machine_type": "ct5lp-hightpu-4t", "tpu_topology": "2x2"}, "replicas": 1}
    ]
    assert placement["timeout_seconds"] == 24 * 3600
    assert task["inputs"]["parameters"]["vertex"] == {"componentInputParameter": "vertex"}


def test_with_a_vertex_tensorboard_every_training_is_a_job(tmp_path):
    """A plain task of a pipeline has no field for it."""
    path = write(tmp_path, changed("models.mlp.machine", "gpu-l4"))
    board = "vertex.tensorboard=projects/p/locations/us-central1/tensorboards/1"
    with pytest.raises(InputError, match=r"vertex\.tensorboard: needs a service_account"):
        load_experiment(path, [board])
    experiment = load_experiment(path, [board, "vertex.service_account=me@p.iam.gserviceaccount.com"])
    (document,) = yaml.safe_load_all(compile_experiment(experiment, tmp_path / "build")[0].read_text())
    for name, kind in (("train-mlp", "g2-standard-8"), ("train-lstm", "e2-standard-4")):
        task, container = train_of(document, name)
        placement = json.loads(task["inputs"]["parameters"]["placement"]["runtimeValue"]["constant"])
        assert [pool["machine"]["machine_type"] for pool in placement["pools"]] == [kind]
        assert "resources" not in container, "the task that launches it needs no GPU itself"
        assert "vertex" in task["inputs"]["parameters"]


def test_workers_are_two_pools(tmp_path):
    task, _ = train_of(compiled(tmp_path, "multi-worker")[0])
    placement = json.loads(task["inputs"]["parameters"]["placement"]["runtimeValue"]["constant"])
    assert [pool["replicas"] for pool in placement["pools"]] == [1, 1]
    assert placement["spot"] is True
    assert task["retryPolicy"]["maxRetryCount"] == 2


def test_an_image_of_its_own(with_machines, tmp_path):
    with_machines("mine: {machine_type: e2-standard-4, image: 'example.com/tpu@sha256:abc'}\n")
    document = compiled(tmp_path, "mine")[0]
    assert train_of(document)[1]["image"] == "example.com/tpu@sha256:abc"
    assert train_of(document, "train-lstm")[1]["image"] != "example.com/tpu@sha256:abc"


@pytest.mark.parametrize(
    ("machine", "image"),
    [("cpu-large", "keras-pipeline-python"), ("gpu-l4", "keras-pipeline-python-gpu")],
)
def test_a_training_has_the_image_of_its_machine(tmp_path, machine, image):
    document = compiled(tmp_path, machine)[0]
    assert train_of(document)[1]["image"] == f"{image}:latest"
    assert train_of(document, "train-lstm")[1]["image"] == "keras-pipeline-python:latest"


@pytest.mark.parametrize(
    ("machine", "image"),
    [("multi-worker", "keras-pipeline-python-gpu"), ("tpu-v5e", "keras-pipeline-python-tpu")],
)
def test_a_job_has_it_and_the_task_that_launches_it_has_not(tmp_path, machine, image):
    task, container = train_of(compiled(tmp_path, machine, batch_size=100)[0])
    placement = json.loads(task["inputs"]["parameters"]["placement"]["runtimeValue"]["constant"])
    assert placement["image"] == f"{image}:latest"
    assert container["image"] == "keras-pipeline-python:latest"


def test_a_batch_is_shared_by_the_replicas(tmp_path):
    path = write(tmp_path, changed("models.mlp.machine", "multi-worker"))
    with pytest.raises(InputError, match=r"batch_size: 101, expected a multiple of the 2 replicas.*per_replica"):
        load_experiment(path, ["models.mlp.batch_size=101"])
    load_experiment(path, ["models.mlp.batch_size=101", "models.mlp.per_replica=true"])


def kubernetes_of(documents, name="train-mlp"):
    label = train_label(documents[0], name)
    return documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"][label]


def train_label(document, name):
    return document["components"][document["root"]["dag"]["tasks"][name]["componentRef"]["name"]]["executorLabel"]


def test_kubeflow_names_accelerators_as_kubernetes_does(tmp_path):
    documents = compiled(tmp_path, "gpu-t4", "kubeflow")
    resources = train_of(documents[0])[1]["resources"]
    assert resources["accelerator"]["resourceType"] == "nvidia.com/gpu"
    selector = kubernetes_of(documents)["nodeSelector"]
    assert selector == {"labels": {"cloud.google.com/gke-accelerator": "nvidia-tesla-t4"}}


def test_kubeflow_asks_for_tpu_chips_and_a_timeout(tmp_path):
    documents = compiled(tmp_path, "tpu-v5e", "kubeflow")
    resources = train_of(documents[0])[1]["resources"]
    assert resources["accelerator"]["resourceType"] == "google.com/tpu"
    assert resources["accelerator"]["resourceCount"] == "4"
    environment = {one["name"]: one["value"] for one in train_of(documents[0])[1]["env"]}
    assert environment["NEXT_PLUGGABLE_DEVICE_USE_C_API"] == "true"
    asked = kubernetes_of(documents)
    assert asked["nodeSelector"]["labels"]["cloud.google.com/gke-tpu-topology"] == "2x2"
    assert asked["activeDeadlineSeconds"] == str(24 * 3600)


def test_kubeflow_takes_a_node_selector_and_tolerates_spot(with_machines, tmp_path):
    with_machines(
        "mine: {machine_type: n1-standard-8, accelerator: NVIDIA_TESLA_T4, count: 1, spot: true, "
        "node_selector: {gpu: 't4'}}\n"
    )
    asked = kubernetes_of(compiled(tmp_path, "mine", "kubeflow"))
    assert asked["nodeSelector"]["labels"] == {"gpu": "t4", "cloud.google.com/gke-spot": "true"}
    assert "cloud.google.com/gke-spot" in [toleration["key"] for toleration in asked["tolerations"]]


def test_kubeflow_has_no_workers(tmp_path):
    with pytest.raises(InputError, match=r"models\.mlp: machine multi-worker has 2 workers"):
        compiled(tmp_path, "multi-worker", "kubeflow")


def test_the_command_line_names_the_target(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "compile", "configs/quick.yaml", "--target", "kubeflow"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("build/quick-kubeflow.yaml")
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "compile", "configs/quick.yaml", "--target", "k8s"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "k8s" in done.stderr
    assert "Traceback" not in done.stderr
