"""Where a pipeline runs: the command line, then the environment, then gcloud's configuration."""

import pytest

from components.common.errors import InputError
from pipeline.vertex.settings import BUCKET, PROJECT, REGION, find_settings


@pytest.fixture(autouse=True)
def bare(tmp_path, monkeypatch):
    """An environment and a gcloud that say nothing of where to run."""
    for name in (*PROJECT, *REGION, *BUCKET, "CLOUDSDK_ACTIVE_CONFIG_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))


def gcloud(tmp_path, text, name="default"):
    folder = tmp_path / "gcloud" / "configurations"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"config_{name}").write_text(text)


def test_the_command_line_comes_first(tmp_path, monkeypatch):
    gcloud(tmp_path, "[core]\nproject = from-gcloud\n[ai]\nregion = europe-west4\n")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "from-environment")
    found = find_settings("from-flag", "us-east1", "gs://bucket/folder/")
    assert (found.project, found.region, found.root) == ("from-flag", "us-east1", "gs://bucket/folder")
    assert (found.bucket, found.parent) == ("bucket", "projects/from-flag/locations/us-east1")


def test_then_the_environment_then_gcloud(tmp_path, monkeypatch):
    gcloud(tmp_path, "[core]\nproject = from-gcloud\n[compute]\nregion = europe-west1\n[ai]\nregion = europe-west4\n")
    monkeypatch.setenv("PIPELINE_BUCKET", "bucket")
    assert find_settings(None, None, None) == find_settings("from-gcloud", "europe-west4", "gs://bucket")
    monkeypatch.setenv("CLOUDSDK_CORE_PROJECT", "from-environment")
    monkeypatch.setenv("CLOUDSDK_COMPUTE_REGION", "us-east4")
    assert find_settings(None, None, None) == find_settings("from-environment", "us-east4", "bucket")


def test_the_active_configuration_counts(tmp_path, monkeypatch):
    gcloud(tmp_path, "[core]\nproject = not-this-one\n")
    gcloud(tmp_path, "[core]\nproject = the-work-one\n", "work")
    (tmp_path / "gcloud" / "active_config").write_text("work\n")
    assert find_settings(None, "us-east1", "bucket").project == "the-work-one"
    monkeypatch.setenv("CLOUDSDK_ACTIVE_CONFIG_NAME", "default")
    assert find_settings(None, "us-east1", "bucket").project == "not-this-one"


def test_a_broken_configuration_of_gcloud_is_as_none(tmp_path):
    gcloud(tmp_path, "project = x\n")
    with pytest.raises(InputError, match="no project"):
        find_settings(None, "us-east1", "bucket")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((None, "us-east1", "b"), "no project: --project"),
        (("my-project", None, "b"), "no region: --region"),
        (("my-project", "us-east1", None), "no bucket: --bucket"),
        (("My Project", "us-east1", "bucket"), "project: 'My Project'"),
        (("my-project", "us-east1-b", "bucket"), "region: 'us-east1-b'"),
        (("my-project", "us-east1", "s3://bucket"), "bucket: 's3://bucket'"),
        (("my-project", "us-east1", "/gcs/bucket"), "bucket: 'gs:///gcs/bucket'"),
        (("my-project", "us-east1", "gs://"), "bucket: 'gs://'"),
        (("my-project", "us-east1", "gs://bucket/a b"), "bucket: 'gs://bucket/a b'"),
    ],
)
def test_what_is_missing_or_wrong_is_said(given, said):
    with pytest.raises(InputError) as refused:
        find_settings(*given)
    assert str(refused.value).startswith(said)
    assert "\n" not in str(refused.value)


def test_a_bucket_is_asked_for_only_where_something_is_written():
    assert find_settings("my-project", "us-east1", None, needs_bucket=False).root == ""
