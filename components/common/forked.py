"""A Python that needn't import TensorFlow again, where a local run has one (pipeline/local/forks.py)."""

import json
import os
import sys

# A JSON list: a command that stands for such a Python, for modules (`-m`), and ends in a descriptor to pass on.
PYTHON = "KERAS_PIPELINE_PYTHON"


def python() -> tuple[list[str], list[int]]:
    """The command of a Python that has imported TensorFlow, else of any, and the descriptors to pass on to it."""
    command = json.loads(os.environ.get(PYTHON, "[]"))
    return command or [sys.executable], [int(descriptor) for descriptor in command[-1:]]
