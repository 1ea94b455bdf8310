"""What tests tell the server: POST /control, GET /requests."""

import threading
import time
from collections.abc import Callable
from typing import Any

from errors import ApiError, number
from state import State
from web import Answer, Request, Route, route

# Settings that are taken as they are.
_SET = ("task_seconds", "job_seconds", "queue_seconds", "operation_seconds", "cancel_seconds")
_SET += ("custom_job", "batch_job", "predict", "quota", "anonymous")
# A fault meets calls after the first `skip` ones; `http` is for REST calls alone.
_FAULT = {"times": 1, "skip": 0, "seconds": 0, "committed": False, "code": None, "message": "", "http": None}
_OTHERS = ("reset", "hold", "fault", "operation", "task", "permissions", "buckets", "log", "outage")


def apply(state: State, commands: dict[str, Any]) -> None:
    """Do what a test says; an unknown command changes nothing."""
    if unknown := commands.keys() - {*_SET, *_OTHERS}:
        raise ApiError("INVALID_ARGUMENT", f"unknown commands: {sorted(unknown)}; known: {_SET + _OTHERS}")
    # Whatever stands beside a reset applies to the state after it.
    for name in sorted(commands, key=lambda name: name != "reset"):
        with state.lock:
            state.advance()
            _apply(state, name, commands[name])


def _apply(state: State, name: str, value: Any) -> None:
    settings = state.settings
    match name:
        case "reset":
            state.reset()
        case "hold":
            if settings.hold and not value:
                settings.released_at = time.time()
            settings.hold = value
        case "fault":
            if unknown := value.keys() - _FAULT.keys() - {"method"}:
                raise ApiError("INVALID_ARGUMENT", f"fault: unknown {sorted(unknown)}")
            if code := value.get("code"):
                number(code)
            settings.faults.append({**_FAULT, **value})
        case "operation":
            settings.operations.append({"times": 1, "outcome": "FAILED", **value})
        case "task":
            settings.tasks[value["name"]] = value
        case "permissions":
            settings.deny = set(value["deny"])
        case "buckets":
            for bucket, location in value.items():
                settings.buckets[bucket] = location.upper()
                state.bucket(bucket).mkdir(parents=True, exist_ok=True)
        case "log":
            settings.logs.append({"time": time.time(), **value})
        case _ if name in _SET:
            setattr(settings, name, value)


def routes(state: State, outage: Callable[[float, threading.Event], None]) -> list[Route]:
    """What tests ask; `outage` takes the gRPC port away for so many seconds."""

    def post(request: Request) -> Answer:
        commands = request.json()
        apply(state, commands)
        if seconds := commands.get("outage"):
            gone = threading.Event()
            threading.Thread(target=outage, args=(seconds, gone), daemon=True).start()
            # A test that goes on from here finds the port closed.
            gone.wait(5)
        return Answer({})

    free = {"credentials": False, "recorded": False}
    return [
        route("POST", "/control", post, **free),
        route("GET", "/requests", lambda request: Answer(state.requests()), **free),
    ]
