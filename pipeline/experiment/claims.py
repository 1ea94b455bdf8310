"""What an experiment claims of its models (`expect:`), and whether what was measured bears it out."""

import difflib
import statistics
from typing import Any

from pydantic import Field

from components.artifacts.leaderboard import METRICS, Leaderboard
from components.common.errors import InputError, collecting
from components.common.spec import Strict, Task
from pipeline.experiment.validated import cut, validated

# What floats add up to an error: 0.899 is within 0.004 of 0.895.
ROUNDING = 1e-9
# Metrics from 0 to 1, of which more is better; the others are errors.
SHARES = ("accuracy", "macro_f1")


class Claim(Strict):
    """What a model is expected to reach on the test split.

    A claim is a figure that others come to, too, so it has two sides: a model that does much better than claimed is
    either described by an old figure, or has seen the test split.

    Attributes:
        value: Of the metric.
        within: How far from it the measured value may lie.
    """

    value: float = Field(ge=0, allow_inf_nan=False)
    within: float = Field(gt=0, allow_inf_nan=False)


class Spread(Strict):
    """A metric of a model over some seeds.

    Attributes:
        values: One for each seed.
        mean: Of them.
        std: Standard deviation of a sample (divided by one less than there are); None for one seed.
        min: The smallest.
        max: The largest.
    """

    values: list[float]
    mean: float
    std: float | None
    min: float
    max: float


class Verdict(Strict):
    """A claim, and what came out.

    Attributes:
        model: Whose it is.
        metric: Of which metric.
        value: What is claimed.
        within: How far the measured value may lie from it.
        measured: The mean over the seeds.
        holds: Whether it doesn't lie farther.
    """

    model: str
    metric: str
    value: float
    within: float
    measured: float
    holds: bool

    def words(self) -> str:
        """The verdict in words."""
        if self.holds:
            return "holds"
        better = (self.measured > self.value) == (self.metric in SHARES)
        return f"fails, {'better' if better else 'worse'} than claimed"


class Verification(Strict):
    """`verify.json`: what `verify` found.

    Attributes:
        experiment: Its name.
        seeds: Those it ran with.
        runs: Names of the runs, folders in runs/<experiment>, one for each seed.
        created: When, ISO 8601, UTC.
        models: The spread of each model's metrics over the seeds.
        claims: Each claim with its verdict.
    """

    experiment: str
    seeds: list[int]
    runs: list[str]
    created: str
    models: dict[str, dict[str, Spread]]
    claims: list[Verdict]


def check_expect(where: str, expect: Any, task: Task) -> dict[str, Claim]:  # noqa: ANN401 (what YAML holds)
    """Check what a model claims.

    Args:
        where: File and model, for messages.
        expect: Its claims by metric.
        task: What its data set is for.

    Raises:
        InputError: It can't be judged.
    """
    if not isinstance(expect, dict):
        raise InputError(f"{where}: expect: {cut(expect)}, expected metrics such as {METRICS[task][0]}")
    claims = {}
    problems: list[str] = []
    for metric, given in expect.items():
        with collecting(problems):
            claims[metric] = _claim(f"{where}: expect", metric, given, task)
    if problems:
        raise InputError(*problems)
    return claims


def _claim(at: str, metric: Any, given: Any, task: Task) -> Claim:  # noqa: ANN401 (what YAML holds)
    if metric not in METRICS[task]:
        near = difflib.get_close_matches(str(metric), METRICS[task], n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"of {task} there are: {', '.join(METRICS[task])}"
        raise InputError(f"{at}: no metric '{cut(metric, quoted=False)}'; {hint}")
    if not isinstance(given, dict):
        raise InputError(f"{at}.{metric}: {cut(given)}, expected {{value: …, within: …}}")
    claim = validated(Claim, given, f"{at}.{metric}")
    if metric in SHARES and claim.value > 1:
        raise InputError(f"{at}.{metric}: value: {claim.value}, expected a share from 0 to 1")
    return claim


def spreads(boards: list[Leaderboard]) -> dict[str, dict[str, Spread]]:
    """The metrics of each model, in the order of the first board, over the runs.

    Args:
        boards: The leaderboards of runs of one experiment, in which every model was finished.
    """
    models = {entry.model: entry.task or "" for entry in boards[0].models}
    metrics = [{entry.model: entry.metrics for entry in board.models} for board in boards]
    return {
        model: {metric: _spread([run[model][metric] for run in metrics]) for metric in METRICS[task]}
        for model, task in models.items()
    }


def judge(expect: dict[str, dict[str, Claim]], measured: dict[str, dict[str, Spread]]) -> list[Verdict]:
    """Hold claims against the means of what was measured.

    Args:
        expect: For each model its claims by metric.
        measured: For each model the spread of its metrics.
    """
    return [
        Verdict(
            model=model,
            metric=metric,
            value=claim.value,
            within=claim.within,
            measured=(mean := measured[model][metric].mean),
            holds=abs(mean - claim.value) <= claim.within + ROUNDING,
        )
        for model, claims in expect.items()
        for metric, claim in claims.items()
    ]


def _spread(values: list[float]) -> Spread:
    return Spread(
        values=values,
        mean=statistics.fmean(values),
        std=statistics.stdev(values) if len(values) > 1 else None,
        min=min(values),
        max=max(values),
    )
