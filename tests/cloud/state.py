"""What the server knows: its resources, what tests told it to do, and what it was asked."""

import contextlib
import itertools
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
REGIONS = ("us-central1", "us-east1", "europe-west4")
_BUCKETS = {"bucket": "US-CENTRAL1", "bucket-eu": "EUROPE-WEST4"}
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
    operations: dict[str, ApiError] = field(default_factory=dict)
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


class State:
    """Everything; handlers hold `lock` while they read or write it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.RLock()
        self.tokens = Tokens()
        self.advancers: list[Callable[[float], None]] = []
        self._counter = itertools.count(1)
        self.tables: dict[str, dict[str, Any]] = {}
        self.reset()

    def reset(self) -> None:
        """Forget everything but the tokens."""
        with self.lock:
            self.end()
            self.settings = Settings()
            self.tables = {}
            self.operations: dict[str, Operation] = {}
            self.requests: list[dict[str, Any]] = []
            shutil.rmtree(self.folder / "buckets", ignore_errors=True)
            for name in self.settings.buckets:
                self.bucket(name).mkdir(parents=True)

    def end(self) -> None:
        """End all processes of jobs."""
        for replicas in self.table("replicas").values():
            replicas.kill()

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

    def start(self, method: str, resource: str, work: Callable[[], Message | None]) -> Message:
        """Start a long-running operation on a resource; `work` does it once it's due, and may raise ApiError."""
        if error := self.settings.operations.pop(method, None):

            def work() -> None:
                raise error

        message = operations_pb2.Operation(name=f"{resource}/operations/{self.new_id()}")
        self.operations[message.name] = Operation(message, time.time() + self.settings.operation_seconds, work)
        return message

    def _finish(self, operation: Operation) -> None:
        try:
            operation.message.response.Pack(operation.work() or Empty())
        except ApiError as error:
            operation.message.error.CopyFrom(error.status())
        operation.message.done = True

    @contextlib.contextmanager
    def faulty(self, method: str) -> Iterator[None]:
        """Let a call meet its fault: it waits, and its answer is lost before the work is done, or after."""
        fault = self._take_fault(method)
        if fault is None:
            yield
            return
        time.sleep(fault["seconds"])
        error = ApiError(fault["code"] or "UNKNOWN", fault["message"], http=fault["http"])
        lost = fault["code"] or fault["http"]
        if lost and not fault["committed"]:
            raise error
        yield
        if lost:
            raise error

    def _take_fault(self, method: str) -> dict[str, Any] | None:
        with self.lock:
            for fault in self.settings.faults:
                if method == fault["method"] and fault["skip"] > 0:
                    fault["skip"] -= 1
                elif method == fault["method"] and fault["times"] > 0:
                    fault["times"] -= 1
                    return fault
        return None

    def record(self, method: str, request: object, **more: object) -> None:
        """Note a request before it is answered."""
        with self.lock:
            self.requests.append({"method": method, "request": request, **more})
