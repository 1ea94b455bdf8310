"""What tests of CustomJobs share: the image and the run, a project, and the jobs that were asked for."""

from components.vertex.client import Vertex

IMAGE = f"us-central1-docker.pkg.dev/my-project/images/keras-pipeline-python@sha256:{'a' * 64}"
RUN = "runs/123456789012/families-20261124-1"


def vertex(**options):
    return Vertex(project="my-project", region="us-central1", labels={"experiment": "families"}, **options)


def created(cloud):
    return [call["request"]["custom_job"] for call in cloud.requests("CreateCustomJob")]
