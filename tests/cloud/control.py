"""What tests tell the server: POST /control, GET /requests."""

import threading
import time
from collections.abc import Callable
from typing import Any

from errors import ApiError, number
from state import State
from web import Answer, Request, Route, route

_NUMBERS = ("task_seconds", "job_seconds", "queue_seconds", "operation_seconds", "cancel_seconds")
# Whole dictionaries that are taken as they are.
_PLANS = ("custom_job", "batch_job", "predict", "quota")
# A fault meets calls after the first `skip` ones; `http` and `reason` are for REST calls alone.
_FAULT: dict[str, Any] = {"times": 1, "skip": 0, "seconds": 0, "committed": False}
_FAULT |= {"code": None, "message": "", "http": None, "reason": ""}


class Control:
    """Applies commands.

    Args:
        state: The server's.
        outage: Takes the gRPC port away for so many seconds.
    """

    def __init__(self, state: State, outage: Callable[[float], None]) -> None:
        self.state, self.outage = state, outage

    def apply(self, commands: dict[str, Any]) -> None:
        """Do what a test says; an unknown command changes nothing."""
        known = {name.removeprefix("_do_") for name in dir(self) if name.startswith("_do_")} | {*_NUMBERS, *_PLANS}
        if unknown := commands.keys() - known:
            raise ApiError(
                "INVALID_ARGUMENT", f"unknown commands: {', '.join(sorted(unknown))}; known: {sorted(known)}"
            )
        # Whatever stands beside it applies to the state after it.
        for name in sorted(commands, key=lambda name: name != "reset"):
            self._do(name, commands[name])

    def _do(self, name: str, value: Any) -> None:
        if name == "outage":
            # It waits for calls that are running, and these wait for the lock.
            self._do_outage(value)
            return
        with self.state.lock:
            self.state.advance()
            if name in _NUMBERS:
                setattr(self.state.settings, name, float(value))
            elif name in _PLANS:
                setattr(self.state.settings, name, value)
            else:
                getattr(self, f"_do_{name}")(value)

    def _do_reset(self, value: bool) -> None:
        if value:
            self.state.reset()

    def _do_hold(self, value: bool) -> None:
        if self.state.settings.hold and not value:
            self.state.settings.released_at = time.time()
        self.state.settings.hold = value

    def _do_anonymous(self, value: bool) -> None:
        self.state.settings.anonymous = value

    def _do_fault(self, value: dict[str, Any]) -> None:
        fault = {**_FAULT, **value}
        if unknown := fault.keys() - _FAULT.keys() - {"method"}:
            raise ApiError("INVALID_ARGUMENT", f"fault: unknown {', '.join(sorted(unknown))}")
        if fault["code"]:
            number(fault["code"])
        self.state.settings.faults.append(fault)

    def _do_operation(self, value: dict[str, Any]) -> None:
        self.state.settings.operations.append({"times": 1, "outcome": "FAILED", **value})

    def _do_task(self, value: dict[str, Any]) -> None:
        self.state.settings.tasks[value["name"]] = value

    def _do_permissions(self, value: dict[str, list[str]]) -> None:
        self.state.settings.deny = set(value.get("deny", []))

    def _do_buckets(self, value: dict[str, str]) -> None:
        for name, location in value.items():
            self.state.settings.buckets[name] = location.upper()
            self.state.bucket(name).mkdir(parents=True, exist_ok=True)

    def _do_log(self, value: dict[str, Any]) -> None:
        self.state.settings.logs.append({"time": time.time(), **value})

    def _do_outage(self, value: float) -> None:
        gone = threading.Event()
        threading.Thread(target=self.outage, args=(float(value), gone), daemon=True).start()
        # A test that goes on from here finds the port closed.
        gone.wait(5)


def routes(control: Control) -> list[Route]:
    """What tests ask."""

    def post(request: Request) -> Answer:
        control.apply(request.json())
        return Answer({})

    def requests(request: Request) -> Answer:
        return Answer(request.state.requests())

    free = {"credentials": False, "recorded": False}
    return [route("POST", "/control", post, **free, locked=False), route("GET", "/requests", requests, **free)]
