"""The SDK that people use, google.cloud.aiplatform, against the server: it asks for more than a test would."""

import pytest
import samples
from client import NUMBER, REGION
from google.cloud import aiplatform
from google.cloud.aiplatform import jobs, pipeline_jobs
from google.cloud.aiplatform.utils import resource_manager_utils
from kfp import compiler, dsl


@pytest.fixture
def sdk(cloud, monkeypatch):
    """The SDK, which doesn't wait long between two questions."""
    cloud.control(operation_seconds=0, task_seconds=0.01)
    for module in (pipeline_jobs, jobs):
        monkeypatch.setattr(module, "_JOB_WAIT_TIME", 0.05)
    # It asks the real Resource Manager, whose address can't be changed, whether the bucket is the project's.
    monkeypatch.setattr(resource_manager_utils, "get_project_number", lambda project, credentials=None: NUMBER)
    aiplatform.init(project="my-project", location=REGION, staging_bucket="gs://bucket", api_endpoint=cloud.grpc)
    yield cloud
    aiplatform.initializer.global_pool.shutdown(wait=True)
    aiplatform.initializer.global_config.__init__()


@dsl.component(base_image="us-docker.pkg.dev/x/y")
def say(text: str) -> str:
    return text


@dsl.pipeline(name="saying")
def saying(text: str = "hello", times: int = 1):
    first = say(text=text)
    second = say(text=first.output)
    second.set_accelerator_type("NVIDIA_TESLA_T4").set_accelerator_limit(1)
    with dsl.If(times > 1):
        say(text=second.output)


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    path = tmp_path_factory.mktemp("compiled") / "saying.yaml"
    compiler.Compiler().compile(saying, str(path))
    return str(path)


def job(compiled, **more):
    return aiplatform.PipelineJob(
        display_name="saying", template_path=compiled, pipeline_root="gs://bucket/runs", enable_caching=False, **more
    )


def test_a_pipeline_job(sdk, compiled):
    made = job(compiled, job_id="saying-1", parameter_values={"times": 2}, labels={"team": "vision"})
    made.submit()
    made.wait()
    assert made.state.name == "PIPELINE_STATE_SUCCEEDED"
    assert {task.task_name for task in made.task_details} == {"saying", "say", "say-2", "condition-1"}
    assert [found.name for found in aiplatform.PipelineJob.list(filter="labels.team=vision")] == ["saying-1"]
    assert aiplatform.PipelineJob.get("saying-1").resource_name == made.resource_name
    made.delete()


def test_a_failed_pipeline_job(sdk, compiled):
    sdk.control(task={"name": "say-2", "outcome": "FAILED", "message": "no luck"})
    made = job(compiled)
    made.submit()
    with pytest.raises(RuntimeError, match=r"The failed tasks are: \[say-2\]"):
        made.wait()


def test_a_schedule(sdk, compiled):
    made = job(compiled).create_schedule(cron="TZ=Europe/Berlin 0 3 * * *", display_name="nightly")
    made.pause()
    made.resume()
    assert sdk.control(run_schedule="nightly")["run_schedule"].startswith("projects/")
    assert len(made.list_jobs()) == 1
    made.delete()


def test_a_custom_job(sdk):
    made = aiplatform.CustomJob(
        display_name="sample", worker_pool_specs=samples.custom_dict()["job_spec"]["worker_pool_specs"]
    )
    made.run(timeout=3600)
    assert made.state.name == "JOB_STATE_SUCCEEDED"
    sdk.control(custom_job={"outcome": "FAILED", "message": "no luck"})
    other = aiplatform.CustomJob(
        display_name="sample", worker_pool_specs=samples.custom_dict()["job_spec"]["worker_pool_specs"][:1]
    )
    with pytest.raises(RuntimeError, match="no luck"):
        other.run()


def test_a_model_its_endpoint_and_a_batch(sdk):
    uri = samples.saved_model(sdk)
    model = {"display_name": "sample", "artifact_uri": uri, "serving_container_image_uri": samples.SERVING}
    first = aiplatform.Model.upload(**model, version_aliases=["stable"])
    second = aiplatform.Model.upload(**model, parent_model=first.resource_name, is_default_version=False)
    assert (first.version_id, second.version_id) == ("1", "2")
    assert aiplatform.Model(f"{first.resource_name}@stable").version_id == "1"
    assert [v.version_id for v in first.versioning_registry.list_versions()] == ["2", "1"]
    endpoint = first.deploy(machine_type="n1-standard-4", min_replica_count=1)
    endpoint.deploy(second, machine_type="n1-standard-4", traffic_percentage=25)
    assert sorted(endpoint.traffic_split.values()) == [25, 75]
    sdk.control(predict={"predictions": [[0.5, 0.5]]})
    answer = endpoint.predict(instances=[[1.0, 2.0]])
    assert answer.predictions == [[0.5, 0.5]]
    assert answer.model_version_id in ("1", "2")
    endpoint.undeploy_all()
    endpoint.delete()
    sdk.put("gs://bucket/in.jsonl", "[1]")
    batch = first.batch_predict(
        job_display_name="batch",
        gcs_source="gs://bucket/in.jsonl",
        gcs_destination_prefix="gs://bucket/out",
        machine_type="n1-standard-4",
    )
    assert batch.state.name == "JOB_STATE_SUCCEEDED"
    first.delete()


def test_an_experiment(sdk, compiled):
    # Without the project it would forget to use gRPC.
    aiplatform.init(project="my-project", experiment="tries", experiment_tensorboard=False)
    made = job(compiled, job_id="tried")
    # The SDK overlooks the context of a job that has ended by its first question.
    sdk.control(hold=True)
    made.submit(experiment="tries")
    sdk.control(hold=False)
    made.wait()
    assert aiplatform.Experiment("tries").get_data_frame().iloc[0]["run_name"] == "tried"
