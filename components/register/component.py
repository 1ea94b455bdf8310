"""The KFP signature of register."""

from typing import Any

from components.gather import gathering_component

_SOURCE = '''
def register(
    registry: str,
    vertex: str,
    code_version: str,
    run: str,
    promote: bool,
    leaderboard: dsl.Input[dsl.Artifact],
    registration: dsl.Output[dsl.Artifact],
    INPUTS,
) -> None:
    """Register the best model of each data set that passed: in a folder, or in Vertex AI's Model Registry."""
    from components.register.work import register

    register(
        leaderboard.path,
        FOLDERS,
        registry=registry,
        vertex=vertex,
        run=run,
        promote=promote,
        folder=registration.path,
    )
'''


def register_component(datasets: list[str], models: list[str]) -> Any:  # noqa: ANN401 (a KFP component)
    """The register component for these data sets and models."""
    return gathering_component(_SOURCE, {"dataset": datasets, "evaluation": models, "export": models})
