"""google.cloud.aiplatform.v1.EndpointService and PredictionService."""

import random
from typing import Any

import access
import checks
import machine_types
from errors import ApiError, Found, number
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Value
from messages import made, pb, stamp
from models import find_version
from rpc import Service, deleting, getting, listing

_NEW = "0"  # what a traffic split calls the model that is being deployed


class EndpointService(Service):
    """Endpoints and what is deployed to them."""

    get_endpoint, list_endpoints = getting("endpoints"), listing("endpoints")

    def create_endpoint(self, request: Any) -> Any:
        found, state = Found(), self.state
        checks.common(found, request.endpoint, "endpoint")
        found.need(not request.endpoint.deployed_models, "endpoint.deployed_models", "can't be set")
        found.done()
        name = f"{access.place_of(request.parent)}/endpoints/{state.new_id()}"
        return state.start(
            "CreateEndpoint", name, lambda: state.table("endpoints").setdefault(name, made(request.endpoint, name))
        )

    def deploy_model(self, request: Any) -> Any:
        endpoint, found = access.find(self.state, "endpoints", request.endpoint), Found()
        new, field = request.deployed_model, "deployed_model"
        resources, here = new.dedicated_resources, f"{field}.dedicated_resources"
        checks.common(found, new, field, named=False)
        found.need(not new.id, f"{field}.id", f"'{new.id}' can't be set")
        machine_types.check(found, resources.machine_spec, f"{here}.machine_spec", serves=True)
        least, most = resources.min_replica_count, resources.max_replica_count
        found.need(1 <= least <= most, f"{here}.min_replica_count", f"{least} to {most}, expected at least 1")
        _check_split(found, request.traffic_split, {*_deployed(endpoint), _NEW})
        found.done()
        version, deployed_id = find_version(self.state, new.model), self.state.new_id()
        split = {deployed_id if key == _NEW else key: share for key, share in request.traffic_split.items()}

        def work() -> Any:
            deployed = endpoint.deployed_models.add()
            deployed.CopyFrom(new)
            deployed.id, deployed.model, deployed.model_version_id = deployed_id, version.name, version.version_id
            stamp(deployed.create_time)
            _set_split(endpoint, split)
            return pb.DeployModelResponse(deployed_model=deployed)

        return self.state.start("DeployModel", endpoint.name, work)

    def undeploy_model(self, request: Any) -> Any:
        endpoint, found = access.find(self.state, "endpoints", request.endpoint), Found()
        gone, split = request.deployed_model_id, dict(request.traffic_split)
        others = _deployed(endpoint) - {gone}
        found.need(gone in _deployed(endpoint), "deployed_model_id", f"'{gone}' is not deployed to the endpoint")
        if split:
            _check_split(found, split, others)
        found.done()
        if others and not split and endpoint.traffic_split.get(gone):
            raise ApiError("FAILED_PRECONDITION", f"DeployedModel {gone} has traffic; assign it to others before.")

        def work() -> Any:
            kept = [deployed for deployed in endpoint.deployed_models if deployed.id != gone]
            endpoint.ClearField("deployed_models")
            endpoint.deployed_models.extend(kept)
            left = {key: share for key, share in (split or endpoint.traffic_split).items() if key != gone}
            _set_split(endpoint, left)
            return pb.UndeployModelResponse()

        return self.state.start("UndeployModel", endpoint.name, work)

    _delete = deleting("endpoints")

    def delete_endpoint(self, request: Any) -> Any:
        if access.find(self.state, "endpoints", request.name).deployed_models:
            raise ApiError("FAILED_PRECONDITION", f'The Endpoint "{request.name}" has DeployedModels; undeploy them.')
        return self._delete(request)


class PredictionService(Service):
    """Predictions that a test said."""

    def predict(self, request: Any) -> Any:
        endpoint, plan = access.find(self.state, "endpoints", request.endpoint), self.state.settings.predict
        if not request.instances:
            raise ApiError("INVALID_ARGUMENT", "instances: is empty")
        # Shares of requests, as they come: which one answers is chance, as it is there.
        chosen = random.choices(*zip(*endpoint.traffic_split.items(), strict=True))[0]  # noqa: S311
        if plan.get("outcome") == "FAILED":
            number(plan["code"])
            raise ApiError(plan["code"], plan["message"])
        predictions = [ParseDict(value, Value()) for value in plan["predictions"]]
        return pb.PredictResponse(predictions=predictions, deployed_model_id=chosen)


def _deployed(endpoint: Any) -> set[str]:
    return {model.id for model in endpoint.deployed_models}


def _check_split(found: Found, split: Any, known: set[str]) -> None:
    total = sum(split.values())
    found.need(total == 100, "traffic_split", f"{dict(split)} sums to {total}, expected 100")
    for key, share in split.items():
        found.need(key in known, "traffic_split", f"'{key}' is not deployed to the endpoint")
        found.need(0 <= share <= 100, "traffic_split", f"{share} is not within 0 and 100")


def _set_split(endpoint: Any, split: dict[str, int]) -> None:
    endpoint.ClearField("traffic_split")
    endpoint.traffic_split.update(split)
    stamp(endpoint.update_time)
