"""What tests of the Model Registry, of endpoints and of batch predictions share."""

from google.cloud.aiplatform_v1 import EndpointServiceClient, ModelServiceClient

from components.artifacts.export import Golden
from components.artifacts.leaderboard import DatasetEntry, Leaderboard, ModelEntry
from components.vertex import client as google

PARENT = "projects/my-project/locations/us-central1"
RUN = "gs://bucket/runs/123456789012/families-1"
GOLD = Golden(instances=[{"image": [[[0], [255]]]}, {"image": [[[3], [4]]]}], predictions=[[0.25, 0.75], [0.5, 0.5]])


def vertex(**options):
    place = {"project": "my-project", "region": "us-central1"}
    return google.Vertex(**place, labels={"experiment": "families"}, serving_image="registry/serving", **options)


def board(accuracy=0.9, sha="1" * 64, model="mlp", passed=True):
    metrics = {"accuracy": accuracy, "loss": 0.3, "macro_f1": accuracy - 0.01}
    entry = ModelEntry(
        model=model,
        family="mlp",
        dataset="fashion",
        task="classification",
        rank=1,
        passed=passed,
        reasons=["passes: error 10.00% is 50% below linear (0.2, margin 10%)"],
        metrics=metrics,
        intervals={"accuracy": [accuracy - 0.01, accuracy + 0.01]},
    )
    data = DatasetEntry(
        task="classification",
        source="fashion_mnist",
        splits={"train": 10, "validation": 2, "test": 2},
        sha256=sha,
        baselines={},
    )
    return Leaderboard(
        experiment="families",
        run="families-1",
        pipeline_sha256="2" * 64,
        code_version="x",
        created="2026-01-01T00:00:00+00:00",
        datasets={"fashion": data},
        models=[entry],
    )


def answers(cloud, predictions=None):
    cloud.control(predict={"predictions": GOLD.predictions if predictions is None else predictions})


def models(cloud):
    return ModelServiceClient(client_options={"api_endpoint": cloud.grpc})


def endpoints(cloud):
    service = EndpointServiceClient(client_options={"api_endpoint": cloud.grpc})
    return list(service.list_endpoints(parent=PARENT))


def uploads(cloud):
    return len(cloud.requests("UploadModel"))


def current(cloud):
    """The version with both aliases."""
    (found,) = models(cloud).list_models(parent=PARENT)
    made = models(cloud).get_model(name=f"{found.name.partition('@')[0]}@current")
    assert sorted(made.version_aliases) == ["current", "default"]
    return made.version_id
