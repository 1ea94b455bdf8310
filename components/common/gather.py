"""Components that take the outputs of any number of tasks.

KFP reads a component's inputs from its function's signature, and only a ParallelFor gives a list of artifacts. So the
function of a step such as compare has dictionaries of folders by name. This module replaces each dictionary by an
optional artifact input for each of its entries.
"""

import ast
import tempfile
from pathlib import Path

import yaml
from kfp import compiler, components
from kfp.dsl.base_component import BaseComponent

# For each dictionary of a function, the prefix of the inputs that replace it, and their type.
KINDS = {
    "datasets": ("dataset", "Dataset"),
    "baselines": ("baseline", "Artifact"),
    "searches": ("search", "Artifact"),
    "models": ("model", "Model"),
    "evaluations": ("evaluation", "Artifact"),
    "exports": ("export", "Model"),
    "fold_datasets": ("fold_dataset", "Dataset"),
    "fold_baselines": ("fold_baseline", "Artifact"),
    "fold_evaluations": ("fold_evaluation", "Artifact"),
}


def inputs_of(gathered: dict[str, list[str]]) -> dict[str, dict[str, str]]:
    """For each dictionary of a component, its keys with the names of the inputs that replace them."""
    return {kind: {name: f"{KINDS[kind][0]}_{name}" for name in names} for kind, names in gathered.items()}


def gathering(component: BaseComponent, gathered: dict[str, dict[str, str]]) -> BaseComponent:
    """A component with artifact inputs in place of its dictionaries.

    Args:
        component: A KFP component whose function has parameters of type `dict`, name to folder. None stands for the
            folder of a task that failed.
        gathered: What `inputs_of` gives for these parameters.
    """
    name = component.name
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "component.yaml"
        compiler.Compiler().compile(component, str(path))
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))
    defined = spec["components"][f"comp-{name}"]["inputDefinitions"]
    for kind, inputs in gathered.items():
        del defined["parameters"][kind]
        artifact = {"artifactType": {"schemaTitle": f"system.{KINDS[kind][1]}", "schemaVersion": "0.0.1"}}
        defined.setdefault("artifacts", {}).update({i: {**artifact, "isOptional": True} for i in inputs.values()})
    container = spec["deploymentSpec"]["executors"][f"exec-{name}"]["container"]
    container["command"][-1] = _source(container["command"][-1], gathered)
    return components.load_component_from_text(yaml.safe_dump(spec))


def _source(source: str, gathered: dict[str, dict[str, str]]) -> str:
    """Replace the dictionaries in a function's parameters by artifacts, and begin its body with the dictionaries."""
    tree = ast.parse(source)
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef))
    parameters, dictionaries = [], []
    for kind, inputs in gathered.items():
        parameters += [f"{name}: dsl.Input[dsl.{KINDS[kind][1]}] = None" for name in inputs.values()]
        folders = ", ".join(f"{key!r}: {name} and {name}.path" for key, name in inputs.items())
        dictionaries.append(f"{kind} = {{{folders}}}")
    added = ast.parse(f"def added({', '.join(parameters)}):\n    " + "\n    ".join(dictionaries)).body[0]
    assert isinstance(added, ast.FunctionDef)  # noqa: S101 (for the type checker)
    signature = function.args
    signature.args = [argument for argument in signature.args if argument.arg not in gathered] + added.args.args
    signature.defaults += added.args.defaults
    function.body[:0] = added.body
    return ast.unparse(tree)
