"""Who may do what where, and the resources by their names."""

import re
from typing import Any

from errors import ApiError, denied
from state import NUMBER, PROJECT, REGIONS, State

_PLACE = re.compile(r"projects/([^/]+)/locations/([^/]+)(?:/.*)?")
# Fields that name what a request is about, the first one that is there.
_FIELDS = ("parent", "name", "endpoint", "context")


def permission(method: str) -> str:
    """The permission that a method needs: CreatePipelineJob needs aiplatform.pipelineJobs.create."""
    if method == "DeployModel":
        return "aiplatform.endpoints.deploy"
    verb, noun = re.fullmatch(r"([A-Z][a-z]+)(.*)", method).groups()
    plural = noun if noun.endswith("s") else f"{noun}s"
    return f"aiplatform.{plural[0].lower()}{plural[1:]}.{verb.lower()}"


def check(state: State, method: str, request: Any) -> None:
    """Refuse a request for another project, an unknown region or without its permission."""
    resource = next((value for name in _FIELDS if (value := getattr(request, name, ""))), "")
    place = _PLACE.fullmatch(resource)
    if not place or place[2] not in REGIONS:
        raise ApiError("INVALID_ARGUMENT", f"Resource name is invalid: '{resource}'")
    if place[1] not in (PROJECT, NUMBER) or permission(method) in state.settings.deny:
        raise denied(permission(method), resource)


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
    return [found for name, found in state.table(kind).items() if name.startswith(f"{place_of(parent)}/")]


def place_of(name: str) -> str:
    """projects/123456789012/locations/us-central1 of any resource below it."""
    return "/".join(canonical(name).split("/")[:4])
