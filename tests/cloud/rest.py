"""The other HTTP APIs: OAuth tokens, Resource Manager, Cloud Logging and the image registry."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from errors import ApiError, denied
from filters import Filter, Lookup
from listing import start_of, token_of
from state import IMAGES, NUMBER, PROJECT, State
from web import Answer, Request, Route, route

_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_LARGEST_PAGE = 1000


def _token(request: Request) -> Answer:
    form = {key: values[0] for key, values in parse_qs(request.body.decode()).items()}
    if form.get("grant_type") != _GRANT:
        return Answer({"error": "unsupported_grant_type", "error_description": "Invalid grant_type"}, 400)
    try:
        return Answer(request.state.tokens.grant(form.get("assertion", "")))
    except ValueError as error:
        return Answer({"error": "invalid_grant", "error_description": str(error)}, 400)


def _project(request: Request) -> Answer:
    (name,) = request.parts
    permission = "resourcemanager.projects.get"
    if name not in (PROJECT, NUMBER) or permission in request.state.settings.deny:
        raise denied(permission, f"projects/{name}", "cloudresourcemanager.googleapis.com")
    return Answer({"name": f"projects/{NUMBER}", "projectId": PROJECT, "state": "ACTIVE", "displayName": "My project"})


def _entries(request: Request) -> Answer:
    asked, state = request.json(), request.state
    permission = "logging.logEntries.list"
    names = asked.get("resourceNames", [])
    if not names:
        raise ApiError("INVALID_ARGUMENT", "resource_names is required")
    if permission in state.settings.deny or any(name.split("/")[1:2] not in ([PROJECT], [NUMBER]) for name in names):
        raise denied(permission, names[0], "logging.googleapis.com")
    wanted, order = Filter(asked.get("filter", "")), asked.get("orderBy", "")
    if order not in ("timestamp asc", ""):
        raise ApiError("INVALID_ARGUMENT", f"order_by: '{order}', expected 'timestamp asc'")
    found = [entry for entry in log_entries(state) if wanted.matches(_read(entry))]
    found.sort(key=lambda entry: entry["timestamp"])
    question = hashlib.sha256(wanted.text.encode()).hexdigest()[:8]
    start, size = start_of(asked.get("pageToken", ""), question), int(asked.get("pageSize") or 50)
    if not 1 <= size <= _LARGEST_PAGE:
        raise ApiError("INVALID_ARGUMENT", f"page_size: {size} is not within 1 and {_LARGEST_PAGE}")
    answer: dict[str, Any] = {"entries": found[start : start + size]} if found else {}
    if len(found) > start + size:
        answer["nextPageToken"] = token_of(question, start + size)
    return Answer(answer)


def _read(entry: dict[str, Any]) -> Lookup:
    def read(path: list[str]) -> Any:
        value: Any = entry
        for part in path:
            value = value.get(part, {})
        return value

    return read


def log_entries(state: State) -> list[dict[str, Any]]:
    """What tasks and custom jobs printed: what a test said, and why a task failed."""
    entries = []
    for run in state.table("pipelineJobs").values():
        for name, task in run.tasks.items():
            if job_id := task.detail.executor_detail.container_detail.main_job.rsplit("/", 1)[-1]:
                lines = [f"{name} started"]
                lines += [line for log in state.settings.logs if log.get("task") == name for line in log["lines"]]
                entries += _entries_of(job_id, lines, task.started)
                if message := task.detail.error.message:
                    entries += _entries_of(job_id, [message], task.ended, "ERROR")
    for log in state.settings.logs:
        if "job_id" in log:
            entries += _entries_of(log["job_id"], log["lines"], log["time"])
    return entries


def _entries_of(job_id: str, lines: list[str], start: float, severity: str = "INFO") -> list[dict[str, Any]]:
    task = "workerpool0-0"
    return [
        {
            "logName": f"projects/{PROJECT}/logs/{task}",
            "insertId": f"{job_id}-{severity}-{number}",
            "resource": {"type": "ml_job", "labels": {"job_id": job_id, "project_id": PROJECT, "task_name": task}},
            "timestamp": f"{datetime.fromtimestamp(start + number * 1e-6, UTC).replace(tzinfo=None).isoformat()}Z",
            "severity": severity,
            # An error comes as a structure, as Python's logging writes it there.
            **({"jsonPayload": {"message": text}} if severity == "ERROR" else {"textPayload": text}),
        }
        for number, text in enumerate(lines)
    ]


def _manifest(request: Request) -> Answer:
    name, reference = request.parts
    tags = IMAGES.get(name)
    permission = "artifactregistry.repositories.downloadArtifacts"
    if permission in request.state.settings.deny:
        return Answer({"errors": [{"code": "DENIED", "message": f'Permission "{permission}" denied'}]}, 403)
    digest = (tags or {}).get(reference) or (reference if tags and reference in tags.values() else None)
    if digest is None:
        return Answer({"errors": [{"code": "MANIFEST_UNKNOWN", "message": f"Failed to fetch {reference}"}]}, 404)
    body = json.dumps({"schemaVersion": 2, "mediaType": _MANIFEST, "layers": []}).encode()
    return Answer(body, headers={"Docker-Content-Digest": digest, "Content-Type": _MANIFEST})


def routes(state: State) -> list[Route]:
    """What these APIs answer."""
    image = r"/v2/(.+)/manifests/([^/]+)"
    return [
        route("POST", "/token", _token, credentials=False),
        route("GET", r"/v3/projects/([^/:]+)", _project),
        route("POST", r"/v2/entries:list", _entries),
        route("GET", image, _manifest),
        route("HEAD", image, _manifest),
    ]
