"""The lease of a folder in Cloud Storage, so that one process at a time writes into it.

Runs of one experiment on Vertex AI share the checkpoints in the bucket. A run on this machine needs no lease, for it
holds the lock of its experiment.
"""

import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from components.common.errors import InputError
from components.vertex.client import CALL_SECONDS, storage_client
from components.vertex.errors import error_line

if TYPE_CHECKING:
    from google.cloud.storage import Blob

# An owner that hasn't renewed its lease for this time has ended, or has stopped running.
SECONDS = 60.0


@contextmanager
def hold_lease(folder: str, output: str) -> Iterator[Callable[[], None]]:
    """Hold the lease of a folder, and wait for it while another process has it.

    The lease is the object `<folder>.owner`. The owner creates it, and writes it again four times in `SECONDS`. Each
    write names the generation that it replaces, so that only one of two processes succeeds
    (cloud.google.com/storage/docs/request-preconditions). A process that waits takes the lease over once the generation
    has been the same for `SECONDS` by its own clock. The clocks of two machines are never compared.

    Args:
        folder: A gs:// address.
        output: The folder that the process writes. Its path has the run and the task that a waiting process prints.

    Yields:
        A function to call before each write or removal, which checks that the lease is still held. It raises
        RuntimeError where the lease was lost, or where that isn't known.

    Raises:
        InputError: Cloud Storage refuses the lease.
    """
    lease, end = _Lease(folder, "/".join(Path(output).parts[-3:-1])), threading.Event()
    lease.take()
    renewal = threading.Thread(target=lease.keep, args=(end,), daemon=True)
    renewal.start()
    try:
        yield lease.check
    finally:
        end.set()
        renewal.join()
        lease.release()


class _Lease:
    def __init__(self, folder: str, task: str) -> None:
        from google.api_core import exceptions
        from google.auth.exceptions import GoogleAuthError

        self._folder = folder
        bucket, _, name = folder.removeprefix("gs://").partition("/")
        self._bucket = storage_client().bucket(bucket)
        self._name = f"{name}.owner"
        self._other_generation = exceptions.PreconditionFailed
        self._errors = (exceptions.GoogleAPIError, GoogleAuthError, OSError)
        since = datetime.now(UTC).isoformat(" ", "seconds")
        self._owner = {"task": task, "host": socket.gethostname(), "since": since, "token": secrets.token_hex(8)}
        self._lock = threading.Lock()
        self._generation, self._renewed = 0, 0.0

    def take(self) -> None:
        try:
            self._take()
        except self._errors as error:
            raise InputError(error_line(error, f"the lease of {self._folder}")) from None

    def keep(self, end: threading.Event) -> None:
        while not end.wait(SECONDS / 4):
            with self._lock, suppress(*self._errors):
                if not self._write(self._generation):
                    # The lease was lost, and the next check writes again and sees that.
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
                raise RuntimeError(error_line(error, f"the lease of {self._folder}")) from None
        raise RuntimeError(
            f"{self._folder} was taken over by another process after this one had stood still or had been cut off for "
            f"{SECONDS:.0f} s; nothing more is written"
        )

    def release(self) -> None:
        # A lease that can't be deleted is taken over after SECONDS.
        with suppress(*self._errors):
            self._blob().delete(if_generation_match=self._generation, timeout=CALL_SECONDS)

    def _take(self) -> None:
        generation, since, printed = 0, 0.0, ""
        while True:
            blob = self._bucket.get_blob(self._name, timeout=CALL_SECONDS)
            now = _now()
            if blob is None:
                if self._write(0):
                    return
            elif blob.generation != generation:
                generation, since = blob.generation, now
                fields = dict.fromkeys(self._owner, "?") | (blob.metadata or {})
                owner = "{task} on {host} since {since}".format(**fields)
                if owner != printed:
                    print(f"waiting for {self._folder}: it is held by {owner}", flush=True)
                    printed = owner
            elif now - since > SECONDS and self._write(generation):
                print(f"taken over: {printed} hasn't renewed its lease for {SECONDS:.0f} s", flush=True)
                return
            time.sleep(SECONDS / 20)

    def _write(self, generation: int) -> bool:
        """Replace a generation of the lease, 0 for none, and return whether that was the current one."""
        start, blob = _now(), self._blob()
        blob.metadata = self._owner
        try:
            blob.upload_from_string(b"", if_generation_match=generation, timeout=CALL_SECONDS)
        except self._other_generation:
            current = self._bucket.get_blob(self._name, timeout=CALL_SECONDS)
            if current is None or (current.metadata or {}).get("token") != self._owner["token"]:
                return False
            # An earlier write of this process succeeded, and its answer got lost.
            return self._write(current.generation)
        self._generation, self._renewed = blob.generation, start
        return True

    def _blob(self) -> "Blob":
        return self._bucket.blob(self._name)


def _now() -> float:
    """The time in seconds, by a clock that goes on while the machine sleeps, unlike `time.monotonic`."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
