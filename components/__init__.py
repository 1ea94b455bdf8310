"""The steps of the pipeline, and what they share."""

import os
import platform
import signal


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


# The first process of a container ignores a signal that it has no handler for. A step that has one sets its own.
if os.getpid() == 1 and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
    signal.signal(signal.SIGTERM, _end)

# TensorFlow reads this variable when it is imported. By itself it leaves oneDNN's kernels off on x86 CPUs without
# AVX-512, where they win as well, see docs/performance.md.
if platform.machine() in ("x86_64", "AMD64"):
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
