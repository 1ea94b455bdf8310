"""Make a KFP component of a step's function, whose body imports the step's module.

The image contains this package, so nothing is installed when a task starts. The same component runs in a process, in a
container and on Vertex AI.
"""

import ast
from collections.abc import Callable

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from components.common.image_names import IMAGE

_RUN = "python3 -m kfp.dsl.executor_main"


def component(function: Callable[..., None]) -> BaseComponent:
    """Make a KFP component of a function.

    KFP starts Python from a shell, which doesn't pass on SIGTERM, so that a cancelled task would go on. With `exec`,
    Python replaces the shell (kubeflow/pipelines issue 7902).

    KFP puts the function's source into the command, which is part of a cache's key. Comments and the docstring are left
    out, so that a change of them reruns no task.

    Args:
        function: The function. Its parameters are the component's inputs and outputs.
    """
    result = dsl.component(function, base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
    container = result.component_spec.implementation.container
    *start, source = container.command
    container.command = [*(part.replace(_RUN, f"exec {_RUN}") for part in start), _uncommented(source)]
    return result


def _uncommented(source: str) -> str:
    tree = ast.parse(source)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
            del node.body[0]
    return ast.unparse(tree)
