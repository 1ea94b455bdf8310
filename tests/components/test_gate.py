"""The gate of a data set, and what the leaderboard says of models that a baseline beats."""

import pytest

from components.artifacts.dataset import ImagesInfo, SeriesInfo
from components.artifacts.leaderboard import FEW, Leaderboard, ModelEntry
from components.compare.compare import dataset_entry, gate

SERIES = SeriesInfo.model_construct(task="forecasting", unit="GW", source="csv", sha256="1" * 64, records={"test": 40},
                                    lookback=4, horizon=1)  # fmt: skip
IMAGES = ImagesInfo.model_construct(task="classification", source="tfds", sha256="1" * 64, records={"test": 29})
NAIVE = {"last_value": None, "same_time_yesterday": None}
BASELINES = {"last_value": {"mae": 0.4}, "same_time_yesterday": {"mae": 0.3}, "ridge": {"mae": 0.1}}


def entry(name, metrics, rank=1, **more):
    return ModelEntry(model=name, family="mlp", dataset="sales", rank=rank, metrics=metrics, **more)


def board(info, baselines, *models):
    about = dataset_entry(info, baselines, list(models))
    return Leaderboard(
        experiment="x", run="x", pipeline_sha256="", code_version="", created="", datasets={"sales": about},
        models=list(models),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("margins", "mae", "verdict", "said"),
    [
        (NAIVE, 0.29, "passed", ["is 28% below last_value (0.4)", "is 3% below same_time_yesterday (0.3)"]),
        (NAIVE, 0.3, "refused", ["passes", "fails: mae 0.3 GW is that of same_time_yesterday (0.3)"]),
        (NAIVE, 0.35, "refused", ["passes", "fails: mae 0.35 GW is 17% above same_time_yesterday (0.3)"]),
        ({}, 9.0, "none", []),
        ({"ridge": 0.0}, 0.1, "passed", ["is that of ridge (0.1, margin 0%)"]),
        ({**NAIVE, "coverage": 0.75}, 0.29, "passed", ["passes", "passes", "78.00%, at least 75.00% is"]),
        ({"coverage": 0.8}, 0.1, "refused", ["fails: coverage is 78.00%, at least 80.00% is asked"]),
        ({"ridge": 0.1}, 0.095, "refused", ["fails: mae 0.095 GW is 5% below ridge (0.1, margin 10%)"]),
    ],
)
def test_a_gate_is_passed_refused_or_none(margins, mae, verdict, said):
    got, reasons = gate(margins, BASELINES, {"mae": mae, "coverage": 0.78}, SERIES)
    assert got == verdict
    assert len(reasons) == len(said)
    for reason, part in zip(reasons, said, strict=True):
        assert part in reason


def test_a_model_without_quantiles_fails_a_gate_of_coverage():
    verdict, (reason,) = gate({"coverage": 0.5}, BASELINES, {"mae": 0.1}, SERIES)
    assert (verdict, reason) == (
        "refused",
        "fails: coverage is not known, for it has no quantiles, at least 50.00% is asked",
    )


def test_a_classifier_has_to_beat_the_majority_class_and_not_the_linear_one():
    baselines = {"majority_class": {"accuracy": 0.5}, "linear": {"accuracy": 0.9}}
    assert gate({"majority_class": None}, baselines, {"accuracy": 0.51}, IMAGES)[0] == "passed"
    assert gate({"majority_class": None}, baselines, {"accuracy": 0.5}, IMAGES)[0] == "refused"


def test_a_baseline_without_any_error_is_not_beaten():
    for margins in ({"last_value": None}, {"last_value": 0.0}):
        verdict, (reason,) = gate(margins, {"last_value": {"mae": 0.0}}, {"mae": 0.5}, SERIES)
        assert verdict == "refused"
        assert reason.startswith("fails: mae 0.5 GW is above last_value (0")


def test_baselines_that_beat_every_model_are_named_best_first():
    found = board(SERIES, BASELINES, entry("a", {"mae": 0.34}), entry("b", {"mae": 0.5}, rank=2))
    assert found.datasets["sales"].beaten_by == ["ridge", "same_time_yesterday"]
    assert found.datasets["sales"].best_baseline == "ridge"
    assert found.beaten("sales") == (
        "ridge and same_time_yesterday beat every model of sales: mae 0.1000 against 0.3400 GW"
    )
    found = board(SERIES, BASELINES, entry("a", {"mae": 0.2}), entry("b", {"mae": 0.5}, rank=2))
    assert found.beaten("sales") == "ridge beats every model of sales: mae 0.1000 against 0.2000 GW"


def test_equal_is_not_beaten_and_a_data_set_without_models_or_baselines_is_not_either():
    assert not board(SERIES, BASELINES, entry("a", {"mae": 0.1})).beaten("sales")
    assert not board(SERIES, BASELINES, entry("a", {}, rank=None)).beaten("sales")
    assert not board(SERIES, {}, entry("a", {"mae": 0.1})).beaten("sales")
    assert not board(SERIES, BASELINES, entry("a", {"mae": 0.1})).beaten("other")
    more = {"majority_class": {"accuracy": 0.6}}
    assert "accuracy 0.6000 against 0.5000" in board(IMAGES, more, entry("a", {"accuracy": 0.5})).beaten("sales")


@pytest.mark.parametrize("kept", [{}, {"ridge": {"rmse": 0.2}}])
def test_a_file_that_lacks_a_baselines_metric_is_no_error(kept):
    models = [entry("a", {"mae": 0.34}, passed=True, gate="passed")]
    found = board(SERIES, BASELINES, *models)
    assert found.verdict(models[0]) == "passed, behind ridge"
    lacking = found.datasets["sales"].model_copy(update={"baselines": kept})
    found = found.model_copy(update={"datasets": {"sales": lacking}})
    assert found.verdict(models[0]) == "passed"
    assert not found.beaten("sales")


def test_few_test_examples_are_fewer_than_thirty():
    assert FEW == 30
    assert board(IMAGES, {}).datasets["sales"].few
    assert not board(SERIES, {}).datasets["sales"].few


@pytest.mark.parametrize(
    ("behind", "said"),
    [
        ([], ""),
        ([-0.0082, 0.0368], "no clear difference"),
        ([0.0, 0.1], "no clear difference"),
        ([0.0123, 0.0368], "0.0123 to 0.0368 behind"),
        ([0.00001, 0.00002], "1e-05 to 2e-05 behind"),
    ],
)
def test_a_difference_that_may_be_none_is_said_to_be_none(behind, said):
    assert entry("a", {}, behind=behind).distance() == said
