"""`leaderboard.json`: the result of a run, and a promise to whoever reads it."""

from pydantic import Field

from components.exported import Format
from components.spec import Strict, Task

FILE = "leaderboard.json"
# Of each task, the ones that rank first.
METRICS = {"classification": ("accuracy", "macro_f1", "loss"), "forecasting": ("mae", "rmse", "mase")}
# For each task the metric that ranks its models, and the sign that makes smaller better.
RANKED_BY = {"classification": ("accuracy", -1), "forecasting": ("mae", 1)}


class DatasetEntry(Strict):
    """A data set of the leaderboard.

    Attributes:
        task: What it is for.
        source: Where it comes from.
        splits: Examples of each split: images, or windows of a series.
        sha256: Digest of its records.
        baselines: For each baseline its metrics, on the test examples.
    """

    task: Task
    source: str
    splits: dict[str, int]
    sha256: str
    baselines: dict[str, dict[str, float]]


class ModelEntry(Strict):
    """A model of the leaderboard. One that failed has no rank, no metrics, and says why in `reasons`.

    Attributes:
        model: Its name.
        family: Its architecture.
        dataset: Its data set.
        task: The data set's task; None if that failed.
        rank: Its place among the models of its data set, from 1.
        passed: Whether it beats every baseline that the data set's gate names by the margin named.
        reasons: A sentence for each baseline of the gate, or why the model failed.
        metrics: On the test split.
        intervals: 95 % interval of each metric.
        behind: How much worse than the first of its data set it is by the metric that ranks them: the ends of the
            95 % interval of the difference, by a paired bootstrap over the test examples. Empty for the first.
        ties: Models of its data set that it can't be told apart from: that interval, of these two, holds zero.
        parameters: Weights.
        epochs: Epochs trained.
        best_epoch: The one whose weights were kept, from 1.
        train_seconds: Time in the epochs.
        examples_per_second: Training examples per second of it.
        formats: What it was exported to.
    """

    model: str
    family: str
    dataset: str
    task: Task | None = None
    rank: int | None = None
    passed: bool = False
    reasons: list[str] = []
    metrics: dict[str, float] = {}
    intervals: dict[str, list[float]] = {}
    behind: list[float] = []
    ties: list[str] = []
    parameters: int | None = None
    epochs: int | None = None
    best_epoch: int | None = None
    train_seconds: float | None = None
    examples_per_second: float | None = None
    formats: dict[str, Format] = {}

    def tied(self) -> str:
        """Its ties as the end of a sentence; empty where it has none."""
        *others, last = self.ties or [""]
        return f"can't be told apart from {', '.join(others)}{' or ' if others else ''}{last}" if last else ""


class Leaderboard(Strict):
    """The result of a run.

    Attributes:
        experiment: Name of the experiment.
        run: Name of the run.
        pipeline_sha256: Digest of the compiled pipeline that ran.
        code_version: Digest of the steps' code.
        created: When, ISO 8601, UTC.
        datasets: By name.
        models: Best first within each data set.
    """

    experiment: str
    run: str
    pipeline_sha256: str
    code_version: str
    created: str
    datasets: dict[str, DatasetEntry]
    models: list[ModelEntry]

    def winner(self, dataset: str) -> ModelEntry | None:
        """The best model of a data set, if it passed."""
        best = [m for m in self.models if m.dataset == dataset and m.rank == 1 and m.passed]
        return best[0] if best else None


class Contest(Strict):
    """What compare is told of the experiment.

    Attributes:
        experiment: Its name.
        seed: Of the resampling that tells models apart.
        gates: For each data set, the baselines to beat and the share of their error to take away.
        models: For each model its family and data set.
    """

    experiment: str
    seed: int
    gates: dict[str, dict[str, float]]
    models: dict[str, dict[str, str]] = Field(min_length=1)
