"""What tests tell the server: POST /control, GET /requests."""

import threading
import time
from collections.abc import Callable
from typing import Any

from errors import ApiError, number
from state import State
from web import Rule, rule

# Settings that are taken as they are.
_SET = ("task_seconds", "operation_seconds", "custom_job", "batch_job", "predict", "quota", "anonymous")
# A fault meets calls after the first `skip` ones; `http` is for REST calls alone.
_FAULT = {"times": 1, "skip": 0, "seconds": 0, "committed": False, "code": None, "message": "", "http": None}


def _apply(state: State, name: str, value: Any) -> None:
    settings = state.settings
    match name:
        case "reset":
            state.reset()
        case "hold":
            if settings.hold and not value:
                settings.released_at = time.time()
            settings.hold = value
        case "fault" if not value.keys() - _FAULT.keys() - {"method"}:
            number(value.get("code") or "UNKNOWN")
            settings.faults.append({**_FAULT, **value})
        case "operation":
            settings.operations[value["method"]] = ApiError(value["code"], value["message"])
        case "task":
            settings.tasks[value["name"]] = value
        case "permissions":
            settings.deny = set(value["deny"])
        case "buckets":
            for bucket, location in value.items():
                settings.buckets[bucket] = location
                state.bucket(bucket).mkdir(parents=True, exist_ok=True)
        case "log":
            settings.logs.append({"time": time.time(), **value})
        case _ if name in _SET:
            setattr(settings, name, value)
        case _:
            raise ApiError("INVALID_ARGUMENT", f"unknown command: {name} {value}")


def rules(outage: Callable[[float, threading.Event], None]) -> list[Rule]:
    """What tests ask; `outage` takes the gRPC port away for so many seconds."""

    def post(state: State, request: Any) -> dict[str, Any]:
        commands = request.get_json()
        if seconds := commands.pop("outage", None):
            gone = threading.Event()
            threading.Thread(target=outage, args=(seconds, gone), daemon=True).start()
            # A test that goes on from here finds the port closed.
            gone.wait(5)
        with state.lock:
            state.advance()
            for name, value in commands.items():
                _apply(state, name, value)
        return {}

    return [rule("POST", "/control", post), rule("GET", "/requests", lambda state, _: state.requests)]
