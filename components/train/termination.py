"""SIGTERM, as a machine that is taken away sends it: save, then end within ten seconds."""

import os
import signal
import socket
import threading
from types import TracebackType

# What a shell gives for a process that SIGTERM ended.
EXIT_CODE = 128 + signal.SIGTERM
# After so long the process ends without a new checkpoint: the last one is whole.
GRACE_SECONDS = 8.0


class Termination:
    """Notes SIGTERM while it is entered, in the main thread.

    Python runs signal handlers between two calls, and a call of TensorFlow's can last. So a thread hears of the
    signal, and ends the process where the training hasn't done so in time.

    Attributes:
        asked: Whether SIGTERM came.
    """

    def __init__(self) -> None:
        self.asked = False
        self._over = threading.Event()

    def __enter__(self) -> "Termination":
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._handler = signal.signal(signal.SIGTERM, lambda number, frame: None)
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        signal.set_wakeup_fd(self._wakeup)
        signal.signal(signal.SIGTERM, self._handler)
        self._writer.close()

    def _watch(self) -> None:
        with self._reader:
            while number := self._reader.recv(1):
                if number[0] == signal.SIGTERM:
                    self.asked = True
                    break
        if number and not self._over.wait(GRACE_SECONDS):
            print("stopped by SIGTERM before a checkpoint could be saved; the last one is whole", flush=True)
            os._exit(EXIT_CODE)
