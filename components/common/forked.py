"""Find a Python that has imported TensorFlow already, which a local run has (pipeline/local/forks.py)."""

import json
import os
import sys

# The variable holds a JSON list: a command that runs modules (`-m`) in such a Python. Its last part is a descriptor
# that the command inherits.
PYTHON = "KERAS_PIPELINE_PYTHON"


def python() -> tuple[list[str], list[int]]:
    """The command of a Python, if possible one that has imported TensorFlow, and the descriptors that it inherits."""
    command = json.loads(os.environ.get(PYTHON, "[]"))
    return command or [sys.executable], [int(descriptor) for descriptor in command[-1:]]
