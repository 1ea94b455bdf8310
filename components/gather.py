"""Components that take the outputs of any number of tasks.

KFP reads a component's inputs from its function's signature and ships the function's source, and a list of
artifacts can come from a ParallelFor alone. So the function is written for the experiment at hand: one
optional input for each task's output, handed on as dictionaries.
"""

import linecache
from typing import Any

from kfp import dsl

from components.base import component

TYPES = {
    "dataset": "Dataset",
    "baseline": "Artifact",
    "tuning": "Artifact",
    "model": "Model",
    "evaluation": "Artifact",
    "export": "Model",
}


def gathering_component(source: str, gathered: dict[str, list[str]]) -> Any:  # noqa: ANN401 (a KFP component)
    """Make a component from the source of a function with two placeholders.

    Args:
        source: A function's source. `INPUTS` in its signature becomes one optional artifact input for each
            output gathered; `FOLDERS` in its body becomes keyword arguments with their paths.
        gathered: For each kind of output ("model"), the names that it is gathered for.

    Returns:
        The component; its inputs are named `<kind>_<name>`.
    """
    inputs = [
        f"{kind}_{name}: dsl.Input[dsl.{TYPES[kind]}] = None" for kind, names in gathered.items() for name in names
    ]
    folders = [
        f"{kind}s={{" + ", ".join(f"{n!r}: {kind}_{n} and {kind}_{n}.path" for n in names) + "}"
        for kind, names in gathered.items()
    ]
    text = source.replace("INPUTS", ",\n    ".join(inputs)).replace("FOLDERS", ",\n        ".join(folders))
    # KFP asks `inspect` for the source, and that looks here for code which isn't in a file.
    file = f"<gathering {hash(text)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    namespace: dict[str, Any] = {"dsl": dsl}
    exec(compile(text, file, "exec"), namespace)  # noqa: S102 (our own text and validated names)
    return component(namespace[text.split("def ", 1)[1].split("(", 1)[0]])
