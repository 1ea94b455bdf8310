"""Who may do what where: projects, regions and permissions."""

import re
from typing import Any

from errors import ApiError, Found, denied
from state import NUMBER, PROJECT, REGIONS, State

_PLACE = re.compile(r"projects/([^/]+)(?:/locations/([^/]+))?(?:/.*)?")
# Fields that name what a request is about, the first one that is there.
_FIELDS = ("parent", "name", "endpoint", "context")
_SPECIAL = {
    "PauseSchedule": "schedules.update",
    "ResumeSchedule": "schedules.update",
    "UploadModel": "models.upload",
    "ListModelVersions": "models.list",
    "MergeVersionAliases": "models.update",
    "DeleteModelVersion": "models.delete",
    "ImportModelEvaluation": "modelEvaluations.import",
    "DeployModel": "endpoints.deploy",
    "UndeployModel": "endpoints.undeploy",
    "Predict": "endpoints.predict",
    "AddContextChildren": "contexts.addContextChildren",
}


def permission(method: str) -> str:
    """The permission that a method needs: CreatePipelineJob needs aiplatform.pipelineJobs.create."""
    if method in _SPECIAL:
        return f"aiplatform.{_SPECIAL[method]}"
    verb, noun = re.fullmatch(r"([A-Z][a-z]+)(.+)", method).groups()
    plural = noun if noun.endswith("s") else f"{noun}s"
    return f"aiplatform.{plural[0].lower()}{plural[1:]}.{verb.lower()}"


def resource_of(request: Any) -> str:
    """The resource that a request is about."""
    return next((value for name in _FIELDS if (value := getattr(request, name, ""))), "")


def check(state: State, method: str, request: Any) -> None:
    """Refuse a request for another project, an unknown region or without its permission.

    Raises:
        ApiError: INVALID_ARGUMENT or PERMISSION_DENIED.
    """
    resource = resource_of(request)
    place, found = _PLACE.fullmatch(resource), Found()
    field = "parent" if "parent" in request.DESCRIPTOR.fields_by_name else "name"
    if not found.need(place, field, f"Resource name is invalid: '{resource}'"):
        found.done()
    project, region = place.groups()
    needed = permission(method)
    if project not in (PROJECT, NUMBER) or needed in state.settings.deny:
        raise denied(needed, resource)
    found.need(region in REGIONS, field, f"'{region}' of '{resource}' is no location of Vertex AI")
    found.done()


def canonical(name: str) -> str:
    """A resource's name as Google returns it: with the project's number."""
    return re.sub(rf"^projects/{PROJECT}(?=/|$)", f"projects/{NUMBER}", name)


def find(state: State, kind: str, name: str) -> Any:
    """The resource of a kind such as customJobs and of a name; @version doesn't count.

    Raises:
        ApiError: There is none.
    """
    found = state.table(kind).get(canonical(name).partition("@")[0])
    if found is None:
        raise ApiError("NOT_FOUND", f'The resource "{name}" was not found in {kind}.')
    return found


def below(state: State, parent: str, kind: str) -> list[Any]:
    """The resources of a kind in a place."""
    start = f"{place_of(parent)}/"
    return [found for name, found in state.table(kind).items() if name.startswith(start)]


def place_of(name: str) -> str:
    """projects/123456789012/locations/us-central1 of any resource below it."""
    return "/".join(canonical(name).split("/")[:4])
