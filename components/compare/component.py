"""The KFP signature of compare."""

from collections.abc import Sequence
from typing import Any

from components.gather import gathering_component

_SOURCE = '''
def compare(
    contest: str,
    failures: str,
    pipeline_sha256: str,
    code_version: str,
    run: str,
    leaderboard: dsl.Output[dsl.Artifact],
    INPUTS,
) -> None:
    """Rank the models of each data set."""
    from components.compare.work import compare

    compare(
        contest,
        failures,
        pipeline_sha256,
        code_version,
        run,
        FOLDERS,
        folder=leaderboard.path,
    )
'''


def compare_component(datasets: list[str], models: list[str], tuned: Sequence[str] = ()) -> Any:  # noqa: ANN401 (a KFP component)
    """The compare component for these data sets and models, and for those of them that were tuned."""
    per_model = {kind: models for kind in ("model", "evaluation", "export")}
    searches = {"tuning": list(tuned)} if tuned else {}
    return gathering_component(_SOURCE, {"dataset": datasets, "baseline": datasets, **searches, **per_model})
