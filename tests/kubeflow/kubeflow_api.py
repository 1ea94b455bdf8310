"""A server that speaks the REST API of Kubeflow Pipelines 2.17.0, in a thread of the tests."""

import json
import threading
import time
import uuid
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from types import SimpleNamespace
from typing import Any

from package import ApiError, read
from parameters import problems
from werkzeug import Request, Response
from werkzeug.serving import WSGIRequestHandler, make_server

_API = "/apis/v2beta1/"
_FAULT = {"status": 0, "times": 1, "message": "fault", "body": None, "committed": False, "drop": False, "seconds": 0}
_TRACE = "\ngithub.com/kubeflow/pipelines/backend/src/common/util.Wrap\n\t/go/src" * 5
_ZERO = "0001-01-01T00:00:00Z"
_KEYS = {kind: f"{kind[:-1]}_id" for kind in ("pipelines", "pipeline_versions", "experiments", "runs")}
Resource = dict[str, Any]


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.0"  # a connection is closed after each answer, and where there is none

    def log_request(self, *_: Any) -> None:
        """Say nothing: `asked` says it."""


class Server:
    """The service and what a test wants of it.

    Attributes:
        token: What every request has to bring as a bearer token; None for nothing.
        namespaces: Those of a service with several users; None for one without.
        fails: Tasks that will fail, in the next runs.
        pace: So many tasks end between two questions for a run; None: it has ended at the first one.
        asked: The requests.
    """

    def __init__(self) -> None:
        self.token: str | None = None
        self.namespaces: list[str] | None = None
        self.fails: list[str] = []
        self.pace: int | None = None
        self.asked: list[dict[str, Any]] = []
        self._faults: list[SimpleNamespace] = []
        self._lock = threading.Lock()
        self._tables: dict[str, dict[str, Resource]] = {kind: {} for kind in _KEYS}
        self._server = make_server("127.0.0.1", 0, self._serve, threaded=True, request_handler=_Handler)
        self._server.daemon_threads = True
        self.host = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    def fault(self, call: str, **more: Any) -> None:
        """Let a call such as "POST runs" or "GET runs/*" fail, so many `times`.

        It gets a `status` and a `message`, or a `body` of HTML. `drop` closes the connection, `committed` does the work
        first, and `seconds` waits before.
        """
        assert not more.keys() - _FAULT.keys()
        self._faults.append(SimpleNamespace(call=call, **{**_FAULT, **more}))

    def requests(self, call: str | None = None) -> list[dict[str, Any]]:
        """What was asked, or the requests of one method and path."""
        return [asked for asked in self.asked if call in (None, asked["call"])]

    def resources(self) -> dict[str, list[Resource]]:
        """What there is."""
        return {kind: [dict(one) for one in table.values()] for kind, table in self._tables.items()}

    @Request.application
    def _serve(self, request: Request) -> Response:
        call, token = f"{request.method} {request.path.removeprefix(_API)}", request.headers.get("Authorization")
        body = request.get_json() if request.is_json and request.content_length else None
        file = request.files["uploadfile"].read() if request.files else None
        query = request.args.to_dict()
        with self._lock:
            self.asked.append({"call": call, "query": query, "file": file, "authorization": token})
            taken = (one for one in self._faults if one.times and fnmatchcase(call, one.call))
            fault = next(taken, SimpleNamespace(**_FAULT))
            fault.times -= 1
        time.sleep(fault.seconds)
        if self.token and token != f"Bearer {self.token}":
            return _refusal(call, 401, "Request header error: there is no user identity header")
        if fault.committed or not (fault.status or fault.drop):
            try:
                with self._lock:
                    answer = json.dumps(self._answer(call, query, body, file))
            except ApiError as error:
                return _refusal(call, *error.args)
        if fault.drop:
            raise ConnectionError
        if fault.body is not None:
            return Response(fault.body, fault.status, content_type="text/html")
        if fault.status:
            return _refusal(call, fault.status, fault.message)
        return Response(answer, mimetype="application/json")

    def _answer(self, call: str, query: dict[str, str], body: Any, file: bytes | None) -> Any:
        method, _, path = call.partition(" ")
        match (method, *path.split("/")):
            case ("GET", "healthz"):
                return {"multi_user": self.namespaces is not None}
            case ("POST", "pipelines", "upload"):
                within, spec = {"namespace": self._namespace(query.get("namespace"))}, read(file)
                made = self._make("pipelines", query["name"], within, description=query["description"])
                self._add_version(made["pipeline_id"], spec, query)
                return made
            case ("POST", "pipelines", "upload_version"):
                return self._add_version(query["pipelineid"], read(file), query)
            case ("GET", "pipelines", one, "versions"):
                return self._found("pipeline_versions", query, pipeline_id=one)
            case ("POST", "experiments"):
                within = {"namespace": self._namespace(body.get("namespace"))}
                return self._make("experiments", body["display_name"], within)
            case ("POST", "runs"):
                return self._create_run(body)
            case ("GET", "pipelines" | "experiments" as kind):
                return self._found(kind, query, namespace=self._namespace(query.get("namespace")))
            case ("GET", "runs"):
                return self._found("runs", query, experiment_id=query["experiment_id"])
            case ("POST", "runs", one) if one.endswith(":terminate"):
                # Once Argo has ended it, it has failed.
                self._get("runs", one.removesuffix(":terminate"))["state"] = "CANCELING"
                return {}
            case ("GET", "runs", one):
                return self._step(self._get("runs", one))
            case ("DELETE", *within, kind, one):
                kind = f"pipeline_{kind}" if within else kind
                if kind == "pipelines" and self._like("pipeline_versions", {"pipeline_id": one}):
                    raise ApiError(400, f"Failed to delete pipeline {one} as it has existing pipeline versions")
                self._get(kind, one)
                del self._tables[kind][one]
                return {}
        raise ApiError(404, "Not Found")

    def _add_version(self, pipeline: str, spec: dict[str, Any], query: dict[str, str]) -> Resource:
        within = {"pipeline_id": self._get("pipelines", pipeline)["pipeline_id"]}
        own = {"description": query["description"], "pipeline_spec": spec}
        return self._make("pipeline_versions", query["name"], within, **own)

    def _create_run(self, body: dict[str, Any]) -> Resource:
        reference, experiment = body["pipeline_version_reference"], self._get("experiments", body["experiment_id"])
        pipeline = self._get("pipelines", reference["pipeline_id"])
        version = self._get("pipeline_versions", reference["pipeline_version_id"])
        if pipeline["namespace"] not in ("", experiment["namespace"]):
            raise ApiError(403, "Permission denied: the pipeline is another namespace's")
        if said := "; ".join(problems(version["pipeline_spec"], body["runtime_config"]["parameters"])):
            raise ApiError(400, f"Invalid input error: {said}")
        return self._make("runs", body["display_name"], None, **body, state="PENDING")

    def _step(self, run: Resource) -> Resource:
        """Let tasks of a run start or end, and tell the tasks as Kubeflow does.

        There each task of the compiled pipeline is three of Argo's nodes, <task>-driver, <task>, and in it one called
        executor; the run has a node of its own, and root and root-driver. Kubeflow's installation lets Argo try again
        what ended in an error, so each node has one <name>(0) for its first try. What hasn't ended has Go's zero time
        as its end, what was left out no state, and no task an error. The run's last state may come before that of its
        tasks. A failed task keeps those from running that need it; Argo goes on with the others. So 2.17.0 was seen.
        """
        before = run["state"]
        version = self._get("pipeline_versions", run["pipeline_version_reference"]["pipeline_version_id"])
        tasks = version["pipeline_spec"]["root"]["dag"]["tasks"]
        states = run.setdefault("states", {})  # of the tasks that were started
        if run["state"] == "CANCELING":
            run["state"] = "FAILED"
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
        if "run_details" in run and before in ("PENDING", "RUNNING") and run["state"] in ("SUCCEEDED", "FAILED"):
            return run  # the states of its tasks come with the next answer
        nodes = [("kf-small-x7k2p", run["state"]), ("root-driver", "SUCCEEDED"), ("root", run["state"])]
        for name, state in states.items():
            ran = f"{name}-driver" not in self.fails
            nodes += [(f"{name}-driver", "SUCCEEDED" if ran else "FAILED"), (name, state if ran else "")]
            nodes += [("executor", state)] * ran
        nodes += [(f"{name}(0)", state) for name, state in nodes if state]
        times = {"create_time": run["created_at"], "start_time": run["created_at"]}
        told = [
            {"display_name": name, "end_time": _ZERO if state == "RUNNING" else _now(), **times}
            | ({"state": state} if state else {})
            for name, state in nodes
        ]
        run["run_details"] = {"task_details": told}
        return run

    def _namespace(self, given: str | None) -> str:
        """A pipeline without a namespace is shared. Where there is one user, there is no namespace."""
        if given and self.namespaces and given not in self.namespaces:
            raise ApiError(403, f"Failed to authorize: you may not see namespace {given}")
        return (given or "") if self.namespaces else ""

    def _make(self, kind: str, name: str, within: dict[str, str] | None, **more: Any) -> Resource:
        """Make a resource; `within` is where its name has to be its own, None where it hasn't."""
        if not 1 <= len(name) <= 127:
            raise ApiError(400, f"Invalid input error: the name {name!r}")
        own = {**(within or {}), "display_name": name}
        if within is not None and self._like(kind, own):
            raise ApiError(409, f"Failed to create one of the {kind}")
        made = {**more, **own, _KEYS[kind]: str(uuid.uuid4()), "created_at": _now()}
        self._tables[kind][made[_KEYS[kind]]] = made
        return made

    def _like(self, kind: str, own: dict[str, str]) -> list[Resource]:
        return [one for one in self._tables[kind].values() if own.items() <= one.items()]

    def _get(self, kind: str, one: str) -> Resource:
        if one not in self._tables[kind]:
            raise ApiError(404, f"ResourceNotFoundError: {one} not found in {kind}")
        return self._tables[kind][one]

    def _found(self, kind: str, query: dict[str, str], **own: str) -> Resource:
        """Those of a name, which is all that the product asks for."""
        (wanted,) = json.loads(query["filter"])["predicates"]
        name = wanted.pop("stringValue")
        if wanted != {"operation": "EQUALS", "key": "display_name"}:
            raise ApiError(400, f"Invalid input error: filter {query['filter']}")
        found = self._like(kind, {"display_name": name, **own})
        return {kind: found, "total_size": len(found)} if found else {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _refusal(call: str, status: int, message: str) -> Response:
    """An upload's details hold a stack trace; otherwise an error of the server's own has it in its message."""
    body = {"message": message + _TRACE * (status == 500)}
    if "/upload" in call:
        body = {"error_message": message, "error_details": message + _TRACE}
    return Response(json.dumps(body), status, mimetype="application/json")
