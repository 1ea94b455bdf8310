"""The other HTTP APIs: OAuth tokens, Resource Manager, Cloud Logging and the image registry."""

from datetime import UTC, datetime
from typing import Any

from errors import ApiError, denied
from listing import passes
from state import NUMBER, PROJECT, State
from web import Response, rule

_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_IMAGES = {"my-project/images/keras-pipeline-python": "sha256:" + "a" * 64}
_PAGE = 3


def _token(state: State, request: Any) -> Any:
    try:
        if request.form.get("grant_type") != _GRANT:
            raise ValueError("Invalid grant_type")
        return state.tokens.grant(request.form.get("assertion", ""))
    except ValueError as error:
        return Response(f'{{"error": "invalid_grant", "error_description": "{error}"}}', 400)


def _project(state: State, request: Any, name: str) -> Any:
    if name not in (PROJECT, NUMBER):
        raise denied("resourcemanager.projects.get", f"projects/{name}", "cloudresourcemanager.googleapis.com")
    return {"name": f"projects/{NUMBER}", "projectId": PROJECT, "state": "ACTIVE", "displayName": "My project"}


def _entries(state: State, request: Any) -> Any:
    asked, permission = request.get_json(), "logging.logEntries.list"
    if unknown := asked.keys() - {"resourceNames", "filter", "orderBy", "pageSize", "pageToken"}:
        raise ApiError("INVALID_ARGUMENT", f"Invalid JSON payload received. Unknown names {unknown}")
    if permission in state.settings.deny or asked["resourceNames"] != [f"projects/{PROJECT}"]:
        raise denied(permission, str(asked["resourceNames"]), "logging.googleapis.com")
    if asked["orderBy"] != "timestamp asc" or not 1 <= asked["pageSize"] <= 1000:
        raise ApiError("INVALID_ARGUMENT", f"order_by: '{asked['orderBy']}', page_size: {asked['pageSize']}")
    found = sorted(filter(passes(asked["filter"]), _log(state)), key=lambda entry: entry["timestamp"])
    # A page may be smaller than was asked for.
    start = int(asked.get("pageToken", "0"))
    end = start + min(asked["pageSize"], _PAGE)
    return {"entries": found[start:end], **({"nextPageToken": str(end)} if end < len(found) else {})}


def _log(state: State) -> list[dict[str, Any]]:
    """What tasks and custom jobs printed: what a test said, and why a task failed."""
    entries = []
    for run in state.table("runs").values():
        for name, task in run.tasks.items():
            job_id = task.detail.executor_detail.container_detail.main_job.rsplit("/", 1)[-1]
            lines = [line for log in state.settings.logs if log.get("task") == name for line in log["lines"]]
            entries += _entries_of(job_id, [f"{name} started", *lines], task.started) if job_id else []
            if message := task.detail.error.message:
                entries += _entries_of(job_id, [message], task.ended, "ERROR")
    for log in state.settings.logs:
        if "job_id" in log:
            entries += _entries_of(log["job_id"], log["lines"], log["time"])
    return entries


def _entries_of(job_id: str, lines: list[str], start: float, severity: str = "INFO") -> list[dict[str, Any]]:
    return [
        {
            "resource": {"type": "ml_job", "labels": {"job_id": job_id, "task_name": "workerpool0-0"}},
            "timestamp": f"{datetime.fromtimestamp(start + number * 1e-6, UTC).replace(tzinfo=None).isoformat()}Z",
            "severity": severity,
            # An error comes as a structure, as Python's logging writes it there.
            **({"jsonPayload": {"message": text}} if severity == "ERROR" else {"textPayload": text}),
        }
        for number, text in enumerate(lines)
    ]


def _manifest(state: State, request: Any, name: str, reference: str) -> Any:
    if _IMAGES.get(name) != reference:
        return Response('{"errors": [{"code": "MANIFEST_UNKNOWN"}]}', 404)
    kind = "application/vnd.oci.image.manifest.v1+json"
    return Response("{}", headers={"Docker-Content-Digest": reference}, mimetype=kind)


RULES = [
    rule("POST", "/token", _token),
    rule("GET", "/v3/projects/<name>", _project),
    rule("POST", "/v2/entries:list", _entries),
    rule("GET", "/v2/<path:name>/manifests/<reference>", _manifest),
]
