"""Serve a class as a gRPC service: one method for each of the service's."""

import base64
import traceback
from collections.abc import Callable
from typing import Any

import access
import grpc
from errors import ApiError
from google.longrunning import operations_pb2
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict
from grpc_status import rpc_status
from messages import pb
from state import State


class Service:
    """A service of google.cloud.aiplatform.v1; a public method `get_model` serves GetModel."""

    prefix = "google.cloud.aiplatform.v1."

    def __init__(self, state: State) -> None:
        self.state = state

    def request_type(self, method: str) -> Any:
        """The class of a method's requests."""
        return getattr(pb, f"{method}Request")

    def check(self, method: str, request: Any) -> None:
        """Refuse what may not be asked."""
        access.check(self.state, method, request)

    def handler(self) -> grpc.GenericRpcHandler:
        """What a gRPC server is given."""
        methods = {}
        for name in dir(type(self)):
            if name.startswith("_") or name in dir(Service):
                continue
            method, function = "".join(part.capitalize() for part in name.split("_")), getattr(self, name)
            call = self._call(method, function)
            methods[method] = grpc.unary_unary_rpc_method_handler(call, self.request_type(method).FromString)
        return grpc.method_handlers_generic_handler(self.prefix + type(self).__name__, methods)

    def _call(self, method: str, function: Callable[[Any], Any]) -> Callable[..., bytes]:
        def call(request: Any, context: grpc.ServicerContext) -> bytes:
            error: ApiError | None = None
            try:
                return self._answer(method, function, request, context)
            except ApiError as refused:
                error = refused
            except Exception:
                traceback.print_exc()
                error = ApiError("INTERNAL", f"the test server failed: {traceback.format_exc(limit=-3)}")
            return context.abort_with_status(rpc_status.to_status(error.status()))

        return call

    def _answer(self, method: str, function: Any, request: Any, context: Any) -> bytes:
        metadata = {key: _text(value) for key, value in context.invocation_metadata()}
        self.state.record(method, MessageToDict(request, preserving_proto_field_name=True), metadata)
        if not self.state.settings.anonymous:
            self.state.tokens.check(metadata.get("authorization", ""))
        with self.state.faulty(method), self.state.lock:
            self.check(method, request)
            self.state.advance()
            return (function(request) or Empty()).SerializeToString()


def _text(value: str | bytes) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


class Operations(Service):
    """google.longrunning.Operations, which Google serves beside each service that starts some."""

    prefix = "google.longrunning."

    def request_type(self, method: str) -> Any:
        return getattr(operations_pb2, f"{method}Request")

    def check(self, method: str, request: Any) -> None:
        pass

    def get_operation(self, request: Any) -> Any:
        operation = self.state.operations.get(access.canonical(request.name))
        if operation is None:
            raise ApiError("NOT_FOUND", f"Operation not found: {request.name}")
        return operation.message
