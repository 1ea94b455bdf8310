"""The HTTP interface: TensorFlow Serving's request, Vertex AI's and KServe's routes, Prometheus' metrics."""

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
from components.serve.batching import Batcher, FullError
from components.serve.model import MAX_BATCH, Batch, Model

# So much of a request that is too large is read, so that its client, which still sends, sees the answer.
READ_BYTES = 64_000_000
RETRY = {"Retry-After": "1"}


@dataclass(frozen=True)
class Limits:
    """What the server takes.

    Attributes:
        request_bytes: The largest request.
        waiting: Examples that may wait for the model.
    """

    request_bytes: int = 16_000_000
    waiting: int = 512


@dataclass(frozen=True)
class Routes:
    """Where it answers, beside /metrics and KServe's /v1/models/<name>.

    Attributes:
        name: The model's, in KServe's and TensorFlow Serving's routes.
        health: 200 once the model has answered its golden request, 503 before and while the server drains.
        predict: Takes requests.
    """

    name: str = "model"
    health: str = "/healthz"
    predict: str = "/predict"


@dataclass
class State:
    """Of a server.

    Attributes:
        model: None until it has been loaded and checked.
        failure: Why it can't be.
        draining: Whether the server is about to end.
    """

    model: Model | None = None
    failure: InputError | None = None
    draining: bool = False


class Metrics:
    """What /metrics shows."""

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


def create_app(load: Callable[[], Model], state: State, routes: Routes, limits: Limits) -> FastAPI:
    """The application. It loads its model in the background, so that it can say meanwhile that it isn't healthy.

    Args:
        load: Loads and checks the model; called in a thread.
        state: To be shared with the server.
        routes: Where it answers.
        limits: What it takes.
    """

    def run(batch: Batch) -> np.ndarray:
        assert state.model is not None  # noqa: S101 (requests are refused before)
        return state.model.run(batch)

    batcher = Batcher(run, MAX_BATCH, limits.waiting, lambda size: metrics.batches.observe(size))
    metrics = Metrics(lambda: batcher.waiting)

    async def start() -> None:
        try:
            state.model = await asyncio.to_thread(load)
        except InputError as error:
            state.failure = error

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(start()), asyncio.create_task(batcher.work())]
        yield
        for task in tasks:
            task.cancel()

    async def answer(request: Request) -> Response:
        if state.model is None:
            raise HTTPException(503, "The model is not loaded yet.", RETRY)
        batcher.check_room()
        batch = state.model.parse(await _body(request, limits.request_bytes))
        answers = await batcher.answer(batch)
        return JSONResponse({"predictions": answers.tolist()})

    async def predict(request: Request) -> Response:
        began = time.perf_counter()
        try:
            response = await answer(request)
        except FullError:
            response = _error(429, f"The queue is full, {batcher.waiting} examples wait.", RETRY)
        except InputError as error:
            response = _error(400, str(error))
        except HTTPException as error:
            response = _error(error.status_code, error.detail, error.headers)
        except Exception as error:  # the client is told, the log too
            print(f"error: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            response = _error(500, "The model failed.")
        if state.draining:
            response.headers["Connection"] = "close"  # its next request goes to another server
        metrics.requests.labels(response.status_code).inc()
        metrics.seconds.observe(time.perf_counter() - began)
        return response

    async def health() -> Response:
        if state.model is None or state.draining:
            return _error(503, "The server is ending." if state.draining else "The model is not loaded yet.")
        return JSONResponse({"status": "healthy"})

    async def ready() -> Response:
        return JSONResponse({"name": routes.name, "ready": state.model is not None and not state.draining})

    async def show_metrics() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(HTTPException, lambda request, error: _error(error.status_code, f"{error.detail}."))
    app.add_api_route(routes.health, health)
    app.add_api_route(f"/v1/models/{routes.name}", ready)
    app.add_api_route("/metrics", show_metrics)
    for route in dict.fromkeys((routes.predict, f"/v1/models/{routes.name}:predict")):
        app.add_api_route(route, predict, methods=["POST"])
    return app


async def _body(request: Request, limit: int) -> bytes:
    """The body of a request; what is too large is read on, up to a point, and not kept."""
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
