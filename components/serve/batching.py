"""Requests that come while the model computes are answered together, in its next batch."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from components.serve.model import Batch


class FullError(Exception):
    """So many examples wait that one more request would wait too long."""


@dataclass(frozen=True)
class _Waiting:
    batch: Batch
    size: int
    answers: asyncio.Future[np.ndarray]


class Batcher:
    """A queue in front of a model. No request waits for others: a batch is whatever came during the one before.

    Args:
        run: Answers a batch; called in a thread.
        max_batch: Examples of a batch that is put together; a larger request is a batch of its own.
        max_waiting: Examples that may wait.
        seen: Told the size of each batch.
    """

    def __init__(
        self, run: Callable[[Batch], np.ndarray], max_batch: int, max_waiting: int, seen: Callable[[int], object]
    ) -> None:
        self._run, self._max_batch, self._max_waiting, self._seen = run, max_batch, max_waiting, seen
        self._queue: deque[_Waiting] = deque()
        self._came = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Examples that wait."""
        return sum(one.size for one in self._queue)

    def check_room(self) -> None:
        """Look before a request is read.

        Raises:
            FullError: It would be refused whatever it is.
        """
        if self.waiting >= self._max_waiting:
            raise FullError

    async def answer(self, batch: Batch) -> np.ndarray:
        """The model's answers to a request.

        Raises:
            FullError: There is no room in the queue; a request that is larger than all of it is taken when it is empty.
        """
        size = len(next(iter(batch.values())))
        if self._queue and self.waiting + size > self._max_waiting:
            raise FullError
        answers: asyncio.Future[np.ndarray] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(batch, size, answers))
        self._came.set()
        return await answers

    async def work(self) -> None:
        """Answer batch after batch, until it is cancelled."""
        while True:
            await self._came.wait()
            together = [self._queue.popleft()]
            size = together[0].size
            while self._queue and size + self._queue[0].size <= self._max_batch:
                together.append(self._queue.popleft())
                size += together[-1].size
            if not self._queue:
                self._came.clear()
            self._seen(size)
            await self._answer(together)

    async def _answer(self, together: list[_Waiting]) -> None:
        joined = {name: np.concatenate([one.batch[name] for one in together]) for name in together[0].batch}
        try:
            answers = await asyncio.to_thread(self._run, joined)
        except Exception as error:  # the requests' own handlers say so
            for one in together:
                if not one.answers.done():
                    one.answers.set_exception(error)
            return
        ends = np.cumsum([one.size for one in together])
        for one, part in zip(together, np.split(answers, ends[:-1]), strict=True):
            if not one.answers.done():  # its client may be gone
                one.answers.set_result(part)
