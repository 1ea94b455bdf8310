"""TensorFlow without the lines that it prints when it is imported, whatever its log level is."""

import os
from pathlib import Path
from typing import Any


def import_tensorflow() -> Any:  # noqa: ANN401 (the module)
    """Import TensorFlow while standard error goes nowhere, so that a command that fails prints one line."""
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        import tensorflow
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    return tensorflow
