"""Cloud Storage, Resource Manager, Cloud Logging, the image registry and OAuth, with Google's clients."""

import io
import time

import google.auth
import pytest
import requests
import samples
from client import NUMBER, PARENT
from google.api_core import exceptions
from google.auth.transport.requests import AuthorizedSession, Request
from google.cloud import aiplatform_v1 as v1
from google.cloud import storage
from google.cloud.resourcemanager_v3 import ProjectsClient
from google.oauth2 import service_account

SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]


@pytest.fixture
def credentials(cloud):
    return google.auth.default(scopes=SCOPES)[0]


@pytest.fixture
def bucket(cloud, credentials):
    return storage.Client("my-project", credentials).bucket("bucket")


def test_buckets(cloud, credentials):
    client = storage.Client("my-project", credentials)
    assert [client.get_bucket(name).location for name in ("bucket", "bucket-eu", "bucket-us-multi")] == [
        "US-CENTRAL1",
        "EUROPE-WEST4",
        "US",
    ]
    assert client.get_bucket("bucket").project_number == int(NUMBER)
    with pytest.raises(exceptions.NotFound):
        client.get_bucket("nowhere")
    with pytest.raises(exceptions.Forbidden, match=r"storage.buckets.get"):
        client.get_bucket("forbidden-bucket")
    cloud.control(buckets={"mine": "asia-east1", "bucket-eu": None})
    assert client.get_bucket("mine").location == "ASIA-EAST1"
    with pytest.raises(exceptions.NotFound):
        client.get_bucket("bucket-eu")
    cloud.control(permissions={"deny": ["storage.buckets.get"]})
    with pytest.raises(exceptions.Forbidden):
        client.get_bucket("bucket")
    assert requests.get(f"{cloud.http}/storage/v1/b/bucket", timeout=10).status_code == 401
    cloud.control(anonymous=True, permissions={"deny": []})
    assert storage.Client("my-project").get_bucket("bucket").location == "US-CENTRAL1"


def test_objects(cloud, bucket):
    binary = bytes(range(256)) * 10 + b"\r\n--x\r\n\n"
    blob = bucket.blob("a/b.bin")
    blob.upload_from_string(binary, content_type="application/x-test")
    assert cloud.file("gs://bucket/a/b.bin").read_bytes() == binary
    assert blob.download_as_bytes() == binary
    assert blob.download_as_bytes(start=5, end=9) == binary[5:10]
    blob.reload()
    assert (blob.size, blob.content_type) == (len(binary), "application/x-test")
    cloud.put("gs://bucket/a/c.txt", "text")
    cloud.put("gs://bucket/d/e.txt", "text")
    assert [b.name for b in bucket.list_blobs()] == ["a/b.bin", "a/c.txt", "d/e.txt"]
    assert [b.name for b in bucket.list_blobs(prefix="a/", page_size=1)] == ["a/b.bin", "a/c.txt"]
    folders = bucket.list_blobs(delimiter="/")
    assert list(folders) == []
    assert folders.prefixes == {"a/", "d/"}
    assert bucket.blob("a/c.txt").exists()
    assert not bucket.blob("a/x").exists()
    bucket.copy_blob(blob, bucket, "copy/b.bin")
    assert bucket.blob("copy/b.bin").download_as_bytes() == binary
    moved = bucket.blob("copy/again")
    assert moved.rewrite(blob)[0] is None
    blob.delete()
    assert not cloud.file("gs://bucket/a/b.bin").exists()
    for action in (blob.delete, blob.download_as_bytes, blob.reload):
        with pytest.raises(exceptions.NotFound):
            action()


def test_a_resumable_upload(cloud, bucket):
    data = bytes(1024) * 700
    bucket.blob("large", chunk_size=256 * 1024).upload_from_file(io.BytesIO(data), size=len(data))
    assert cloud.file("gs://bucket/large").read_bytes() == data
    with bucket.blob("written", chunk_size=256 * 1024).open("wb") as file:
        file.write(data)
    assert bucket.blob("written").download_as_bytes() == data


def test_an_upload_with_a_condition(bucket):
    bucket.blob("once").upload_from_string("a", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("once").upload_from_string("b", if_generation_match=0)
    for name in ("../x", "a/../../x", "/x"):
        with pytest.raises(exceptions.BadRequest):
            bucket.blob(name).upload_from_string("x")


def test_projects(cloud, credentials):
    projects = ProjectsClient(transport="rest", credentials=credentials, client_options={"api_endpoint": cloud.http})
    found = projects.get_project(name="projects/my-project")
    assert (found.name, found.project_id, found.state.name) == (f"projects/{NUMBER}", "my-project", "ACTIVE")
    with pytest.raises(exceptions.Forbidden) as denied:
        projects.get_project(name="projects/other")
    assert denied.value.reason == "IAM_PERMISSION_DENIED"
    method = "GET /v3/projects/my-project"
    cloud.control(fault={"method": method, "http": 403, "message": "API is off", "reason": "SERVICE_DISABLED"})
    with pytest.raises(exceptions.Forbidden) as off:
        projects.get_project(name="projects/my-project", retry=None)
    assert off.value.reason == "SERVICE_DISABLED"
    assert len(cloud.requests(method)) == 2
    assert "authorization" not in cloud.requests(method)[0]["metadata"]


def test_tokens(cloud):
    keys = str(cloud.folder / "service-account.json")
    mine = service_account.Credentials.from_service_account_file(keys, scopes=SCOPES)
    mine.refresh(Request())
    assert mine.valid
    assert cloud.requests("POST /token")[0]["request"].keys() == {"grant_type"}
    without = service_account.Credentials.from_service_account_file(keys, scopes=[])
    with pytest.raises(google.auth.exceptions.RefreshError, match="scope"):
        without.refresh(Request())
    other = AuthorizedSession(mine)
    image = f"{cloud.http}/v2/my-project/images/keras-pipeline-python/manifests/latest"
    assert other.head(image).ok
    wrong = requests.post(
        f"{cloud.http}/token",
        {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "a.b.c"},
        timeout=10,
    )
    assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid_grant")
    # A client whose token has gone bad asks for another.
    cloud.control(revoke=True)
    assert other.head(image).ok
    assert len(cloud.requests("POST /token")) == 4


def test_images(cloud, credentials):
    session, base = AuthorizedSession(credentials), f"{cloud.http}/v2/my-project/images"
    digest = "sha256:" + "a" * 64
    for reference in ("latest", digest):
        answer = session.head(f"{base}/keras-pipeline-python/manifests/{reference}")
        assert (answer.status_code, answer.headers["Docker-Content-Digest"]) == (200, digest)
    assert session.head(f"{base}/keras-pipeline-python/manifests/v2").status_code == 404
    assert session.get(f"{base}/other/manifests/latest").status_code == 404
    cloud.control(images={"my-project/images/other": {"latest": digest}})
    assert session.get(f"{base}/other/manifests/latest").ok
    assert requests.head(f"{base}/other/manifests/latest", timeout=10).status_code == 401
    # The same with TLS, whose certificate the environment names.
    assert session.head(f"{cloud.https}/v2/my-project/images/other/manifests/latest").ok
    cloud.control(permissions={"deny": ["artifactregistry.repositories.downloadArtifacts"]})
    assert session.head(f"{base}/other/manifests/latest").status_code == 403


def test_logs(cloud, credentials):
    cloud.control(task={"name": "b", "outcome": "FAILED", "message": "no luck"})
    cloud.control(log={"task": "a", "lines": ["one", "two", "three"]})
    samples.submit(cloud)
    pipelines = samples.service(v1.PipelineServiceClient, cloud)
    while not (job := pipelines.get_pipeline_job(name=f"{PARENT}/pipelineJobs/job")).end_time:
        time.sleep(0.02)
    ids = {
        detail.task_name: detail.executor_detail.container_detail.main_job.rsplit("/", 1)[-1]
        for detail in job.job_detail.task_details
    }
    session = AuthorizedSession(credentials)

    def lines(filter_, **more):
        body = {"resourceNames": ["projects/my-project"], "filter": filter_, **more}
        while True:
            answer = session.post(f"{cloud.http}/v2/entries:list", json=body)
            assert answer.ok, answer.text
            for entry in answer.json().get("entries", []):
                yield entry.get("textPayload") or entry["jsonPayload"]["message"]
            body["pageToken"] = answer.json().get("nextPageToken")
            if not body["pageToken"]:
                return

    assert list(lines(f'resource.labels.job_id="{ids["a"]}"')) == ["a started", "one", "two", "three"]
    both = f'resource.type="ml_job" AND resource.labels.job_id=("{ids["a"]}" OR "{ids["b"]}")'
    assert list(lines(both, pageSize=2)) == ["a started", "one", "two", "three", "b started", "no luck"]
    assert list(lines(f"{both} AND severity=ERROR")) == ["no luck"]
    label = 'labels."ml.googleapis.com/job_id/pipeline_job"="job"'
    assert len(list(lines(label))) == 7
    assert len(list(lines(f'{label} AND timestamp>"2100-01-01T00:00:00Z"'))) == 0
    cloud.control(permissions={"deny": ["logging.logEntries.list"]})
    refused = session.post(f"{cloud.http}/v2/entries:list", json={"resourceNames": ["projects/my-project"]})
    assert refused.status_code == 403
