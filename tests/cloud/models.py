"""google.cloud.aiplatform.v1.ModelService."""

import re
from typing import Any

import access
import checks
from errors import ApiError, Found
from listing import page
from messages import made, pb, stamp
from rpc import Service
from state import State

_DEFAULT = "default"
_ALIAS = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9-]")
_SCHEMAS = "gs://google-cloud-aiplatform/schema/modelevaluation/"


class Model:
    """A model and its versions, each a message of its own."""

    def __init__(self, name: str) -> None:
        self.name, self.versions, self.counter = name, dict[str, Any](), 0

    def version(self, reference: str) -> Any:
        """A version by its number or one of its aliases; None where there is none."""
        if reference in self.versions:
            return self.versions[reference]
        return next((v for v in self.versions.values() if reference in v.version_aliases), None)

    def add(self, upload: Any) -> Any:
        """Add a version; the first one is the default."""
        self.counter += 1
        version = made(upload, self.name, version_id=str(self.counter))
        version.ClearField("version_aliases")
        for time in (version.version_create_time, version.version_update_time):
            time.CopyFrom(version.create_time)
        self.give(version, [*upload.version_aliases, *([] if self.versions else [_DEFAULT])])
        self.versions[version.version_id] = version
        return version

    def give(self, version: Any, aliases: list[str]) -> None:
        """Give a version aliases, which others may have had."""
        for alias in aliases:
            for other in self.versions.values():
                if alias in other.version_aliases:
                    other.version_aliases.remove(alias)
            version.version_aliases.append(alias)


def find_version(state: State, name: str) -> Any:
    """The version that a name means; without one the default.

    Raises:
        ApiError: There is no such model or version.
    """
    version = access.find(state, "models", name).version(name.partition("@")[2] or _DEFAULT)
    if version is None:
        raise ApiError("NOT_FOUND", f'The resource "{name}" was not found in models.')
    return version


class ModelService(Service):
    """The Model Registry."""

    def upload_model(self, request: Any) -> Any:
        model, found, state = request.model, Found(), self.state
        checks.common(found, model, "model")
        checks.common(found, request, "request")
        found.need(model.container_spec.image_uri, "model.container_spec.image_uri", "is missing")
        place = checks.gs(found, state, model.artifact_uri, "model.artifact_uri")
        _check_aliases(found, model.version_aliases)
        found.done()
        name = f"{access.place_of(request.parent)}/models/{state.new_id()}"
        if request.parent_model:
            name = access.find(state, "models", request.parent_model).name

        def work() -> Any:
            if not checks.objects(state, place[0], f"{place[1].rstrip('/')}/"):
                raise ApiError("FAILED_PRECONDITION", f"model.artifact_uri: '{model.artifact_uri}' has no files.")
            version = state.table("models").setdefault(name, Model(name)).add(model)
            return pb.UploadModelResponse(model=name, model_version_id=version.version_id)

        return state.start("UploadModel", name, work)

    def get_model(self, request: Any) -> Any:
        return find_version(self.state, request.name)

    def list_models(self, request: Any) -> Any:
        models = access.below(self.state, request.parent, "models")
        return page(request, pb.ListModelsResponse(), [model.version(_DEFAULT) for model in models])

    def list_model_versions(self, request: Any) -> Any:
        versions = access.find(self.state, "models", request.name).versions.values()
        return page(request, pb.ListModelVersionsResponse(), versions, "version_create_time")

    def merge_version_aliases(self, request: Any) -> Any:
        found, version = Found(), find_version(self.state, request.name)
        found.need(request.version_aliases, "version_aliases", "is empty")
        _check_aliases(found, request.version_aliases)
        found.done()
        access.find(self.state, "models", request.name).give(version, request.version_aliases)
        stamp(version.version_update_time)
        return version

    def delete_model(self, request: Any) -> Any:
        model = access.find(self.state, "models", request.name)
        for version in model.versions.values():
            self._check_unused(version)
        return self.state.start("DeleteModel", model.name, lambda: self.state.table("models").pop(model.name) and None)

    def delete_model_version(self, request: Any) -> Any:
        model, version = access.find(self.state, "models", request.name), find_version(self.state, request.name)
        if "@" not in request.name:
            raise ApiError("INVALID_ARGUMENT", f"name: '{request.name}' names no version")
        if _DEFAULT in version.version_aliases:
            raise ApiError("FAILED_PRECONDITION", f"{request.name} is the default version and can't be deleted.")
        self._check_unused(version)
        number = version.version_id
        return self.state.start("DeleteModelVersion", model.name, lambda: model.versions.pop(number) and None)

    def import_model_evaluation(self, request: Any) -> Any:
        version, found, new = find_version(self.state, request.parent), Found(), request.model_evaluation
        uri = new.metrics_schema_uri
        found.need(uri.startswith(_SCHEMAS), "model_evaluation.metrics_schema_uri", f"'{uri}' is no schema")
        found.need(new.HasField("metrics"), "model_evaluation.metrics", "is missing")
        found.done()
        name = f"{version.name}@{version.version_id}/evaluations/{self.state.new_id()}"
        added = self.state.table("evaluations")[name] = type(new)(name=name)
        added.MergeFrom(new)
        stamp(added.create_time)
        return added

    def list_model_evaluations(self, request: Any) -> Any:
        version = find_version(self.state, request.parent)
        start = f"{version.name}@{version.version_id}/"
        below = [e for name, e in self.state.table("evaluations").items() if name.startswith(start)]
        return page(request, pb.ListModelEvaluationsResponse(), below)

    def _check_unused(self, version: Any) -> None:
        for endpoint in self.state.table("endpoints").values():
            for deployed in endpoint.deployed_models:
                if (deployed.model, deployed.model_version_id) == (version.name, version.version_id):
                    raise ApiError("FAILED_PRECONDITION", f'The Model "{version.name}" is deployed as {deployed.id}.')


def _check_aliases(found: Found, aliases: Any) -> None:
    for alias in aliases:
        found.need(_ALIAS.fullmatch(alias), "version_aliases", f"'{alias}' does not match {_ALIAS.pattern}")
