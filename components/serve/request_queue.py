"""The queue of requests. Those that come while the model computes are answered together, in its next batch."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from components.serve.model import Batch


class QueueFullError(Exception):
    """The queue has no room for a request, which would wait too long."""


@dataclass(frozen=True)
class _Request:
    batch: Batch
    size: int
    predictions: asyncio.Future[np.ndarray]


class RequestQueue:
    """A queue in front of a model. A batch has the requests that came during the batch before, and waits for no others.

    Args:
        run: A function that predicts a batch. It is called in a thread.
        max_batch: The most examples of a batch that is joined from requests. A larger request is a batch of its own.
        max_waiting: The most examples that may wait.
        observe: A function that is called with the size of each batch.
    """

    def __init__(
        self, run: Callable[[Batch], np.ndarray], max_batch: int, max_waiting: int, observe: Callable[[int], object]
    ) -> None:
        self._run, self._max_batch, self._max_waiting, self._observe = run, max_batch, max_waiting, observe
        self._queue: deque[_Request] = deque()
        self._has_requests = asyncio.Event()

    @property
    def waiting(self) -> int:
        """The number of examples that wait."""
        return sum(request.size for request in self._queue)

    def check_room(self) -> None:
        """Check the queue before a request is read.

        Raises:
            QueueFullError: The queue has no room for any request.
        """
        if self.waiting >= self._max_waiting:
            raise QueueFullError

    async def predict(self, batch: Batch) -> np.ndarray:
        """Wait for the model's predictions for a request.

        Raises:
            QueueFullError: The queue has no room. An empty queue takes a request of any size.
        """
        size = len(next(iter(batch.values())))
        if self._queue and self.waiting + size > self._max_waiting:
            raise QueueFullError
        predictions: asyncio.Future[np.ndarray] = asyncio.get_running_loop().create_future()
        self._queue.append(_Request(batch, size, predictions))
        self._has_requests.set()
        return await predictions

    async def work(self) -> None:
        """Predict batch after batch, until the task is cancelled."""
        while True:
            await self._has_requests.wait()
            requests = [self._queue.popleft()]
            size = requests[0].size
            while self._queue and size + self._queue[0].size <= self._max_batch:
                requests.append(self._queue.popleft())
                size += requests[-1].size
            if not self._queue:
                self._has_requests.clear()
            self._observe(size)
            await self._predict(requests)

    async def _predict(self, requests: list[_Request]) -> None:
        joined = {name: np.concatenate([request.batch[name] for request in requests]) for name in requests[0].batch}
        try:
            predictions = await asyncio.to_thread(self._run, joined)
        except Exception as error:  # each request's handler reports it
            for request in requests:
                if not request.predictions.done():
                    request.predictions.set_exception(error)
            return
        ends = np.cumsum([request.size for request in requests])
        for request, part in zip(requests, np.split(predictions, ends[:-1]), strict=True):
            if not request.predictions.done():  # a client that is gone has cancelled it
                request.predictions.set_result(part)
