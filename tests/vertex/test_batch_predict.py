"""Batch predictions of a registered model, by the command line."""

import os

import pytest


@pytest.fixture
def batch(mounted, command_server):
    """Run batch-predict."""
    own = {**os.environ, **mounted.environment(), "GOOGLE_CLOUD_REGION": "us-central1"}
    return lambda *arguments: command_server.run("batch-predict", *arguments, env=own)


@pytest.mark.slow
def test_batch_predictions_of_a_prefix(mounted, register, batch):
    register()
    mounted.control(batch_job={"seconds": 0})
    mounted.put("gs://bucket/in/a.jsonl", '{"image": [[[0], [255]]]}\n')
    done = batch("families-fashion@current", "--input", "gs://bucket/in/", "--output", "gs://bucket/out", "--wait")
    assert done.returncode == 0, done.stderr
    assert "predictions: gs://bucket/out/" in done.stdout
    (asked,) = mounted.requests("CreateBatchPredictionJob")
    job = asked["request"]["batch_prediction_job"]
    assert job["model"].endswith("@current")
    assert job["input_config"] == {"instances_format": "jsonl", "gcs_source": {"uris": ["gs://bucket/in/*.jsonl"]}}
    assert job["manual_batch_tuning_parameters"] == {"batch_size": 16}

    mounted.control(batch_job={"outcome": "FAILED", "message": "row 3 is no JSON"})
    done = batch("families-fashion", "--input", "gs://bucket/in/a.jsonl", "--output", "gs://bucket/out", "--wait")
    assert done.returncode == 2
    assert "failed: row 3 is no JSON" in done.stderr
    for arguments, said in [
        (
            ["families-none", "--input", "gs://bucket/in/", "--output", "gs://bucket/out"],
            "model families-none: there is none",
        ),
        (["families-fashion", "--input", "in.jsonl", "--output", "gs://bucket/out"], "--input: 'in.jsonl'"),
        *(
            (["families-fashion", "--input", f"gs://bucket/in/a.{end}", "--output", "gs://bucket/out"], "with .jsonl")
            for end in ("png", "csv", "tfrecord")
        ),
    ]:
        done = batch(*arguments)
        assert done.returncode == 2
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
