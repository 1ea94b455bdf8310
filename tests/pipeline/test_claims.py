"""What a config claims of its models, and how it is judged."""

import io

import pytest
from rich.console import Console
from small_experiment import GOOD, SHIPPED, assert_refused, changed, write

from components.artifacts.leaderboard import DatasetEntry, Leaderboard, ModelEntry
from components.common.errors import InputError
from components.metrics.metrics import METRICS
from pipeline.commands.leaderboard import show, show_claims
from pipeline.commands.verify import load_seeds
from pipeline.experiment.claims import Claim, Verification, judge, spreads
from pipeline.experiment.experiment import load_experiment
from pipeline.graph.compile import compile_experiment

CLAIM = {"value": 0.9, "within": 0.01}


def board(**models):
    """A leaderboard of models of one data set with these accuracies; None for a model that failed."""
    entries = [
        ModelEntry(model=name, family="mlp", dataset="fashion", reasons=["train failed: ValueError: boom"])
        if accuracy is None
        else ModelEntry(
            model=name, family="mlp", dataset="fashion", task="classification", rank=i, passed=True,
            metrics={"loss": 1 - accuracy, "accuracy": accuracy, "macro_f1": accuracy / 2, "ece": 0.0},
            intervals={"accuracy": [accuracy - 0.1, accuracy + 0.1]},
            parameters=1, epochs=1, best_epoch=1, train_seconds=1.0,
        )
        for i, (name, accuracy) in enumerate(models.items(), 1)
    ]  # fmt: skip
    about = DatasetEntry(task="classification", source="s", splits={"test": 10}, sha256="d", baselines={})
    return Leaderboard(
        experiment="test", run="1", pipeline_sha256="p", code_version="c", created="now",
        datasets={"fashion": about}, models=entries,
    )  # fmt: skip


def printed(what, shown):
    console = Console(file=io.StringIO(), width=120)
    what(shown, console)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("expect", "parts"),
    [
        ({"acuracy": CLAIM}, ["expect: no metric 'acuracy'", "did you mean 'accuracy'?"]),
        ({"mae": CLAIM}, ["expect: no metric 'mae'", "classification there are: accuracy, macro_f1, loss, ece"]),
        ({1: CLAIM}, ["expect: no metric '1'"]),
        ({"accuracy": 0.9}, ["expect.accuracy: 0.9, expected {value: …, within: …}"]),
        ({"accuracy": {"value": 0.9}}, ["expect.accuracy: within: missing"]),
        ({"accuracy": {"within": 0.9}}, ["expect.accuracy: value: missing"]),
        ({"accuracy": {**CLAIM, "withn": 1}}, ["expect.accuracy: withn: unknown key; did you mean 'within'?"]),
        ({"accuracy": {**CLAIM, "within": 0}}, ["expect.accuracy: within: 0", "above 0"]),
        ({"accuracy": {**CLAIM, "within": -0.1}}, ["expect.accuracy: within: -0.1"]),
        ({"accuracy": {**CLAIM, "within": float("inf")}}, ["expect.accuracy: within: inf", "finite"]),
        ({"accuracy": {**CLAIM, "value": float("nan")}}, ["expect.accuracy: value: nan"]),
        ({"loss": {**CLAIM, "value": float("inf")}}, ["expect.loss: value: inf", "finite"]),
        ({"loss": {**CLAIM, "value": -1}}, ["expect.loss: value: -1"]),
        ({"accuracy": {**CLAIM, "value": 90}}, ["expect.accuracy: value: 90", "a share from 0 to 1"]),
        ({"macro_f1": {**CLAIM, "value": 1.01}}, ["expect.macro_f1: value: 1.01"]),
        ({"ece": {**CLAIM, "value": 2}}, ["expect.ece: value: 2", "a share from 0 to 1"]),
        ({"accuracy": {**CLAIM, "value": "0.9"}}, ["expect.accuracy: value: '0.9'", "number"]),
        ({"accuracy": {**CLAIM, "value": True}}, ["expect.accuracy: value: true", "number"]),
        ([CLAIM], ["expect: [{", "expected metrics such as accuracy"]),
        (None, ["expect: null"]),
    ],
)
def test_a_bad_claim_is_named_with_file_and_key(tmp_path, expect, parts):
    content = changed("models.mlp.expect", {})
    content["models"]["mlp"]["expect"] = expect
    path = write(tmp_path, content)
    assert assert_refused(path, parts).startswith(f"{path}: models.mlp: ")


def test_a_claim_of_coverage_is_for_a_model_with_quantiles(tmp_path):
    content = changed("models.lstm.expect", {"coverage": CLAIM})
    assert_refused(write(tmp_path, content), ["models.lstm: expect.coverage: is for a model with quantiles"])
    content["models"]["lstm"]["quantiles"] = [0.1, 0.5, 0.9]
    assert load_experiment(write(tmp_path, content), []).expect["lstm"] == {"coverage": Claim(**CLAIM)}
    content["models"]["lstm"]["expect"]["coverage"] = {**CLAIM, "value": 80}
    assert_refused(write(tmp_path, content), ["expect.coverage: value: 80", "a share from 0 to 1"])


def test_a_misspelt_expect_is_named_together_with_it(tmp_path):
    assert_refused(write(tmp_path, changed("models.mlp.expects", {})), ["expects: unknown key; did you mean 'expect'?"])


def test_claims_of_a_series_are_errors_in_its_unit(tmp_path):
    content = changed("models.lstm.expect", {"mae": {"value": 250, "within": 3}, "mase": CLAIM})
    expect = load_experiment(write(tmp_path, content), []).expect
    assert expect == {"mlp": {}, "lstm": {"mae": Claim(value=250, within=3), "mase": Claim(**CLAIM)}}


def test_claims_can_be_set_for_a_run(tmp_path):
    new = "models.mlp.expect.accuracy={value: 0.5, within: 0.2}"
    again = "models.mlp.expect.accuracy.within=0.3"
    expect = load_experiment(write(tmp_path), [new, again]).expect
    assert expect["mlp"] == {"accuracy": Claim(value=0.5, within=0.3)}


def test_no_task_is_told_of_a_claim(tmp_path):
    with_claim = changed("models.mlp.expect", {"accuracy": CLAIM})
    compiled = [
        compile_experiment(load_experiment(write(tmp_path, content), []), tmp_path / name)[0].read_bytes()
        for name, content in (("without", GOOD), ("with", with_claim))
    ]
    assert compiled[0] == compiled[1]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_model_of_a_shipped_experiment_claims_something(path):
    experiment = load_experiment(path, [])
    for name, claims in experiment.expect.items():
        assert METRICS[experiment.datasets[experiment.models[name].dataset].task][0].name in claims


def test_spreads_are_those_of_the_seeds():
    found = spreads([board(a=0.8, b=0.5), board(b=0.5, a=0.9), board(a=0.85, b=0.5)])
    assert list(found) == ["a", "b"]
    assert list(found["a"]) == ["accuracy", "macro_f1", "loss", "ece"]
    spread = found["a"]["accuracy"]
    assert spread.values == [0.8, 0.9, 0.85]
    assert (spread.mean, spread.std, spread.min, spread.max) == pytest.approx((0.85, 0.05, 0.8, 0.9))
    assert found["a"]["loss"].mean == pytest.approx(0.15)
    assert found["b"]["accuracy"].std == 0
    alone = spreads([board(a=0.8)])["a"]["accuracy"]
    assert (alone.mean, alone.std, alone.min, alone.max) == (0.8, None, 0.8, 0.8)


@pytest.mark.parametrize(
    ("metric", "value", "said"),
    [
        ("accuracy", 0.8, "holds"),
        ("accuracy", 0.79, "holds"),
        ("accuracy", 0.81, "holds"),
        ("accuracy", 0.8101, "fails, worse than claimed"),
        ("accuracy", 0.7899, "fails, better than claimed"),
        ("macro_f1", 0.5, "fails, worse than claimed"),
        ("loss", 0.21, "holds"),
        ("loss", 0.25, "fails, better than claimed"),
        ("loss", 0.15, "fails, worse than claimed"),
    ],
)
def test_a_claim_holds_within_its_tolerance_to_either_side(metric, value, said):
    verdict = judge({"a": {metric: Claim(value=value, within=0.01)}}, spreads([board(a=0.8)]))[0]
    assert (verdict.words(), verdict.holds) == (said, said == "holds")


def test_after_several_seeds_the_mean_is_judged():
    measured = spreads([board(a=0.7), board(a=0.9)])
    (holds,) = judge({"a": {"accuracy": Claim(value=0.8, within=0.001)}}, measured)
    (fails,) = judge({"a": {"accuracy": Claim(value=0.9, within=0.001)}}, measured)
    assert (holds.holds, holds.measured, fails.holds) == (True, pytest.approx(0.8), False)


def verification(seeds, *boards, **claims):
    measured = spreads(list(boards))
    return Verification(
        experiment="test", seeds=seeds, runs=[str(seed) for seed in seeds], created="now", models=measured,
        claims=judge({"a": claims}, measured),
    )  # fmt: skip


def test_one_seed_is_shown_by_its_claims_and_several_by_all_metrics():
    one = printed(show_claims, verification([1], board(a=0.8, b=0.5), accuracy=Claim(value=0.9, within=0.01)))
    assert [line.split() for line in one.splitlines()] == [
        ["model", "metric", "claimed", "measured"],
        ["a", "accuracy", "0.9", "±", "0.01", "0.8000", "fails,", "worse", "than", "claimed"],
    ]
    several = printed(show_claims, verification([1, 2], board(a=0.8), board(a=0.9), loss=Claim(value=0.15, within=1)))
    assert [line.split() for line in several.splitlines()] == [
        ["model", "metric", "claimed", "mean", "std", "min", "max"],
        ["a", "accuracy", "0.8500", "0.0707", "0.8000", "0.9000"],
        ["a", "macro_f1", "0.4250", "0.0354", "0.4000", "0.4500"],
        ["a", "loss", "0.15", "±", "1", "0.1500", "0.0707", "0.1000", "0.2000", "holds"],
        ["a", "ece", "0.0000", "0.0000", "0.0000", "0.0000"],
    ]


def test_the_leaderboard_says_whether_the_first_is_alone():
    alone = board(a=0.8, b=0.5, c=None)
    assert "told apart" not in printed(show, alone)
    first, *others = alone.models
    tied = alone.model_copy(update={"models": [first.model_copy(update={"ties": ["b", "d", "e"]}), *others]})
    said = printed(show, tied)
    assert "a can't be told apart from b, d or e (paired bootstrap, 95 %)" in said, (
        "a leaderboard of an earlier version"
    )
    about = alone.datasets["fashion"]
    for models, words in ((["a", "d"], "a can't be told apart from d (95 % model confidence set)"), (["a"], "")):
        datasets = {"fashion": about.model_copy(update={"confidence_set": models})}
        said = printed(show, tied.model_copy(update={"datasets": datasets}))
        assert words in said
        assert ("told apart" in said) == bool(words)


def with_claims(tmp_path):
    content = changed("models.mlp.expect", {"accuracy": CLAIM})
    content["models"]["other"] = content["models"]["mlp"]
    return write(tmp_path, content)


def test_seeds_follow_on_that_of_the_experiment(tmp_path):
    path = with_claims(tmp_path)
    experiments = load_seeds(path, [], 3, [])
    assert [experiment.seed for experiment in experiments] == [3, 4, 5]
    assert [experiment.command.partition("small.yaml")[2] for experiment in experiments] == [
        "", " --set seed=4", " --set seed=5",
    ]  # fmt: skip
    assert [experiment.seed for experiment in load_seeds(path, ["seed=8"], 2, [])] == [8, 9]
    with pytest.raises(InputError, match=f"seed: {2**32}"):
        load_seeds(path, [f"seed={2**32 - 2}"], 3, [])


def test_models_are_kept_with_the_data_sets_that_they_use(tmp_path):
    (experiment,) = load_seeds(with_claims(tmp_path), [], 1, ["other", "mlp"])
    assert list(experiment.models) == list(experiment.expect) == ["mlp", "other"]
    assert list(experiment.datasets) == ["fashion"]
    assert experiment.command.endswith(f"-m pipeline run {tmp_path / 'small.yaml'} --model mlp --model other")
    compile_experiment(experiment, tmp_path / "build")


@pytest.mark.parametrize(
    ("models", "parts"),
    [
        (["mpl"], ["--model mpl", "did you mean 'mlp'?"]),
        (["mlp", "x"], ["--model x", "there are: mlp, lstm, other"]),
        (["lstm"], ["nothing is claimed of lstm", "expect: {accuracy"]),
    ],
)
def test_what_cannot_be_verified_is_said_in_one_line(tmp_path, models, parts):
    with pytest.raises(InputError) as refused:
        load_seeds(with_claims(tmp_path), [], 1, models)
    assert "\n" not in str(refused.value)
    assert all(part in str(refused.value) for part in parts)


def test_without_claims_only_a_spread_can_be_measured(tmp_path):
    path = write(tmp_path)
    with pytest.raises(InputError, match="nothing is claimed of mlp, lstm"):
        load_seeds(path, [], 1, [])
    assert len(load_seeds(path, [], 2, [])) == 2
