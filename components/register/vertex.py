"""Vertex AI's Model Registry: one model for each data set of an experiment, a version for each winner."""

from typing import TYPE_CHECKING

from components.artifacts.export import ONNX, SAVED_MODEL
from components.artifacts.leaderboard import ModelEntry
from components.artifacts.registration import Registered
from components.artifacts.shelf import CURRENT
from components.common.errors import InputError
from components.common.files import folder_digest, gs
from components.register.challenge import Winner, challenge, incomparable
from components.vertex.client import CALL_SECONDS, Vertex, client, list_by_name
from components.vertex.cloud_storage import local_path
from components.vertex.errors import asking

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1 import ModelServiceClient
    from google.cloud.aiplatform_v1.types import ModelEvaluation

OPERATION_SECONDS = 1800.0
_SCHEMAS = "gs://google-cloud-aiplatform/schema/modelevaluation"
_LABEL_DIGITS = 16


def register_on_vertex(vertex: Vertex, winner: Winner) -> Registered:
    """Upload the winner of a data set as a new version, where it is better than the current version.

    `components.register.challenge` compares both, with the current version's files at its `artifact_uri`. The new
    version gets the test metrics as an imported evaluation and labels with the digests of data and pipeline. With
    `deploy`, it is deployed to the data set's endpoint. After all of that it gets the aliases `current` and `default`.
    Where something fails, the version is deleted.

    Args:
        vertex: The project, its region and the settings.
        winner: The winner. Its export folder lies under /gcs.

    Raises:
        InputError: The service refuses it. No part of the new version is left.
    """
    from google.cloud.aiplatform_v1 import ModelServiceClient

    board, entry = winner.board, winner.entry
    if not vertex.register_models:
        return winner.result("none", f"{entry.model} is not registered, vertex.register_models is false")
    if not (winner.export / ONNX).is_file():
        sentence = f"{entry.model} is not registered, it has no {ONNX}, which the serving image needs"
        return winner.result("refused", sentence)
    models = client(ModelServiceClient, vertex.region)
    name = f"{board.experiment}-{entry.dataset}"
    reason = winner.figure()
    with asking(f"registering {entry.model} as {name}"):
        existing = list_by_name(models.list_models, vertex.parent, name)
        parent = existing[0].name.partition("@")[0] if existing else None
        if parent:
            current = models.get_model(name=f"{parent}@default", timeout=CALL_SECONDS)
            kept = current.version_id, f"{parent}@{current.version_id}"
            try:
                # A version without files in a bucket wasn't uploaded by this pipeline, and `local` refuses it.
                place = local_path(current.artifact_uri or "no-artifacts")
            except InputError as error:
                outcome = incomparable(winner, current.version_id, str(error))
            else:
                # The versions that older releases uploaded name the SavedModel in the export folder.
                standing = place.parent if place.name == SAVED_MODEL else place
                theirs, ours = standing / SAVED_MODEL, winner.export / SAVED_MODEL
                if standing == place and folder_digest(theirs) == folder_digest(ours):
                    return winner.result("kept", f"{entry.model} is version {current.version_id} already", *kept)
                outcome = challenge(winner, standing, current.version_id)
            reason = outcome.sentence
            if not outcome.replaces:
                return winner.result("kept", f"kept version {current.version_id}: {reason}", *kept)
        version = _upload(models, vertex, winner, parent, name)
        try:
            models.import_model_evaluation(parent=version, model_evaluation=_evaluation(entry), timeout=CALL_SECONDS)
            if vertex.deploy:
                from components.register.deploy import deploy

                reason += f"; {deploy(vertex, version, name, winner.export)}"
        except Exception:
            # A version that stayed would win every later comparison, and never be deployed.
            _delete(models, version, first=parent is None)
            raise
        models.merge_version_aliases(name=version, version_aliases=["default", CURRENT], timeout=CALL_SECONDS)
    sentence = f"{entry.model} is registered as {version}: {reason}"
    return winner.result("registered", sentence, version.rpartition("@")[2], version)


def _delete(models: "ModelServiceClient", version: str, first: bool) -> None:
    """Delete a version. The first version of a model can only be deleted with the model."""
    if first:
        operation = models.delete_model(name=version.partition("@")[0], timeout=CALL_SECONDS)
    else:
        operation = models.delete_model_version(name=version, timeout=CALL_SECONDS)
    operation.result(timeout=OPERATION_SECONDS)


def _upload(models: "ModelServiceClient", vertex: Vertex, winner: Winner, parent: str | None, name: str) -> str:
    """Upload a version without an alias, and return its name, projects/…/models/…@version."""
    from google.cloud.aiplatform_v1 import types

    board, entry = winner.board, winner.entry
    labels = {
        **vertex.labels,
        "family": entry.family,
        "model": entry.model,
        "dataset": board.datasets[entry.dataset].sha256[:_LABEL_DIGITS],
        "pipeline": board.pipeline_sha256[:_LABEL_DIGITS],
    }
    model = types.Model(
        display_name=name,
        description=f"{entry.model} ({entry.family}) of run {board.run}. " + " ".join(entry.reasons),
        artifact_uri=gs(winner.export),
        # Vertex sets AIP_HTTP_PORT, AIP_PREDICT_ROUTE and AIP_HEALTH_ROUTE, which the server reads.
        container_spec=types.ModelContainerSpec(
            image_uri=vertex.serving_image,
            ports=[types.Port(container_port=8080)],
            predict_route="/predict",
            health_route="/healthz",
        ),
        labels=labels,
    )
    request = {"parent": vertex.parent, "model": model, "parent_model": parent or ""}
    if vertex.service_account:
        request["service_account"] = vertex.service_account
    answer = models.upload_model(request=request, timeout=CALL_SECONDS).result(timeout=OPERATION_SECONDS)
    return f"{answer.model}@{answer.model_version_id}"


def _evaluation(winner: ModelEntry) -> "ModelEvaluation":
    """The test metrics as a ModelEvaluation. `metrics` has those of Google's schemas, `metadata` has all."""
    from google.cloud.aiplatform_v1 import types
    from google.protobuf.json_format import ParseDict

    metrics = winner.metrics
    if winner.task == "classification":
        schema = "classification_metrics_1.0.0.yaml"
        # At a threshold of 0, the class with the highest probability counts, and micro-averaged recall is the accuracy.
        at_zero = {"confidenceThreshold": 0, "recall": metrics["accuracy"], "precision": metrics["accuracy"]}
        shown: dict[str, object] = {"logLoss": metrics["loss"], "confidenceMetrics": [at_zero]}
    else:
        schema = "forecasting_metrics_1.0.0.yaml"
        shown = {"meanAbsoluteError": metrics["mae"], "rootMeanSquaredError": metrics["rmse"]}
    evaluation = types.ModelEvaluation()
    message = {
        "display_name": f"test split of {winner.dataset}",
        "metrics_schema_uri": f"{_SCHEMAS}/{schema}",
        "metrics": shown,
        "metadata": {**metrics, "intervals": winner.intervals},
    }
    ParseDict(message, types.ModelEvaluation.pb(evaluation))
    return evaluation
