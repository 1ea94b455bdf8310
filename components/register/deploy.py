"""Deploy a registered version to its data set's endpoint, and take it back when it doesn't answer as it should."""

from pathlib import Path
from typing import Any

from components.artifacts.export import Golden, load_golden
from components.common.errors import InputError
from components.vertex.client import CALL_SECONDS, Vertex, client, explain, named

DEPLOY_SECONDS = 3600.0
PREDICT_SECONDS = 60.0
# Times that the golden request is sent until the new model is the one that answers it.
MAX_REQUESTS = 1000
# The serving image may have another TensorFlow than the one that recorded the answers; relative to the largest.
TOLERANCE = 1e-3


def deploy(vertex: Vertex, version: str, name: str, export: Path) -> str:
    """Deploy a version with its share of the requests, and ask it what the export step asked.

    Models that are left without requests are undeployed: each costs as much as one with requests.

    Args:
        vertex: Where, and how: the machine, the image, the share.
        version: Name of a registered version, projects/…/models/…@version.
        name: The endpoint's display name; it is made where there is none.
        export: The export folder with the golden request.

    Returns:
        Where it is deployed.

    Raises:
        InputError: The service refuses it. What was there before is there, an endpoint made for it is gone.
        RuntimeError: It answers the golden request wrongly. As well.
    """
    from google.api_core import exceptions
    from google.cloud.aiplatform_v1 import EndpointServiceClient, types

    endpoints = client(EndpointServiceClient, vertex.region)
    there = named(endpoints.list_endpoints, vertex.parent, name)
    endpoint, made, deployed = there[0] if there else None, False, ""
    before: dict[str, int] = {}
    try:
        if endpoint is None:
            endpoint, made = _create(endpoints, vertex, name), True
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
        _ask(vertex, endpoint.name, deployed, load_golden(export))
    except (RuntimeError, exceptions.GoogleAPICallError) as error:
        if endpoint is not None:
            _roll_back(endpoints, endpoint.name, deployed, before, made)
        if isinstance(error, RuntimeError):
            raise
        raise InputError(explain(error, f"deploying {version}")) from None
    endpoint = endpoints.get_endpoint(name=endpoint.name, timeout=CALL_SECONDS)
    for model in endpoint.deployed_models:
        if not endpoint.traffic_split.get(model.id):
            endpoints.undeploy_model(
                endpoint=endpoint.name, deployed_model_id=model.id, timeout=CALL_SECONDS
            ).result(timeout=DEPLOY_SECONDS)  # fmt: skip
    return f"deployed to {endpoint.name} with {endpoint.traffic_split[deployed]} % of the requests"


def split(before: dict[str, int], new: str, share: int) -> dict[str, int]:
    """Shares of an endpoint's requests, in whole percents that sum to 100.

    Args:
        before: The shares of what is deployed, which sum to 100 or are empty.
        new: The id of what is added.
        share: Its share; all of it where nothing is deployed. The others keep their proportions.
    """
    if not before:
        return {new: 100}
    shares = {model: old * (100 - share) // 100 for model, old in before.items()}
    left = 100 - share - sum(shares.values())
    # Rounding down leaves fewer percents over than there are models.
    for model in sorted(before, key=lambda m: -(before[m] * (100 - share) % 100))[:left]:
        shares[model] += 1
    return {**{model: s for model, s in shares.items()}, new: share}


def _create(endpoints: Any, vertex: Vertex, name: str) -> Any:  # noqa: ANN401 (a client; an Endpoint)
    from google.cloud.aiplatform_v1 import types

    endpoint = types.Endpoint(display_name=name, labels=vertex.labels, network=vertex.network or "")
    made = endpoints.create_endpoint(parent=vertex.parent, endpoint=endpoint, timeout=CALL_SECONDS)
    return made.result(timeout=DEPLOY_SECONDS)


def _ask(vertex: Vertex, endpoint: str, deployed: str, golden: Golden) -> None:
    """Send the golden request until the new model answers it, and compare.

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
    got = [MessageToDict(value) for value in type(answer).pb(answer).predictions]
    if not golden.agrees(got, TOLERANCE):
        raise RuntimeError(
            f"{endpoint}: {deployed} answers the golden request wrongly, {str(got)[:200]}; it is taken back"
        )


def _roll_back(endpoints: Any, endpoint: str, deployed: str, before: dict[str, int], made: bool) -> None:  # noqa: ANN401
    """Give what was deployed before all requests again, and remove what was made."""
    if deployed:
        endpoints.undeploy_model(
            endpoint=endpoint, deployed_model_id=deployed, traffic_split=before, timeout=CALL_SECONDS
        ).result(timeout=DEPLOY_SECONDS)
    if made:
        endpoints.delete_endpoint(name=endpoint, timeout=CALL_SECONDS).result(timeout=DEPLOY_SECONDS)
