"""The claims of an experiment (`expect:`), and their comparison with the measured metrics."""

from pydantic import Field

from components.artifacts import backtest
from components.artifacts.backtest import Spread
from components.artifacts.leaderboard import Leaderboard, ModelEntry
from components.common.errors import InputError, collecting
from components.common.spec import Strict, Task
from components.common.words import did_you_mean
from components.metrics.metrics import METRICS, named
from pipeline.experiment.validation import shorten, validate

# The rounding error of floats, without which 0.899 wouldn't be within 0.004 of 0.895.
ROUNDING = 1e-9


class Claim(Strict):
    """The expected value of a metric on the test split.

    A claim can fail on both sides. Where a model is much better than claimed, the claim is out of date, or the model
    has seen the test split.

    Attributes:
        value: The expected value of the metric.
        within: The largest allowed distance of the measured value from it.
    """

    value: float = Field(ge=0, allow_inf_nan=False)
    within: float = Field(gt=0, allow_inf_nan=False)


class Verdict(Strict):
    """A claim with its result.

    Attributes:
        model: The model's name.
        metric: The metric.
        value: The claimed value.
        within: The largest allowed distance of the measured value.
        measured: The mean of the measured values over the seeds.
        holds: Whether the measured value is within that distance.
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
        better = (self.measured > self.value) == named(self.metric).higher_is_better
        return f"fails, {'better' if better else 'worse'} than claimed"


class Verification(Strict):
    """The content of `verify.json`.

    Attributes:
        experiment: The experiment's name.
        seeds: The seeds of the runs.
        runs: The names of the runs, which are folders in runs/<experiment>, one for each seed.
        created: The time, ISO 8601, UTC.
        models: The spread of each model's metrics over the seeds.
        claims: Each claim with its verdict.
    """

    experiment: str
    seeds: list[int]
    runs: list[str]
    created: str
    models: dict[str, dict[str, Spread]]
    claims: list[Verdict]


def check_expect(where: str, expect: object, task: Task, quantiles: bool = False) -> dict[str, Claim]:
    """Check the claims of a model.

    Args:
        where: The file and the model, for messages.
        expect: The value of `expect:` in the YAML file, claims by metric.
        task: The task of the model's data set.
        quantiles: Whether the model forecasts quantiles.

    Raises:
        InputError: A claim isn't one, or its metric isn't the task's.
    """
    if not isinstance(expect, dict):
        raise InputError(f"{where}: expect: {shorten(expect)}, expected metrics such as {METRICS[task][0].name}")
    claims = {}
    problems: list[str] = []
    for metric, given in expect.items():
        with collecting(problems):
            claims[metric] = _claim(f"{where}: expect", metric, given, task, quantiles)
    if problems:
        raise InputError(*problems)
    return claims


def _claim(at: str, metric: object, given: object, task: Task, quantiles: bool) -> Claim:
    metrics = {known.name: known for known in METRICS[task]}
    if metric not in metrics:
        hint = did_you_mean(str(metric), metrics) or f"of {task} there are: {', '.join(metrics)}"
        raise InputError(f"{at}: no metric '{shorten(metric, quoted=False)}'; {hint}")
    if metrics[metric].of_quantiles and not quantiles:
        raise InputError(f"{at}.{metric}: is for a model with quantiles")
    if not isinstance(given, dict):
        raise InputError(f"{at}.{metric}: {shorten(given)}, expected {{value: …, within: …}}")
    claim = validate(Claim, given, f"{at}.{metric}")
    if metrics[metric].unit == "share" and claim.value > 1:
        raise InputError(f"{at}.{metric}: value: {claim.value}, expected a share from 0 to 1")
    return claim


def spreads(boards: list[Leaderboard]) -> dict[str, dict[str, Spread]]:
    """The metrics of each model over runs of one experiment that finished every model, in the first one's order."""
    return backtest.spreads([{entry.model: _in_order(entry) for entry in board.models} for board in boards])


def _in_order(entry: ModelEntry) -> dict[str, float]:
    """A model's metrics, the one that ranks first."""
    names = [metric.name for metric in METRICS[entry.task]] if entry.task else []
    return {name: entry.metrics[name] for name in names if name in entry.metrics}


def judge(expect: dict[str, dict[str, Claim]], measured: dict[str, dict[str, Spread]]) -> list[Verdict]:
    """Compare claims, by model and metric, with the means of the measured values."""
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
