"""SIGTERM, from a machine that is taken away, or SIGHUP, from a terminal that closes: save, then end in ten seconds."""

import os
import signal
import socket
import threading

SIGNALS = (signal.SIGTERM, signal.SIGHUP)
# After so long the process ends without a new checkpoint: the last one is whole.
GRACE_SECONDS = 8.0


class Termination:
    """Notes SIGTERM and SIGHUP while it is entered, in the main thread. One that is ignored, as by nohup, stays so.

    Python runs signal handlers between two calls, and a call of TensorFlow's can last. So a thread hears of the
    signal, and ends the process where the training hasn't done so in time.

    Attributes:
        asked: The signal that came; 0 where none did.
    """

    def __init__(self) -> None:
        self.asked = 0
        self._over = threading.Event()

    def __enter__(self) -> "Termination":
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        self._handlers = {number: signal.signal(number, lambda number, frame: None) for number in heard}
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._writer.close()

    def _watch(self) -> None:
        with self._reader:
            while number := self._reader.recv(1):
                if number[0] in self._handlers:
                    self.asked = number[0]
                    break
        if number and not self._over.wait(GRACE_SECONDS):
            name = signal.Signals(self.asked).name
            print(f"stopped by {name} before a checkpoint could be saved; the last one is whole", flush=True)
            os._exit(128 + self.asked)
