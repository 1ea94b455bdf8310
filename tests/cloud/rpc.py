"""Serve a class as a gRPC service: one method for each of the service's."""

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
from listing import page
from messages import pb
from state import State


class Service:
    """A service of google.cloud.aiplatform.v1; a public method `get_model` serves GetModel."""

    def __init__(self, state: State) -> None:
        self.state = state

    def handler(self) -> grpc.GenericRpcHandler:
        """What a gRPC server is given."""
        methods = {}
        for name in dir(type(self)):
            if not name.startswith("_") and name not in dir(Service):
                method, function = "".join(part.capitalize() for part in name.split("_")), getattr(self, name)
                request = getattr(operations_pb2 if isinstance(self, Operations) else pb, f"{method}Request")
                methods[method] = grpc.unary_unary_rpc_method_handler(self._call(method, function), request.FromString)
        place = "google.longrunning" if isinstance(self, Operations) else "google.cloud.aiplatform.v1"
        return grpc.method_handlers_generic_handler(f"{place}.{type(self).__name__}", methods)

    def _call(self, method: str, function: Callable[[Any], Any]) -> Callable[..., bytes]:
        def call(request: Any, context: grpc.ServicerContext) -> bytes:
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
        self.state.record(method, MessageToDict(request, preserving_proto_field_name=True))
        if not self.state.settings.anonymous:
            self.state.tokens.check(dict(context.invocation_metadata()).get("authorization", ""))
        with self.state.faulty(method), self.state.lock:
            if not isinstance(self, Operations):
                access.check(self.state, method, request)
            self.state.advance()
            return (function(request) or Empty()).SerializeToString()


def getting(kind: str) -> Callable[[Service, Any], Any]:
    """A method that gets a resource of a kind such as customJobs."""
    return lambda service, request: access.find(service.state, kind, request.name)


def listing(kind: str) -> Callable[[Service, Any], Any]:
    """A method that lists resources of a kind."""
    answer = f"List{kind[0].upper()}{kind[1:]}Response"
    return lambda service, request: page(
        request, getattr(pb, answer)(), access.below(service.state, request.parent, kind)
    )


def deleting(kind: str) -> Callable[[Service, Any], Any]:
    """A method that deletes a resource of a kind."""

    def delete(service: Service, request: Any) -> Any:
        name = access.find(service.state, kind, request.name).name
        return service.state.start(f"Delete {kind}", name, lambda: service.state.table(kind).pop(name) and None)

    return delete


class Operations(Service):
    """google.longrunning.Operations, which Google serves beside each service that starts some."""

    def get_operation(self, request: Any) -> Any:
        operation = self.state.operations.get(access.canonical(request.name))
        if operation is None:
            raise ApiError("NOT_FOUND", f"Operation not found: {request.name}")
        return operation.message
