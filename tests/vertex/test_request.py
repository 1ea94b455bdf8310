"""The request that would be sent, and what is refused before it is."""

import copy
import json
import os
import re
from dataclasses import replace

import pytest
import yaml
from training_job import IMAGE

from components.common.errors import InputError
from components.vertex.client import Vertex
from pipeline.experiment.experiment import load_experiment
from pipeline.graph.compile import compile_experiment
from pipeline.vertex import prices
from pipeline.vertex.request import (
    JOB_ID,
    check_artifacts,
    check_images,
    check_labels,
    check_parameters,
    images,
    job_images,
    new_job_id,
    pipeline_job,
)
from pipeline.vertex.settings import Settings

HERE = Settings("my-project", "us-central1", "gs://bucket/runs")
CONFIG = """\
seed: 1
vertex:
  service_account: runner@my-project.iam.gserviceaccount.com
  deploy: true
  labels: {team: vision}
  serving_image: us-central1-docker.pkg.dev/my-project/images/serving@sha256:SERVING
datasets:
  demand: {source: electricity, use: 0.1, lookback: 96, horizon: 12}
models:
  lstm: {family: lstm, dataset: demand, machine: tpu-v5e, hyperparameters: {units: 8}}
  small: {family: lstm, dataset: demand, machine: gpu-t4}
""".replace("SERVING", "b" * 64)


@pytest.fixture
def small(tmp_path):
    """An experiment, its compiled file and the file's content, with an image that a cluster can pull."""
    config = tmp_path / "small.yaml"
    config.write_text(CONFIG)
    experiment = load_experiment(config, [])
    path, digest = compile_experiment(experiment, tmp_path)
    text = re.sub("keras-pipeline-python(-[gt]pu)?:latest", IMAGE, path.read_text())
    path.write_text(text)
    return experiment, path, digest, yaml.safe_load(text)


def test_the_request_holds_the_compiled_file_and_where_to_run(small):
    experiment, path, digest, spec = small
    job = pipeline_job(experiment, path, digest, HERE, {"registry": "x"})
    assert job["pipeline_spec"] == spec
    assert job["service_account"] == "runner@my-project.iam.gserviceaccount.com"
    assert job["labels"]["team"] == "vision"
    assert job["labels"]["experiment"] == "small"
    assert job["labels"]["pipeline"] == digest[:16]
    runtime = job["runtime_config"]
    assert runtime["gcs_output_directory"] == "gs://bucket/runs"
    assert runtime["failure_policy"] == "PIPELINE_FAILURE_POLICY_FAIL_SLOW"
    assert runtime["parameter_values"]["registry"] == "x"
    elsewhere = pipeline_job(experiment, path, digest, replace(HERE, root="gs://other/runs"), {})["runtime_config"]
    assert elsewhere["parameter_values"] | {"registry": "x"} == runtime["parameter_values"], "tasks would run again"
    vertex = Vertex.model_validate_json(runtime["parameter_values"]["vertex"])
    assert (vertex.project, vertex.region, vertex.deploy) == ("my-project", "us-central1", True)
    assert vertex.labels == {"team": "vision", "experiment": "small"}


def test_what_will_serve_the_models_is_checked_too(small):
    experiment, path, digest, spec = small
    job = pipeline_job(experiment, path, digest, HERE, {})
    assert set(job_images(job)) == {*images(spec), experiment.vertex.serving_image}

    def refused(**changes):
        with pytest.raises(InputError) as error:
            pipeline_job(replace(experiment, **changes), path, digest, HERE, {})
        return str(error.value)

    def image(name):
        return experiment.vertex.model_copy(update={"serving_image": name})

    assert "keras:latest: names no registry; compile with IMAGE_SERVING=" in refused(vertex=image("keras:latest"))
    assert "registry/keras:1: a tag can move; compile with IMAGE_SERVING=" in refused(vertex=image("registry/keras:1"))
    assert refused(formats=["litert"]).startswith("formats: onnx is missing, which the serving image needs")
    unserved = experiment.vertex.model_copy(update={"register_models": False, "serving_image": "keras:latest"})
    job = pipeline_job(replace(experiment, vertex=unserved, formats=[]), path, digest, HERE, {})
    assert job_images(job) == images(spec)


def test_two_requests_are_told_apart(small):
    experiment, path, digest, _ = small
    first, second = (pipeline_job(experiment, path, digest, HERE, {}) for _ in range(2))
    assert first["labels"]["submission"] != second["labels"]["submission"]
    assert JOB_ID.fullmatch(new_job_id("my_experiment"))
    assert new_job_id("x") != new_job_id("x")


@pytest.mark.parametrize(("where", "most"), [("Vertex AI", 32), ("Kubeflow", 56)])
def test_a_task_of_more_artifacts_than_a_service_takes_is_refused(tmp_path, where, most):
    """A model gives compare three inputs, and the data set two."""
    data = CONFIG[: CONFIG.index("models:")]
    for count, refused in ((most, False), (most + 1, True)):
        config = tmp_path / "many.yaml"
        config.write_text(
            data + "models:\n" + "".join(f"  m{i}: {{family: lstm, dataset: demand}}\n" for i in range(count))
        )
        path, _ = compile_experiment(load_experiment(config, []), tmp_path)
        spec = yaml.safe_load(path.read_text())
        if refused:
            with pytest.raises(InputError, match=f"task compare: {3 * count + 2} input artifacts, {where} takes"):
                check_artifacts(spec, where)
        else:
            check_artifacts(spec, where)


def test_a_network_with_a_deployment_is_refused(small):
    experiment, path, digest, _ = small
    options = experiment.vertex.model_copy(update={"network": "projects/1/global/networks/mine"})
    with pytest.raises(InputError, match=r"vertex\.network with vertex\.deploy.*deploy: false"):
        pipeline_job(replace(experiment, vertex=options), path, digest, HERE, {})
    attached = options.model_copy(
        update={"network_attachment": "x", "kms_key": "projects/p/locations/eu/keyRings/r/cryptoKeys/k"}
    )
    with pytest.raises(InputError) as refused:
        pipeline_job(replace(experiment, vertex=attached), path, digest, HERE, {})
    assert [line.partition(":")[0] for line in refused.value.problems] == [
        "vertex.network with vertex.deploy",
        "vertex.network with vertex.network_attachment",
        "vertex.kms_key",
    ]
    ranges = options.model_copy(update={"network": None, "reserved_ip_ranges": ["training"]})
    with pytest.raises(InputError, match=r"vertex\.reserved_ip_ranges.*expected vertex\.network too"):
        pipeline_job(replace(experiment, vertex=ranges), path, digest, HERE, {})
    key = "projects/p/locations/us-central1/keyRings/r/cryptoKeys/k"
    keyed = options.model_copy(update={"network": None, "network_attachment": "mine", "kms_key": key})
    job = pipeline_job(replace(experiment, vertex=keyed), path, digest, HERE, {})
    assert job["encryption_spec"] == {"kms_key_name": key}
    assert job["psc_interface_config"] == {"network_attachment": "mine"}
    alone = replace(experiment, vertex=options.model_copy(update={"deploy": False}))
    assert pipeline_job(alone, path, digest, HERE, {})["network"] == "projects/1/global/networks/mine"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"pipeline_sha": "x"}, "parameter pipeline_sha: the pipeline has none of this name; there are: checkpoints"),
        ({"registry": 3}, "parameter registry: 3, expected STRING"),
        ({"registry": True}, "parameter registry: True, expected STRING"),
    ],
)
def test_a_wrong_parameter_is_refused(small, values, said):
    experiment, path, digest, _ = small
    with pytest.raises(InputError) as refused:
        pipeline_job(experiment, path, digest, HERE, values)
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("NUMBER_INTEGER", 3, "three"),
        ("NUMBER_INTEGER", 3, 3.5),
        ("NUMBER_INTEGER", 3, True),
        ("NUMBER_DOUBLE", 3, "3"),
        ("BOOLEAN", False, 0),
        ("LIST", [1], "[1]"),
        ("STRUCT", {}, []),
    ],
)
def test_types_of_parameters_are_held_against_the_file(kind, good, bad):
    spec = {"root": {"inputDefinitions": {"parameters": {"x": {"parameterType": kind}}}}}
    check_parameters(spec, {"x": good})
    with pytest.raises(InputError, match=f"expected {kind}"):
        check_parameters(spec, {"x": bad})
    with pytest.raises(InputError, match="parameter x: missing"):
        check_parameters(spec, {})
    spec["root"]["inputDefinitions"]["parameters"]["x"]["isOptional"] = True
    check_parameters(spec, {})


def test_images_have_a_registry_and_a_digest(small):
    spec = small[3]
    assert images(spec) == [IMAGE]
    check_images(spec)
    moved = copy.deepcopy(spec)
    for executor in moved["deploymentSpec"]["executors"].values():
        executor["container"]["image"] = "us-docker.pkg.dev/p/r/image:latest"
    with pytest.raises(InputError, match=r"image us-docker.*: a tag can move"):
        check_images(moved)
    check_images(moved, moving_tags=True)
    with pytest.raises(InputError, match="names no registry"):
        for executor in moved["deploymentSpec"]["executors"].values():
            executor["container"]["image"] = "keras-pipeline-python:latest"
        check_images(moved, moving_tags=True)


def test_the_image_of_a_job_is_looked_at_too(small):
    spec = small[3]
    placement = spec["root"]["dag"]["tasks"]["train-lstm"]["inputs"]["parameters"]["placement"]["runtimeValue"]
    placement["constant"] = json.dumps({**json.loads(placement["constant"]), "image": "docker.io/me/tpu:1"})
    assert images(spec) == ["docker.io/me/tpu:1", IMAGE]
    with pytest.raises(InputError, match=r"image docker\.io/me/tpu:1"):
        check_images(spec)


@pytest.mark.parametrize("labels", [{"Team": "x"}, {"team": "Vision"}, {"1": "x"}, {"a" * 64: "x"}, {"a": "x" * 64}])
def test_labels_follow_googles_rules(labels):
    with pytest.raises(InputError, match=r"vertex\.labels"):
        check_labels(labels)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("service_account", "me"),
        ("network", "default"),
        ("tensorboard", "my-board"),
        ("experiment", "My Experiment"),
        ("traffic", "101"),
        ("deploi", "true"),
    ],
)
def test_options_are_checked_when_the_experiment_is_read(tmp_path, key, value):
    config = tmp_path / "small.yaml"
    config.write_text(CONFIG)
    with pytest.raises(InputError, match=rf"small\.yaml: vertex\.{key}"):
        load_experiment(config, [f"vertex.{key}={value}"])


def test_prices_are_of_the_whole_machine(small, tmp_path, monkeypatch):
    rows = {task: (machine, price) for task, machine, price in prices.costs(small[0])}
    table = yaml.safe_load(prices.FILE.read_text())
    assert rows["train-lstm"] == ("tpu-v5e", table["machines"]["ct5lp-hightpu-4t"])
    assert rows["train-small"][1] == table["machines"]["n1-standard-8"] + table["accelerators"]["NVIDIA_TESLA_T4"]
    mine = tmp_path / "prices.yaml"
    mine.write_text(
        "machines: {e2-standard-4: 1.0, n1-standard-8: 2.0}\naccelerators: {}\nspot: 0.5\ndefault: e2-standard-4\n"
    )
    monkeypatch.setattr(prices, "FILE", mine)
    rows = {task: price for task, _, price in prices.costs(small[0])}
    assert rows == {
        "train-lstm": None,
        "train-lstm, waiting for its job": 1.0,
        "train-small": 2.0,
        "each other task": 1.0,
    }
    mine.write_text("machines: {}\n")
    with pytest.raises(InputError, match=r"prices\.yaml: accelerators"):
        prices.costs(small[0])


def test_folds_cost_a_machine_each(tmp_path):
    config = tmp_path / "small.yaml"
    config.write_text(CONFIG)
    experiment = load_experiment(config, ["datasets.demand.backtest={folds: 2}"])
    rows = {task: (machine, price) for task, machine, price in prices.costs(experiment)}
    one = rows["train-small"][1]
    assert rows["train-small-fold-*"] == ("2 x gpu-t4", 2 * one)


def test_several_spot_workers_cost_a_share_each():
    from pipeline.experiment.machines import machines

    table = prices.load_prices()
    one = table.machines["n1-standard-8"] + table.accelerators["NVIDIA_TESLA_T4"]
    assert prices.hourly(machines()["multi-worker"], table) == pytest.approx(2 * one * table.spot)


@pytest.fixture
def dry_run(command_server):
    """Run submit --dry-run of quick.yaml."""

    def run(*arguments, **environment):
        own = {**os.environ, "IMAGE": IMAGE, "IMAGE_SERVING": IMAGE, **environment}
        return command_server.run("submit", "configs/quick.yaml", "--dry-run", *arguments, env=own)

    return run


def test_a_dry_run_needs_no_cloud_and_shows_all(dry_run):
    done = dry_run("--project", "my-project", "--region", "us-central1", "--bucket", "bucket", GRPC_PROXY="nowhere")
    assert done.returncode == 0, done.stderr
    for part in ("pipeline_job_id: quick-", "gs://bucket", "train-cnn", "0.15", "0.03 for the run", "nothing was sent"):
        assert part in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--bucket", "s3://x"], "bucket: 's3://x'"),
        (["--bucket", "bucket", "--parameter", "registry"], "--parameter registry: expected NAME=VALUE"),
        (["--bucket", "bucket", "--parameter", "nope=1"], "parameter nope: the pipeline has none"),
        (["--bucket", "bucket", "--set", "models.cnn.machine=gpu-x9"], "machine: no 'gpu-x9'"),
        (["--bucket", "bucket", "--set", "vertex.traffic=0"], "vertex.traffic"),
    ],
)
def test_bad_input_is_one_line_and_code_2(dry_run, arguments, said):
    done = dry_run("--project", "my-project", "--region", "us-central1", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("machine", "variable"), [("gpu-l4", "IMAGE_GPU"), ("tpu-v5e", "IMAGE_TPU")])
def test_a_machine_with_an_accelerator_needs_its_image_named(dry_run, machine, variable):
    options = ["--project", "my-project", "--region", "us-central1", "--bucket", "bucket"]
    options += ["--set", f"models.cnn.machine={machine}", "--set", "models.cnn.batch_size=100"]
    done = dry_run(*options)
    assert done.returncode == 2
    assert f"compile with {variable}=" in done.stderr
    done = dry_run(*options, **{variable: IMAGE.replace("aaa", "bbb")})
    assert done.returncode == 0, done.stderr


def test_an_image_without_a_digest_is_refused(dry_run):
    done = dry_run(
        "--project", "my-project", "--region", "us-central1", "--bucket", "bucket", IMAGE="a.pkg.dev/x:latest"
    )
    assert done.returncode == 2
    assert "a tag can move" in done.stderr
