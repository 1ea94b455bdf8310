"""The KFP signature of report."""

from collections.abc import Sequence
from typing import Any

from components.gather import gathering_component

_SOURCE = '''
def report(
    about: str,
    failures: str,
    pipeline_sha256: str,
    code_version: str,
    page: dsl.Output[dsl.HTML],
    leaderboard: dsl.Input[dsl.Artifact] = None,
    INPUTS,
) -> None:
    """Write the page that shows a run."""
    from components.report.work import report

    report(
        about,
        failures,
        pipeline_sha256,
        FOLDERS,
        leaderboard=leaderboard and leaderboard.path,
        path=page.path,
    )
'''


def report_component(datasets: list[str], models: list[str], tuned: Sequence[str] = ()) -> Any:  # noqa: ANN401 (a KFP component)
    """The report component for these data sets and models, and for those of them that were tuned."""
    per_model = {kind: models for kind in ("model", "evaluation", "export")}
    searches = {"tuning": list(tuned)} if tuned else {}
    return gathering_component(_SOURCE, {"dataset": datasets, **searches, **per_model})
