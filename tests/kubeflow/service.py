"""Pipelines, versions, experiments and runs, as the API server of Kubeflow Pipelines 2.17.0 keeps them."""

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import package

# HTTP status: gRPC code.
CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 500: 13, 501: 12, 502: 2, 503: 14}
_LENGTH = 127
Table = dict[str, dict[str, Any]]


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
        specs: What was uploaded as a version.
    """

    def __init__(self) -> None:
        self.namespaces: list[str] | None = None
        self.fails: list[str] = []
        self.pace: int | None = None
        self.states: dict[str, dict[str, str]] = {}
        self.specs: dict[str, dict[str, Any]] = {}
        self.pipelines: Table = {}
        self.versions: Table = {}
        self.experiments: Table = {}
        self.runs: Table = {}

    def answer(self, call: str, query: dict[str, str], body: Any, file: bytes | None) -> Any:
        """What the API answers to a call; `file` is the uploaded one.

        Raises:
            ApiError: It refuses.
        """
        method, _, path = call.partition(" ")
        match (method, *path.split("/")):
            case ("GET", "healthz"):
                return {"multi_user": self.namespaces is not None, "pipeline_store": "database"}
            case ("POST", "pipelines", "upload"):
                space, said = self._namespace(query.get("namespace")), query.get("description", "")
                spec = _read(file)
                made = _make(self.pipelines, "pipeline_id", query.get("name"), {"namespace": space}, description=said)
                self._add_version(made["pipeline_id"], spec, query)
                return made
            case ("POST", "pipelines", "upload_version"):
                if (pipeline := query.get("pipelineid")) not in self.pipelines:
                    raise ApiError(400, "Failed to create a pipeline version")
                return self._add_version(pipeline, _read(file), query)
            case ("GET", "pipelines"):
                return _found(self.pipelines, "pipelines", query, namespace=self._namespace(query.get("namespace")))
            case ("DELETE", "pipelines", one):
                if versions := [found for found in self.versions.values() if found["pipeline_id"] == one]:
                    name = versions[0]["display_name"]
                    raise ApiError(
                        400, f"Failed to delete pipeline {one} as it has existing pipeline versions ({name})"
                    )
                return _drop(self.pipelines, "Pipeline", one)
            case ("GET", "pipelines", one, "versions"):
                _get(self.pipelines, "Pipeline", one)
                return _found(self.versions, "pipeline_versions", query, pipeline_id=one)
            case ("DELETE", "pipelines", one, "versions", version):
                _get(self.pipelines, "Pipeline", one)
                return _drop(self.versions, "PipelineVersion", version)
            case ("POST", "experiments"):
                within = {"namespace": self._experiment_namespace(body.get("namespace"))}
                return _make(self.experiments, "experiment_id", body.get("display_name"), within)
            case ("GET", "experiments"):
                space = self._experiment_namespace(query.get("namespace"))
                return _found(self.experiments, "experiments", query, namespace=space)
            case ("DELETE", "experiments", one):
                return _drop(self.experiments, "Experiment", one)
            case ("POST", "runs"):
                return self._create_run(body)
            case ("GET", "runs"):
                group = _get(self.experiments, "Experiment", query.get("experiment_id"))["experiment_id"]
                return _found(self.runs, "runs", query, experiment_id=group)
            case ("POST", "runs", one) if one.endswith(":terminate"):
                # It is cancelled once Argo has ended it.
                _get(self.runs, "Run", one.removesuffix(":terminate"))["state"] = "CANCELING"
                return {}
            case ("GET", "runs", one):
                return self._step(_get(self.runs, "Run", one))
        raise ApiError(404, "Not Found")

    def _add_version(self, pipeline: str, spec: dict[str, Any], query: dict[str, str]) -> dict[str, Any]:
        within, said = {"pipeline_id": pipeline}, query.get("description", "")
        made = _make(self.versions, "pipeline_version_id", query.get("name"), within, description=said)
        self.specs[made["pipeline_version_id"]] = spec
        return made | {"pipeline_spec": {"pipeline_spec": spec}}

    def _create_run(self, body: dict[str, Any]) -> dict[str, Any]:
        experiment = _get(self.experiments, "Experiment", body.get("experiment_id"))
        reference, config = body.get("pipeline_version_reference") or {}, body.get("runtime_config") or {}
        pipeline = self.pipelines.get(reference.get("pipeline_id"))
        version = self.versions.get(reference.get("pipeline_version_id"))
        if not pipeline or not version:
            raise ApiError(500, "Failed to create a new run: InternalServerError: error fetching manifest")
        if version["pipeline_id"] != pipeline["pipeline_id"]:
            raise ApiError(400, "Invalid input error: the version is another pipeline's")
        if pipeline["namespace"] not in ("", experiment["namespace"]):
            raise ApiError(403, "Permission denied: the pipeline is another namespace's")
        try:
            package.check_parameters(self.specs[version["pipeline_version_id"]], config.get("parameters") or {})
        except package.PackageError as error:
            raise ApiError(400, f"Invalid input error: {error}") from None
        more = {"experiment_id": experiment["experiment_id"], "pipeline_version_reference": reference}
        return _make(
            self.runs, "run_id", body.get("display_name"), None, **more, runtime_config=config, state="PENDING"
        )

    def _step(self, run: dict[str, Any]) -> dict[str, Any]:
        """Let tasks of a run start or end, and tell the tasks as Kubeflow does.

        There each task of the compiled pipeline is three of Argo's nodes (argocompiler/dag.go): <task>-driver, <task>,
        and in it one called executor; and the run has a node of its own, and root and root-driver. What hasn't ended
        has Go's zero time as its end (api_converter.go), and no task has an error. A failed task keeps those from
        running that need it; Argo goes on with the others (workflow/controller/dag.go: a task is looked at once all
        that it depends on have ended, and the last ones here depend on all).
        """
        tasks = self.specs[run["pipeline_version_reference"]["pipeline_version_id"]]["root"]["dag"]["tasks"]
        states = self.states.setdefault(run["run_id"], {})
        if run["state"] == "CANCELING":
            run["state"] = "CANCELED"
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
        now, began = _now(), run["created_at"]
        details = [
            {
                "run_id": run["run_id"],
                "task_id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{run['run_id']} {number}")),
                "display_name": name,
                "create_time": began,
                "start_time": began,
                "end_time": "0001-01-01T00:00:00Z" if state == "RUNNING" else now,
                "state": state,
            }
            for number, (name, state) in enumerate(nodes)
        ]
        run["run_details"] = {"task_details": details}
        return run

    def _namespace(self, given: str | None) -> str:
        """Of a pipeline: without several users there is none; without a name it's shared."""
        if self.namespaces is None or not given:
            return ""
        if given not in self.namespaces:
            raise ApiError(403, f"Failed to authorize: you may not see namespace {given}")
        return given

    def _experiment_namespace(self, given: str | None) -> str:
        if self.namespaces is not None and not given:
            raise ApiError(400, "Invalid input error: Experiment must have a namespace in multi-user mode")
        return self._namespace(given)


def _read(file: bytes | None) -> dict[str, Any]:
    try:
        return package.read(file or b"")
    except package.PackageError as error:
        raise ApiError(400, f"Invalid input error: {error}") from None


def _make(there: Table, key: str, name: str | None, within: dict[str, str] | None, **more: Any) -> dict[str, Any]:
    """Make a resource; `within` is where its name has to be its own, None where it hasn't."""
    if not name or len(name) > _LENGTH:
        raise ApiError(400, f"Invalid input error: the name {name!r}")
    own = {"display_name": name, **(within or {})}
    same = [one for one in there.values() if all(one.get(key) == value for key, value in own.items())]
    if same and within is not None:
        raise ApiError(409, f"Failed to create a {key.removesuffix('_id').replace('_', ' ')}")
    made = {key: str(uuid.uuid4()), "created_at": _now(), **own, **more}
    there[made[key]] = made
    return made


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _get(there: Table, kind: str, one: str | None) -> dict[str, Any]:
    if one not in there:
        raise ApiError(404, f"ResourceNotFoundError: {kind} {one} not found")
    return there[one]


def _drop(there: Table, kind: str, one: str) -> dict[str, Any]:
    _get(there, kind, one)
    del there[one]
    return {}


def _found(there: Table, what: str, query: dict[str, str], **within: str) -> dict[str, Any]:
    """Those of a name, which is all that the product asks for."""
    try:
        (wanted,) = json.loads(query["filter"])["predicates"]
        own = {"display_name": wanted["stringValue"], **within}
    except (ValueError, KeyError, TypeError):
        raise ApiError(400, f"Invalid input error: filter {query.get('filter')}") from None
    if (wanted["operation"], wanted["key"]) != ("EQUALS", "display_name"):
        raise ApiError(400, f"Invalid input error: filter {wanted}")
    found = [one for one in there.values() if all(one[key] == value for key, value in own.items())]
    return {what: found, "total_size": len(found)} if found else {}
