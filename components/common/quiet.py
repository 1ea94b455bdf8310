"""Import TensorFlow without the lines that it prints at any log level."""

import os
from pathlib import Path
from types import ModuleType


def import_tensorflow() -> ModuleType:
    """Import TensorFlow without its output to standard error, so that a command that fails prints only one line."""
    stderr = os.dup(2)
    try:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        import tensorflow
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
    return tensorflow
