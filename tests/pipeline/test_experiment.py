import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from small_experiment import GOOD, SHIPPED, assert_refused, changed, write

from components.common.errors import InputError
from pipeline.experiment.config_file import override, read_config
from pipeline.experiment.experiment import load_experiment, only
from pipeline.graph.compile import compile_experiment

ROOT = Path(__file__).parent.parent.parent


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
    "another source's option": ("datasets.fashion.horizon", 9, ["datasets.fashion: horizon: unknown key", "use"]),
    "misspelt gate": ("datasets.fashion.gates", {}, ["datasets.fashion: gates: unknown key", "'gate'"]),
    "unknown format": ("formats", ["onxx"], ["formats.0", "'onxx'", "'litert', 'litert_int8' or 'onnx'"]),
    "misspelt source": ("datasets.fashion.sourc", "x", ["datasets.fashion: sourc: unknown key", "'source'"]),
    # Types are never converted.
    "text for a count": ("models.mlp.epochs", "3", ["models.mlp: epochs: '3'", "integer"]),
    "fraction for a count": ("models.mlp.epochs", 1.5, ["models.mlp: epochs: 1.5", "integer"]),
    "text for a share": ("datasets.fashion.use", "half", ["datasets.fashion: use: 'half'", "number"]),
    "number for a switch": ("models.mlp.flip", 1, ["models.mlp: flip: 1", "boolean"]),
    "switch for a count": ("seed", True, ["seed: True", "integer"]),
    "number for a list": ("models.mlp.hyperparameters.units", 8, ["hyperparameters: units: 8", "list"]),
    "text in a list": ("models.mlp.hyperparameters.units", [8, "x"], ["hyperparameters: units.1: 'x'", "integer"]),
    "list for models": ("models", [1], ["models: [1]", "dictionary"]),
    "text for a model": ("models.mlp", "mlp", ["models.mlp: 'mlp'", "dictionary"]),
    "number for a family": ("models.mlp.family", 3, ["models.mlp: family: 3", "string"]),
    "list for a gate": ("datasets.fashion.gate", ["linear"], ["datasets.fashion: gate: ['linear']", "dictionary"]),
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
    "unknown family": ("models.mlp.family", "mpl", ["models.mlp: family", "'mpl'", "cnn, ", "mlp"]),
    "unknown source": ("datasets.fashion.source", "mnist", ["datasets.fashion:", "'mnist'", "csv, ", "tfds"]),
    "unknown dataset": ("models.mlp.dataset", "fasion", ["models.mlp: dataset", "'fasion'", "fashion, demand"]),
    "unknown machine": ("models.mlp.machine", "big", ["models.mlp: machine", "'big'", "cpu-small, "]),
    "unknown optimizer": ("models.mlp.optimizer", "adm", ["models.mlp: optimizer: 'adm'", "'adamw'"]),
    "unknown cycle": ("datasets.demand.calendar", ["day"], ["datasets.demand: calendar.0: 'day'", "'weekday'"]),
    "gate on an unknown baseline": (
        "datasets.fashion.gate",
        {"linaer": 0.1},
        ["datasets.fashion: gate", "'linaer'", "majority_class, linear"],
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
    "no learning": ("models.mlp.learning_rate", 0, ["models.mlp: learning_rate: 0", "greater than 0"]),
    "infinite learning": ("models.mlp.learning_rate", float("inf"), ["models.mlp: learning_rate: inf"]),
    "negative seed": ("seed", -1, ["seed: -1"]),
    "seed too large": ("seed", 2**32, [f"seed: {2**32}"]),
    "no use": ("datasets.fashion.use", 0, ["datasets.fashion: use: 0", "greater than 0"]),
    "too much use": ("datasets.fashion.use", 1.1, ["datasets.fashion: use: 1.1", "less than or equal to 1"]),
    "no units": ("models.lstm.hyperparameters.units", 0, ["models.lstm: hyperparameters: units: 0"]),
    "no units in a layer": ("models.mlp.hyperparameters.units", [0], ["models.mlp: hyperparameters: units"]),
    "no dropout rates": ("models.mlp.hyperparameters.dropout", [], ["models.mlp: hyperparameters: dropout"]),
    "too much dropout": ("models.mlp.hyperparameters.dropout", [1.5], ["models.mlp: hyperparameters: dropout"]),
    # Numbers that no training has an end or a memory for.
    "endless epochs": ("models.mlp.epochs", 10**30, ["models.mlp: epochs: 1000", "less than or equal to 100000"]),
    "float of endless epochs": ("models.mlp.epochs", 1e30, ["models.mlp: epochs: 1e+30", "integer"]),
    "endless batch": ("models.mlp.batch_size", 10**30, ["models.mlp: batch_size", "less than or equal to 1000000"]),
    "endless units": ("models.lstm.hyperparameters.units", 10**30, ["units", "less than or equal to 16384"]),
    "endless units of a layer": (
        "models.mlp.hyperparameters.units",
        [10**9],
        ["units.0", "less than or equal to 16384"],
    ),
    "endless patch": ("models.lstm.hyperparameters.patch", 10**30, ["patch", "less than or equal to 100000"]),
    "endless layers": ("models.mlp.hyperparameters.units", [8] * 101, ["units", "at most 100 items, got 101"]),
    "endless patience": ("models.mlp.patience", 10**30, ["patience", "less than or equal to 100000"]),
    "never a checkpoint": ("models.mlp.checkpoint_seconds", float("inf"), ["checkpoint_seconds: inf", "86400"]),
    "no number of seconds": ("models.mlp.checkpoint_seconds", float("nan"), ["checkpoint_seconds: nan"]),
    "much learning": ("models.mlp.learning_rate", 1e30, ["learning_rate: 1e+30", "less than or equal to 1000"]),
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
    "endless lookback": ("datasets.demand.lookback", 10**9, ["lookback", "less than or equal to 100000"]),
    "endless horizon": ("datasets.demand.horizon", 10**9, ["horizon", "less than or equal to 100000"]),
    "endless pictures": (
        "datasets.photos",
        {"source": "tfds", "name": "mnist", "height": 10**9, "width": 3},
        ["datasets.photos: height: 1000000000: expected less than or equal to 4096"],
    ),
    "text of another form": ("vertex.service_account", "me", ["service_account: 'me': expected text like '^[^@"]),
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
    "flips of a series": ("models.lstm.flip", True, ["models.lstm: flip is for images", "demand"]),
    "smooth labels of a series": ("models.lstm.label_smoothing", 0.1, ["models.lstm: label_smoothing is for images"]),
    "seasons of images": ("models.mlp.hyperparameters.seasonal", True, ["models.mlp:", "seasonal is for a series"]),
}


@pytest.mark.parametrize(("key", "value", "parts"), BAD.values(), ids=BAD.keys())
def test_a_bad_value_is_named_with_file_and_key(tmp_path, key, value, parts):
    path = write(tmp_path, changed(key, value))
    assert assert_refused(path, parts).startswith(f"{path}: ")


def test_a_family_that_cannot_do_the_task_is_refused_with_those_that_can(tmp_path):
    path = write(tmp_path, changed("models.mlp.family", "encoder_decoder_lstm"))
    message = assert_refused(path, ["models.mlp: family encoder_decoder_lstm doesn't solve classification"])
    assert message.endswith("these do: bidirectional_lstm, cnn, cnn_lstm, lstm, mlp, stacked_lstm")


LAYERS = {
    "no layer": (
        {"convv": 3},
        "layers.0: {'convv': 3}: expected {conv: …}, {dropout: …}, {norm: …}, norm, pool or average",
    ),
    "number": (3, "layers.0: 3: expected {conv: …}"),
    "unknown name": ("nrm", "layers.0.name: 'nrm': expected 'norm', 'pool' or 'average'"),
    "no filters": ({"conv": 0}, "layers.0.conv.conv: 0: expected greater than or equal to 1"),
    "endless filters": ({"conv": 10**9}, "layers.0.conv.conv: 1000000000: expected less than or equal to 16384"),
    "endless kernel": ({"conv": 1, "kernel": 10**9}, "kernel: 1000000000: expected less than or equal to 255"),
    "unknown key": ({"conv": 1, "size": 3}, "layers.0.conv.size: unknown key"),
}


@pytest.mark.parametrize(("layer", "message"), LAYERS.values(), ids=LAYERS.keys())
def test_a_bad_layer_is_named_once(tmp_path, layer, message):
    content = changed("models.mlp.family", "cnn")
    content["models"]["mlp"]["hyperparameters"] = {"layers": [layer, "pool"]}
    assert message in assert_refused(write(tmp_path, content), ["models.mlp: hyperparameters: layers.0"])


def test_a_convolution_after_the_average_is_refused(tmp_path):
    """Keras refuses it too, once the training has started."""
    content = changed("models.mlp.family", "cnn")
    for layers in (["average", "pool"], ["average", "average"], ["average", {"conv": 3}]):
        content["models"]["mlp"]["hyperparameters"] = {"layers": layers}
        assert_refused(write(tmp_path, content), ["layers: ", "only norm and dropout after average"])
    content["models"]["mlp"]["hyperparameters"] = {"layers": ["average", "norm", {"dropout": 0.5}]}
    load_experiment(write(tmp_path, content), [])


def test_patches_of_images_are_refused(tmp_path):
    content = changed("models.mlp.family", "lstm")
    content["models"]["mlp"]["hyperparameters"] = {"patch": 4}
    assert_refused(write(tmp_path, content), ["models.mlp: hyperparameters.patch is for a series"])


def test_seasons_that_do_not_fit_into_the_lookback_are_refused(tmp_path):
    content = changed("datasets.demand.lookback", 20)
    content["models"]["lstm"]["hyperparameters"] = {"seasonal": True}
    assert_refused(write(tmp_path, content), ["models.lstm: hyperparameters.seasonal", "demand"])


def test_what_a_source_finds_is_told_with_the_data_set(tmp_path):
    (tmp_path / "series.csv").write_text("time,load\n2020-01-01,1\n2020-01-02,x\n")
    options = {"source": "csv", "path": str(tmp_path / "series.csv"), "time": "time", "target": "load"}
    options |= {"frequency": "D", "lookback": 1, "horizon": 1}
    path = write(tmp_path, changed("datasets.mine", options))
    assert_refused(path, [f"{path}: datasets.mine: ", f"{tmp_path / 'series.csv'}:3: column 'load': 'x'"])
    options["frequency"] = "daily"
    path = write(tmp_path, changed("datasets.mine", options))
    assert_refused(path, [f"{path}: datasets.mine: ", "frequency 'daily'"])


def test_a_column_named_like_one_of_the_calendar_is_refused(tmp_path):
    """Looked up by name, the target would be handed to the models as known in the future."""
    lines = [f"2020-01-{day:02}T00:00,{day}" for day in range(1, 31)]
    (tmp_path / "series.csv").write_text("\n".join(["time,hour_sin", *lines]))
    options = {"source": "csv", "path": str(tmp_path / "series.csv"), "time": "time", "target": "hour_sin"}
    options |= {"frequency": "D", "lookback": 1, "horizon": 1}
    load_experiment(write(tmp_path, changed("datasets.mine", options)), [])
    path = write(tmp_path, changed("datasets.mine", options | {"calendar": ["hour"]}))
    assert_refused(path, ["datasets.mine:", "hour_sin"])


@pytest.mark.parametrize("name", ["Small.yaml", "1.yaml", "my file.yaml", "a--b.yaml", "a_.yaml", "a.b.yaml", "ä.yaml"])
def test_a_bad_file_name_is_refused(tmp_path, name):
    assert assert_refused(write(tmp_path, name=name), ["a file's name"]).startswith(str(tmp_path / name))


@pytest.mark.parametrize("name", ["registry", "latest", "a" * 64, "a" * 240])
def test_a_name_that_has_another_use_or_is_too_long_is_refused(tmp_path, name):
    assert len(assert_refused(write(tmp_path, name=f"{name}.yaml"), ["a file's name is its experiment's"])) < 500


@pytest.mark.parametrize("kind", ["datasets", "models"])
@pytest.mark.parametrize("length", [51, 5000])
def test_a_long_name_of_a_data_set_or_model_is_refused(tmp_path, kind, length):
    content = copy.deepcopy(GOOD)
    content[kind]["a" * length] = dict(next(iter(content[kind].values())))
    assert len(assert_refused(write(tmp_path, content), ["letters, expected at most 50"])) < 300


@pytest.mark.parametrize("name", ["a.yaml", "a-b_c3.yaml", "quick.yml"])
def test_a_good_file_name_is_the_experiments(tmp_path, name):
    assert load_experiment(write(tmp_path, name=name), []).name == name.partition(".")[0]


@pytest.mark.parametrize("name", ["Mlp", "my-mlp", "my mlp", "my__mlp", "_mlp", "mlp_", "1mlp", "", "../mlp"])
@pytest.mark.parametrize("kind", ["datasets", "models"])
def test_a_bad_name_of_a_data_set_or_model_is_refused(tmp_path, kind, name):
    content = copy.deepcopy(GOOD)
    content[kind][name] = dict(next(iter(content[kind].values())))
    folder = tmp_path / ("a folder " * 20)
    folder.mkdir()
    path = write(folder, content)
    assert assert_refused(path, [f"{kind}.{name}: expected small letters"]).startswith(f"{path}: ")


NOT_YAML = {
    "unended list": ("models: [1\nseed: 2\n", ":2: "),
    "tab": ("models:\n\tmlp: 1\n", ":2: "),
    "key given twice": ("seed: 1\nmodels: {}\nseed: 2\n", "the key 'seed' is there twice"),
    "inner key given twice": ("models:\n  mlp: {epochs: 1, epochs: 2}\n", ":2: the key 'epochs' is there twice"),
    "unknown alias": ("models: *mine\n", ":1: "),
    "object": ("models: !!python/object:os.system x\n", ":1: "),
    "key that is a list": ("[1]: 2\n", ":1: "),
    "two documents": ("seed: 1\n---\nseed: 2\n", ":2: "),
    "control character": ("seed: \x01\n", "not YAML"),
    "no such day": ("seed: 2020-13-45\n", "seed: '2020-13-45': expected a valid integer"),
    "empty": ("", "None"),
    "list": ("- 1\n", "[1]"),
    "a hundred million values of aliases": (
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 8)),
        ":5: more than 20,000 values, with those that aliases stand for",
    ),
    "aliases that are merged": (
        "a0: &a0 {k0: 1, l0: 1}\n"
        + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}], k{i}: 1}}\n" for i in range(1, 8)),
        "more than 20,000 values",
    ),
    "alias of itself": ("models: &a [*a]\n", "the alias *a is a part of what it stands for"),
    "5,000 levels": (f"models: {'[' * 5000}{']' * 5000}\n", ":1: more than 50 levels"),
    "260,000 keys": ("".join(f"{i:x}: \n" for i in range(130_000)), "more than 20,000 values"),
    "more than is read": ("x: " + "y" * 1_000_000, "at most 1,000,000 bytes"),
    "NUL": ('models: "\\0"\n', ":1: a character that text can't hold"),
    "half a character": ('models: "\\ud83d"\n', ":1: a character that text can't hold"),
    "integer of 5,000 digits": (f"seed: {'9' * 5000}\n", "not YAML"),
    "text": ("hello\n", "'hello'"),
}


def test_all_keys_given_twice_are_named_at_once(tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text("seed: 1\nmodels: {mlp: {epochs: 1, epochs: 2}}\nseed: 2\n")
    with pytest.raises(InputError) as refused:
        read_config(path)
    places = [(2, "epochs"), (3, "seed")]
    assert refused.value.problems == tuple(f"{path}:{line}: the key '{key}' is there twice" for line, key in places)
    with pytest.raises(InputError, match="the key 'a' is there twice"):
        override({"seed": 1}, ["seed={a: 1, a: 2}"])


@pytest.mark.parametrize(("content", "part"), NOT_YAML.values(), ids=NOT_YAML.keys())
def test_what_is_not_yaml_of_an_experiment_is_refused(tmp_path, content, part):
    path = write(tmp_path, content)
    assert assert_refused(path, [part]).startswith(str(path))


@pytest.mark.parametrize("name", ["data.csv", "mnist", "photo.png"])
def test_what_is_no_config_is_not_read(tmp_path, name):
    path = write(tmp_path, "time,load\n2020-01-01,1\n", name)
    assert assert_refused(path, ["not a config", ".yaml"]).startswith(f"{path}: ")


def test_a_file_that_never_ends_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    assert_refused(tmp_path / "pipe.yaml", ["not a regular file"])
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    assert_refused(tmp_path / "zero.yaml", ["not a regular file"])


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    assert_refused(tmp_path / "none.yaml", [str(tmp_path / "none.yaml"), "No such file"])
    assert_refused(tmp_path, [str(tmp_path), "Is a directory"])
    path = write(tmp_path)
    path.write_bytes(b"seed: \xe9\n")
    assert_refused(path, [str(path), "not UTF-8"])
    assert_refused(tmp_path / "a\0.yaml", ["not a path"])


VALUES = {
    "1e-3": 0.001,
    "1E3": 1000.0,
    "-.5": -0.5,
    "12e03": 12000.0,
    "7": 7,
    "010": 10,
    "0o17": 15,
    "0x1F": 31,
    ".inf": float("inf"),
    "True": True,
    "~": None,
    "yes": "yes",
    "NO": "NO",
    "on": "on",
    "1:30": "1:30",
    "1_000": "1_000",
    "2020-01-31": "2020-01-31",
    "'1e-3'": "1e-3",
    "1e": "1e",
}


@pytest.mark.parametrize(("text", "value"), VALUES.items(), ids=VALUES)
def test_values_are_those_of_yaml_1_2(tmp_path, text, value):
    content = read_config(write(tmp_path, f"a: {text}\n"))
    override(content, [f"b={text}"])
    assert [(type(one), one) for one in content.values()] == [(type(value), value)] * 2


def test_a_number_with_an_exponent_is_a_number(tmp_path):
    text = yaml.safe_dump(GOOD, sort_keys=False) + "  gru: {family: lstm, dataset: demand, learning_rate: 1e-3}\n"
    experiment = load_experiment(write(tmp_path, text), ["models.mlp.learning_rate=3e-4"])
    assert [experiment.models[name].learning_rate for name in ("gru", "mlp")] == [1e-3, 3e-4]


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


WRONG_OPTIONS = {
    "missing": ({"lookback": None}, "lookback: missing"),
    "misspelt": ({"lookback": None, "lokback": 3}, "lokback: unknown key; did you mean 'lookback'?"),
    "of another type": ({"horizon": "12"}, "horizon: '12': expected a valid integer"),
    "out of range": ({"validation": 2}, "validation: 2: expected less than 1"),
    "no frequency": ({"frequency": None}, "frequency: missing"),
    "no such frequency": ({"frequency": "fortnight"}, "frequency 'fortnight' is not a count and a unit"),
    "no such method": ({"fill": {"method": "cubic", "at_most": 3}}, "fill.method: 'cubic': expected 'linear', "),
    "both signs alike": ({"thousands": "."}, "decimal and thousands are both '.'"),
    "no such format": ({"time_format": "yyyy"}, "time_format 'yyyy' is not one of strptime"),
    "named twice": ({"covariates": ["load"]}, "column 'load' is named twice in the options"),
    "no such baseline": ({"gate": {"best": 0.1}}, "gate: no baseline 'best'"),
}


@pytest.mark.parametrize(("changes", "message"), WRONG_OPTIONS.values(), ids=WRONG_OPTIONS)
def test_data_are_looked_at_though_an_option_is_wrong(tmp_path, changes, message):
    rows = [f"2020-01-{day:02},{'x' if day == 9 else day}" for day in range(1, 29)]
    (tmp_path / "series.csv").write_text("\n".join(["time,load", *rows]))
    options = {"source": "csv", "path": "series.csv", "time": "time", "target": "load"}
    options |= {"frequency": "D", "lookback": 2, "horizon": 1} | changes
    content = changed("datasets.mine", {key: value for key, value in options.items() if value is not None})
    path = write(tmp_path, content)
    with pytest.raises(InputError) as refused:
        load_experiment(path, ["models.mpl.epochs=1"])
    problems = [problem.removeprefix(f"{path}: datasets.mine: ") for problem in refused.value.problems]
    assert problems[0].startswith("--set models.mpl.epochs=1: no 'models.mpl'")
    assert any(message in problem for problem in problems)
    assert f"{tmp_path / 'series.csv'}:10: column 'load': 'x' is not a number" in problems
    assert len(problems) == (4 if "lokback" in changes else 3), "and nothing that isn't so"


def test_pictures_are_looked_at_though_an_option_is_wrong(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_text("x")
    path = write(tmp_path, changed("datasets.mine", {"source": "image_folder", "path": ".", "height": 0, "width": 8}))
    assert_refused(path, ["height: 0: expected greater", "cat/1.png: unreadable image", "dog/1.png: unreadable image"])


def test_many_unknown_keys_are_refused_soon_and_in_few_letters(tmp_path):
    path = write(tmp_path, yaml.safe_dump(GOOD) + "".join(f"seedling{i}: 1\n" for i in range(5000)))
    with pytest.raises(InputError) as refused:
        load_experiment(path, [])
    assert len(refused.value.problems) == 5000
    assert refused.value.lines()[-1] == "and 4,980 more"
    path = write(tmp_path, changed("models", ["x" * 100_000]))
    assert len(assert_refused(path, ["models: ['xxxx"])) < 400


@pytest.mark.parametrize(
    "override",
    [
        f"models.mlp.hyperparameters={'[' * 5000}",
        f"models.mlp.hyperparameters{'.hyperparameters' * 5000}=1",
        f"seed={'9' * 5000}",
        "seed=\udce9",
    ],
    ids=["levels of a value", "levels of a key", "digits", "not UTF-8"],
)
def test_an_override_of_any_size_is_refused_in_a_line(tmp_path, override):
    assert len(assert_refused(write(tmp_path), ["--set "], [override])) < 400


def test_all_overrides_that_cannot_be_made_are_named(tmp_path):
    with pytest.raises(InputError) as refused:
        load_experiment(write(tmp_path), ["models.mpl.epochs=3", "seed", "model.x.y=1"])
    assert len(refused.value.problems) == 3


def test_a_model_or_data_set_of_null_is_left_out(tmp_path):
    experiment = load_experiment(write(tmp_path), ["models.lstm=null", "datasets.demand=null"])
    assert (list(experiment.models), list(experiment.datasets)) == (["mlp"], ["fashion"])
    path = write(tmp_path)
    assert_refused(path, ["models.lstm: dataset: no 'demand'"], ["datasets.demand=null"])
    assert_refused(path, ["--set models.gru=null: no 'models.gru'; there are: mlp, lstm"], ["models.gru=null"])
    assert_refused(path, ["models: empty"], ["models.lstm=null", "models.mlp=null"])


def test_a_run_of_some_models_keeps_their_data_sets(tmp_path):
    whole = load_experiment(write(tmp_path), [])
    part = only(whole, ["lstm"])
    assert (list(part.models), list(part.datasets), list(part.expect)) == (["lstm"], ["demand"], ["lstm"])
    assert part.command == f"{whole.command} --model lstm"
    assert only(whole, []) == whole
    with pytest.raises(InputError) as refused:
        only(whole, ["lst", "x", "mlp"])
    assert refused.value.problems == (
        "--model lst: small has no such model; did you mean 'lstm'?",
        "--model x: small has no such model; there are: mlp, lstm",
    )


def test_run_takes_the_models_to_run(tmp_path):
    command = [sys.executable, "-m", "pipeline", "run", str(write(tmp_path)), "--model", "mpl"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "error: --model mpl: small has no such model; did you mean 'mlp'?\n")


def test_an_override_changes_one_of_the_models_that_share_an_alias(tmp_path):
    text = "datasets: {f: {source: fashion_mnist}}\nmodels:\n"
    text += "  a: &a {family: mlp, dataset: f, hyperparameters: &h {units: [4]}}\n"
    text += "  b: *a\n  c: {<<: *a, hyperparameters: *h}\n"
    models = load_experiment(write(tmp_path, text), ["models.b.hyperparameters.units=[5]", "models.b.epochs=1"]).models
    assert [model.hyperparameters["units"] for model in models.values()] == [[4], [5], [4]]
    assert [model.epochs for model in models.values()] == [10, 1, 10]


def test_yaml_anchors_and_merges_share_settings(tmp_path):
    shared = "datasets: {f: {source: fashion_mnist}}\nmodels:\n  a: &a {family: mlp, dataset: f, epochs: 2}\n"
    assert load_experiment(write(tmp_path, shared + "  b: *a\n"), []).models["b"].epochs == 2
    merged = load_experiment(write(tmp_path, shared + "  b: {<<: *a, epochs: 3, batch_size: 5}\n"), []).models
    assert (merged["a"].epochs, merged["b"].epochs, merged["b"].batch_size) == (2, 3, 5)


def test_overrides_change_values(tmp_path):
    overrides = [
        "seed=11",
        "models.mlp.epochs=5",
        "models.mlp.learning_rate=0.5",
        "models.mlp.flip=true",
        "models.mlp.hyperparameters.dropout=[0.1, 0.2]",
        "models.lstm.hyperparameters.units=4",
        "models.lstm.loss=mae",
        "datasets.demand.gate.last_value=0.25",
        "datasets.fashion.gate.majority_class=0.5",
        "models.lstm.patience=7",
        "models.lstm.patience=null",
    ]
    experiment = load_experiment(write(tmp_path), overrides)
    mlp, lstm = experiment.models["mlp"], experiment.models["lstm"]
    assert experiment.seed == 11
    assert (mlp.epochs, mlp.learning_rate, mlp.flip) == (5, 0.5, True)
    assert mlp.hyperparameters == {"units": [8], "dropout": [0.1, 0.2]}
    assert (lstm.hyperparameters, lstm.loss, lstm.patience) == ({"units": 4}, "mae", None)
    assert experiment.datasets["demand"].gate == {"last_value": 0.25}
    assert experiment.datasets["fashion"].gate == {"majority_class": 0.5}


def test_overrides_leave_the_file_alone(tmp_path):
    path = write(tmp_path)
    before = path.read_bytes()
    load_experiment(path, ["seed=11"])
    assert path.read_bytes() == before
    assert load_experiment(path, []).seed == 3


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("models.mlp.epochs=0", ["models.mlp: epochs: 0"]),
        ("models.mlp.epochs=", ["models.mlp: epochs: None"]),
        ("models.mlp.epochs=three", ["models.mlp: epochs: 'three'"]),
        ("models.mlp.epoch=3", ["models.mlp: epoch: unknown key", "'epochs'"]),
        ("models.lstm.hyperparameters.unit=3", ["models.lstm: hyperparameters: unit: unknown key", "'units'"]),
        ("datasets.demand.gate.mean=0.1", ["datasets.demand: gate", "'mean'"]),
        ("seeds=1", ["seeds: unknown key", "'seed'"]),
    ],
)
def test_overrides_are_checked_like_the_file(tmp_path, override, parts):
    assert_refused(write(tmp_path), parts, [override])


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("", ["key.key=value"]),
        ("models.mlp.epochs", ["key.key=value"]),
        ("=3", ["key.key=value"]),
        ("models..epochs=3", ["key.key=value"]),
        (".seed=3", ["key.key=value"]),
        ("models.mlp.epochs.=3", ["key.key=value"]),
        ("models.mpl.epochs=3", ["no 'models.mpl'", "mlp, lstm"]),
        ("model.mlp.epochs=3", ["no 'model'", "seed, datasets, models"]),
        ("models.mlp.epochs.x=3", ["no 'models.mlp.epochs'"]),
        ("models.mlp.hyperparameters.units=[1", ["'[1' is not a YAML value"]),
        ("models.mlp.epochs=a: b: c", ["is not a YAML value"]),
    ],
)
def test_an_override_that_cannot_be_made_is_named(tmp_path, override, parts):
    assert assert_refused(write(tmp_path), parts, [override]).startswith(f"--set {override}: ")


def test_an_override_beside_keys_that_are_numbers_is_refused(tmp_path):
    path = write(tmp_path, "datasets: {f: {source: fashion_mnist}}\nmodels: {1: {family: mlp, dataset: f}}\n")
    assert_refused(path, ["--set models.x.epochs=1"], ["models.x.epochs=1"])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_experiments_load(path):
    experiment = load_experiment(path, [])
    assert experiment.name == path.stem
    assert experiment.models.keys() == {spec.family for spec in experiment.models.values()}


def test_there_are_shipped_experiments():
    assert {"quick", "families"} <= {path.stem for path in SHIPPED}


def test_compiling_is_reproducible_and_leaves_one_file(tmp_path):
    experiment = load_experiment(write(tmp_path), [])
    path, digest = compile_experiment(experiment, tmp_path / "build")
    assert (path, digest) == compile_experiment(experiment, tmp_path / "build")
    assert list((tmp_path / "build").iterdir()) == [path]
    assert path.name == "small.yaml"
    other = load_experiment(write(tmp_path), ["seed=4"])
    assert compile_experiment(other, tmp_path / "build")[1] != digest


def test_a_compiled_pipeline_has_a_task_for_each_step(tmp_path):
    path, _ = compile_experiment(load_experiment(write(tmp_path), []), tmp_path)
    tasks = yaml.safe_load(path.read_text().split("\n---")[0])["root"]["dag"]["tasks"]
    expected = {f"{step}-{of}" for step in ("ingest", "baseline") for of in ("fashion", "demand")}
    expected |= {f"{step}-{of}" for step in ("train", "evaluate", "export") for of in ("mlp", "lstm")}
    assert expected < tasks.keys()
    assert tasks.keys() - expected == {"compare", "register", "report"}


def test_the_report_is_told_the_graph_that_was_compiled(tmp_path):
    path, _ = compile_experiment(load_experiment(write(tmp_path), ["seed=4"]), tmp_path)
    tasks = yaml.safe_load(path.read_text().split("\n---")[0])["root"]["dag"]["tasks"]
    about = json.loads(tasks["report"]["inputs"]["parameters"]["about"]["runtimeValue"]["constant"])
    assert {name: sorted(needs) for name, needs in about["tasks"].items()} == {
        name: sorted(task.get("dependentTasks", [])) for name, task in tasks.items()
    }
    seen = set()
    for name, needs in about["tasks"].items():
        assert seen.issuperset(needs)
        seen.add(name)
    assert about["command"] == f"python -m pipeline run {tmp_path / 'small.yaml'} --set seed=4"


def test_the_report_has_the_command_for_the_folder_that_it_was_started_in(tmp_path, monkeypatch):
    path = write(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inner").mkdir()
    assert load_experiment(path, []).command == "keras-pipeline run small.yaml", "without this machine's folders"
    monkeypatch.chdir(tmp_path / "inner")
    assert load_experiment(Path("../small.yaml"), []).command == "keras-pipeline run ../small.yaml"
    shipped = ROOT / "configs" / "quick.yaml"
    assert load_experiment(shipped, []).command == f"keras-pipeline run {shipped}"
    monkeypatch.chdir(ROOT)
    assert load_experiment(shipped, []).command == "python -m pipeline run configs/quick.yaml"


def test_loading_and_compiling_does_not_import_tensorflow(tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from pipeline.experiment.experiment import load_experiment\n"
        "from pipeline.graph.compile import compile_experiment\n"
        "compile_experiment(load_experiment(Path(sys.argv[1]), []), Path(sys.argv[2]))\n"
        "print([name for name in ('tensorflow', 'keras', 'torch', 'jax') if name in sys.modules])\n"
    )
    command = [sys.executable, "-c", code, str(write(tmp_path)), str(tmp_path / "build")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[]"
    assert (tmp_path / "build" / "small.yaml").is_file()
