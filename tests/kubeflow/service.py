"""Pipelines, versions, experiments and runs, as Kubeflow's API server keeps them."""

import json
import re
import uuid
from datetime import UTC, datetime
from typing import Any

import package

# HTTP status: gRPC code.
CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 500: 13, 501: 12, 503: 14}
_PAGE = 20
# Filters name an operation or give its number in the protocol.
_EQUALS = ("EQUALS", 1)
_LENGTH = 127
_KEYS = ("display_name", "name")


class ApiError(Exception):
    """What a caller is refused with."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class Service:
    """The resources.

    Attributes:
        namespaces: Those of a service with several users; None for one without.
        fails: Tasks that will fail, in the next runs.
        pace: So many tasks end between two questions for a run; None: it has ended at the first one.
        states: The states of the tasks that were started, for each run.
    """

    def __init__(self) -> None:
        self.namespaces: list[str] | None = None
        self.fails: list[str] = []
        self.pace: int | None = None
        self.states: dict[str, dict[str, str]] = {}
        self.pipelines: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, dict[str, Any]] = {}
        self.experiments: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.packages: dict[str, bytes] = {}

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, file: bytes | None) -> Any:
        """What the API answers; `file` is the uploaded one.

        Raises:
            ApiError: It refuses.
        """
        parts = path.removeprefix("/apis/v2beta1/").split("/")
        match (method, *parts):
            case ("GET", "healthz"):
                return {"multi_user": self.namespaces is not None, "pipeline_store": "database"}
            case ("POST", "pipelines", "upload"):
                return self._upload(query, file)
            case ("POST", "pipelines", "upload_version"):
                return self._upload_version(query, file)
            case ("GET", "pipelines"):
                return self._list("pipelines", self._in(self.pipelines, self._namespace(query.get("namespace"))), query)
            case ("GET", "pipelines", "names", name):
                there = self._in(self.pipelines, self._namespace(query.get("namespace")))
                return self._named(there, name) or self._missing("Pipeline", name)
            case ("GET", "pipelines", one):
                return self._get(self.pipelines, "Pipeline", one)
            case ("DELETE", "pipelines", one):
                return self._delete_pipeline(one)
            case ("GET", "pipelines", one, "versions"):
                return self._list("pipeline_versions", self._versions(one), query)
            case (_, "pipelines", one, "versions", version) if method in ("GET", "DELETE"):
                found = self._get(self.versions, "PipelineVersion", version)
                if found["pipeline_id"] != one:
                    self._missing("PipelineVersion", version)
                return found if method == "GET" else self._drop(self.versions, version)
            case ("POST", "experiments"):
                return self._create_experiment(body)
            case ("GET", "experiments"):
                space = self._experiment_namespace(query.get("namespace"))
                return self._list("experiments", self._in(self.experiments, space), query)
            case (_, "experiments", one) if method in ("GET", "DELETE"):
                found = self._get(self.experiments, "Experiment", one)
                return found if method == "GET" else self._drop(self.experiments, one)
            case ("POST", "runs"):
                return self._create_run(body)
            case ("GET", "runs"):
                group = query.get("experiment_id")
                if group:
                    self._get(self.experiments, "Experiment", group)
                runs = [run for run in self.runs.values() if group in (None, "", run["experiment_id"])]
                return self._list("runs", runs, query)
            case ("POST", "runs", one) if one.endswith(":terminate"):
                self._get(self.runs, "Run", one.removesuffix(":terminate"))["state"] = "CANCELED"
                return {}
            case ("GET", "runs", one):
                return self._step(self._get(self.runs, "Run", one))
        raise ApiError(501 if path.startswith("/apis/v2beta1/") else 404, f"{method} {path}: Method Not Allowed")

    def _upload(self, query: dict[str, str], file: bytes | None) -> dict[str, Any]:
        name, space = self._name(query.get("name")), self._namespace(query.get("namespace"))
        self._read(file)
        if self._named(self._in(self.pipelines, space), name):
            raise ApiError(409, f"Already exist error: The name {name} already exist. Please specify a new name")
        made = self._make(
            self.pipelines, "pipeline_id", name, namespace=space, description=query.get("description", "")
        )
        self._add_version(made["pipeline_id"], name, file, query)
        return made

    def _upload_version(self, query: dict[str, str], file: bytes | None) -> dict[str, Any]:
        pipeline = query.get("pipelineid") or ""
        self._get(self.pipelines, "Pipeline", pipeline)
        name = self._name(query.get("name"))
        self._read(file)
        if self._named(self._versions(pipeline), name):
            raise ApiError(409, f"Already exist error: The name {name} already exist. Please specify a new name")
        return self._add_version(pipeline, name, file, query)

    def _add_version(self, pipeline: str, name: str, file: bytes | None, query: dict[str, str]) -> dict[str, Any]:
        more = {"pipeline_id": pipeline, "description": query.get("description", "")}
        made = self._make(self.versions, "pipeline_version_id", name, **more)
        self.packages[made["pipeline_version_id"]] = file or b""
        return made | {"pipeline_spec": {"pipeline_spec": self._read(file)}}

    def _delete_pipeline(self, one: str) -> dict[str, Any]:
        self._get(self.pipelines, "Pipeline", one)
        if versions := self._versions(one):
            name = versions[0]["display_name"]
            raise ApiError(400, f"Failed to delete pipeline {one} as it has existing pipeline versions (e.g. {name})")
        return self._drop(self.pipelines, one)

    def _create_experiment(self, body: dict[str, Any]) -> dict[str, Any]:
        name, space = self._name(body.get("display_name")), self._experiment_namespace(body.get("namespace"))
        if self._named(self._in(self.experiments, space), name):
            raise ApiError(409, f"Already exist error: Experiment {name} already exists")
        return self._make(self.experiments, "experiment_id", name, namespace=space, storage_state="AVAILABLE")

    def _create_run(self, body: dict[str, Any]) -> dict[str, Any]:
        name = self._name(body.get("display_name"))
        experiment = self._get(self.experiments, "Experiment", body.get("experiment_id", ""))
        reference = body.get("pipeline_version_reference") or {}
        pipeline = self._get(self.pipelines, "Pipeline", reference.get("pipeline_id", ""))
        version = self._get(self.versions, "PipelineVersion", reference.get("pipeline_version_id", ""))
        if version["pipeline_id"] != pipeline["pipeline_id"]:
            raise ApiError(400, "Invalid input error: the version is another pipeline's")
        if pipeline["namespace"] not in ("", experiment["namespace"]):
            raise ApiError(403, "Permission denied: the pipeline is another namespace's")
        config = body.get("runtime_config") or {}
        spec = self._read(self.packages[version["pipeline_version_id"]])
        try:
            package.check_parameters(spec, config.get("parameters") or {})
        except package.PackageError as error:
            raise ApiError(400, f"Invalid input error: {error}") from None
        more = {"experiment_id": experiment["experiment_id"], "pipeline_version_reference": reference}
        return self._make(self.runs, "run_id", name, runtime_config=config, state="PENDING", **more)

    def _step(self, run: dict[str, Any]) -> dict[str, Any]:
        """Let tasks of a run start or end, and tell the tasks as Kubeflow does.

        There each task of the compiled pipeline is three of Argo's nodes (argocompiler/dag.go): <task>-driver, <task>,
        and in it one called executor; and the run has a node of its own, and root and root-driver. What hasn't ended
        has Go's zero time as its end (api_converter.go), and no task has an error. A failed task keeps those from
        running that need it; Argo goes on with the others (workflow/controller/dag.go: a task is looked at once all
        that it depends on have ended, and the last ones here depend on all).
        """
        spec = self._read(self.packages[run["pipeline_version_reference"]["pipeline_version_id"]])
        tasks, states = spec["root"]["dag"]["tasks"], self.states.setdefault(run["run_id"], {})
        while run["state"] in ("PENDING", "RUNNING"):
            for name in [name for name, state in states.items() if state == "RUNNING"][: self.pace]:
                states[name] = "FAILED" if name in self.fails else "SUCCEEDED"
            done = {name for name, state in states.items() if state == "SUCCEEDED"}
            for name in [name for name in tasks if name not in states]:
                if done.issuperset(tasks[name].get("dependentTasks", [])):
                    states[name] = "FAILED" if f"{name}-driver" in self.fails else "RUNNING"
            failed = "FAILED" in states.values()
            run["state"] = "RUNNING" if "RUNNING" in states.values() else "FAILED" if failed else "SUCCEEDED"
            if self.pace is not None:
                break
        nodes = [("kf-small-x7k2p", run["state"]), ("root-driver", "SUCCEEDED"), ("root", run["state"])]
        for name, state in states.items():
            if f"{name}-driver" in self.fails:
                nodes += [(f"{name}-driver", "FAILED"), (name, "RUNTIME_STATE_UNSPECIFIED")]
            else:
                nodes += [(f"{name}-driver", "SUCCEEDED"), (name, state), ("executor", state)]
        now = datetime.now(UTC).isoformat()
        run["run_details"] = {
            "task_details": [
                {
                    "run_id": run["run_id"],
                    "task_id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{run['run_id']} {number}")),
                    "display_name": name,
                    "create_time": run["created_at"],
                    "start_time": run["created_at"],
                    "end_time": "0001-01-01T00:00:00Z" if state == "RUNNING" else now,
                    "state": state,
                }
                for number, (name, state) in enumerate(nodes)
            ]
        }
        return run

    def _list(self, what: str, found: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
        for key, value in _predicates(query.get("filter", "")):
            found = [one for one in found if one[key] == value]
        key, _, order = query.get("sort_by", "").partition(" ")
        found = sorted(found, key=lambda one: one[key or "created_at"], reverse=order == "desc")
        try:
            start, size = int(query.get("page_token") or 0), int(query.get("page_size") or _PAGE)
        except ValueError:
            raise ApiError(400, "Invalid input error: page_token or page_size") from None
        answer: dict[str, Any] = {what: found[start : start + size], "total_size": len(found)}
        if start + size < len(found):
            answer["next_page_token"] = str(start + size)
        return {key: value for key, value in answer.items() if value}

    def _namespace(self, given: str | None) -> str:
        """Of a pipeline: without several users there is none; without a name it's shared."""
        if self.namespaces is None or not given:
            return ""
        if given not in self.namespaces:
            raise ApiError(403, f"Failed to authorize: you may not see namespace {given}")
        return given

    def _experiment_namespace(self, given: str | None) -> str:
        if self.namespaces is None and given:
            raise ApiError(400, "Invalid input error: In single-user mode, Experiment cannot filter by namespace")
        if self.namespaces is not None and not given:
            raise ApiError(400, "Invalid input error: Experiment must have a namespace in multi-user mode")
        return self._namespace(given)

    def _versions(self, pipeline: str) -> list[dict[str, Any]]:
        self._get(self.pipelines, "Pipeline", pipeline)
        return [one for one in self.versions.values() if one["pipeline_id"] == pipeline]

    @staticmethod
    def _read(file: bytes | None) -> dict[str, Any]:
        if file is None:
            raise ApiError(400, "Failed to read pipeline from file")
        try:
            return package.read(file)
        except package.PackageError as error:
            raise ApiError(400, f"Invalid input error: {error}") from None

    @staticmethod
    def _name(given: str | None) -> str:
        if not given or not given.strip() or len(given) > _LENGTH or re.search(r"[\x00-\x1f]", given):
            raise ApiError(400, f"Invalid input error: the name {given!r}")
        return given

    @staticmethod
    def _make(there: dict[str, dict[str, Any]], key: str, name: str, **more: Any) -> dict[str, Any]:
        made = {key: str(uuid.uuid4()), "display_name": name, "created_at": datetime.now(UTC).isoformat(), **more}
        there[made[key]] = made
        return made

    @staticmethod
    def _in(there: dict[str, dict[str, Any]], space: str) -> list[dict[str, Any]]:
        return [one for one in there.values() if one["namespace"] == space]

    @staticmethod
    def _named(found: list[dict[str, Any]], name: str) -> dict[str, Any] | None:
        return next((one for one in found if one["display_name"] == name), None)

    def _get(self, there: dict[str, dict[str, Any]], kind: str, one: str) -> dict[str, Any]:
        return there.get(one) or self._missing(kind, one)

    @staticmethod
    def _missing(kind: str, one: str) -> Any:
        raise ApiError(404, f"ResourceNotFoundError: {kind} {one} not found")

    @staticmethod
    def _drop(there: dict[str, dict[str, Any]], one: str) -> dict[str, Any]:
        del there[one]
        return {}


def _predicates(text: str) -> list[tuple[str, Any]]:
    try:
        predicates = json.loads(text)["predicates"] if text else []
        found = []
        for one in predicates:
            if one["operation"] not in _EQUALS or one["key"] not in _KEYS:
                raise ValueError
            found.append(("display_name", one.get("stringValue", one.get("string_value"))))
        return found
    except (ValueError, KeyError, TypeError):
        raise ApiError(400, f"Invalid input error: filter {text}") from None
