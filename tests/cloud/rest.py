"""The other HTTP APIs: OAuth tokens, Resource Manager, Cloud Logging and the image registry."""

import base64
import hashlib
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from errors import ApiError, denied
from filters import Filter, Lookup
from state import NUMBER, PROJECT, State
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
    version, name = request.parts
    permission = "resourcemanager.projects.get"
    if name not in (PROJECT, NUMBER) or permission in request.state.settings.deny:
        raise denied(permission, f"projects/{name}", "cloudresourcemanager.googleapis.com")
    if version == "v1":
        return Answer({"projectNumber": NUMBER, "projectId": PROJECT, "lifecycleState": "ACTIVE", "name": "My project"})
    return Answer(
        {
            "name": f"projects/{NUMBER}",
            "projectId": PROJECT,
            "state": "ACTIVE",
            "displayName": "My project",
            "createTime": "2025-01-01T00:00:00Z",
        }
    )


def _entries(request: Request) -> Answer:
    asked, state = request.json(), request.state
    permission = "logging.logEntries.list"
    names = asked.get("resourceNames", [])
    if not names:
        raise ApiError("INVALID_ARGUMENT", "resource_names is required")
    if permission in state.settings.deny or any(name.split("/")[1:2] not in ([PROJECT], [NUMBER]) for name in names):
        raise denied(permission, names[0], "logging.googleapis.com")
    wanted, order = Filter(asked.get("filter", "")), asked.get("orderBy", "timestamp asc")
    if order not in ("timestamp asc", "timestamp desc", ""):
        raise ApiError("INVALID_ARGUMENT", f"order_by: '{order}' is not timestamp asc or timestamp desc")
    found = [entry for entry in log_entries(state) if wanted.matches(_read(entry))]
    found.sort(key=lambda entry: entry["timestamp"], reverse=order.endswith("desc"))
    question = hashlib.sha256(f"{wanted.text}{order}".encode()).hexdigest()[:8]
    start = 0
    if token := asked.get("pageToken"):
        known, _, at = base64.urlsafe_b64decode(token).decode(errors="replace").partition(":")
        if known != question:
            raise ApiError("INVALID_ARGUMENT", "page_token doesn't match arguments from the request")
        start = int(at)
    size = int(asked.get("pageSize") or 50)
    if not 1 <= size <= _LARGEST_PAGE:
        raise ApiError("INVALID_ARGUMENT", f"page_size: {size} is not within 1 and {_LARGEST_PAGE}")
    answer: dict[str, Any] = {"entries": found[start : start + size]} if found else {}
    if len(found) > start + size:
        answer["nextPageToken"] = base64.urlsafe_b64encode(f"{question}:{start + size}".encode()).decode()
    return Answer(answer)


def _read(entry: dict[str, Any]) -> Lookup:
    def read(path: list[str]) -> Any:
        value: Any = entry
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        return datetime.fromisoformat(value) if path == ["timestamp"] and value else value

    return read


def log_entries(state: State) -> list[dict[str, Any]]:
    """What tasks and custom jobs printed: what a test said, and what replicas really did."""
    entries = []
    for run in state.table("pipelineJobs").values():
        for name, task in run.tasks.items():
            job_id = task.detail.executor_detail.container_detail.main_job.rsplit("/", 1)[-1]
            if not job_id:
                continue
            labels = {"ml.googleapis.com/job_id/pipeline_job": run.job.name.rsplit("/", 1)[-1]}
            lines = [(f"{name} started", "INFO")]
            for log in state.settings.logs:
                if log.get("task") == name:
                    lines += [(line, log.get("severity", "INFO")) for line in log["lines"]]
            if task.detail.error.message:
                lines.append((task.detail.error.message, "ERROR"))
            entries += [
                _entry(job_id, number, line, severity, task.started, labels)
                for number, (line, severity) in enumerate(lines)
            ]
    for log in state.settings.logs:
        if "job_id" in log:
            entries += [
                _entry(log["job_id"], number, line, log.get("severity", "INFO"), log["time"], {})
                for number, line in enumerate(log["lines"])
            ]
    for job in state.table("customJobs").values():
        job_id = job.message.name.rsplit("/", 1)[-1]
        for path in sorted((state.folder / "custom_jobs" / job_id).glob("*.log")):
            for number, line in enumerate(path.read_text(errors="replace").splitlines()):
                entries.append(_entry(job_id, number, line, "INFO", job.started, {}, path.stem))
    return entries


def _entry(
    job_id: str,
    number: int,
    text: str,
    severity: str,
    start: float,
    labels: dict[str, str],
    task: str = "workerpool0-0",
) -> dict[str, Any]:
    when = datetime.fromtimestamp(start + number * 1e-6, UTC).isoformat(timespec="microseconds")
    return {
        "logName": f"projects/{PROJECT}/logs/{task}",
        "insertId": f"{job_id}-{task}-{number}",
        "resource": {"type": "ml_job", "labels": {"job_id": job_id, "project_id": PROJECT, "task_name": task}},
        "labels": {"ml.googleapis.com/trial_type": "", **labels},
        "timestamp": when.replace("+00:00", "Z"),
        "severity": severity,
        **({"jsonPayload": {"message": text}} if severity == "ERROR" else {"textPayload": text}),
    }


def _manifest(request: Request) -> Answer:
    name, reference = request.parts
    tags = request.state.settings.images.get(name)
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
        route("GET", r"/(v3|v1)/projects/([^/:]+)", _project),
        route("POST", r"/v2/entries:list", _entries),
        route("GET", image, _manifest),
        route("HEAD", image, _manifest),
    ]
