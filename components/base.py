"""How a step becomes a KFP component: a thin function whose body imports the work from this package.

The image ships the package, so nothing is installed when a task starts. The same component runs in a
subprocess, in a container and on Vertex AI.
"""

import functools
import os
from collections.abc import Callable
from typing import Any

from kfp import dsl

# Named once, when the pipeline is compiled. Without "python" in it kfp.local warns at every task.
IMAGE = os.environ.get("IMAGE", "keras-pipeline-python:latest")

component: Callable[..., Any] = functools.partial(
    dsl.component, base_image=IMAGE, packages_to_install=[], install_kfp_package=False
)
