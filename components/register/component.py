"""The KFP signature of register."""

from typing import Any

from components.gather import gathering_component

_SOURCE = '''
def register(
    registry: str,
    vertex: str,
    code_version: str,
    leaderboard: dsl.Input[dsl.Artifact],
    registration: dsl.Output[dsl.Artifact],
    INPUTS,
) -> None:
    """Register the best model of each data set that passed: in a folder, or in Vertex AI's Model Registry."""
    from components.register.work import register

    register(leaderboard.path, FOLDERS, registry=registry, vertex=vertex, folder=registration.path)
'''


def register_component(models: list[str]) -> Any:  # noqa: ANN401 (a KFP component)
    """The register component for these models."""
    return gathering_component(_SOURCE, {"export": models})
