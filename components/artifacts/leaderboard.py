"""`leaderboard.json`: the result of a run, and a promise to whoever reads it."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from components.artifacts.export import Format
from components.artifacts.model import Machine
from components.common.files import write_text
from components.common.spec import Strict, Task

_LEADERBOARD = "leaderboard.json"
# Of each task, the ones that rank first.
METRICS = {"classification": ("accuracy", "macro_f1", "loss"), "forecasting": ("mae", "rmse", "mase")}
# For each task the metric that ranks its models, and the sign that makes smaller better.
RANKED_BY = {"classification": ("accuracy", -1), "forecasting": ("mae", 1)}
# Below so many test examples a figure says little, and a warning stands beside it.
FEW = 30


def figure(value: float) -> str:
    """A metric for people: four places, or four digits where those would all be zeros."""
    return f"{value:.4f}" if abs(value) >= 0.01 or not value else f"{value:.4g}"


def interval(ends: list[float]) -> str:
    """A 95 % interval for people. All samples of a split that is too short are the same, and say nothing."""
    low, high = ends
    return "no interval" if low == high else f"{figure(low)} to {figure(high)}"


def is_clear(ends: list[float]) -> bool:
    """Whether the interval of a difference leaves zero out."""
    low, high = ends
    return low != high and not low <= 0 <= high


class DatasetEntry(Strict):
    """A data set of the leaderboard.

    Attributes:
        task: What it is for.
        source: Where it comes from.
        splits: Examples of each split: images, or windows of a series.
        sha256: Digest of its records.
        baselines: For each baseline its metrics, on the test examples.
        unit: Of mae and rmse; empty for images, and where the config names none.
        best_baseline: The baseline that is best by the metric that ranks models; None where none was measured.
        beaten_by: The baselines that are better than every model by that metric, best first. With one of them the
            models are of no use, which terminal and report say first: see `Leaderboard.beaten`.
        few: Whether there are fewer than FEW test examples.
    """

    task: Task
    source: str
    splits: dict[str, int]
    sha256: str
    baselines: dict[str, dict[str, float]]
    unit: str = ""
    best_baseline: str | None = None
    beaten_by: list[str] = []
    few: bool = False


class ModelEntry(Strict):
    """A model of the leaderboard. One that failed has no rank, no metrics, and says why in `reasons`.

    Attributes:
        model: Its name.
        family: Its architecture.
        dataset: Its data set.
        task: The data set's task; None if that failed.
        rank: Its place among the models of its data set, from 1.
        passed: Whether it may be registered: its gate let it through, or there is none.
        gate: "passed": it beats every baseline that the data set's gate names, by the margin named; without `gate:` in
            the config every naive baseline. "refused": it doesn't. "none": the config says `gate: none`. None where
            the model failed.
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
        machine: What it was trained on.
        formats: What it was exported to. Paths are relative to the export folder; in a run's leaderboard, to its own.
    """

    model: str
    family: str
    dataset: str
    task: Task | None = None
    rank: int | None = None
    passed: bool = False
    gate: Literal["passed", "refused", "none"] | None = None
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
    machine: Machine | None = None
    formats: dict[str, Format] = {}

    def distance(self) -> str:
        """How far behind the first it is, as the end of a sentence; empty for the first."""
        if not self.behind:
            return ""
        return f"{interval(self.behind)} behind" if is_clear(self.behind) else "no clear difference"

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
        code_version: Digest of the code that its tasks ran.
        created: When, ISO 8601, UTC.
        datasets: By name.
        models: Best first within each data set.
        seed: Of the experiment; None in a file that is older than this field.
    """

    experiment: str
    run: str
    pipeline_sha256: str
    code_version: str
    created: str
    datasets: dict[str, DatasetEntry]
    models: list[ModelEntry]
    seed: int | None = None

    def best(self, dataset: str) -> ModelEntry | None:
        """The best model of a data set, whether it passed or not."""
        return next((m for m in self.models if m.dataset == dataset and m.rank == 1), None)

    def winner(self, dataset: str) -> ModelEntry | None:
        """The best model of a data set, if it passed."""
        best = self.best(dataset)
        return best if best and best.passed else None

    def verdict(self, model: ModelEntry) -> str:
        """What the gate said of a model; and of one that passed, the baseline that is better all the same."""
        about = self.datasets.get(model.dataset)
        if model.rank is None or about is None:
            return "failed"
        if model.gate == "none":
            return "no gate"
        if not model.passed:
            return "refused"
        metric, sign = RANKED_BY[about.task]
        best = about.best_baseline
        behind = best and sign * model.metrics[metric] > sign * about.baselines[best][metric]
        return f"passed, behind {best}" if behind else "passed"

    def beaten(self, dataset: str) -> str:
        """A sentence that says which baselines beat every model of a data set; empty where none does."""
        about, best = self.datasets.get(dataset), self.best(dataset)
        if about is None or best is None or not about.beaten_by:
            return ""
        metric, _ = RANKED_BY[about.task]
        unit = f" {about.unit}" if metric == "mae" and about.unit else ""
        theirs, ours = about.baselines[about.beaten_by[0]][metric], best.metrics[metric]
        *others, last = about.beaten_by
        names, verb = (f"{', '.join(others)} and {last}", "beat") if others else (last, "beats")
        return f"{names} {verb} every model of {dataset}: {metric} {figure(theirs)} against {figure(ours)}{unit}"


class Contestant(Strict):
    """A model that compare expects results of.

    Attributes:
        family: Its family.
        dataset: Its data set.
        tasks: Names of the tasks that its results need.
    """

    family: str
    dataset: str
    tasks: list[str]


class Contest(Strict):
    """What compare is told of the experiment.

    Attributes:
        experiment: Its name.
        seed: Of the resampling that tells models apart.
        gates: For each data set, the baselines to beat and the share of their error to take away: none where that is
            empty. Of a data set that isn't here, or is None, a model has to be better than every naive baseline.
        models: By name.
    """

    experiment: str
    seed: int
    gates: dict[str, dict[str, float] | None]
    models: dict[str, Contestant] = Field(min_length=1)


def save_leaderboard(folder: Path, leaderboard: Leaderboard) -> None:
    """Write `leaderboard.json`."""
    write_text(folder / _LEADERBOARD, leaderboard.model_dump_json(indent=2) + "\n")


def load_leaderboard(folder: Path | str) -> Leaderboard:
    """Read `leaderboard.json` of the folder that compare wrote, or of a run."""
    return Leaderboard.model_validate_json((Path(folder) / _LEADERBOARD).read_text(encoding="utf-8"))
