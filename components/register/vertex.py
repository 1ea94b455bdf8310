"""Vertex AI's Model Registry: one model for each data set of an experiment, a version for each winner."""

from pathlib import Path
from typing import Any

from components.artifacts.export import ONNX, SAVED_MODEL, digest
from components.artifacts.leaderboard import Leaderboard, ModelEntry
from components.artifacts.registration import Registered
from components.artifacts.shelf import CURRENT
from components.common.errors import InputError
from components.common.files import gs
from components.register.challenge import Winner, challenge, unknown
from components.vertex.client import CALL_SECONDS, Vertex, client, explain, named
from components.vertex.cloud_storage import local

OPERATION_SECONDS = 1800.0
_SCHEMAS = "gs://google-cloud-aiplatform/schema/modelevaluation"
_LABEL_DIGITS = 16


def register_on_vertex(vertex: Vertex, winner: Winner) -> Registered:
    """Upload the winner of a data set as a new version, if it is better than the version that is there.

    The files of that version, where its `artifact_uri` says, answer the test split of this run, and both are compared,
    see `components.register.challenge`. The new version gets the test metrics as an imported evaluation, labels that
    say what it was made from, and, with `deploy`, a place at the data set's endpoint. Once all of that has worked it
    gets the aliases `current` and `default`; what hasn't is taken back.

    Args:
        vertex: Where.
        winner: The winner; its export folder is under /gcs.

    Returns:
        What was done.

    Raises:
        InputError: The service refuses it; nothing half-made is left.
    """
    from google.api_core import exceptions
    from google.cloud.aiplatform_v1 import ModelServiceClient

    board, entry = winner.board, winner.entry
    if not vertex.register_models:
        sentence = f"{entry.dataset}: {entry.model} is not registered, vertex.register_models is false"
        return Registered(dataset=entry.dataset, action="none", sentence=sentence)
    if not (winner.export / ONNX).is_file():
        sentence = f"{entry.dataset}: {entry.model} is not registered, it has no {ONNX}, which the serving image needs"
        return Registered(dataset=entry.dataset, action="refused", sentence=sentence)
    models = client(ModelServiceClient, vertex.region)
    name = f"{board.experiment}-{entry.dataset}"
    said = winner.figure()
    try:
        there = named(models.list_models, vertex.parent, name)
        parent = there[0].name.partition("@")[0] if there else None
        if parent:
            current = models.get_model(name=f"{parent}@default", timeout=CALL_SECONDS)
            kept = Registered(
                dataset=entry.dataset,
                action="kept",
                version=current.version_id,
                path=f"{parent}@{current.version_id}",
                sentence=f"{entry.dataset}: {entry.model} is version {current.version_id} already",
            )
            try:
                # Without a place in the bucket it wasn't this pipeline that uploaded it.
                place = local(current.artifact_uri or "no-artifacts")
            except InputError as error:
                outcome = unknown(winner, current.version_id, str(error))
            else:
                # Of a version from before the server of our own, it is the SavedModel in the export folder.
                standing = place.parent if place.name == SAVED_MODEL else place
                if standing == place and digest(standing / SAVED_MODEL) == digest(winner.export / SAVED_MODEL):
                    return kept
                outcome = challenge(winner, standing, current.version_id)
            said = outcome.sentence
            if not outcome.takes_place:
                sentence = f"{entry.dataset}: kept version {current.version_id}: {said}"
                return kept.model_copy(update={"sentence": sentence})
        version = _upload(models, vertex, board, entry, parent, name, winner.export)
        try:
            models.import_model_evaluation(parent=version, model_evaluation=_evaluation(entry), timeout=CALL_SECONDS)
            if vertex.deploy:
                from components.register.deploy import deploy

                said += f"; {deploy(vertex, version, name, winner.export)}"
        except Exception:
            # Left there, it would be beaten by nothing, or never be deployed.
            _take_back(models, version, first=parent is None)
            raise
        models.merge_version_aliases(name=version, version_aliases=["default", CURRENT], timeout=CALL_SECONDS)
    except exceptions.GoogleAPICallError as error:
        raise InputError(explain(error, f"registering {entry.model} as {name}")) from None
    return Registered(
        dataset=entry.dataset,
        action="registered",
        version=version.rpartition("@")[2],
        path=version,
        sentence=f"{entry.dataset}: {entry.model} is registered as {version}: {said}",
    )


def _take_back(models: Any, version: str, first: bool) -> None:  # noqa: ANN401 (a client)
    if first:
        gone = models.delete_model(name=version.partition("@")[0], timeout=CALL_SECONDS)
    else:
        gone = models.delete_model_version(name=version, timeout=CALL_SECONDS)
    gone.result(timeout=OPERATION_SECONDS)


def _upload(
    models: Any,  # noqa: ANN401 (a client)
    vertex: Vertex,
    board: Leaderboard,
    winner: ModelEntry,
    parent: str | None,
    name: str,
    export: Path,
) -> str:
    """Upload a version without an alias, and give its name, projects/…/models/…@version."""
    from google.cloud.aiplatform_v1 import types

    labels = {
        **vertex.labels,
        "family": winner.family,
        "model": winner.model,
        "dataset": board.datasets[winner.dataset].sha256[:_LABEL_DIGITS],
        "pipeline": board.pipeline_sha256[:_LABEL_DIGITS],
    }
    model = types.Model(
        display_name=name,
        description=f"{winner.model} ({winner.family}) of run {board.run}. " + " ".join(winner.reasons),
        artifact_uri=gs(export),
        # Vertex tells the server port and routes in AIP_HTTP_PORT, AIP_PREDICT_ROUTE and AIP_HEALTH_ROUTE.
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


def _evaluation(winner: ModelEntry) -> Any:  # noqa: ANN401 (a ModelEvaluation)
    """The test metrics: those that Google's schemas know as `metrics`, all of them as `metadata`."""
    from google.cloud.aiplatform_v1 import types
    from google.protobuf.json_format import ParseDict

    metrics = winner.metrics
    if winner.task == "classification":
        schema = "classification_metrics_1.0.0.yaml"
        # Without a threshold the best class is the answer, and micro-averaged recall is the accuracy.
        at_zero = {"confidenceThreshold": 0, "recall": metrics["accuracy"], "precision": metrics["accuracy"]}
        shown: dict[str, Any] = {"logLoss": metrics["loss"], "confidenceMetrics": [at_zero]}
    else:
        schema = "forecasting_metrics_1.0.0.yaml"
        shown = {"meanAbsoluteError": metrics["mae"], "rootMeanSquaredError": metrics["rmse"]}
    made = types.ModelEvaluation()
    message = {
        "display_name": f"test split of {winner.dataset}",
        "metrics_schema_uri": f"{_SCHEMAS}/{schema}",
        "metrics": shown,
        "metadata": {**metrics, "intervals": winner.intervals},
    }
    ParseDict(message, types.ModelEvaluation.pb(made))
    return made
