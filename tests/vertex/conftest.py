import pytest
from training_job import IMAGE

from components.common import files
from components.vertex import custom_job
from pipeline.experiment import machines


@pytest.fixture
def bucket(cloud, monkeypatch):
    """The folder that a bucket is mounted at, where jobs are asked for soon and their image has a name."""
    monkeypatch.setattr(files, "MOUNT", cloud.folder / "buckets")
    monkeypatch.setattr(custom_job, "POLL_SECONDS", 0.1)
    for kind in ("GPU_IMAGE", "TPU_IMAGE"):
        monkeypatch.setattr(machines, kind, IMAGE)
    cloud.put("gs://bucket/here")
    return cloud.folder / "buckets" / "bucket"
