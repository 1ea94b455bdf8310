"""The HTTP interface: TensorFlow Serving's requests, the routes of Vertex AI and KServe, and Prometheus' metrics."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from components.common.errors import InputError
from components.serve.model import MAX_BATCH, Batch, Model
from components.serve.request_queue import QueueFullError, RequestQueue
from components.serve.settings import Settings

# A client that is still sending doesn't see the answer. So a request that is too large is read up to this size.
READ_BYTES = 64_000_000
RETRY_HEADERS = {"Retry-After": "1"}


@dataclass
class State:
    """The state of a server.

    Attributes:
        model: The model; None until it has been loaded and checked.
        failure: The error for which it can't be loaded.
        draining: Whether the server is about to end.
    """

    model: Model | None = None
    failure: InputError | None = None
    draining: bool = False


class Metrics:
    """The metrics that /metrics shows.

    Args:
        waiting: A function that returns the number of examples that wait for the model.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter("predict_requests", "Requests by HTTP status.", ["code"], registry=self.registry)
        self.seconds = Histogram("predict_seconds", "From request to answer.", registry=self.registry)
        sizes = [2**i for i in range(11)]
        self.batches = Histogram(
            "predict_batch_examples", "Examples of a batch.", buckets=sizes, registry=self.registry
        )
        gauge = Gauge("predict_waiting_examples", "Examples that wait for the model.", registry=self.registry)
        gauge.set_function(waiting)


def create_app(load: Callable[[], Model], state: State, settings: Settings) -> FastAPI:
    """Create the application. It loads its model in the background, and says meanwhile that it isn't healthy.

    Args:
        load: A function that loads and checks the model. It is called in a thread.
        state: The state, which the server shares.
        settings: The settings, with routes and limits.
    """

    def run(batch: Batch) -> np.ndarray:
        assert state.model is not None  # noqa: S101 (requests are refused before)
        return state.model.run(batch)

    queue = RequestQueue(run, MAX_BATCH, settings.waiting, lambda size: metrics.batches.observe(size))
    metrics = Metrics(lambda: queue.waiting)

    async def load_model() -> None:
        try:
            state.model = await asyncio.to_thread(load)
        except InputError as error:
            state.failure = error

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(load_model()), asyncio.create_task(queue.work())]
        yield
        for task in tasks:
            task.cancel()

    async def answer(request: Request) -> Response:
        if state.model is None:
            raise HTTPException(503, "The model is not loaded yet.", RETRY_HEADERS)
        queue.check_room()
        batch = state.model.parse(await _body(request, settings.request_bytes))
        predictions = await queue.predict(batch)
        return JSONResponse({"predictions": state.model.answer(predictions)})

    async def predict(request: Request) -> Response:
        start = time.perf_counter()
        try:
            response = await answer(request)
        except QueueFullError:
            response = _error(429, f"The queue is full, {queue.waiting} examples wait.", RETRY_HEADERS)
        except InputError as error:
            response = _error(400, str(error))
        except HTTPException as error:
            response = _error(error.status_code, error.detail, error.headers)
        except Exception as error:  # the log has the error, and the client learns that there was one
            print(f"error: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            response = _error(500, "The model failed.")
        if state.draining:
            response.headers["Connection"] = "close"  # the client's next request then goes to another server
        metrics.requests.labels(response.status_code).inc()
        metrics.seconds.observe(time.perf_counter() - start)
        return response

    async def health() -> Response:
        if state.model is None or state.draining:
            return _error(503, "The server is ending." if state.draining else "The model is not loaded yet.")
        return JSONResponse({"status": "healthy"})

    async def ready() -> Response:
        return JSONResponse({"name": settings.name, "ready": state.model is not None and not state.draining})

    async def show_metrics() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(HTTPException, lambda request, error: _error(error.status_code, f"{error.detail}."))
    app.add_api_route(settings.health, health, methods=["GET", "HEAD"])
    app.add_api_route(f"/v1/models/{settings.name}", ready)
    app.add_api_route("/metrics", show_metrics)
    for route in dict.fromkeys((settings.predict, f"/v1/models/{settings.name}:predict")):
        app.add_api_route(route, predict, methods=["POST"])
    return app


async def _body(request: Request, limit: int) -> bytes:
    """Read the body of a request. A body that is too large is read up to READ_BYTES, and not kept."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size <= limit:
            parts.append(part)
        else:
            parts.clear()
        if size > max(limit, READ_BYTES):
            break
    if size > limit:
        raise HTTPException(413, f"The request is larger than {limit:,} bytes.")
    return b"".join(parts)


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": message}, status, headers)
