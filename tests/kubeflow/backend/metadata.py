"""ML Metadata's own store behind its own gRPC interface: the package on the index has the store, not its server.

Usage: metadata.py ADDRESS. It runs in an environment that has ml-metadata and grpcio.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from ml_metadata.metadata_store.pywrap.metadata_store_extension import metadata_store
from ml_metadata.proto import metadata_store_pb2, metadata_store_service_pb2

SERVICE = metadata_store_service_pb2.DESCRIPTOR.services_by_name["MetadataStoreService"]
CODES = {code.value[0]: code for code in grpc.StatusCode}


def handler(store: object, method: str) -> grpc.RpcMethodHandler:
    """What answers calls of one method, by the store; requests and answers are serialized messages for both."""

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        response, message, code = getattr(metadata_store, method)(store, request)
        if code:
            context.abort(CODES[code], message.decode())
        return response

    return grpc.unary_unary_rpc_method_handler(answer)


def main(address: str) -> None:
    config = metadata_store_pb2.ConnectionConfig(sqlite=metadata_store_pb2.SqliteMetadataSourceConfig())
    options = metadata_store_pb2.MigrationOptions()
    store = metadata_store.CreateMetadataStore(config.SerializeToString(), options.SerializeToString())
    server = grpc.server(ThreadPoolExecutor(1))  # the store is for one thread
    handlers = {method.name: handler(store, method.name) for method in SERVICE.methods}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE.full_name, handlers)])
    server.add_insecure_port(address)
    server.start()
    server.wait_for_termination()


main(sys.argv[1])
