"""What an experiment's file says, and the values that are refused."""

import copy

import pytest
import yaml
from small_experiment import GOOD, assert_refused, changed, write

from components.common.errors import InputError
from pipeline.experiment.experiment import load_experiment


def test_a_good_experiment_is_read(tmp_path):
    experiment = load_experiment(write(tmp_path), [])
    assert (experiment.name, experiment.seed) == ("small", 3)
    assert list(experiment.datasets) == ["fashion", "demand"]
    assert list(experiment.models) == ["mlp", "lstm"]
    fashion, demand = experiment.datasets.values()
    assert (fashion.source, fashion.task, fashion.gate) == ("fashion_mnist", "classification", {"majority_class": 0.3})
    assert fashion.options.use == 0.1
    assert (demand.source, demand.task, demand.gate) == (
        "electricity",
        "forecasting",
        {"last_value": None, "same_time_yesterday": None},
    )
    assert (demand.options.lookback, demand.facts.rows) == (96, 17520)
    assert (fashion.seasons, demand.seasons) == ([], ["same_time_yesterday"])
    mlp = experiment.models["mlp"]
    assert (mlp.family, mlp.dataset, mlp.epochs, mlp.hyperparameters) == ("mlp", "fashion", 2, {"units": [8]})
    assert experiment.models["lstm"].batch_size == 128


@pytest.mark.parametrize(
    ("given", "gate"),
    [
        ("none", {}),
        ({}, {}),
        (None, {"majority_class": None}),
        ({"linear": None}, {"linear": None}),
        ({"linear": 0.1}, {"linear": 0.1}),
    ],
    ids=str,
)
def test_only_who_asks_for_no_gate_has_none(tmp_path, given, gate):
    content = copy.deepcopy(GOOD)
    content["datasets"]["fashion"]["gate"] = given
    assert load_experiment(write(tmp_path, content), []).datasets["fashion"].gate == gate


BAD = {
    # An unknown key is named together with the nearest known one.
    "unknown key of the file": ("sed", 1, ["sed: unknown key", "'seed'"]),
    "unknown key of a model": ("models.mlp.epoch", 1, ["models.mlp: epoch: unknown key", "'epochs'"]),
    "unknown hyperparameter": (
        "models.mlp.hyperparameters.unit",
        [8],
        ["models.mlp: hyperparameters: unit: unknown key", "'units'"],
    ),
    "unknown option": ("datasets.demand.lookbak", 9, ["datasets.demand: lookbak: unknown key", "'lookback'"]),
    "another source's option": (
        "datasets.fashion.horizon",
        9,
        ["datasets.fashion: horizon: is for a series", "fashion_mnist has images"],
    ),
    "misspelt gate": ("datasets.fashion.gates", {}, ["datasets.fashion: gates: unknown key", "'gate'"]),
    "unknown format": ("formats", ["onxx"], ["formats.0", "'onxx'", "'litert', 'litert_int8' or 'onnx'"]),
    "misspelt source": ("datasets.fashion.sourc", "x", ["datasets.fashion: sourc: unknown key", "'source'"]),
    # Types are never converted.
    "text for a count": ("models.mlp.epochs", "3", ["models.mlp: epochs: '3'", "integer"]),
    "fraction for a count": ("models.mlp.epochs", 1.5, ["models.mlp: epochs: 1.5", "integer"]),
    "text for a share": ("datasets.fashion.use", "half", ["datasets.fashion: use: 'half'", "number"]),
    "number for a switch": ("models.mlp.flip", 1, ["models.mlp: flip: 1", "boolean"]),
    "switch for a count": ("seed", True, ["seed: true", "integer"]),
    "number for a list": ("models.mlp.hyperparameters.units", 8, ["hyperparameters: units: 8", "list"]),
    "text in a list": ("models.mlp.hyperparameters.units", [8, "x"], ["hyperparameters: units.1: 'x'", "integer"]),
    "list for models": ("models", [1], ["models: [1]", "expected keys with values"]),
    "text for a model": ("models.mlp", "mlp", ["models.mlp: 'mlp'", "expected keys with values"]),
    "number for a family": ("models.mlp.family", 3, ["models.mlp: family: 3", "string"]),
    "list for a gate": (
        "datasets.fashion.gate",
        ["linear"],
        ["datasets.fashion: gate: ['linear']", "expected keys with values"],
    ),
    "number for a source": ("datasets.fashion.source", 3, ["datasets.fashion: source: 3", "source"]),
    "number for a name": ("models", {1: {}}, ["models.1", "string"]),
    # What is missing.
    "no datasets": ("datasets", None, ["datasets: missing"]),
    "no models": ("models", None, ["models: missing"]),
    "empty datasets": ("datasets", {}, ["datasets: empty"]),
    "empty models": ("models", {}, ["models: empty"]),
    "no source": ("datasets.fashion.source", None, ["datasets.fashion: source: missing"]),
    "no family": ("models.mlp.family", None, ["models.mlp: family: missing"]),
    "no dataset": ("models.mlp.dataset", None, ["models.mlp: dataset: missing"]),
    "no lookback": ("datasets.demand.lookback", None, ["datasets.demand: lookback: missing"]),
    # Names of what isn't there.
    "unknown family": ("models.mlp.family", "mpl", ["models.mlp: family", "'mpl'", "did you mean 'mlp'"]),
    "unknown source": ("datasets.fashion.source", "mnist", ["datasets.fashion:", "'mnist'", "csv, ", "tfds"]),
    "unknown dataset": ("models.mlp.dataset", "fasion", ["models.mlp: dataset", "'fasion'", "fashion, demand"]),
    "unknown machine": ("models.mlp.machine", "big", ["models.mlp: machine", "'big'", "cpu-small, "]),
    "unknown optimizer": ("models.mlp.optimizer", "adm", ["models.mlp: optimizer: 'adm'", "'adamw'"]),
    "unknown cycle": ("datasets.demand.calendar", ["day"], ["datasets.demand: calendar.0: 'day'", "'weekday'"]),
    "gate on no coverage": (
        "datasets.demand.gate",
        {"coverage": None},
        ["gate.coverage: null, expected the least value"],
    ),
    "gate on a width": ("datasets.demand.gate", {"width": 0.5}, ["datasets.demand: gate: no baseline 'width'"]),
    "gate on an unknown baseline": (
        "datasets.fashion.gate",
        {"linaer": 0.1},
        ["datasets.fashion: gate", "'linaer'", "majority_class, linear"],
    ),
    "rivals of images": (
        "datasets.fashion.baselines",
        ["mstl"],
        ["datasets.fashion: baselines: rivals are for a series"],
    ),
    "a rival without such seasons": (
        "datasets.demand.baselines",
        ["auto_ets"],
        ["datasets.demand: baselines: auto_ets: a season of 48 rows, expected at most 24; take mstl"],
    ),
    "no such rival": (
        "datasets.demand.baselines",
        ["prophet"],
        ["datasets.demand: baselines", "'prophet'", "auto_theta"],
    ),
    "gate on a season longer than the lookback": (
        "datasets.demand.gate",
        {"same_time_last_week": 0.1},
        ["datasets.demand: gate", "'same_time_last_week'", "last_value, same_time_yesterday, ridge"],
    ),
    # Numbers out of range.
    "gate margin of 1": ("datasets.fashion.gate.linear", 1, ["datasets.fashion: gate.linear: 1"]),
    "negative gate margin": ("datasets.fashion.gate.linear", -0.1, ["datasets.fashion: gate.linear: -0.1"]),
    "no number for a gate margin": ("datasets.fashion.gate.linear", float("nan"), ["gate.linear: nan"]),
    "text for a gate margin": ("datasets.fashion.gate.linear", "x", ["datasets.fashion: gate.linear: 'x'"]),
    "no batch": ("models.mlp.batch_size", 0, ["models.mlp: batch_size: 0", "1"]),
    "no epochs": ("models.mlp.epochs", 0, ["models.mlp: epochs: 0", "1"]),
    "no learning": ("models.mlp.learning_rate", 0, ["models.mlp: learning_rate: 0", "above 0"]),
    "infinite learning": ("models.mlp.learning_rate", float("inf"), ["models.mlp: learning_rate: inf"]),
    "negative seed": ("seed", -1, ["seed: -1"]),
    "seed too large": ("seed", 2**32, [f"seed: {2**32}"]),
    "no use": ("datasets.fashion.use", 0, ["datasets.fashion: use: 0", "above 0"]),
    "too much use": ("datasets.fashion.use", 1.1, ["datasets.fashion: use: 1.1", "at most 1"]),
    "no units": ("models.lstm.hyperparameters.units", 0, ["models.lstm: hyperparameters: units: 0"]),
    "no units in a layer": ("models.mlp.hyperparameters.units", [0], ["models.mlp: hyperparameters: units"]),
    "no dropout rates": ("models.mlp.hyperparameters.dropout", [], ["models.mlp: hyperparameters: dropout"]),
    "too much dropout": ("models.mlp.hyperparameters.dropout", [1.5], ["models.mlp: hyperparameters: dropout"]),
    # Numbers that no training has an end or a memory for.
    "endless epochs": ("models.mlp.epochs", 10**30, ["models.mlp: epochs: 1000", "at most 100,000"]),
    "float of endless epochs": ("models.mlp.epochs", 1e30, ["models.mlp: epochs: 1e+30", "integer"]),
    "endless batch": ("models.mlp.batch_size", 10**30, ["models.mlp: batch_size", "at most 1,000,000"]),
    "endless units": ("models.lstm.hyperparameters.units", 10**30, ["units", "at most 16,384"]),
    "endless units of a layer": (
        "models.mlp.hyperparameters.units",
        [10**9],
        ["units.0", "at most 16,384"],
    ),
    "endless patch": ("models.lstm.hyperparameters.patch", 10**30, ["patch", "at most 100,000"]),
    "endless layers": ("models.mlp.hyperparameters.units", [8] * 101, ["units", "at most 100 items, got 101"]),
    "endless patience": ("models.mlp.patience", 10**30, ["patience", "at most 100,000"]),
    "too many checkpoints that stay": ("models.mlp.keep_checkpoints", 101, ["keep_checkpoints: 101", "100"]),
    "never a checkpoint": (
        "models.mlp.checkpoint_seconds",
        float("inf"),
        ["checkpoint_seconds: inf", "at most 86,400"],
    ),
    "no number of seconds": ("models.mlp.checkpoint_seconds", float("nan"), ["checkpoint_seconds: nan"]),
    "much learning": ("models.mlp.learning_rate", 1e30, ["learning_rate: 1e+30", "at most 1,000"]),
    "no number for learning": ("models.mlp.learning_rate", float("nan"), ["learning_rate: nan"]),
    "no number for decay": ("models.mlp.weight_decay", float("nan"), ["weight_decay: nan"]),
    "no number for a share": ("models.mlp.warmup", float("nan"), ["warmup: nan"]),
    "wide layers": (
        "models.mlp.hyperparameters.units",
        [16384] * 6,
        ["models.mlp: hyperparameters: at least 1,355,038,720 weights, expected at most 1,000,000,000"],
    ),
    "a wide state": ("models.lstm.hyperparameters.units", 16384, ["at least 1,074,724,864 weights"]),
    "a large batch of long windows": (
        "models.lstm.batch_size",
        1_000_000,
        ["models.lstm: batch_size: 1,000,000 examples of 96 x 3 are at least 12,624,000,000 numbers", "10,000,000,000"],
    ),
    "endless lookback": ("datasets.demand.lookback", 10**9, ["lookback", "at most 100,000"]),
    "endless horizon": ("datasets.demand.horizon", 10**9, ["horizon", "at most 100,000"]),
    "endless pictures": (
        "datasets.photos",
        {"source": "tfds", "name": "mnist", "height": 10**9, "width": 3},
        ["datasets.photos: height: 1000000000: expected at most 4,096"],
    ),
    "text of another form": ("vertex.service_account", "me", ["service_account: 'me': expected text such as runner@"]),
    # Splits of a series.
    "horizon longer than a split": (
        "datasets.demand.horizon",
        200,
        ["datasets.demand:", "lookback 96 + horizon 200 = 296 rows", "validation split of 263 rows"],
    ),
    "lookback longer than the series": (
        "datasets.demand.lookback",
        20000,
        ["datasets.demand:", "validation split of 263 rows; the longest lookback that fits is 215"],
    ),
    "test split too short": ("datasets.demand.test", 0.01, ["datasets.demand:", "test split of 18 rows"]),
    "nothing to train on": ("datasets.demand.test", 0.85, ["datasets.demand: validation 0.15 + test 0.85"]),
    "unknown covariate": ("datasets.demand.covariates", ["temp"], ["datasets.demand:", "covariates", "temp"]),
    "covariate given twice": ("datasets.demand.covariates", ["workday", "workday"], ["datasets.demand:", "workday"]),
    "target as a covariate": ("datasets.demand.covariates", ["demand"], ["datasets.demand:", "'demand'"]),
    "cycle given twice": ("datasets.demand.calendar", ["hour", "hour"], ["datasets.demand:", "hour"]),
    # What doesn't go together.
    "warmup without cosine": ("models.mlp.warmup", 0.1, ["models.mlp: warmup", "cosine", "constant"]),
    "weight decay without adamw": ("models.mlp.weight_decay", 0.1, ["models.mlp: weight_decay", "adamw", "adam"]),
    "loss of forecasts for classes": ("models.mlp.loss", "mae", ["models.mlp: loss: mae", "crossentropy"]),
    "loss of classes for forecasts": ("models.lstm.loss", "crossentropy", ["models.lstm: loss", "mse, mae"]),
    "steps that stay and steps that are gone back": (
        "models.mlp",
        {"family": "mlp", "dataset": "fashion", "on_nan": "rollback", "keep_checkpoints": 3},
        ["models.mlp: keep_checkpoints: with on_nan: rollback"],
    ),
    "steps that stay and quantiles": (
        "models.lstm",
        {"family": "lstm", "dataset": "demand", "quantiles": [0.1, 0.5, 0.9], "keep_checkpoints": 3},
        ["models.lstm: keep_checkpoints: is for models without quantiles"],
    ),
    "flips of a series": ("models.lstm.flip", True, ["models.lstm: flip is for images", "demand"]),
    "quantiles of images": ("models.mlp.quantiles", [0.1, 0.5, 0.9], ["quantiles is for a series, fashion is one of"]),
    "no median": (
        "models.lstm.quantiles",
        [0.1, 0.9],
        ["models.lstm: quantiles: [0.1, 0.9]: expected", "with 0.5 among"],
    ),
    "the median alone": ("models.lstm.quantiles", [0.5], ["quantiles: [0.5]: expected", "a pair around 0.5"]),
    "falling quantiles": ("models.lstm.quantiles", [0.9, 0.5, 0.1], ["expected quantiles with rising values"]),
    "a quantile twice": ("models.lstm.quantiles", [0.1, 0.1, 0.5, 0.9, 0.9], ["expected quantiles with rising values"]),
    "lopsided quantiles": (
        "models.lstm.quantiles",
        [0.1, 0.5, 0.95],
        ["expected quantiles with pairs around 0.5 that"],
    ),
    "a quantile of 0": ("models.lstm.quantiles", [0, 0.5, 1], ["quantiles.0: 0: expected", "quantiles.2: 1: expected"]),
    "a fine quantile": ("models.lstm.quantiles", [0.0001, 0.5, 0.9999], ["quantiles with at most three decimals"]),
    "one quantile": ("models.lstm.quantiles", 0.5, ["models.lstm: quantiles: 0.5: expected a list, such as [0.5]"]),
    "a list of a word": ("formats", "onnx", ["formats: 'onnx': expected a list, such as [onnx]"]),
    "a number for keys": (
        "datasets.demand.backtest",
        4,
        ["backtest: 4: expected keys with values, such as {folds: …}"],
    ),
    "a hyperparameter at a model": ("models.mlp.units", [64], ["models.mlp: units: is a hyperparameter; write hyper"]),
    "a model's key beside seed": ("epochs", 3, ["yaml: epochs: is a key of a model: models.<name>.epochs"]),
    "a data set's key at a model": ("models.lstm.lookback", 3, ["models.lstm: lookback: is a key of a data set"]),
    "a model's key at a data set": ("datasets.demand.epochs", 3, ["datasets.demand: epochs: is a key of a model"]),
    "folds of images": (
        "datasets.fashion.backtest",
        {"folds": 3},
        ["backtest: is for a series, the source fashion_mn"],
    ),
    "smooth labels of a series": ("models.lstm.label_smoothing", 0.1, ["models.lstm: label_smoothing is for images"]),
    "changes of a series": ("models.lstm.augment", {"zoom": 0.1}, ["models.lstm: augment is for images", "demand"]),
    "misspelt change": (
        "models.mlp.augment",
        {"rotate": 0.1},
        ["augment.rotate: unknown key; did you mean 'rotation'?"],
    ),
    "a zoom to nothing": ("models.mlp.augment", {"zoom": 1.0}, ["augment.zoom: 1.0: expected a number below 1"]),
    "no way to flip": ("models.mlp.augment", {"flip": True}, ["augment.flip: true: expected 'horizontal' or 'vert"]),
    "class weights of a series": ("models.lstm.class_weights", "balanced", ["class_weights is for images", "demand"]),
    "unknown class weights": ("models.mlp.class_weights", "even", ["'even': expected balanced, or a weight for each"]),
    "no class weight": ("models.mlp.class_weights", {"Bag": 0.0}, ["class_weights.mapping.Bag: 0.0", "above 0"]),
    "mirrored series": ("models.lstm.average_flips", True, ["models.lstm: average_flips is for images", "demand"]),
    "calibration of a series": ("models.lstm.calibrate", False, ["models.lstm: calibrate is for images", "demand"]),
    "seasons of images": ("models.mlp.hyperparameters.seasonal", True, ["models.mlp:", "seasonal is for a series"]),
}


@pytest.mark.parametrize(("key", "value", "parts"), BAD.values(), ids=BAD.keys())
def test_a_bad_value_is_named_with_file_and_key(tmp_path, key, value, parts):
    path = write(tmp_path, changed(key, value))
    assert assert_refused(path, parts).startswith(f"{path}: ")


def test_all_problems_come_at_once_those_of_the_data_last(tmp_path):
    (tmp_path / "series.csv").write_text("time,load\n2020-01-01,1\n2020-01-02,x\n")
    content = copy.deepcopy(GOOD)
    content["sed"] = 1
    content["formats"] = ["onxx"]
    content["datasets"]["fashion"] |= {"usee": 1, "validation": 2, "gate": {"linear": 1, "majority_class": "x"}}
    content["datasets"]["mine"] = {"source": "csv", "path": str(tmp_path / "series.csv"), "time": "time"}
    content["datasets"]["mine"] |= {"target": "load", "frequency": "D", "lookback": 1, "horizon": 1}
    content["datasets"]["none"] = {"source": "parquet"}
    content["models"]["mlp"] |= {"epochs": 0, "bach_size": 3, "hyperparameters": {"unit": 3, "dropout": [2]}}
    content["models"]["mlp"] |= {"expect": {"acuracy": {}}}
    content["models"]["lstm"] |= {"loss": "crossentropy", "flip": True, "warmup": 0.5, "machine": "big"}
    content["models"]["Bad"] = {"family": "mpl", "dataset": "fasion"}
    content["models"]["none"] = 3
    path = write(tmp_path, content)
    with pytest.raises(InputError) as refused:
        load_experiment(path, [])
    starts = [
        "formats.0: 'onxx'",
        "models.none: 3",
        "sed: unknown",
        "models.Bad: expected small",
        "datasets.fashion: gate.linear: 1",
        "datasets.fashion: gate.majority_class: 'x'",
        "datasets.fashion: validation: 2",
        "datasets.fashion: usee: unknown",
        "datasets.none: unknown source 'parquet'",
        "models.mlp: epochs: 0",
        "models.mlp: bach_size: unknown",
        "models.mlp: hyperparameters: dropout.0: 2",
        "models.mlp: hyperparameters: unit: unknown",
        "models.mlp: expect: no metric 'acuracy'",
        "models.lstm: flip is for images",
        "models.lstm: loss: crossentropy",
        "models.lstm: warmup",
        "models.lstm: machine: no 'big'",
        "models.Bad: dataset: no 'fasion'",
        "models.Bad: family: unknown family 'mpl'",
        f"datasets.mine: {tmp_path / 'series.csv'}:3: column 'load': 'x'",
        f"datasets.mine: {tmp_path / 'series.csv'}: lookback 1 + horizon 1 = 2 rows",
    ]
    problems = list(refused.value.problems)
    assert len(problems) == len(starts)
    for start in starts:
        assert [p for p in problems if p.startswith(f"{path}: {start}")], start
    assert all("datasets.mine: " in problem for problem in problems[-2:])
    assert refused.value.lines() == [*problems[:20], "and 2 more"]


def test_many_unknown_keys_are_refused_soon_and_in_few_letters(tmp_path):
    path = write(tmp_path, yaml.safe_dump(GOOD) + "".join(f"seedling{i}: 1\n" for i in range(5000)))
    with pytest.raises(InputError) as refused:
        load_experiment(path, [])
    assert len(refused.value.problems) == 5000
    assert refused.value.lines()[-1] == "and 4,980 more"
    path = write(tmp_path, changed("models", ["x" * 100_000]))
    assert len(assert_refused(path, ["models: ['xxxx"])) < 400
