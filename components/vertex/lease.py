"""One process at a time writes into a folder of Cloud Storage, where two runs of an experiment may meet.

Vertex AI's runs of one experiment find each other's checkpoints in the bucket. A run on this machine doesn't get here:
it holds the lock of its experiment.
"""

import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.common.errors import InputError
from components.vertex.client import CALL_SECONDS, credentials, explain

# An owner that doesn't renew its lease for so long has ended without a word, or stands still.
SECONDS = 60.0


@contextmanager
def held(folder: str, writes: str) -> Iterator[Callable[[], None]]:
    """Hold the lease of a folder; wait for it while another process has it.

    The lease is the object `<folder>.owner`. It is made where there is none, and written anew four times in `SECONDS`.
    Each write names the generation that it replaces, so of two processes one alone succeeds
    (cloud.google.com/storage/docs/request-preconditions). Who waits takes it over once it has seen the same generation
    for `SECONDS`, by its own clock: the clocks of two machines are never compared.

    Args:
        folder: A gs:// address.
        writes: The folder that the process makes, whose run and task those who wait are told.

    Yields:
        To call before something is written or removed: makes sure that the lease is still held.

    Raises:
        InputError: Cloud Storage refuses it.
        RuntimeError: By what is yielded: the lease was lost, or nobody knows.
    """
    lease, over = _Lease(folder, "/".join(Path(writes).parts[-3:-1])), threading.Event()
    lease.take()
    renewing = threading.Thread(target=lease.keep, args=(over,), daemon=True)
    renewing.start()
    try:
        yield lease.check
    finally:
        over.set()
        renewing.join()
        lease.release()


class _Lease:
    def __init__(self, folder: str, task: str) -> None:
        from google.api_core import exceptions
        from google.auth.exceptions import GoogleAuthError
        from google.cloud import storage

        self._folder = folder
        bucket, _, name = folder.removeprefix("gs://").partition("/")
        self._bucket = storage.Client(project="none", credentials=credentials()).bucket(bucket)
        self._name = f"{name}.owner"
        self._refused = exceptions.PreconditionFailed
        self._errors = (exceptions.GoogleAPIError, GoogleAuthError, OSError)
        since = datetime.now(UTC).isoformat(" ", "seconds")
        self._me = {"task": task, "host": socket.gethostname(), "since": since, "token": secrets.token_hex(8)}
        self._lock = threading.Lock()
        self._generation, self._renewed = 0, 0.0

    def take(self) -> None:
        try:
            self._take()
        except self._errors as error:
            raise InputError(explain(error, f"the lease of {self._folder}")) from None

    def keep(self, over: threading.Event) -> None:
        while not over.wait(SECONDS / 4):
            with self._lock, suppress(*self._errors):
                if not self._write(self._generation):
                    # The next check finds it out, too.
                    self._renewed = -SECONDS
                    return

    def check(self) -> None:
        with self._lock:
            if _now() - self._renewed < SECONDS / 2:
                return
            try:
                if self._write(self._generation):
                    return
            except self._errors as error:
                raise RuntimeError(explain(error, f"the lease of {self._folder}")) from None
        raise RuntimeError(
            f"{self._folder} was taken over by another process after this one had stood still or had been cut off for "
            f"{SECONDS:.0f} s; nothing more is written"
        )

    def release(self) -> None:
        # What can't be deleted is taken over when its time is over.
        with suppress(*self._errors):
            self._blob().delete(if_generation_match=self._generation, timeout=CALL_SECONDS)

    def _take(self) -> None:
        watched, since, told = 0, 0.0, ""
        while True:
            owner = self._bucket.get_blob(self._name, timeout=CALL_SECONDS)
            now = _now()
            if owner is None:
                if self._write(0):
                    return
            elif owner.generation != watched:
                watched, since = owner.generation, now
                about = "{task} on {host} since {since}".format(**dict.fromkeys(self._me, "?") | (owner.metadata or {}))
                if about != told:
                    told = about
                    print(f"waiting for {self._folder}: it is held by {about}", flush=True)
            elif now - since > SECONDS and self._write(watched):
                print(f"taken over: {told} hasn't renewed its lease for {SECONDS:.0f} s", flush=True)
                return
            time.sleep(SECONDS / 20)

    def _write(self, generation: int) -> bool:
        """Replace a generation of the owner's object, 0 for none; whether that was the one there."""
        sent, blob = _now(), self._blob()
        blob.metadata = self._me
        try:
            blob.upload_from_string(b"", if_generation_match=generation, timeout=CALL_SECONDS)
        except self._refused:
            owner = self._bucket.get_blob(self._name, timeout=CALL_SECONDS)
            if owner is None or (owner.metadata or {}).get("token") != self._me["token"]:
                return False
            # A write of this process arrived, and its answer got lost.
            return self._write(owner.generation)
        self._generation, self._renewed = blob.generation, sent
        return True

    def _blob(self) -> Any:  # noqa: ANN401 (a Blob)
        return self._bucket.blob(self._name)


def _now() -> float:
    """Seconds of a clock that goes on while a machine sleeps, unlike `time.monotonic`."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
