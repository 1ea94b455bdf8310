"""Deploy a registered version to its data set's endpoint, and undo that where it gives a wrong answer."""

from pathlib import Path
from typing import TYPE_CHECKING

from components.artifacts.export import Golden
from components.common.errors import InputError
from components.vertex.client import CALL_SECONDS, Vertex, client, list_by_name
from components.vertex.errors import error_line

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1 import EndpointServiceClient
    from google.cloud.aiplatform_v1.types import Endpoint

DEPLOY_SECONDS = 3600.0
PREDICT_SECONDS = 60.0
# The golden request is sent at most this often, until the new model is the one that answers it.
MAX_REQUESTS = 1000
# The allowed difference from the recorded answer, relative to its largest number, for the serving image may compute
# with another library.
TOLERANCE = 1e-3


def deploy(vertex: Vertex, version: str, name: str, export: Path) -> str:
    """Deploy a version with its share of the requests, and send it the golden request of its export.

    Models that get no requests any more are undeployed, for each costs as much as one with requests.

    Args:
        vertex: The project, the machine, the image and the share.
        version: The name of a registered version, projects/…/models/…@version.
        name: The endpoint's display name. Where there is no such endpoint, it is created.
        export: The export folder with the golden request.

    Returns:
        A phrase that names the endpoint and the share.

    Raises:
        InputError: The service refuses it. The endpoint is as it was before, and a new one is deleted.
        RuntimeError: The version answers the golden request wrongly. The endpoint is as it was before, too.
    """
    from google.api_core import exceptions
    from google.cloud.aiplatform_v1 import EndpointServiceClient, types

    endpoints = client(EndpointServiceClient, vertex.region)
    existing = list_by_name(endpoints.list_endpoints, vertex.parent, name)
    endpoint, created, deployed = existing[0] if existing else None, False, ""
    before: dict[str, int] = {}
    try:
        if endpoint is None:
            endpoint, created = _create(endpoints, vertex, name), True
        before = {model: share for model, share in endpoint.traffic_split.items() if share}
        answer = endpoints.deploy_model(
            endpoint=endpoint.name,
            deployed_model=types.DeployedModel(
                model=version,
                display_name=f"{name}-{version.rpartition('@')[2]}",
                service_account=vertex.service_account or "",
                dedicated_resources=types.DedicatedResources(
                    machine_spec=types.MachineSpec(machine_type=vertex.serving_machine),
                    min_replica_count=1,
                    max_replica_count=1,
                ),
            ),
            traffic_split=split(before, "0", vertex.traffic),  # "0" is the model that is being deployed
            timeout=CALL_SECONDS,
        ).result(timeout=DEPLOY_SECONDS)
        deployed = answer.deployed_model.id
        _ask(vertex, endpoint.name, deployed, Golden.load(export))
    except (RuntimeError, exceptions.GoogleAPICallError) as error:
        if endpoint is not None:
            _roll_back(endpoints, endpoint.name, deployed, before, created)
        if isinstance(error, RuntimeError):
            raise
        raise InputError(error_line(error, f"deploying {version}")) from None
    endpoint = endpoints.get_endpoint(name=endpoint.name, timeout=CALL_SECONDS)
    for model in endpoint.deployed_models:
        if not endpoint.traffic_split.get(model.id):
            endpoints.undeploy_model(
                endpoint=endpoint.name, deployed_model_id=model.id, timeout=CALL_SECONDS
            ).result(timeout=DEPLOY_SECONDS)  # fmt: skip
    return f"deployed to {endpoint.name} with {endpoint.traffic_split[deployed]} % of the requests"


def split(before: dict[str, int], new: str, share: int) -> dict[str, int]:
    """Compute the shares of an endpoint's requests, in whole percents that sum to 100.

    Args:
        before: The shares of the deployed models, which sum to 100 or are empty.
        new: The id of the added model.
        share: The share of the added model. Where no other is deployed, it gets all requests. The others keep their
            proportions.
    """
    if not before:
        return {new: 100}
    shares = {model: old * (100 - share) // 100 for model, old in before.items()}
    rest = 100 - share - sum(shares.values())
    # The rest of rounding down is smaller than the number of models.
    for model in sorted(before, key=lambda model: -(before[model] * (100 - share) % 100))[:rest]:
        shares[model] += 1
    return {**shares, new: share}


def _create(endpoints: "EndpointServiceClient", vertex: Vertex, name: str) -> "Endpoint":
    from google.cloud.aiplatform_v1 import types

    endpoint = types.Endpoint(display_name=name, labels=vertex.labels, network=vertex.network or "")
    operation = endpoints.create_endpoint(parent=vertex.parent, endpoint=endpoint, timeout=CALL_SECONDS)
    return operation.result(timeout=DEPLOY_SECONDS)


def _ask(vertex: Vertex, endpoint: str, deployed: str, golden: Golden) -> None:
    """Send the golden request until the new model answers it, and compare the answer with the recorded one.

    Raises:
        RuntimeError: The answer isn't the recorded one, or the new model never answers.
    """
    from google.cloud.aiplatform_v1 import PredictionServiceClient
    from google.protobuf.json_format import MessageToDict, ParseDict
    from google.protobuf.struct_pb2 import Value

    prediction = client(PredictionServiceClient, vertex.region)
    instances = [ParseDict(instance, Value()) for instance in golden.instances]
    for _ in range(MAX_REQUESTS):
        answer = prediction.predict(endpoint=endpoint, instances=instances, timeout=PREDICT_SECONDS)
        if answer.deployed_model_id in ("", deployed):
            break
    else:
        raise RuntimeError(f"{endpoint}: {deployed} answered none of {MAX_REQUESTS} requests; it is taken back")
    predictions = [MessageToDict(value) for value in type(answer).pb(answer).predictions]
    if not golden.agrees(predictions, TOLERANCE):
        raise RuntimeError(
            f"{endpoint}: {deployed} answers the golden request wrongly, {str(predictions)[:200]}; it is taken back"
        )


def _roll_back(
    endpoints: "EndpointServiceClient", endpoint: str, deployed: str, before: dict[str, int], created: bool
) -> None:
    """Undeploy the new model, give the others their shares again, and delete an endpoint that was created."""
    if deployed:
        endpoints.undeploy_model(
            endpoint=endpoint, deployed_model_id=deployed, traffic_split=before, timeout=CALL_SECONDS
        ).result(timeout=DEPLOY_SECONDS)
    if created:
        endpoints.delete_endpoint(name=endpoint, timeout=CALL_SECONDS).result(timeout=DEPLOY_SECONDS)
