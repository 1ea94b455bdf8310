"""The train task on Vertex: it launches a CustomJob, follows it, finds it again, and cancels it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from google.cloud.aiplatform_v1 import JobServiceClient
from training_job import IMAGE, RUN, created, vertex

from components.common import files
from components.common.errors import InputError
from components.ingest.ingest import ingest
from components.train.place import train_there
from components.vertex import custom_job
from pipeline.experiment import machines
from pipeline.graph.task_machines import placement

SPEC = {"family": "mlp", "dataset": "fashion", "epochs": 2, "batch_size": 60, "hyperparameters": {"units": [8]}}


def folder_of(bucket, task="train-mlp"):
    return str(bucket / RUN / f"{task}_-3456789012345678901" / "model")


def launch(bucket, machine="tpu-v5e", task="train-mlp", **options):
    arguments = {"name": "mlp", "folder": folder_of(bucket, task)}
    custom_job.launch(placement(machine, "vertex"), vertex(**options), arguments, folder_of(bucket, task))


@pytest.mark.slow
def test_two_workers_train_in_a_job(cloud, bucket, tmp_path, capsys):
    """Everything but the machines is real: the request, the two processes that train together, the model."""
    dataset = bucket / RUN / "ingest-fashion_1" / "dataset"
    ingest("fashion", json.dumps({"source": "fashion_mnist", "use": 0.01}), str(dataset))
    project = Path(__file__).parent.parent.parent
    cloud.control(custom_job={"run": True, "cwd": str(project), "env": {"AIP_TENSORBOARD_LOG_DIR": ""}})
    info = train_there(
        "mlp",
        json.dumps(SPEC),
        1,
        "x",
        str(dataset),
        folder_of(bucket),
        placement("multi-worker", "vertex").model_dump_json(),
        vertex().model_dump_json(),
        str(tmp_path / "checkpoints"),
    )
    assert len(info.history) == 2
    assert (Path(folder_of(bucket)) / "model.keras").is_file()
    assert list((Path(folder_of(bucket)) / "tensorboard" / "train").glob("events*"))
    said = capsys.readouterr().out
    for state in ("running", "succeeded"):
        assert f"families-20261124-1-train-mlp: {state}" in said
    assert "console.cloud.google.com/vertex-ai/locations/us-central1/training/" in said
    number = re.search(r"training/(\d+)\?", said)[1]
    logs = {path.name: path.read_text() for path in (cloud.folder / "custom_jobs" / number).glob("*.log")}
    assert "worker 1 of 2, 2 replicas in all" in logs["workerpool0-0.log"]
    assert "worker 2 of 2, 2 replicas in all" in logs["workerpool1-0.log"]


def test_what_a_job_is_asked_for(cloud, bucket):
    board = "projects/my-project/locations/us-central1/tensorboards/123"
    account = "runner@my-project.iam.gserviceaccount.com"
    launch(bucket, "multi-worker", service_account=account, tensorboard=board)
    (job,) = created(cloud)
    assert job["display_name"] == "families-20261124-1-train-mlp"
    assert job["labels"] == {"experiment": "families", "launched-by": custom_job.run_label("families-20261124-1")}
    spec = job["job_spec"]
    assert [pool["replica_count"] for pool in spec["worker_pool_specs"]] == ["1", "1"]
    for pool in spec["worker_pool_specs"]:
        assert pool["machine_spec"] == {
            "machine_type": "n1-standard-8",
            "accelerator_type": "NVIDIA_TESLA_T4",
            "accelerator_count": 1,
        }
        assert pool["container_spec"]["image_uri"] == IMAGE
        assert pool["container_spec"]["command"] == ["python3", "-m", "components.train"]
        assert json.loads(pool["container_spec"]["args"][0])["name"] == "mlp"
    assert spec["scheduling"]["strategy"] == "SPOT"
    assert spec["scheduling"]["timeout"] == "86400s"
    assert spec["scheduling"]["restart_job_on_worker_restart"] is True
    assert spec["service_account"] == account
    assert spec["tensorboard"] == board
    prefix = spec["base_output_directory"]["output_uri_prefix"]
    assert prefix == f"gs://bucket/{RUN}/train-mlp_-3456789012345678901/job"


def test_a_network_a_key_and_a_wait_for_gpus(cloud, bucket, monkeypatch):
    key = "projects/my-project/locations/us-central1/keyRings/mine/cryptoKeys/models"
    network = "projects/123/global/networks/mine"
    machine = machines.Machine(machine_type="a2-highgpu-1g", accelerator="NVIDIA_TESLA_A100", count=1, max_wait_hours=6)
    monkeypatch.setitem(machines.machines(), "patient", machine)
    launch(bucket, "patient", kms_key=key, network=network, reserved_ip_ranges=["training"])
    launch(bucket, "patient", task="train-other", network_attachment="attached")
    first, second = created(cloud)
    assert first["encryption_spec"] == {"kms_key_name": key}
    assert first["job_spec"]["network"] == network
    assert first["job_spec"]["reserved_ip_ranges"] == ["training"]
    assert first["job_spec"]["scheduling"]["strategy"] == "FLEX_START"
    assert first["job_spec"]["scheduling"]["max_wait_duration"] == "21600s"
    assert second["job_spec"]["psc_interface_config"] == {"network_attachment": "attached"}
    assert "encryption_spec" not in second and "network" not in second["job_spec"]


def test_workers_are_restarted_together(cloud, bucket, monkeypatch):
    machine = machines.Machine(machine_type="n1-standard-8", workers=2)
    monkeypatch.setitem(machines.machines(), "steady", machine)
    launch(bucket, "steady")
    scheduling = created(cloud)[0]["job_spec"]["scheduling"]
    assert scheduling["restart_job_on_worker_restart"] is True
    assert "strategy" not in scheduling


def test_a_tpu_is_asked_for_with_its_topology(cloud, bucket):
    launch(bucket, "tpu-v5e")
    (pool,) = created(cloud)[0]["job_spec"]["worker_pool_specs"]
    assert pool["machine_spec"] == {"machine_type": "ct5lp-hightpu-4t", "tpu_topology": "2x2"}
    environment = {variable["name"]: variable["value"] for variable in pool["container_spec"]["env"]}
    assert environment["PJRT_DEVICE"] == "TPU"
    assert environment["TF_PLUGGABLE_DEVICE_LIBRARY_PATH"] == "/lib/libtpu.so"


def test_a_second_try_follows_the_job_that_is_there(cloud, bucket, capsys):
    launch(bucket)
    launch(bucket)
    assert len(created(cloud)) == 1
    assert "which is there already" in capsys.readouterr().out
    launch(bucket, task="train-cnn")
    assert len(created(cloud)) == 2


def test_a_try_after_a_failed_job_starts_another(cloud, bucket):
    cloud.control(custom_job={"outcome": "FAILED", "message": "out of memory on workerpool0-0"})
    with pytest.raises(RuntimeError, match="failed: out of memory on workerpool0-0"):
        launch(bucket)
    cloud.control(custom_job={})
    launch(bucket)
    assert len(created(cloud)) == 2


def test_an_answer_that_was_lost_is_found_by_the_next_try(cloud, bucket):
    cloud.control(fault={"method": "CreateCustomJob", "code": "UNAVAILABLE", "times": 1, "committed": True})
    with pytest.raises(RuntimeError, match="families-20261124-1-train-mlp"):
        launch(bucket)
    launch(bucket)
    assert len(created(cloud)) == 1


def test_a_connection_that_is_lost_for_a_while_changes_nothing(cloud, bucket):
    cloud.control(fault={"method": "GetCustomJob", "code": "UNAVAILABLE", "times": 3})
    launch(bucket)
    assert len(created(cloud)) == 1


def test_permissions_and_quotas_are_named(cloud, bucket):
    cloud.control(permissions={"deny": ["aiplatform.customJobs.create"]})
    with pytest.raises(InputError, match=r"the permission aiplatform\.customJobs\.create is missing"):
        launch(bucket)
    cloud.reset()
    cloud.put("gs://bucket/here")
    cloud.control(
        quota={"custom_model_training_preemptible_nvidia_t4_gpus": 0, "custom_model_training_nvidia_t4_gpus": 0}
    )
    with pytest.raises(
        InputError, match=r"the quota aiplatform\.googleapis\.com/custom_model_training\w+ is used up or 0"
    ):
        launch(bucket, "multi-worker")
    assert not list(JobServiceClient(client_options={"api_endpoint": cloud.grpc}).list_custom_jobs(
        parent="projects/my-project/locations/us-central1"))  # fmt: skip


@pytest.mark.slow
def test_a_cancelled_task_cancels_its_job(cloud, bucket):
    cloud.control(hold=True)
    code = (
        "import sys; from pathlib import Path; from components.common import files; files.MOUNT = Path(sys.argv[1])\n"
        "from components.vertex import custom_job as l; from components.vertex.placement import Placement\n"
        "from components.vertex.client import Vertex; l.POLL_SECONDS = 0.1\n"
        "there = Vertex.model_validate_json(sys.argv[3])\n"
        "l.launch(Placement.model_validate_json(sys.argv[2]), there, {}, sys.argv[4])\n"
    )
    given = placement("tpu-v5e", "vertex").model_dump_json()
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            code,
            str(cloud.folder / "buckets"),
            given,
            vertex().model_dump_json(),
            folder_of(bucket),
        ],
        env={**os.environ, **cloud.environment()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while not cloud.requests("GetCustomJob"):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "cancelled projects/" in output
    assert len(cloud.requests("CancelCustomJob")) == 1


def test_a_task_elsewhere_trains_where_it_stands(bucket, tmp_path, capsys):
    """A local run of a model whose machine is a TPU: no cloud is asked for anything."""
    ingest("fashion", json.dumps({"source": "fashion_mnist", "use": 0.01}), str(tmp_path / "dataset"))
    info = train_there(
        "mlp",
        json.dumps({**SPEC, "epochs": 1}),
        1,
        "x",
        str(tmp_path / "dataset"),
        str(tmp_path / "run" / "train-mlp" / "model"),
        placement("tpu-v5e", "vertex").model_dump_json(),
        "",
        str(tmp_path / "checkpoints"),
    )
    assert len(info.history) == 1
    said = capsys.readouterr().out
    assert "mlp: its machine is ct5lp-hightpu-4t, in a job of Vertex AI; training on this machine" in said


def test_the_jobs_name_is_the_runs_and_the_tasks():
    path = "/gcs/bucket/runs/123/families-1/train-cnn_-42/model"
    assert custom_job.job_name(path) == "families-1-train-cnn"
    assert custom_job.job_name(path.replace("_-42", "_42")) == "families-1-train-cnn"
    long = [path.replace("families-1", "f" * 128).replace("train-cnn", task) for task in ("train-a", "train-b")]
    first, second = map(custom_job.job_name, long)
    assert first != second, "one of them would follow the other's job"
    assert len(first) == 128


def test_a_folder_in_cloud_storage_is_made_elsewhere_and_copied(bucket):
    """Its mount refuses to rename a folder."""
    target = bucket / "made" / "model"
    target.mkdir(parents=True)
    (target / "old").write_text("old")
    with files.atomic_directory(target) as new:
        assert not new.is_relative_to(bucket)
        (new / "sub").mkdir()
        (new / "sub" / "file").write_text("new")
        assert (target / "old").exists()
    assert [path.name for path in target.rglob("*")] == ["sub", "file"]
    with pytest.raises(ValueError, match="broken"), files.atomic_directory(target):
        raise ValueError("broken")
    assert (target / "sub" / "file").read_text() == "new"
    assert files.gs(target) == "gs://bucket/made/model"
