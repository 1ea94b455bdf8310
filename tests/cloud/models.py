"""google.cloud.aiplatform.v1.ModelService."""

import re
import time
from dataclasses import dataclass, field
from typing import Any

import access
import checks
from errors import ApiError, Found
from listing import page
from messages import copy, pb, stamp
from messages import made as created
from rpc import Service
from state import State

DEFAULT = "default"
_ALIAS = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9-]")
_SCHEMAS = "gs://google-cloud-aiplatform/schema/modelevaluation/"


@dataclass
class Model:
    """A model and its versions, each a message of its own."""

    versions: dict[str, Any] = field(default_factory=dict)
    counter: int = 0

    def version(self, reference: str) -> Any:
        """A version by its number or one of its aliases; None where there is none."""
        if reference in self.versions:
            return self.versions[reference]
        return next((v for v in self.versions.values() if reference in v.version_aliases), None)

    def give(self, version: Any, alias: str) -> None:
        """Give a version an alias, which another one may have had."""
        for other in self.versions.values():
            if other is not version and alias in other.version_aliases:
                other.version_aliases.remove(alias)
                stamp(other.version_update_time)
        if alias not in version.version_aliases:
            version.version_aliases.append(alias)


def find_version(state: State, name: str) -> Any:
    """The version that a name means; without one the default.

    Raises:
        ApiError: There is no such model or version.
    """
    version = access.find(state, "models", name).version(name.partition("@")[2] or DEFAULT)
    if version is None:
        raise ApiError("NOT_FOUND", f'The resource "{name}" was not found in models.')
    return version


def deployments(state: State, version: Any) -> list[str]:
    """Ids of what is deployed of a version."""
    return [
        deployed.id
        for endpoint in state.table("endpoints").values()
        for deployed in endpoint.deployed_models
        if deployed.model == version.name and deployed.model_version_id == version.version_id
    ]


class ModelService(Service):
    """The Model Registry."""

    def upload_model(self, request: Any) -> Any:
        model, found = request.model, Found()
        checks.display_name(found, model.display_name, "model.display_name")
        checks.labels(found, model.labels, "model.labels")
        checks.account(found, request.service_account)
        found.need(model.container_spec.image_uri, "model.container_spec.image_uri", "is missing")
        place = checks.gs(found, self.state, model.artifact_uri, "model.artifact_uri") if model.artifact_uri else None
        _check_aliases(found, model.version_aliases, "model.version_aliases")
        found.done()
        if request.parent_model:
            access.find(self.state, "models", request.parent_model)
            name = access.canonical(request.parent_model).partition("@")[0]
        else:
            name = f"{access.place_of(request.parent)}/models/{self.state.new_id()}"

        def work() -> Any:
            if place:
                self._check_artifact(model.artifact_uri, *place)
            entry = self.state.table("models").setdefault(name, Model())
            return pb.UploadModelResponse(model=name, model_version_id=_add(entry, name, model).version_id)

        return self.state.start("UploadModel", name, pb.UploadModelOperationMetadata(), work)

    def get_model(self, request: Any) -> Any:
        return find_version(self.state, request.name)

    def list_models(self, request: Any) -> Any:
        models = access.below(self.state, request.parent, "models")
        shown, token = page(request, [model.version(DEFAULT) for model in models])
        return pb.ListModelsResponse(models=shown, next_page_token=token)

    def list_model_versions(self, request: Any) -> Any:
        versions = access.find(self.state, "models", request.name).versions.values()
        shown, token = page(request, versions, "version_create_time")
        return pb.ListModelVersionsResponse(models=shown, next_page_token=token)

    def merge_version_aliases(self, request: Any) -> Any:
        found, version = Found(), find_version(self.state, request.name)
        model = access.find(self.state, "models", request.name)
        found.need(request.version_aliases, "version_aliases", "is empty")
        _check_aliases(found, request.version_aliases, "version_aliases")
        found.done()
        for alias in request.version_aliases:
            model.give(version, alias)
        stamp(version.version_update_time)
        return version

    def delete_model(self, request: Any) -> Any:
        name = access.canonical(request.name)
        for version in access.find(self.state, "models", name).versions.values():
            self._check_unused(version)

        def delete() -> None:
            del self.state.table("models")[name]

        return self.state.start("DeleteModel", name, pb.DeleteOperationMetadata(), delete)

    def delete_model_version(self, request: Any) -> Any:
        if "@" not in request.name:
            raise ApiError("INVALID_ARGUMENT", f"name: '{request.name}' names no version")
        model, version = access.find(self.state, "models", request.name), find_version(self.state, request.name)
        if len(model.versions) == 1:
            raise ApiError("FAILED_PRECONDITION", f"{request.name} is the only version; delete the model instead.")
        if DEFAULT in version.version_aliases:
            raise ApiError("FAILED_PRECONDITION", f"{request.name} is the default version and can't be deleted.")
        self._check_unused(version)

        def delete() -> None:
            model.versions.pop(version.version_id, None)

        return self.state.start("DeleteModelVersion", version.name, pb.DeleteOperationMetadata(), delete)

    def import_model_evaluation(self, request: Any) -> Any:
        version, found, new = find_version(self.state, request.parent), Found(), copy(request.model_evaluation)
        uri = new.metrics_schema_uri
        found.need(
            uri.startswith(_SCHEMAS), "model_evaluation.metrics_schema_uri", f"'{uri}' is no schema of {_SCHEMAS}"
        )
        found.need(new.HasField("metrics"), "model_evaluation.metrics", "is missing")
        found.done()
        new.name = f"{version.name}@{version.version_id}/evaluations/{self.state.new_id()}"
        stamp(new.create_time)
        self.state.table("evaluations")[new.name] = new
        return new

    def list_model_evaluations(self, request: Any) -> Any:
        shown, token = page(request, self._evaluations(request.parent))
        return pb.ListModelEvaluationsResponse(model_evaluations=shown, next_page_token=token)

    def _evaluations(self, name: str) -> list[Any]:
        version = find_version(self.state, name)
        start = f"{version.name}@{version.version_id}/"
        return [e for name, e in self.state.table("evaluations").items() if name.startswith(start)]

    def _check_unused(self, version: Any) -> None:
        if used := deployments(self.state, version):
            raise ApiError(
                "FAILED_PRECONDITION",
                f'The Model "{version.name}" is deployed at the following DeployedModel(s): {", ".join(used)}.',
            )

    def _check_artifact(self, uri: str, bucket: str, prefix: str) -> None:
        if not checks.objects(self.state, bucket, checks.folder(prefix)):
            raise ApiError("FAILED_PRECONDITION", f"model.artifact_uri: '{uri}' has no files.")


def _check_aliases(found: Found, aliases: Any, field: str) -> None:
    for alias in aliases:
        found.need(_ALIAS.fullmatch(alias), field, f"'{alias}' does not match {_ALIAS.pattern}")


def _add(model: Model, name: str, upload: Any) -> Any:
    """Add a version to a model; the first one is the default."""
    now, version = time.time(), copy(upload)
    version.ClearField("version_aliases")
    model.counter += 1
    version.name, version.version_id = name, str(model.counter)
    created(version, now)
    stamp(version.version_create_time, now)
    stamp(version.version_update_time, now)
    first = not model.versions
    model.versions[version.version_id] = version
    for alias in [*upload.version_aliases, *([DEFAULT] if first else [])]:
        model.give(version, alias)
    return version
