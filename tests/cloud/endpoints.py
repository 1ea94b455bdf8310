"""google.cloud.aiplatform.v1.EndpointService and PredictionService."""

import random
from typing import Any

import access
import checks
import machine_types
from errors import ApiError, Found
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Value
from listing import page
from messages import copy, pb, stamp
from messages import made as created
from models import find_version
from rpc import Service

_NEW = "0"  # what a traffic split calls the model that is being deployed


class EndpointService(Service):
    """Endpoints and what is deployed to them."""

    def create_endpoint(self, request: Any) -> Any:
        new, found = copy(request.endpoint), Found()
        checks.display_name(found, new.display_name, "endpoint.display_name")
        checks.labels(found, new.labels, "endpoint.labels")
        checks.network(found, new.network, "endpoint.network")
        found.need(not new.traffic_split, "endpoint.traffic_split", "names models of an endpoint that has none")
        found.done()
        new.name = f"{access.place_of(request.parent)}/endpoints/{self.state.new_id()}"

        def work() -> Any:
            created(new)
            return self.state.table("endpoints").setdefault(new.name, new)

        return self.state.start("CreateEndpoint", new.name, pb.CreateEndpointOperationMetadata(), work)

    def get_endpoint(self, request: Any) -> Any:
        return access.find(self.state, "endpoints", request.name)

    def list_endpoints(self, request: Any) -> Any:
        shown, token = page(request, access.below(self.state, request.parent, "endpoints"))
        return pb.ListEndpointsResponse(endpoints=shown, next_page_token=token)

    def deploy_model(self, request: Any) -> Any:
        endpoint, found, new = (
            access.find(self.state, "endpoints", request.endpoint),
            Found(),
            copy(request.deployed_model),
        )
        field = "deployed_model"
        found.need(len(new.display_name) <= 128, f"{field}.display_name", f"'{new.display_name}' is too long")
        checks.account(found, new.service_account, f"{field}.service_account")
        found.need(not new.id or new.id.isdecimal(), f"{field}.id", f"'{new.id}' is no number")
        found.need(new.id not in _deployed(endpoint), f"{field}.id", f"'{new.id}' is deployed already")
        resources = new.dedicated_resources
        if found.need(new.HasField("dedicated_resources"), f"{field}.dedicated_resources", "is missing"):
            here = f"{field}.dedicated_resources"
            machine_types.check_serving(found, resources.machine_spec, f"{here}.machine_spec")
            least, most = resources.min_replica_count, resources.max_replica_count
            found.need(least >= 1, f"{here}.min_replica_count", f"{least}, expected at least 1")
            found.need(not most or most >= least, f"{here}.max_replica_count", f"{most} is less than {least}")
        found.need(new.model, f"{field}.model", "is missing")
        if request.traffic_split:
            _check_split(found, request.traffic_split, {*_deployed(endpoint), _NEW})
        found.done()
        version = find_version(self.state, new.model)
        new.model, new.model_version_id = version.name, version.version_id
        new.id = new.id or self.state.new_id()
        new.display_name = new.display_name or version.display_name
        resources.max_replica_count = resources.max_replica_count or resources.min_replica_count
        split = {new.id if key == _NEW else key: share for key, share in request.traffic_split.items()}

        def work() -> Any:
            access.find(self.state, "endpoints", endpoint.name)
            find_version(self.state, f"{new.model}@{new.model_version_id}")
            created_at = new.create_time
            stamp(created_at)
            if split:
                late = Found()
                _check_split(late, split, {*_deployed(endpoint), new.id})
                late.done()
            endpoint.deployed_models.add().CopyFrom(new)
            if split:
                _set_split(endpoint, split)
            stamp(endpoint.update_time)
            return pb.DeployModelResponse(deployed_model=new)

        return self.state.start("DeployModel", endpoint.name, pb.DeployModelOperationMetadata(), work)

    def undeploy_model(self, request: Any) -> Any:
        endpoint, found, gone = (
            access.find(self.state, "endpoints", request.endpoint),
            Found(),
            request.deployed_model_id,
        )
        if gone not in _deployed(endpoint):
            raise ApiError("NOT_FOUND", f'DeployedModel "{gone}" was not found in "{endpoint.name}".')
        split = dict(request.traffic_split)
        if split:
            _check_split(found, split, _deployed(endpoint) - {gone})
        found.done()
        last = len(endpoint.deployed_models) == 1
        if not last and not split and endpoint.traffic_split.get(gone):
            raise ApiError(
                "FAILED_PRECONDITION",
                f"DeployedModel {gone} has {endpoint.traffic_split[gone]} % of the traffic of {endpoint.name}; "
                "assign it to others before undeploying it.",
            )

        def work() -> Any:
            for index, deployed in enumerate(endpoint.deployed_models):
                if deployed.id == gone:
                    del endpoint.deployed_models[index]
                    break
            left = {key: share for key, share in (split or dict(endpoint.traffic_split)).items() if key != gone}
            _set_split(endpoint, left if endpoint.deployed_models else {})
            stamp(endpoint.update_time)
            return pb.UndeployModelResponse()

        return self.state.start("UndeployModel", endpoint.name, pb.UndeployModelOperationMetadata(), work)

    def delete_endpoint(self, request: Any) -> Any:
        endpoint = access.find(self.state, "endpoints", request.name)
        if endpoint.deployed_models:
            raise ApiError(
                "FAILED_PRECONDITION",
                f'The Endpoint "{endpoint.name}" has deployed or being-deployed DeployedModels; undeploy them first.',
            )

        def delete() -> None:
            self.state.table("endpoints").pop(endpoint.name, None)

        return self.state.start("DeleteEndpoint", endpoint.name, pb.DeleteOperationMetadata(), delete)


class PredictionService(Service):
    """Predictions: those that a test said, or one number for each instance."""

    def predict(self, request: Any) -> Any:
        endpoint, plan = access.find(self.state, "endpoints", request.endpoint), self.state.settings.predict
        if not request.instances:
            raise ApiError("INVALID_ARGUMENT", "instances: is empty")
        if not endpoint.traffic_split:
            raise ApiError("FAILED_PRECONDITION", f"Traffic split is empty for endpoint {endpoint.name}.")
        # Shares of requests, as they come: which one answers is chance, as it is there.
        chosen = random.choices(*zip(*endpoint.traffic_split.items(), strict=True))[0]  # noqa: S311
        deployed = next(model for model in endpoint.deployed_models if model.id == chosen)
        if plan.get("outcome") == "FAILED":
            raise ApiError(plan.get("code", "INTERNAL"), plan.get("message", "Prediction failed."))
        predictions = plan.get("predictions") or [[0.0]] * len(request.instances)
        return pb.PredictResponse(
            predictions=[ParseDict(value, Value()) for value in predictions],
            deployed_model_id=chosen,
            model=deployed.model,
            model_version_id=deployed.model_version_id,
            model_display_name=deployed.display_name,
        )


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
