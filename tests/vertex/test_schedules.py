"""Schedules of submissions."""

import pytest
from command_line import refused

pytestmark = pytest.mark.slow


def test_schedules_are_made_listed_paused_and_deleted(pipeline, config, cloud):
    when = ["--cron", "TZ=Europe/Berlin 0 3 * * 1"]
    made = pipeline("schedule", "create", config, *when, "--bucket", "bucket", "--set", "vertex.experiment=demand")
    assert made.returncode == 0, made.stderr
    assert "runs of a schedule aren't added to the Vertex experiment demand" in made.stdout
    (call,) = cloud.requests("CreateSchedule")
    schedule = call["request"]["schedule"]
    assert schedule["cron"] == "TZ=Europe/Berlin 0 3 * * 1"
    assert schedule["create_pipeline_job_request"]["pipeline_job"]["labels"]["experiment"] == "small"
    assert "pipeline_job_id" not in schedule["create_pipeline_job_request"]
    again = pipeline("schedule", "create", config, "--cron", "0 3 * * 1", "--bucket", "bucket")
    refused(again, "schedule small:", "delete it first")
    for action, state in (("pause", "paused"), ("resume", "active")):
        assert pipeline("schedule", action, "small").returncode == 0
        assert state in pipeline("schedule", "list").stdout
    assert pipeline("schedule", "delete", "small").returncode == 0
    assert not pipeline("schedule", "list").stdout.splitlines()[1:]
    refused(pipeline("schedule", "delete", "small"), "schedule small: there is none")
    refused(pipeline("schedule", "create", config, "--cron", "at dawn", "--bucket", "bucket"), "--cron: 'at dawn'")
    refused(
        pipeline("schedule", "create", config, "--cron", "99 3 * * 1", "--bucket", "bucket"), "creating the schedule"
    )
