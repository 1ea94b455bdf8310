"""What the server knows: its resources, what tests told it to do, and what it was asked."""

import contextlib
import itertools
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from errors import ApiError
from google.longrunning import operations_pb2
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from tokens import Tokens

PROJECT, NUMBER = "my-project", "123456789012"
_REGIONS = """us-central1 us-east1 us-east4 us-east5 us-south1 us-west1 us-west2 us-west3 us-west4 europe-central2
northamerica-northeast1 northamerica-northeast2 southamerica-east1 europe-north1 europe-southwest1 europe-west1
europe-west2 europe-west3 europe-west4 europe-west6 europe-west8 europe-west9 europe-west12 asia-east1 asia-east2
asia-northeast1 asia-northeast2 asia-northeast3 asia-south1 asia-southeast1 asia-southeast2 australia-southeast1
australia-southeast2 me-central1 me-central2 me-west1 africa-south1"""
REGIONS = set(_REGIONS.split())
_BUCKETS = {"bucket": "US-CENTRAL1", "bucket-eu": "EUROPE-WEST4", "bucket-us-multi": "US"}
IMAGES = {"my-project/images/keras-pipeline-python": {"latest": "sha256:" + "a" * 64}}
FORBIDDEN_BUCKET = "forbidden-bucket"


@dataclass
class Settings:
    """What a test has told the server; control.py sets them."""

    queue_seconds: float = 0.02
    task_seconds: float = 0.05
    job_seconds: float = 0.05
    cancel_seconds: float = 0.05
    operation_seconds: float = 0.1
    hold: bool = False
    released_at: float = 0.0
    anonymous: bool = False
    deny: set[str] = field(default_factory=set)
    quota: dict[str, int] = field(default_factory=dict)
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    custom_job: dict[str, Any] = field(default_factory=dict)
    batch_job: dict[str, Any] = field(default_factory=dict)
    predict: dict[str, Any] = field(default_factory=dict)
    operations: list[dict[str, Any]] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)
    logs: list[dict[str, Any]] = field(default_factory=list)
    buckets: dict[str, str] = field(default_factory=lambda: dict(_BUCKETS))

    def end(self, start: float, seconds: float) -> float:
        """When something ends that takes so long; nothing that was held ends before it was released."""
        return max(start + seconds, self.released_at if start < self.released_at else 0.0)


@dataclass
class Operation:
    """A long-running operation, and what is done when it is due."""

    message: operations_pb2.Operation
    due: float
    work: Callable[[], Message | None]
    planned: dict[str, Any]


class State:
    """Everything; handlers hold `lock` while they read or write it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.RLock()
        self.tokens = Tokens()
        self.advancers: list[Callable[[float], None]] = []
        self.resets: list[Callable[[], None]] = []
        self._counter = itertools.count(1)
        self._requests = folder / "requests.jsonl"
        self.reset()

    def reset(self) -> None:
        """Forget everything but the tokens."""
        with self.lock:
            for forget in self.resets:
                forget()
            self.settings = Settings()
            self.tables: dict[str, dict[str, Any]] = {}
            self.operations: dict[str, Operation] = {}
            self._requests.write_text("")
            shutil.rmtree(self.folder / "buckets", ignore_errors=True)
            for name in self.settings.buckets:
                (self.folder / "buckets" / name).mkdir(parents=True)

    def table(self, kind: str) -> dict[str, Any]:
        """The resources of a kind, such as pipelineJobs, by name."""
        return self.tables.setdefault(kind, {})

    def bucket(self, name: str) -> Path:
        """The folder of a bucket."""
        return self.folder / "buckets" / name

    def new_id(self) -> str:
        """A number that no resource has."""
        return str(4_000_000_000_000_000_000 + next(self._counter) * 104_729)

    def advance(self) -> None:
        """Let happen what should have happened by now; nothing happens between two questions."""
        now = time.time()
        for advance in self.advancers:
            advance(now)
        for operation in list(self.operations.values()):
            if not operation.message.done and operation.due <= now:
                self._finish(operation)

    def start(self, method: str, resource: str, metadata: Message, work: Callable[[], Message | None]) -> Message:
        """Start a long-running operation.

        Args:
            method: The method that was called, for tests that let it fail.
            resource: What it works on.
            metadata: The operation's.
            work: Does it and returns the response; it may raise ApiError.
        """
        planned: dict[str, Any] = {}
        for plan in self.settings.operations:
            if plan["method"] == method and plan["times"] > 0:
                plan["times"] -= 1
                planned = plan
                break
        message = operations_pb2.Operation(name=f"{resource}/operations/{self.new_id()}")
        message.metadata.Pack(metadata)
        due = time.time() + planned.get("seconds", self.settings.operation_seconds)
        self.operations[message.name] = Operation(message, due, work, planned)
        return message

    def _finish(self, operation: Operation) -> None:
        try:
            if operation.planned.get("outcome") == "FAILED":
                plan = operation.planned
                raise ApiError(plan.get("code", "INTERNAL"), plan.get("message", "Internal error encountered."))
            operation.message.response.Pack(operation.work() or Empty())
        except ApiError as error:
            operation.message.error.CopyFrom(error.status())
        operation.message.done = True

    def take_fault(self, method: str) -> dict[str, Any] | None:
        """The fault that a call of a method meets, if any."""
        with self.lock:
            for fault in self.settings.faults:
                same = method == fault["method"] or (" " in method and method.startswith(fault["method"]))
                if same and fault["skip"] > 0:
                    fault["skip"] -= 1
                elif same and fault["times"] > 0:
                    fault["times"] -= 1
                    return fault
        return None

    @contextlib.contextmanager
    def faulty(self, method: str) -> Iterator[None]:
        """Let a call meet its fault: it waits, and its answer is lost before the work is done, or after."""
        fault = self.take_fault(method)
        if fault:
            time.sleep(fault["seconds"])
        lost = fault and (fault["code"] or fault["http"])
        if fault and lost and not fault["committed"]:
            raise ApiError(fault["code"] or "UNKNOWN", fault["message"], http=fault["http"])
        yield
        if fault and lost:
            raise ApiError(fault["code"] or "UNKNOWN", fault["message"], http=fault["http"])

    def record(self, method: str, request: object, metadata: dict[str, str], **more: object) -> None:
        """Append a request to requests.jsonl, before it is answered."""
        secret = ("authorization", "x-goog-api-key")
        shown = {key: value for key, value in metadata.items() if key.lower() not in secret}
        line = json.dumps({"method": method, "request": request, "metadata": shown, "time": time.time(), **more})
        with self.lock, self._requests.open("a") as file:
            file.write(line + "\n")

    def requests(self) -> list[dict[str, Any]]:
        """All requests since the last reset."""
        with self.lock:
            return [json.loads(line) for line in self._requests.read_text().splitlines()]
