"""Every metric, against scikit-learn and against its own form for the bootstrap."""

import io

import numpy as np
import pytest
from rich.console import Console
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    log_loss,
    mean_absolute_error,
    mean_pinball_loss,
    root_mean_squared_error,
)

from components.artifacts.leaderboard import DatasetEntry, Leaderboard, ModelEntry
from components.metrics.bootstrap import errors, intervals
from components.metrics.metrics import METRICS, Metric, measure, resampled
from components.report.page import render
from pipeline.commands.leaderboard import show
from pipeline.experiment.claims import check_expect

SCALE = 2.5
QUANTILES = [0.1, 0.3, 0.5, 0.7, 0.9]


def ece(target, given):
    """By scikit-learn's curve of the predicted class, in the bins of Guo et al."""
    confidence, right = given.max(axis=1), given.argmax(axis=1) == target
    accuracy, sure = calibration_curve(right, confidence, n_bins=15)
    examples, _ = np.histogram(confidence, 15, (0, 1))
    return np.average(abs(accuracy - sure), weights=examples[examples > 0])


JUDGES = {
    "accuracy": lambda target, given: accuracy_score(target, given.argmax(axis=1)),
    "macro_f1": lambda target, given: f1_score(
        target, given.argmax(axis=1), labels=range(given.shape[1]), average="macro", zero_division=0
    ),
    "loss": lambda target, given: log_loss(
        target, given / given.sum(axis=1, keepdims=True, dtype=float), labels=range(given.shape[1])
    ),
    "ece": ece,
    "mae": mean_absolute_error,
    "rmse": lambda target, given: root_mean_squared_error(target.ravel(), given.ravel()),
    "mase": lambda target, given: mean_absolute_error(target, given) / SCALE,
    "coverage": lambda target, given: np.mean((target - given[..., 0]) * (given[..., -1] - target) >= 0),
    "width": lambda target, given: mean_absolute_error(given[..., 0], given[..., -1]),
    "pinball": lambda target, given: np.mean(
        [mean_pinball_loss(target, given[..., i], alpha=q) for i, q in enumerate(QUANTILES)]
    ),
}
EVERY = [(task, metric) for task, metrics in METRICS.items() for metric in metrics]


def answers(task):
    """Targets and predictions of 300 examples. Of the classes, one has no example and another is never predicted."""
    generator = np.random.default_rng(7)
    if task == "forecasting":
        target = generator.normal(50, 9, (300, 6)).astype(np.float32)
        return target, target + generator.normal(0, 3, target.shape).astype(np.float32)
    labels = generator.integers(0, 5, 300)
    scores = generator.random((300, 6)).astype(np.float32)
    scores[np.arange(300), labels] += 0.4
    scores[:, 2] = 1e-3
    return labels, scores / scores.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("task", "metric"), EVERY, ids=[metric.name for _, metric in EVERY])
def test_a_metric_is_what_scikit_learn_says_for_all_examples_and_for_those_drawn(task, metric):
    target, given = answers(task)
    quantiles = QUANTILES if metric.of_quantiles else ()
    if quantiles:
        given = given[..., None] + np.array([-4, -2, 0, 2, 4], np.float32)
    expected = JUDGES[metric.name](target, given)
    assert measure(task, target, given, SCALE, quantiles)[metric.name] == pytest.approx(expected, rel=1e-6)
    drawn = resampled(task, target, given, SCALE, quantiles)
    generator = np.random.default_rng(1)
    # The ECE of a sample has a test of its own.
    for sample in (generator.integers(0, 300, 300) for _ in range(5 * (metric.name != "ece"))):
        expected = JUDGES[metric.name](target[sample], given[sample])
        assert drawn(sample)[metric.name] == pytest.approx(expected, rel=1e-6)


def test_with_quantiles_the_other_metrics_are_those_of_the_median():
    target, forecast = answers("forecasting")
    without = measure("forecasting", target, forecast, SCALE)
    assert list(without) == ["mae", "rmse", "mase"]
    forecasts = np.stack([forecast - 5, forecast, forecast + 1], axis=-1)
    found = measure("forecasting", target, forecasts, SCALE, [0.1, 0.5, 0.9])
    assert {name: found[name] for name in without} == without
    np.testing.assert_array_equal(errors(target, forecasts), errors(target, forecast))


@pytest.mark.parametrize("confident", [0.0, 0.25])
def test_the_ece_of_samples_is_about_that_of_all_examples(confident):
    """Also where the model is calibrated, and the plain ECE of a sample is larger."""
    generator = np.random.default_rng(5)
    sure = generator.uniform(0.55, 0.95, 400)
    labels = (generator.random(400) > sure - confident).astype(int)
    given = np.stack([sure, 1 - sure], axis=1)
    value, drawn = ece(labels, given), resampled("classification", labels, given)
    assert drawn(np.arange(400))["ece"] == pytest.approx(value)
    samples = [generator.integers(0, 400, 400) for _ in range(300)]
    found = np.array([drawn(sample)["ece"] for sample in samples])
    assert found.mean() == pytest.approx(value, abs=0.004)
    plain = np.array([ece(labels[sample], given[sample]) for sample in samples])
    if confident:
        assert found.std() == pytest.approx(plain.std(), rel=0.15)
    else:
        assert plain.mean() > value + 0.01
    low, high = intervals(drawn, 400, seed=1)["ece"]
    assert low < value < high


def test_a_new_metric_needs_its_entry_and_nothing_else(monkeypatch):
    def worst(target, forecast, scale):
        return float(np.abs(forecast - target).max())

    new = Metric("worst", worst, unit="target")
    monkeypatch.setitem(METRICS, "forecasting", (*METRICS["forecasting"], new))
    target, forecast = answers("forecasting")
    values = measure("forecasting", target, forecast, SCALE)
    ends = intervals(resampled("forecasting", target, forecast, SCALE), 300, seed=1)
    assert values["worst"] == np.abs(forecast - target).max()
    assert ends["worst"][0] <= ends["worst"][1] == values["worst"]

    claims = check_expect("x", {"worst": {"value": 9, "within": 1}}, "forecasting")
    assert claims["worst"].value == 9
    entry = {"task": "forecasting", "source": "csv", "splits": {"test": 300}, "sha256": "", "unit": "GW"}
    about = DatasetEntry(**entry, baselines={"ridge": {**values, "worst": 100.0}}, best_baseline="ridge")
    model = ModelEntry(
        model="lstm", family="lstm", dataset="sales", task="forecasting", rank=1, metrics=values, intervals=ends,
        parameters=5, epochs=1, best_epoch=1, train_seconds=1, passed=True, gate="passed",
    )  # fmt: skip
    board = Leaderboard(
        experiment="x", run="x", pipeline_sha256="", code_version="", created="", datasets={"sales": about},
        models=[model],
    )  # fmt: skip
    out = io.StringIO()
    show(board, Console(file=out, width=150))
    head, row, *_ = out.getvalue().splitlines()[1:]
    assert head.split()[2:6] == ["mae", "rmse", "mase", "worst"], "and none of quantiles, which it hasn't"
    assert row.split()[5] == f"{values['worst']:.4f}"
    given = {"models": [], "contests": {}, "verdict": board.verdict, "measured": lambda value, few: value}
    html = render("leaderboard.html", board=board, **given)
    assert "worst in GW</th>" in html
    assert "coverage" not in html
