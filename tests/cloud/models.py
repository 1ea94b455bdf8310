"""google.cloud.aiplatform.v1.ModelService."""

import re
import time
from dataclasses import dataclass, field
from typing import Any

import access
import checks
from errors import ApiError, Found, already_exists, not_found
from listing import page
from messages import copy, pb, stamp, update
from messages import made as created
from rpc import Service
from state import State

DEFAULT = "default"
_ALIAS = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9-]")
_MODEL_ID = re.compile(r"[a-z0-9_-]{1,63}")
_SCHEMAS = "gs://google-cloud-aiplatform/schema/modelevaluation/"
# Google's own images of TensorFlow want the file at the top, another image may want folders of versions.
_GOOGLES_TENSORFLOW = re.compile(r".*/vertex-ai(?:-restricted)?/prediction/tf[^/]*")


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


def find_model(state: State, name: str) -> Model:
    """The model of a name, with or without @version."""
    model = state.table("models").get(access.canonical(name).partition("@")[0])
    if model is None:
        raise not_found("Model", name)
    return model


def find_version(state: State, name: str) -> Any:
    """The version that a name means; without one the default.

    Raises:
        ApiError: There is no such model or version.
    """
    version = find_model(state, name).version(name.partition("@")[2] or DEFAULT)
    if version is None:
        raise not_found("Model", name)
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
        wrong = request.model_id and not _MODEL_ID.fullmatch(request.model_id)
        found.need(not wrong, "model_id", f"'{request.model_id}' does not match {_MODEL_ID.pattern}")
        both = request.parent_model and request.model_id
        found.need(not both, "model_id", f"'{request.model_id}' can't be set together with parent_model")
        found.done()
        access.check_act_as(self.state, request.service_account)
        table, parent = self.state.table("models"), access.place_of(request.parent)
        if request.parent_model:
            find_model(self.state, request.parent_model)
            name = access.canonical(request.parent_model).partition("@")[0]
            if access.place_of(name) != parent:
                raise ApiError("INVALID_ARGUMENT", f"parent_model: '{name}' is not in {parent}")
        else:
            name = f"{parent}/models/{request.model_id or self.state.new_id()}"
            if name in table:
                raise already_exists()

        def work() -> Any:
            if place:
                self._check_artifact(model, *place)
            entry = table.setdefault(name, Model())
            return pb.UploadModelResponse(model=name, model_version_id=_add(entry, name, model).version_id)

        return self.state.start("UploadModel", name, pb.UploadModelOperationMetadata(), work)

    def get_model(self, request: Any) -> Any:
        return self._shown(find_version(self.state, request.name))

    def list_models(self, request: Any) -> Any:
        place, table = access.place_of(request.parent), self.state.table("models")
        defaults = [m.version(DEFAULT) for name, m in table.items() if name.startswith(f"{place}/")]
        shown, token = page(request, [self._shown(version) for version in defaults])
        return pb.ListModelsResponse(models=shown, next_page_token=token)

    def list_model_versions(self, request: Any) -> Any:
        versions = [self._shown(version) for version in find_model(self.state, request.name).versions.values()]
        shown, token = page(request, versions, "version_create_time desc")
        return pb.ListModelVersionsResponse(models=shown, next_page_token=token)

    def update_model(self, request: Any) -> Any:
        found, version = Found(), find_version(self.state, request.model.name)
        checks.mask(found, request.update_mask.paths, version)
        fixed = {path.split(".")[0] for path in request.update_mask.paths} & {"name", "version_id", "artifact_uri"}
        found.need(not fixed, "update_mask", f"{', '.join(sorted(fixed))} can't be changed")
        found.done()
        new = copy(version)
        update(new, request.model, request.update_mask.paths)
        checks.display_name(found, new.display_name, "model.display_name")
        checks.labels(found, new.labels, "model.labels")
        found.done()
        version.CopyFrom(new)
        for time_field in (version.update_time, version.version_update_time):
            stamp(time_field)
        return self._shown(version)

    def merge_version_aliases(self, request: Any) -> Any:
        found, version = Found(), find_version(self.state, request.name)
        model = find_model(self.state, request.name)
        found.need(request.version_aliases, "version_aliases", "is empty")
        plain = [alias.removeprefix("-") for alias in request.version_aliases]
        _check_aliases(found, plain, "version_aliases")
        found.need(f"-{DEFAULT}" not in request.version_aliases, "version_aliases", "'default' can't be removed")
        found.done()
        for alias in request.version_aliases:
            if not alias.startswith("-"):
                model.give(version, alias)
            elif alias[1:] in version.version_aliases:
                version.version_aliases.remove(alias[1:])
        stamp(version.version_update_time)
        return self._shown(version)

    def delete_model(self, request: Any) -> Any:
        name = access.canonical(request.name)
        for version in find_model(self.state, name).versions.values():
            self._check_unused(version)

        def delete() -> None:
            for version in find_model(self.state, name).versions.values():
                self._check_unused(version)
            del self.state.table("models")[name]

        return self.state.start("DeleteModel", name, pb.DeleteOperationMetadata(), delete)

    def delete_model_version(self, request: Any) -> Any:
        if "@" not in request.name:
            raise ApiError("INVALID_ARGUMENT", f"name: '{request.name}' names no version")
        model, version = find_model(self.state, request.name), find_version(self.state, request.name)
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

    def get_model_evaluation(self, request: Any) -> Any:
        model, _, number = request.name.partition("/evaluations/")
        for evaluation in self._evaluations(model):
            if evaluation.name.endswith(f"/{number}"):
                return evaluation
        raise not_found("ModelEvaluation", request.name)

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

    def _check_artifact(self, model: Any, bucket: str, prefix: str) -> None:
        below = checks.folder(prefix)
        names = [name.removeprefix(below) for name in checks.objects(self.state, bucket, below)]
        if not names:
            raise ApiError("FAILED_PRECONDITION", f"model.artifact_uri: '{model.artifact_uri}' has no files.")
        image, saved = model.container_spec.image_uri, "saved_model.pb"
        if _GOOGLES_TENSORFLOW.fullmatch(image):
            fine = saved in names
        else:
            fine = "tensorflow" not in image or any(name.endswith(saved) for name in names)
        if not fine:
            raise ApiError(
                "FAILED_PRECONDITION",
                f"Model directory {model.artifact_uri} is expected to contain exactly one of: [{saved}].",
            )

    def _shown(self, version: Any) -> Any:
        """A version with what is deployed of it, which Google shows where it's asked for."""
        shown = copy(version)
        for name, endpoint in self.state.table("endpoints").items():
            for deployed in endpoint.deployed_models:
                if deployed.model == version.name and deployed.model_version_id == version.version_id:
                    shown.deployed_models.add(endpoint=name, deployed_model_id=deployed.id)
        return shown


def _check_aliases(found: Found, aliases: Any, field: str) -> None:
    for alias in aliases:
        found.need(_ALIAS.fullmatch(alias), field, f"'{alias}' does not match {_ALIAS.pattern}")


def _add(model: Model, name: str, upload: Any) -> Any:
    """Add a version to a model; the first one is the default."""
    now, version = time.time(), copy(upload)
    for output in ("version_aliases", "deployed_models", "etag", "supported_deployment_resources_types"):
        version.ClearField(output)
    version.supported_deployment_resources_types.append(pb.Model.DEDICATED_RESOURCES)
    version.supported_input_storage_formats.extend(["jsonl", "bigquery", "csv", "tf-record", "file-list"])
    version.supported_output_storage_formats.extend(["jsonl", "bigquery"])
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
