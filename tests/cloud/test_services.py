"""Schedules, custom jobs, models, endpoints, batch predictions, metadata, with Google's generated clients."""

import json
import time

import pytest
import samples
from client import NUMBER, PARENT
from google.api_core import exceptions
from google.cloud import aiplatform_v1 as v1
from google.protobuf import struct_pb2
from samples import finished, message, service, state_of


def wait(ask, states=samples.ENDED):
    for _ in range(500):
        thing = ask()
        if state_of(thing) in states:
            return thing
        time.sleep(0.02)
    raise AssertionError(f"{thing.name} is {thing.state}")


def schedule(**more):
    request = {"parent": PARENT, "pipeline_job": samples.pipeline_dict()}
    content = {"display_name": "nightly", "cron": "0 3 * * *", "max_concurrent_run_count": 1, **more}
    return message(v1.Schedule, {**content, "create_pipeline_job_request": request})


def test_schedules(cloud):
    schedules = service(v1.ScheduleServiceClient, cloud)
    made = schedules.create_schedule(parent=PARENT, schedule=schedule())
    assert made.state.name == "ACTIVE"
    assert (made.next_run_time.hour, made.next_run_time.minute) == (3, 0)
    assert [
        s.name for s in schedules.list_schedules(request={"parent": PARENT, "filter": 'display_name="nightly"'})
    ] == [made.name]
    schedules.pause_schedule(name=made.name)
    with pytest.raises(exceptions.FailedPrecondition):
        schedules.pause_schedule(name=made.name)
    assert schedules.get_schedule(name=made.name).state.name == "PAUSED"
    schedules.resume_schedule(name=made.name)
    made.cron = "30 4 * * *"
    changed = schedules.update_schedule(schedule=made, update_mask={"paths": ["cron"]})
    assert (changed.next_run_time.hour, changed.next_run_time.minute) == (4, 30)
    job = cloud.control(run_schedule="nightly")["run_schedule"]
    assert service(v1.PipelineServiceClient, cloud).get_pipeline_job(name=job).schedule_name == made.name
    assert schedules.get_schedule(name=made.name).started_run_count == 1
    finished(schedules.delete_schedule(name=made.name))
    with pytest.raises(exceptions.NotFound):
        schedules.get_schedule(name=made.name)


def custom_job(cloud, *codes, jobs=None, **more):
    content = samples.custom_dict()
    if codes:
        pools = content["job_spec"]["worker_pool_specs"][: len(codes)]
        for pool, code in zip(pools, codes, strict=True):
            pool["container_spec"]["args"] = [code]
        content["job_spec"]["worker_pool_specs"] = pools
    for path, value in more.items():
        samples.set_at(content, path.replace("__", "."), value)
    jobs = jobs or service(v1.JobServiceClient, cloud)
    return jobs, jobs.create_custom_job(parent=PARENT, custom_job=message(v1.CustomJob, content))


def test_custom_jobs(cloud):
    jobs, first = custom_job(cloud)
    assert state_of(first) == "PENDING"
    assert first.name.startswith(f"projects/{NUMBER}/locations/us-central1/customJobs/")
    assert state_of(wait(lambda: jobs.get_custom_job(name=first.name))) == "SUCCEEDED"
    cloud.control(custom_job={"outcome": "FAILED", "message": "no luck"})
    second = custom_job(cloud, jobs=jobs)[1]
    failed = wait(lambda: jobs.get_custom_job(name=second.name))
    assert (state_of(failed), failed.error.message) == ("FAILED", "no luck")
    cloud.control(hold=True)
    third = custom_job(cloud, jobs=jobs)[1]
    jobs.cancel_custom_job(name=third.name)
    assert state_of(wait(lambda: jobs.get_custom_job(name=third.name))) == "CANCELLED"
    found = jobs.list_custom_jobs(request={"parent": PARENT, "filter": 'display_name="sample"'})
    assert [job.name for job in found] == [third.name, second.name, first.name]
    cloud.control(quota={"custom_model_training_preemptible_nvidia_t4_gpus": 1})
    with pytest.raises(exceptions.TooManyRequests, match="custom_model_training_preemptible_nvidia_t4_gpus"):
        custom_job(cloud, jobs=jobs)


def test_custom_jobs_really_run(cloud):
    cloud.control(custom_job={"run": True, "env": {"OF_THE_TEST": "yes"}, "mount": True})
    show = "import json, os; print(json.dumps(dict(os.environ)))"
    jobs, job = custom_job(cloud, show, show)
    assert state_of(wait(lambda: jobs.get_custom_job(name=job.name))) == "SUCCEEDED"
    logs = cloud.folder / "custom_jobs" / job.name.rsplit("/", 1)[-1]
    chief, worker = (json.loads((logs / f"workerpool{n}-0.log").read_text()) for n in range(2))
    config = json.loads(worker["TF_CONFIG"])
    assert config["cluster"] == json.loads(chief["TF_CONFIG"])["cluster"]
    assert config["task"]["type"] == "worker"
    assert config["task"]["index"] == 0
    assert len({*config["cluster"]["chief"], *config["cluster"]["worker"]}) == 2
    assert chief["OF_THE_TEST"] == "yes"
    assert chief["AIP_MODEL_DIR"] == "gs://bucket/job/model/"
    assert chief["CLOUD_ML_JOB_ID"] == job.name.rsplit("/", 1)[-1]
    write = "import os; open('/gcs/bucket/written', 'w').write('x'); assert 'TF_CONFIG' not in os.environ"
    _, alone = custom_job(cloud, write, jobs=jobs)
    assert state_of(wait(lambda: jobs.get_custom_job(name=alone.name))) == "SUCCEEDED"
    assert cloud.file("gs://bucket/written").read_text() == "x"


def test_processes_that_fail_or_are_cancelled(cloud):
    cloud.control(custom_job={"run": True})
    endless = "import time; time.sleep(600)"
    jobs, job = custom_job(cloud, endless, "import sys; print('why'); sys.exit(3)")
    failed = wait(lambda: jobs.get_custom_job(name=job.name))
    assert state_of(failed) == "FAILED"
    assert failed.error.message.startswith("The replica workerpool1-0 exited with a non-zero status of 3.")
    assert "why" in failed.error.message
    _, other = custom_job(cloud, endless, jobs=jobs)
    wait(lambda: jobs.get_custom_job(name=other.name), ["RUNNING"])
    jobs.cancel_custom_job(name=other.name)
    assert state_of(wait(lambda: jobs.get_custom_job(name=other.name))) == "CANCELLED"
    _, late = custom_job(cloud, endless, jobs=jobs, job_spec__scheduling__timeout="0.05s")
    assert "exceeded its timeout" in wait(lambda: jobs.get_custom_job(name=late.name)).error.message


def test_models_and_their_versions(cloud):
    models = service(v1.ModelServiceClient, cloud)
    first = samples.upload(cloud, labels={"team": "vision"}, version_aliases=["stable"])
    assert first.model_version_id == "1"
    second = samples.upload(cloud, first.model, labels={"team": "audio"})
    assert (second.model, second.model_version_id) == (first.model, "2")
    assert models.get_model(name=first.model).version_id == "1"
    assert models.get_model(name=f"{first.model}@2").labels["team"] == "audio"
    assert list(models.get_model(name=f"{first.model}@stable").version_aliases) == ["stable", "default"]
    models.merge_version_aliases(name=f"{first.model}@2", version_aliases=["default", "current"])
    assert models.get_model(name=first.model).version_id == "2"
    models.merge_version_aliases(name=f"{first.model}@1", version_aliases=["-stable"])
    with pytest.raises(exceptions.InvalidArgument):
        models.merge_version_aliases(name=f"{first.model}@2", version_aliases=["-default"])
    assert [v.version_id for v in models.list_model_versions(name=first.model)] == ["2", "1"]
    listed = models.list_models(request={"parent": PARENT, "filter": 'display_name="sample" AND labels.team=audio'})
    assert [model.version_id for model in listed] == ["2"]
    changed = models.update_model(
        model=v1.Model(name=f"{first.model}@2", description="new"), update_mask={"paths": ["description"]}
    )
    assert changed.description == "new"
    with pytest.raises(exceptions.FailedPrecondition):
        models.delete_model_version(name=f"{first.model}@2")
    finished(models.delete_model_version(name=f"{first.model}@1"))
    with pytest.raises(exceptions.NotFound):
        models.get_model(name=f"{first.model}@1")
    finished(models.delete_model(name=first.model))
    assert list(models.list_models(parent=PARENT)) == []


def test_evaluations(cloud):
    models, model = service(v1.ModelServiceClient, cloud), samples.upload(cloud)
    uri = "gs://google-cloud-aiplatform/schema/modelevaluation/classification_metrics_1.0.0.yaml"
    content = {"display_name": "test", "metrics_schema_uri": uri, "metrics": {"logLoss": 0.5}}
    made = models.import_model_evaluation(parent=model.model, model_evaluation=message(v1.ModelEvaluation, content))
    assert made.name.startswith(f"{model.model}@1/evaluations/")
    assert [e.name for e in models.list_model_evaluations(parent=f"{model.model}@default")] == [made.name]
    with pytest.raises(exceptions.InvalidArgument):
        models.import_model_evaluation(parent=model.model, model_evaluation=v1.ModelEvaluation())


def deployed(model, **resources):
    machine = v1.MachineSpec(machine_type=resources.pop("machine_type", "n1-standard-4"))
    dedicated = v1.DedicatedResources(machine_spec=machine, **{"min_replica_count": 1, **resources})
    return v1.DeployedModel(model=model, dedicated_resources=dedicated)


def test_endpoints(cloud):
    endpoints, prediction = service(v1.EndpointServiceClient, cloud), service(v1.PredictionServiceClient, cloud)
    model = samples.upload(cloud).model
    endpoint = finished(
        endpoints.create_endpoint(parent=PARENT, endpoint=v1.Endpoint(display_name="sample", labels={"a": "b"}))
    )
    instance = struct_pb2.Value(number_value=1)
    with pytest.raises(exceptions.FailedPrecondition, match="Traffic split is empty"):
        prediction.predict(endpoint=endpoint.name, instances=[instance])

    def deploy(split, **more):
        return finished(
            endpoints.deploy_model(endpoint=endpoint.name, deployed_model=deployed(model, **more), traffic_split=split)
        ).deployed_model.id

    for wrong, split in (({"min_replica_count": 0}, {"0": 100}), ({"machine_type": "x"}, {"0": 100}), ({}, {"0": 99})):
        with pytest.raises(exceptions.InvalidArgument):
            deploy(split, **wrong)
    first = deploy({"0": 100})
    with pytest.raises(exceptions.InvalidArgument, match="'7' is not deployed"):
        deploy({"0": 50, "7": 50})
    second = deploy({"0": 40, first: 60})
    assert dict(endpoints.get_endpoint(name=endpoint.name).traffic_split) == {first: 60, second: 40}
    cloud.control(predict={"predictions": [[0.25, 0.75]]})
    answers = [prediction.predict(endpoint=endpoint.name, instances=[instance]) for _ in range(40)]
    assert {answer.deployed_model_id for answer in answers} == {first, second}
    assert [list(value) for value in answers[0].predictions] == [[0.25, 0.75]]
    cloud.control(predict={"outcome": "FAILED", "code": "INVALID_ARGUMENT", "message": "bad shape"})
    with pytest.raises(exceptions.InvalidArgument, match="bad shape"):
        prediction.predict(endpoint=endpoint.name, instances=[instance])
    with pytest.raises(exceptions.FailedPrecondition):
        endpoints.undeploy_model(endpoint=endpoint.name, deployed_model_id=first)
    endpoint.traffic_split = {first: 0, second: 100}
    endpoints.update_endpoint(endpoint=endpoint, update_mask={"paths": ["traffic_split"]})
    finished(endpoints.undeploy_model(endpoint=endpoint.name, deployed_model_id=first))
    with pytest.raises(exceptions.FailedPrecondition):
        endpoints.delete_endpoint(name=endpoint.name)
    with pytest.raises(exceptions.FailedPrecondition):
        service(v1.ModelServiceClient, cloud).delete_model(name=model)
    finished(endpoints.undeploy_model(endpoint=endpoint.name, deployed_model_id=second))
    found = endpoints.list_endpoints(request={"parent": PARENT, "filter": 'display_name="sample" AND labels.a=b'})
    assert [(e.name, dict(e.traffic_split)) for e in found] == [(endpoint.name, {})]
    finished(endpoints.delete_endpoint(name=endpoint.name))


def test_an_operation_fails(cloud):
    endpoints, model = service(v1.EndpointServiceClient, cloud), samples.upload(cloud).model
    endpoint = finished(endpoints.create_endpoint(parent=PARENT, endpoint=v1.Endpoint(display_name="sample")))
    cloud.control(operation={"method": "DeployModel", "code": "RESOURCE_EXHAUSTED", "message": "no machine"})
    operation = endpoints.deploy_model(endpoint=endpoint.name, deployed_model=deployed(model))
    with pytest.raises(exceptions.ResourceExhausted, match="no machine"):
        finished(operation)
    assert not endpoints.get_endpoint(name=endpoint.name).deployed_models
    again = endpoints.deploy_model(endpoint=endpoint.name, deployed_model=deployed(model))
    assert again.metadata is not None
    assert finished(again).deployed_model.id


def test_batch_predictions(cloud):
    jobs, model = service(v1.JobServiceClient, cloud), samples.upload(cloud).model
    cloud.put("gs://bucket/in.jsonl", "{}")
    content = {
        "display_name": "sample",
        "model": model,
        "input_config": {"instances_format": "jsonl", "gcs_source": {"uris": ["gs://bucket/in.jsonl"]}},
        "output_config": {"predictions_format": "jsonl", "gcs_destination": {"output_uri_prefix": "gs://bucket/out"}},
        "dedicated_resources": {"machine_spec": {"machine_type": "n1-standard-4"}, "starting_replica_count": 1},
    }
    job = jobs.create_batch_prediction_job(parent=PARENT, batch_prediction_job=message(v1.BatchPredictionJob, content))
    done = wait(lambda: jobs.get_batch_prediction_job(name=job.name))
    assert state_of(done) == "SUCCEEDED"
    assert cloud.file(done.output_info.gcs_output_directory).is_dir()
    for path, value in (
        ("input_config.gcs_source.uris", ["gs://bucket/no"]),
        ("output_config.predictions_format", "x"),
    ):
        samples.set_at(content, path, value)
        with pytest.raises(exceptions.InvalidArgument, match=path.split(".")[1]):
            jobs.create_batch_prediction_job(
                parent=PARENT, batch_prediction_job=message(v1.BatchPredictionJob, content)
            )
    assert len(list(jobs.list_batch_prediction_jobs(parent=PARENT))) == 1


def test_metadata(cloud):
    metadata, store = service(v1.MetadataServiceClient, cloud), f"{PARENT}/metadataStores/default"
    assert metadata.get_metadata_store(name=store).name
    made = v1.Context(display_name="tries", schema_title="system.Experiment", metadata={"experiment_deleted": False})
    context = metadata.create_context(parent=store, context=made, context_id="tries")
    with pytest.raises(exceptions.AlreadyExists):
        metadata.create_context(parent=store, context=made, context_id="tries")
    samples.submit(cloud)
    pipelines = service(v1.PipelineServiceClient, cloud)
    job = wait(lambda: pipelines.get_pipeline_job(name=f"{PARENT}/pipelineJobs/job"), ["RUNNING"])
    run = job.job_detail.pipeline_run_context.name
    metadata.add_context_children(context=context.name, child_contexts=[run])
    assert list(metadata.get_context(name=run).parent_contexts) == [context.name]
    listed = metadata.list_contexts(request={"parent": store, "filter": f'parent_contexts:"{context.name}"'})
    assert [c.name for c in listed] == [run]
    artifact = metadata.create_artifact(parent=store, artifact=v1.Artifact(display_name="a", uri="gs://bucket/a"))
    execution = metadata.create_execution(parent=store, execution=v1.Execution(display_name="e"))
    metadata.add_context_artifacts_and_executions(
        context=context.name, artifacts=[artifact.name], executions=[execution.name]
    )
    inside = metadata.list_executions(request={"parent": store, "filter": f'in_context("{context.name}")'})
    assert [e.name for e in inside] == [execution.name]
    assert len(metadata.query_context_lineage_subgraph(context=context.name).artifacts) == 1


def test_tensorboards(cloud):
    boards = service(v1.TensorboardServiceClient, cloud)
    made = finished(boards.create_tensorboard(parent=PARENT, tensorboard=v1.Tensorboard(display_name="sample")))
    assert boards.get_tensorboard(name=made.name).display_name == "sample"
    experiment = boards.create_tensorboard_experiment(parent=made.name, tensorboard_experiment_id="one")
    assert [e.name for e in boards.list_tensorboard_experiments(parent=made.name)] == [experiment.name]
    finished(boards.delete_tensorboard(name=made.name))
    assert list(boards.list_tensorboards(parent=PARENT)) == []
