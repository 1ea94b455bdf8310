"""How a step becomes a KFP component: a thin function whose body imports the work from this package.

The image ships the package, so nothing is installed when a task starts. The same component runs in a
subprocess, in a container and on Vertex AI.
"""

import functools
from collections.abc import Callable
from typing import Any

from kfp import dsl

from components.image_names import IMAGE

component: Callable[..., Any] = functools.partial(
    dsl.component, base_image=IMAGE, packages_to_install=[], install_kfp_package=False
)
