"""`leaderboard.json`: the result of a run, in a form that other programs may rely on."""

from typing import Annotated, Literal

from pydantic import Field

from components.artifacts.backtest import Folds, Spread
from components.artifacts.export import Format
from components.artifacts.json_file import JsonFile
from components.artifacts.model import Machine
from components.common.spec import Strict, Task
from components.metrics.metrics import METRICS

# A metric over fewer test examples than this says little, and a warning stands beside it.
FEW = 30
# The lower and the upper end of an interval.
Ends = Annotated[list[float], Field(min_length=2, max_length=2)]


def figure(value: float) -> str:
    """A metric as text, with four decimal places, or two significant digits where it is below 0.001."""
    return f"{value:.4f}" if abs(value) >= 0.001 or not value else f"{value:.2g}"


def interval(ends: list[float]) -> str:
    """A 95 % interval as text. Equal ends mean that the split is too short for a bootstrap."""
    low, high = ends
    return "no interval" if low == high else f"{figure(low)} to {figure(high)}"


def is_clear(ends: list[float]) -> bool:
    """Whether the interval of a difference leaves zero out."""
    low, high = ends
    return low != high and not low <= 0 <= high


class DatasetEntry(Strict):
    """A data set of the leaderboard.

    Attributes:
        task: The task of its models.
        source: The name of its source.
        splits: The number of examples of each split: images, or windows of a series.
        sha256: The digest of its records.
        baselines: The metrics of each baseline on the test examples.
        unit: The target's unit; empty for images, and where the config names none.
        best_baseline: The best baseline by the metric that ranks models; None where none was measured.
        beaten_by: The baselines that are better than every model by that metric, best first. Where there is one, the
            models are of no use, and the terminal and the report begin with `Leaderboard.beaten`.
        few: Whether it has fewer than FEW test examples.
        confidence_set: The models of the 95 % model confidence set, best first: one of them is the best with a
            probability of 95 %, however many models there are. Empty where none was finished, and in a file that is
            older than this key.
        backtest: The folds of its backtest; None where the config asks for none.
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
    confidence_set: list[str] = []
    backtest: Folds | None = None


class ModelEntry(Strict):
    """A model of the leaderboard. A model that failed has neither rank nor metrics, and `reasons` says why.

    Attributes:
        model: The model's name.
        family: The name of its family.
        dataset: The name of its data set.
        task: The data set's task; None where the model failed.
        rank: Its rank among the models of its data set, from 1.
        passed: Whether it may be registered, for its gate let it through, or there is no gate.
        gate: "passed": the model beats every baseline that the data set's gate names by the margin there; without
            `gate:` in the config, every naive baseline. "refused": it doesn't. "none": the config says `gate: none`.
            None: the model failed.
        reasons: A sentence for each baseline of the gate, or the reason why the model failed.
        metrics: The metrics on the test split.
        intervals: The 95 % interval of each metric.
        behind: The ends of the 95 % interval of the difference from the best model of its data set, by the metric that
            ranks them and a paired bootstrap over the test examples. Empty for the best model.
        ties: The models of its data set that it can't be told apart from, for the interval of their difference holds
            zero. With many models some of these pairs differ by chance; `mcs_p_value` takes that into account.
        mcs_p_value: Its p-value for the model confidence set: it is in the 95 % set where this is above 0.05. None
            where the model failed, and in a file that is older than this key.
        parameters: The number of its weights.
        epochs: The number of epochs trained.
        best_epoch: The epoch whose weights were kept, from 1.
        train_seconds: The sum of the epochs' seconds.
        examples_per_second: The number of training examples per second of them.
        machine: The machine that it was trained on.
        formats: The formats by name. Their paths are relative to the export folder, and in a run's folder to that.
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
    intervals: dict[str, Ends] = {}
    behind: list[float] = []
    ties: list[str] = []
    mcs_p_value: float | None = None
    parameters: int | None = None
    epochs: int | None = None
    best_epoch: int | None = None
    train_seconds: float | None = None
    examples_per_second: float | None = None
    machine: Machine | None = None
    formats: dict[str, Format] = {}

    def distance(self) -> str:
        """The difference from the best model, as the end of a sentence; empty for the best model."""
        if not self.behind:
            return ""
        return f"{interval(self.behind)} behind" if is_clear(self.behind) else "no clear difference"


class Leaderboard(JsonFile):
    """The result of a run.

    Attributes:
        experiment: The experiment's name.
        run: The run's name.
        pipeline_sha256: The digest of the compiled pipeline that ran.
        code_version: The digest of the code that its tasks ran.
        created: The time, ISO 8601, UTC.
        datasets: The data sets, by name.
        models: The models, best first within each data set.
        seed: The experiment's seed; None in a file that is older than this field.
    """

    FILE = "leaderboard.json"
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
        return next((model for model in self.models if model.dataset == dataset and model.rank == 1), None)

    def over_folds(self, model: ModelEntry) -> dict[str, Spread]:
        """The spread of each metric of a model over the folds; empty without a backtest, and where a fold failed."""
        entry = self.datasets.get(model.dataset)
        return entry.backtest.models.get(model.model, {}) if entry and entry.backtest else {}

    def verdict(self, model: ModelEntry) -> str:
        """The gate's verdict on a model. For a model that passed, it names a baseline that is better nevertheless."""
        entry = self.datasets.get(model.dataset)
        if model.rank is None or entry is None:
            return "failed"
        if model.gate == "none":
            return "no gate"
        if not model.passed:
            return "refused"
        metric, best = METRICS[entry.task][0], entry.best_baseline
        theirs, ours = entry.baselines.get(best or "", {}).get(metric.name), model.metrics.get(metric.name)
        behind = theirs is not None and ours is not None and metric.error(ours) > metric.error(theirs)
        return f"passed, behind {best}" if behind else "passed"

    def undecided(self, dataset: str) -> str:
        """The sentence that says which models the best one can't be told apart from; empty where there are none."""
        entry, best = self.datasets.get(dataset), self.best(dataset)
        if entry is None or best is None:
            return ""
        others, by = [name for name in entry.confidence_set if name != best.model], "95 % model confidence set"
        if not entry.confidence_set:
            others, by = best.ties, "paired bootstrap, 95 %"
        names = " or ".join(filter(None, [", ".join(others[:-1]), *others[-1:]]))
        return f"{best.model} can't be told apart from {names} ({by})" if others else ""

    def beaten(self, dataset: str) -> str:
        """The sentence that says which baselines beat every model of a data set; empty where none does."""
        entry, best = self.datasets.get(dataset), self.best(dataset)
        if entry is None or best is None or not entry.beaten_by:
            return ""
        metric = METRICS[entry.task][0]
        unit = f" {entry.unit}" if metric.unit == "target" and entry.unit else ""
        theirs, ours = entry.baselines.get(entry.beaten_by[0], {}).get(metric.name), best.metrics.get(metric.name)
        if theirs is None or ours is None:
            return ""
        *others, last = entry.beaten_by
        names, verb = (f"{', '.join(others)} and {last}", "beat") if others else (last, "beats")
        return f"{names} {verb} every model of {dataset}: {metric.name} {figure(theirs)} against {figure(ours)}{unit}"


class Contestant(Strict):
    """A model whose results compare reads.

    Attributes:
        family: The name of its family.
        dataset: The name of its data set.
        tasks: The names of the tasks that its results come from.
    """

    family: str
    dataset: str
    tasks: list[str]


class Contest(Strict):
    """The part of the experiment that compare needs.

    Attributes:
        experiment: The experiment's name.
        seed: The seed of the bootstrap that tells models apart.
        gates: For each data set, the baselines to beat, each with the share of its error that a model has to take
            away, or None where it just has to be better. An empty gate lets every model pass.
        models: The models, by name.
        folds: The number of folds of each data set that has a backtest.
    """

    experiment: str
    seed: int
    gates: dict[str, dict[str, float | None]]
    models: dict[str, Contestant] = Field(min_length=1)
    folds: dict[str, int] = {}
