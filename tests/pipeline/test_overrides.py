"""What `--set` and `--model` change of a config."""

import subprocess
import sys
from pathlib import Path

import pytest
from small_experiment import assert_refused, changed, write

from components.common.errors import InputError
from pipeline.experiment.experiment import load_experiment, select_models

ROOT = Path(__file__).parent.parent.parent


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
    part = select_models(whole, ["lstm"])
    assert (list(part.models), list(part.datasets), list(part.expect)) == (["lstm"], ["demand"], ["lstm"])
    assert part.command == f"{whole.command} --model lstm"
    assert select_models(whole, []) == whole
    with pytest.raises(InputError) as refused:
        select_models(whole, ["lst", "x", "mlp"])
    assert refused.value.problems == (
        "--model lst: small has no such model; did you mean 'lstm'?",
        "--model x: small has no such model; there are: mlp, lstm",
    )


def test_a_model_that_is_not_there_is_named_with_all_other_problems(tmp_path):
    with pytest.raises(InputError) as refused:
        load_experiment(write(tmp_path, changed("models.mlp.epochs", 0)), [], ["mpl", "mlp"])
    typo, value = sorted(refused.value.problems)
    assert typo == "--model mpl: small has no such model; did you mean 'mlp'?"
    assert "models.mlp: epochs: 0" in value


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
        ("models.mlp.epochs=", ["models.mlp: epochs: null"]),
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
