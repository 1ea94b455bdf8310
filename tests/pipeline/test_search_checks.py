"""The `tune` of a model: what is refused before anything starts, and what a model with one compiles to."""

import copy
import json
import time

import pytest
import yaml

from components.common.errors import InputError
from pipeline.experiment.experiment import load_experiment
from pipeline.graph.compile import compile_experiment
from pipeline.vertex.prices import costs

RANGES = {
    "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "batch_size": {"values": [64, 128]},
    "hyperparameters.units": {"values": [[128], [256, 64]]},
    "patience": {"low": 1, "high": 5},
}
GOOD = {
    "seed": 3,
    "datasets": {
        "fashion": {"source": "fashion_mnist", "use": 0.1},
        "demand": {"source": "electricity", "use": 0.1, "lookback": 96, "horizon": 48},
    },
    "models": {
        "mlp": {
            "family": "mlp",
            "dataset": "fashion",
            "epochs": 9,
            "tune": {"trials": 12, "parallel": 4, "epochs": 3, "ranges": RANGES},
        },
        "lstm": {"family": "lstm", "dataset": "demand"},
    },
}


def load(tmp_path, content=GOOD, overrides=()):
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return load_experiment(path, list(overrides))


def changed(key, value):
    """The good experiment with another value at a key of tune: its parts are separated by a slash."""
    content = copy.deepcopy(GOOD)
    *path, last = key.split("/")
    place = content["models"]["mlp"]["tune"]
    for part in path:
        place = place[part]
    place[last] = value
    return content


def refused(tmp_path, content, overrides=()):
    with pytest.raises(InputError) as error:
        load(tmp_path, content, overrides)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(f"{tmp_path / 'small.yaml'}: models.mlp: ")
    return message.removeprefix(f"{tmp_path / 'small.yaml'}: models.mlp: ")


def tasks(tmp_path, content=GOOD, target="vertex"):
    path, _ = compile_experiment(load(tmp_path, content), tmp_path, target)
    return yaml.safe_load(path.read_text().split("\n---")[0])["root"]["dag"]["tasks"]


def given(task, name):
    return task["inputs"]["parameters"][name]["runtimeValue"]["constant"]


def test_a_search_is_read(tmp_path):
    experiment = load(tmp_path)
    assert list(experiment.tunes) == ["mlp"]
    tune = experiment.tunes["mlp"]
    assert (tune.trials, tune.parallel, tune.epochs) == (12, 4, 3)
    assert tune.ranges["learning_rate"].log
    assert tune.ranges["hyperparameters.units"].values == [[128], [256, 64]]
    assert [one.whole for one in tune.ranges.values()] == [False, False, False, True]
    assert experiment.models["mlp"].epochs == 9


def test_a_search_is_changed_for_one_run(tmp_path):
    tune = load(tmp_path, overrides=["models.mlp.tune.trials=4"]).tunes["mlp"]
    assert (tune.trials, tune.parallel) == (4, 4)
    overrides = ["models.mlp.tune.ranges.learning_rate.high=0.5", "models.mlp.tune.ranges.batch_size={values: [32]}"]
    tune = load(tmp_path, overrides=overrides).tunes["mlp"]
    assert (tune.ranges["learning_rate"].high, tune.ranges["batch_size"].values) == (0.5, [32])
    assert not load(tmp_path, overrides=["models.mlp.tune=null"]).tunes
    assert refused(tmp_path, GOOD, ["models.mlp.tune.trials=0"]).startswith("tune: trials: 0: expected at least")


BAD = {
    "no trials": ("trials", 0, "tune: trials: 0: expected at least 1"),
    "text for trials": ("trials", "4", "tune: trials: '4': expected an integer"),
    "nothing beside each other": ("parallel", 0, "tune: parallel: 0: expected at least 1"),
    "no epochs": ("epochs", 0, "tune: epochs: 0: expected at least 1"),
    "no ranges": ("ranges", {}, "tune: ranges: {}: "),
    "a list of ranges": ("ranges", ["learning_rate"], "tune: ranges: ['learning_rate']: expected keys with values"),
    "unknown key": ("trails", 4, "tune: trails: unknown key; did you mean 'trials'?"),
    "unknown key of a range": (
        "ranges/learning_rate/hgh",
        1.0,
        "tune: ranges.learning_rate: hgh: unknown key; did you mean 'high'?",
    ),
    "number for a range": ("ranges/warmup", 0.5, "tune: ranges.warmup: 0.5: expected keys with values"),
    "unknown range": (
        "ranges/learningrate",
        {"values": [1]},
        "tune: ranges.learningrate: unknown key; did you mean 'learning_rate'?",
    ),
    "unknown hyperparameter": (
        "ranges/hyperparameters.unit",
        {"values": [[1]]},
        "tune: ranges.hyperparameters.unit: unknown key; did you mean 'hyperparameters.units'?",
    ),
    "hyperparameter without its place": (
        "ranges/dropout",
        {"values": [[0.1]]},
        "tune: ranges.dropout: unknown key; did you mean 'hyperparameters.dropout'?",
    ),
    "nothing like it": ("ranges/xyz", {"values": [1]}, "tune: ranges.xyz: unknown key; known are: epochs, batch_size"),
    "all hyperparameters": (
        "ranges/hyperparameters",
        {"values": [{}]},
        "tune: ranges.hyperparameters: expected one of them, such as hyperparameters.units",
    ),
    "low above high": (
        "ranges/learning_rate",
        {"low": 1.0, "high": 0.1},
        "tune: ranges.learning_rate: low 1.0, high 0.1: expected low below high",
    ),
    "low is high": ("ranges/patience", {"low": 3, "high": 3}, "tune: ranges.patience: low 3, high 3: expected low"),
    "log of nothing": (
        "ranges/weight_decay",
        {"low": 0.0, "high": 0.1, "log": True},
        "tune: ranges.weight_decay: low 0.0: expected more than 0 where log is true",
    ),
    "no values": ("ranges/batch_size", {"values": []}, "tune: ranges.batch_size: values: empty, expected at least"),
    "both": (
        "ranges/batch_size",
        {"values": [1], "low": 1, "high": 2},
        "tune: ranges.batch_size: expected low and high, or values, got both",
    ),
    "log of values": ("ranges/batch_size", {"values": [1], "log": True}, "tune: ranges.batch_size: expected low and"),
    "no high": ("ranges/learning_rate", {"low": 0.1}, "tune: ranges.learning_rate: expected low and high, or values"),
    "text for a number": (
        "ranges/learning_rate/low",
        "x",
        "tune: ranges.learning_rate: low: 'x': expected a finite number",
    ),
    "switch for a number": ("ranges/patience/low", True, "tune: ranges.patience: low: true: expected a finite number"),
    "infinite": ("ranges/learning_rate/high", float("inf"), "tune: ranges.learning_rate: high: inf: expected a finite"),
    # What the model's own check says of an end or a value.
    "an end that a model can't have": (
        "ranges/learning_rate/low",
        0.0,
        "tune: ranges.learning_rate: low 0.0: expected more than 0 where log",
    ),
    "a rate of nothing": (
        "ranges/learning_rate",
        {"low": 0.0, "high": 1.0},
        "learning_rate: 0.0: expected a number above 0",
    ),
    "a value that a model can't have": ("ranges/batch_size/values", [64, 0], "batch_size: 0: expected at least"),
    "text among numbers": ("ranges/batch_size/values", [64, "x"], "batch_size: 'x': expected an integer"),
    "fractions for whole numbers": (
        "ranges/patience",
        {"values": [1, 5.0]},
        "patience: 5.0: expected an integer",
    ),
    "units of nothing": ("ranges/hyperparameters.units/values", [[8], [0]], "hyperparameters: units.0: 0: expected"),
    "another task's": ("ranges/hyperparameters.seasonal", {"values": [False, True]}, "hyperparameters.seasonal is for"),
    "a loss of forecasts": ("ranges/loss", {"values": ["mae"]}, "loss: mae is not for classification"),
    "too many to check": (
        "ranges",
        {key: {"values": [0.1] * 22} for key in ("learning_rate", "warmup", "ema", "label_smoothing")},
        "tune: ranges: 234,256 combinations of values and ends, expected at most 10,000",
    ),
}


@pytest.mark.parametrize(("key", "value", "message"), BAD.values(), ids=BAD.keys())
def test_a_search_that_could_fail_is_refused_in_one_line(tmp_path, key, value, message):
    assert refused(tmp_path, changed(key, value)).startswith(message)


@pytest.mark.parametrize(
    "key",
    [
        *("family", "dataset", "machine", "expect", "tune"),
        *("average_flips", "calibrate", "checkpoint_seconds", "keep_checkpoints"),
    ],
)
def test_what_a_trial_cannot_change_is_refused(tmp_path, key):
    message = refused(tmp_path, changed(f"ranges/{key}", {"values": [1]}))
    assert message == f"tune: ranges.{key}: can't be tuned"


def test_epochs_are_given_once(tmp_path):
    content = changed("ranges/epochs", {"low": 1, "high": 5})
    assert refused(tmp_path, content).startswith("tune: epochs: 3, but ranges.epochs varies them")
    del content["models"]["mlp"]["tune"]["epochs"]
    assert load(tmp_path, content).tunes["mlp"].epochs is None


def test_a_refusal_names_the_trial(tmp_path):
    content = changed("ranges", {"weight_decay": {"low": 0.0, "high": 0.1}, "optimizer": {"values": ["adamw", "adam"]}})
    message = refused(tmp_path, content)
    assert message == (
        "weight_decay is for the optimizer adamw, got adam (a trial of tune: weight_decay 0.1, optimizer 'adam')"
    )
    # The model's own optimizer, adam, is in no trial.
    content["models"]["mlp"]["tune"]["ranges"]["optimizer"]["values"] = ["adamw"]
    assert load(tmp_path, content).tunes


def test_all_that_is_wrong_with_the_searches_comes_at_once(tmp_path):
    """Of both models, beside what is wrong with a model itself; each problem once, with the first trial that has it."""
    content = changed("ranges", {"batch_size": {"values": [64, 0, -1]}, "patience": {"low": 0, "high": 5}})
    content["models"]["mlp"]["learning_rate"] = 0
    ranges = {"hyperparameters.units": {"values": [8, 0]}, "loss": {"values": ["mae", "crossentropy"]}}
    content["models"]["lstm"] |= {"family": "lstm", "tune": {"trials": 2, "ranges": ranges}}
    content["models"]["other"] = {"family": "lstn", "dataset": "demand", "tune": {"trials": 2, "ranges": {"epoch": {}}}}
    with pytest.raises(InputError) as error:
        load(tmp_path, content)
    at = f"{tmp_path / 'small.yaml'}: models."
    assert [problem.removeprefix(at).partition(": expected")[0] for problem in error.value.problems] == [
        "mlp: learning_rate: 0",
        "mlp: patience: 0",
        "mlp: batch_size: 0",
        "mlp: batch_size: -1",
        "lstm: loss: crossentropy is not for forecasting; there are: mse, mae (a trial of tune: "
        "hyperparameters.units 8, loss 'crossentropy')",
        "lstm: hyperparameters: units: 0",
        "other: family: unknown family 'lstn'; did you mean 'lstm'?",
        "other: tune: ranges.epoch: unknown key; did you mean 'epochs'?",
        "other: tune: ranges.epoch",
    ]
    assert error.value.problems[2].endswith("(a trial of tune: batch_size 0, patience 0)")


def test_what_is_wrong_with_a_search_does_not_hide_what_is_wrong_with_its_ranges(tmp_path):
    def problems(ranges):
        content = changed("ranges", ranges)
        content["models"]["mlp"]["tune"] |= {"trials": 0}
        with pytest.raises(InputError) as error:
            load(tmp_path, content)
        return [problem.partition("models.mlp: ")[2].partition(": expected")[0] for problem in error.value.problems]

    trials = "tune: trials: 0"
    assert problems({"batch_size": {"values": [64, 0]}}) == [trials, "batch_size: 0"]
    wrong = {"hyperparameters.units": 5, "epoch": {"values": [1]}, 7: {"values": [1]}, "warmup": {"low": 1}}
    assert [problem.partition("; ")[0] for problem in problems(wrong)] == [
        trials, "tune: ranges.hyperparameters.units: 5", "tune: ranges.epoch: unknown key",
        "tune: ranges.7: unknown key", "tune: ranges.warmup",
    ]  # fmt: skip


def test_whole_numbers_between_the_ends_are_checked_too(tmp_path):
    """A batch has to be a multiple of the machine's two replicas."""
    content = changed("ranges/batch_size", {"low": 64, "high": 128})
    assert load(tmp_path, content).tunes
    content["models"]["mlp"]["machine"] = "multi-worker"
    assert "batch_size: 65, expected a multiple of the 2 replicas" in refused(tmp_path, content)


def test_many_combinations_are_checked_in_a_moment(tmp_path):
    values = {"values": [0.1] * 21}
    content = changed("ranges", {key: values for key in ("learning_rate", "ema", "label_smoothing")})
    start = time.monotonic()
    assert load(tmp_path, content).tunes
    assert time.monotonic() - start < 30


def test_the_training_takes_what_the_search_gives(tmp_path):
    made = tasks(tmp_path)
    assert made["train-mlp"]["inputs"]["parameters"]["spec"] == {
        "taskOutputParameter": {"outputParameterKey": "tuned", "producerTask": "tune-mlp"}
    }
    assert sorted(made["train-mlp"]["dependentTasks"]) == ["ingest-fashion", "tune-mlp"]
    search = made["tune-mlp"]
    assert search["dependentTasks"] == ["ingest-fashion"]
    assert json.loads(given(search, "tune")) == GOOD["models"]["mlp"]["tune"]
    assert json.loads(given(search, "spec")) == {"family": "mlp", "dataset": "fashion", "epochs": 9}
    for task in ("compare", "report"):
        assert "tune-mlp" in made[task]["dependentTasks"]
        assert "search_mlp" in made[task]["inputs"]["artifacts"]
    about = json.loads(given(made["report"], "about"))["tasks"]
    assert {name: sorted(needs) for name, needs in about.items()} == {
        name: sorted(task.get("dependentTasks", [])) for name, task in made.items()
    }
    assert list(about).index("tune-mlp") < list(about).index("train-mlp")


def test_without_a_search_the_pipeline_knows_of_none(tmp_path):
    content = copy.deepcopy(GOOD)
    del content["models"]["mlp"]["tune"]
    path, _ = compile_experiment(load(tmp_path, content), tmp_path)
    assert not [word for word in ("tune", "tuning") if word in path.read_text()]


def test_on_vertex_each_trial_has_the_models_machine(tmp_path):
    content = copy.deepcopy(GOOD)
    content["models"]["mlp"]["machine"] = "gpu-t4"
    search = tasks(tmp_path, content)["tune-mlp"]
    (pool,) = json.loads(given(search, "placement"))["pools"]
    assert pool["machine"]["accelerator_type"] == "NVIDIA_TESLA_T4"
    assert search["inputs"]["parameters"]["vertex"] == {"componentInputParameter": "vertex"}
    on_kubernetes = tasks(tmp_path, content, "kubeflow")["tune-mlp"]
    assert "pools" not in json.loads(given(on_kubernetes, "placement"))
    rows = {row[0]: row[1:] for row in costs(load(tmp_path, content))}
    assert rows["tune-mlp"][0] == "4 x gpu-t4"
    assert rows["tune-mlp"][1] == pytest.approx(4 * rows["train-mlp"][1])
