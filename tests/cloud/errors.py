"""Errors as Google's API returns them, over gRPC and over HTTP."""

from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

DOMAIN = "aiplatform.googleapis.com"
_HTTP = {"INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403}
_HTTP |= {"NOT_FOUND": 404, "ALREADY_EXISTS": 409, "RESOURCE_EXHAUSTED": 429, "UNAVAILABLE": 503}
# What the older JSON APIs, such as Cloud Storage's, call a status.
_REASONS = {400: "invalid", 401: "authError", 403: "forbidden", 404: "notFound", 412: "conditionNotMet"}


class ApiError(Exception):
    """An answer other than OK.

    Args:
        code: Name of a `google.rpc.Code`, such as NOT_FOUND.
        message: What the client is told.
        details: Messages of google.rpc, such as ErrorInfo.
        http: Status over HTTP, where it isn't the one that belongs to the code.
    """

    def __init__(self, code: str, message: str, *details: Message, http: int | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.details = code, message, details
        self.http = http or _HTTP.get(code, 500)

    def status(self) -> status_pb2.Status:
        """The error as a message, which also stands in operations and jobs."""
        status = status_pb2.Status(code=number(self.code), message=self.message)
        for detail in self.details:
            status.details.add().Pack(detail)
        return status

    def json(self) -> dict[str, Any]:
        """The error as the body of an HTTP answer."""
        error = {"code": self.http, "message": self.message, "status": self.code}
        older = {"message": self.message, "domain": "global", "reason": _REASONS.get(self.http, "backendError")}
        return {"error": {**error, "errors": [older], "details": MessageToDict(self.status()).get("details", [])}}


def number(code: str) -> int:
    """Number of a code's name; RPC codes are the same in gRPC and in google.rpc."""
    if code not in grpc.StatusCode.__members__:
        raise ApiError("INVALID_ARGUMENT", f"code: {code!r} is none of gRPC's")
    return code_pb2.Code.Value(code)


def denied(permission: str, resource: str, service: str = DOMAIN) -> ApiError:
    """A missing permission; Google says the same of a project that isn't there."""
    info = error_details_pb2.ErrorInfo(
        reason="IAM_PERMISSION_DENIED", domain=service, metadata={"permission": permission, "resource": resource}
    )
    where = f"//{service}/{resource}"
    return ApiError(
        "PERMISSION_DENIED", f"Permission '{permission}' denied on resource '{where}' (or it may not exist).", info
    )


def exceeded(metrics: list[str]) -> ApiError:
    """Quotas that are too small for a request."""
    names = ",".join(f"{DOMAIN}/{metric}" for metric in metrics)
    return ApiError("RESOURCE_EXHAUSTED", f"The following quota metrics exceed quota limits: {names}")


class Found:
    """Gathers what is wrong with a request, which Google reports all at once."""

    def __init__(self) -> None:
        self.errors: list[tuple[str, str]] = []

    def add(self, field: str, message: str) -> None:
        """Note an error of a field, such as job_spec.worker_pool_specs[0].machine_spec.machine_type."""
        self.errors.append((field, message))

    def need(self, right: object, field: str, message: str) -> bool:
        """Note an error unless `right` holds."""
        if not right:
            self.add(field, message)
        return bool(right)

    def done(self) -> None:
        """Raise INVALID_ARGUMENT if anything was noted."""
        if self.errors:
            listed = "\t".join(f"{n}.Field: {field}; Message: {text}" for n, (field, text) in enumerate(self.errors, 1))
            raise ApiError("INVALID_ARGUMENT", f"List of found errors:\t{listed}")
