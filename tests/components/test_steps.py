"""The steps from train to register, called as KFP calls them, on a slice of the real data."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kfp import dsl

from components.compare.component import compare_component
from components.errors import InputError
from components.export.component import export
from components.exported import Format
from components.leaderboard import Leaderboard
from components.register.component import register_component
from components.train.component import train

DATASETS = {
    "fashion": {"source": "fashion_mnist", "use": 0.01},
    "electricity": {"source": "electricity", "use": 0.1, "lookback": 96, "horizon": 12, "calendar": ["hour"]},
}
MODELS = {
    "mlp": {"family": "mlp", "dataset": "fashion", "epochs": 3, "batch_size": 50, "hyperparameters": {"units": [32]}},
    "lstm": {
        "family": "lstm",
        "dataset": "electricity",
        "epochs": 2,
        "loss": "mae",
        "hyperparameters": {"units": 8, "patch": 12, "seasonal": True},
    },
}


def artifact(kind, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    return kind(uri=str(path))


def train_one(name, folder, datasets, seed=1, code_version="x", **changes):
    spec = {**MODELS[name], **changes}
    model = artifact(dsl.Model, folder / "run" / f"train-{name}" / "model")
    train.python_func(name, json.dumps(spec), seed, code_version, datasets[spec["dataset"]], model)
    return model


@pytest.fixture(scope="module")
def datasets(ingested):
    return ingested


def compared(results, folder, gates=None, failures=None):
    contest = {
        "experiment": "test",
        "seed": 1,
        "gates": gates or {},
        "models": {n: {"family": m["family"], "dataset": m["dataset"]} for n, m in MODELS.items()},
    }
    board = artifact(dsl.Artifact, folder / "leaderboard")
    compare = compare_component(list(DATASETS), list(MODELS))
    given = {k: None for kind in ("model", "evaluation", "export") for n in MODELS for k in [f"{kind}_{n}"]}
    compare.python_func(
        json.dumps(contest), json.dumps(failures or {}), "sha", "code", "run", board, **{**given, **results}
    )
    return board, Leaderboard.model_validate_json((Path(board.path) / "leaderboard.json").read_text())


def weights_of(model):
    import keras

    return keras.saving.load_model(Path(model.path) / "model.keras", compile=False).get_weights()


def test_two_trainings_of_one_seed_are_equal_to_the_bit(datasets, trained, tmp_path):
    again = train_one("mlp", tmp_path, datasets)
    for first, second in zip(weights_of(trained["mlp"]), weights_of(again), strict=True):
        np.testing.assert_array_equal(first, second)
    other = train_one("mlp", tmp_path / "other", datasets, seed=2)
    assert any((a != b).any() for a, b in zip(weights_of(again), weights_of(other), strict=True))


def killed_after(epochs, name, folder, datasets):
    """Train in a process that is killed once so many epochs are checkpointed; where its model would be."""
    code = (
        "import json, os, signal, sys\n"
        "from components.train import resume, work\n"
        "save = resume.Resumable.on_epoch_end\n"
        "def stop(self, epoch, logs=None):\n"
        "    save(self, epoch, logs)\n"
        "    if epoch + 1 == int(sys.argv[2]): os.kill(os.getpid(), signal.SIGKILL)\n"
        "resume.Resumable.on_epoch_end = stop\n"
        "work.train(*json.loads(sys.argv[1]))\n"
    )
    model = artifact(dsl.Model, folder / "run" / f"train-{name}" / "model")
    arguments = [name, json.dumps(MODELS[name]), 1, "x", datasets[MODELS[name]["dataset"]].path, model.path]
    command = [sys.executable, "-c", code, json.dumps(arguments), str(epochs)]
    killed = subprocess.run(command, capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr
    return model


@pytest.mark.parametrize("name", MODELS)
def test_an_interrupted_training_goes_on_and_ends_with_the_same_weights(name, datasets, trained, tmp_path):
    model = killed_after(1, name, tmp_path, datasets)
    assert not Path(model.path).exists()
    assert list((tmp_path / "checkpoints").iterdir())

    resumed = train_one(name, tmp_path, datasets)
    for first, second in zip(weights_of(trained[name]), weights_of(resumed), strict=True):
        np.testing.assert_array_equal(first, second)
    old = json.loads((Path(trained[name].path) / "model.json").read_text())
    new = json.loads((Path(resumed.path) / "model.json").read_text())
    assert [{**h, "seconds": 0} for h in old["history"]] == [{**h, "seconds": 0} for h in new["history"]]
    assert old["best_epoch"] == new["best_epoch"]
    assert not list((tmp_path / "checkpoints").iterdir()), "checkpoints of a finished training take room for nothing"


def test_a_damaged_checkpoint_is_passed_over(datasets, trained, tmp_path, capsys):
    killed_after(2, "mlp", tmp_path, datasets)
    newest = sorted((tmp_path / "checkpoints").rglob("checkpoint-2.data*"))[0]
    newest.write_bytes(newest.read_bytes()[:-500])
    resumed = train_one("mlp", tmp_path, datasets)
    said = capsys.readouterr().out
    assert "checkpoint 2 is damaged, trying the one before\n" in said
    assert "going on from the checkpoint after epoch 1\n" in said
    for first, second in zip(weights_of(trained["mlp"]), weights_of(resumed), strict=True):
        np.testing.assert_array_equal(first, second)


def test_another_code_version_starts_anew(datasets, tmp_path, capsys):
    train_one("lstm", tmp_path, datasets, epochs=1)
    capsys.readouterr()
    train_one("lstm", tmp_path, datasets, epochs=1, code_version="y")
    assert "going on" not in capsys.readouterr().out


def test_early_stopping_keeps_the_best_epoch(datasets, tmp_path):
    model = train_one("mlp", tmp_path, datasets, epochs=30, patience=1, learning_rate=0.05)
    info = json.loads((Path(model.path) / "model.json").read_text())
    accuracies = [epoch["val_accuracy"] for epoch in info["history"]]
    assert len(accuracies) < 30
    assert info["best_epoch"] == accuracies.index(max(accuracies)) + 1


def test_tensorboard_shows_curves_the_graph_and_histograms_when_asked(datasets, trained, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def tags(model):
        return set(EventAccumulator(str(Path(model.path) / "tensorboard" / "train")).Reload().Tags()["tensors"])

    usual = tags(trained["mlp"])
    assert usual >= {"epoch_loss", "epoch_accuracy", "keras"}
    asked = tags(train_one("mlp", tmp_path, datasets, epochs=1, histograms=True))
    assert {tag.split("/")[-2] for tag in asked - usual} >= {"kernel", "bias"}


def test_the_layers_of_a_model_have_all_its_weights(trained):
    for model in trained.values():
        info = json.loads((Path(model.path) / "model.json").read_text())
        assert sum(layer["parameters"] for layer in info["layers"]) == info["parameters"]
        names = [layer["name"] for layer in info["layers"]]
        assert all(names.index(before) < i for i, la in enumerate(info["layers"]) for before in la["inputs"])


def test_a_model_of_other_data_is_refused(datasets, trained, tmp_path):
    with pytest.raises(InputError, match="trained on data"):
        export.python_func("x", datasets["electricity"], trained["mlp"], artifact(dsl.Model, tmp_path / "e"))
    assert not (tmp_path / "e").exists()


def test_evaluation_has_metrics_inside_their_intervals(results):
    for name in MODELS:
        found = json.loads((Path(results[f"evaluation_{name}"].path) / "evaluation.json").read_text())
        for metric, value in found["metrics"].items():
            low, high = found["intervals"][metric]
            assert low <= value <= high
            assert low < high


def test_evaluation_equals_what_its_predictions_give(results, datasets):
    folder = Path(results["evaluation_mlp"].path)
    found = json.loads((folder / "evaluation.json").read_text())
    with np.load(folder / "predictions.npz") as saved:
        predicted = saved["prediction"].argmax(axis=1)
        assert found["metrics"]["accuracy"] == pytest.approx((predicted == saved["target"]).mean())
        assert np.trace(found["confusion"]) == (predicted == saved["target"]).sum()
    folder = Path(results["evaluation_lstm"].path)
    found = json.loads((folder / "evaluation.json").read_text())
    with np.load(folder / "predictions.npz") as saved:
        error = np.abs(saved["prediction"] - saved["target"])
    assert found["metrics"]["mae"] == pytest.approx(error.mean(), rel=1e-5)
    np.testing.assert_allclose(found["per_step"]["mae"], error.mean(axis=0), rtol=1e-5)
    worst = next(window for window in found["windows"] if window["name"] == "worst")
    assert worst["example"] == error.mean(axis=1).argmax()
    assert len(found["per_hour"]) == 24
    assert {row["batch"] for row in found["latency"]} >= {1, 32}


def test_seasonal_baselines_equal_the_series_shifted(results, datasets):
    from components.dataset import load_info
    from components.inputs import load_rows

    info = load_info(datasets["electricity"].path)
    demand = load_rows(datasets["electricity"].path, info, "test")[:, 0].astype(float)
    first = info.lookback + np.arange(info.examples("test"))[:, None] + np.arange(info.horizon)
    expected = np.abs(demand[first] - demand[first - 48]).mean()
    found = json.loads((Path(results["baseline_electricity"].path) / "baselines.json").read_text())
    assert found["same_time_yesterday"]["mae"] == pytest.approx(expected, rel=1e-5)
    assert "same_time_last_week" not in found, "a week doesn't fit into the window"


def test_saved_model_serves_raw_inputs_by_name(results):
    import tensorflow as tf

    serve = tf.saved_model.load(Path(results["export_mlp"].path) / "saved_model").signatures["serving_default"]
    out = serve(image=tf.zeros([3, 28, 28, 1], tf.uint8))
    assert out["probabilities"].shape == (3, 10)
    serve = tf.saved_model.load(Path(results["export_lstm"].path) / "saved_model").signatures["serving_default"]
    out = serve(window=tf.ones([2, 96, 3]), future=tf.ones([2, 12, 3]))
    assert out["forecast"].shape == (2, 12)


def test_export_refuses_a_saved_model_that_differs(datasets, trained, tmp_path, monkeypatch):
    from components.export import work

    def changed(model):
        call = compiled(model)
        return lambda batch: call(batch) + 0.01

    compiled = work.compiled
    monkeypatch.setattr(work, "compiled", changed)
    with pytest.raises(RuntimeError, match="differs"):
        export.python_func("x", datasets["fashion"], trained["mlp"], artifact(dsl.Model, tmp_path / "e"))
    assert list(tmp_path.iterdir()) == []


def test_leaderboard_has_what_the_design_promises(results, tmp_path):
    _, board = compared(results, tmp_path, gates={"fashion": {"majority_class": 0.1}})
    assert board.datasets["fashion"].splits == {"train": 550, "validation": 50, "test": 100}
    assert set(board.datasets["electricity"].baselines) == {"last_value", "same_time_yesterday", "ridge"}
    for model in board.models:
        assert model.rank == 1
        assert model.formats["saved_model"].path == f"models/{model.model}/saved_model"
        assert model.train_seconds > 0
        assert model.examples_per_second > 0
    assert board.models[0].passed
    assert "below majority_class" in board.models[0].reasons[0]


def test_a_model_that_misses_its_gate_is_refused_and_not_registered(results, tmp_path):
    leaderboard, board = compared(results, tmp_path, gates={"fashion": {"linear": 0.99}})
    refused = next(m for m in board.models if m.model == "mlp")
    assert not refused.passed
    assert refused.reasons[0].startswith("fails")
    register = register_component(list(MODELS)).python_func
    exports = {f"export_{n}": results[f"export_{n}"] for n in MODELS}
    registry = tmp_path / "registry"
    for _ in range(2):
        register(str(registry), "", "x", leaderboard, artifact(dsl.Artifact, tmp_path / "registration"), **exports)
    assert not (registry / "test" / "fashion").exists()
    shelf = registry / "test" / "electricity"
    assert sorted(p.name for p in shelf.iterdir()) == ["1", "current"], "the same model is registered once"
    assert (shelf / "current" / "saved_model").is_dir()
    assert (shelf / "current").readlink() == Path("1")

    changed = tmp_path / "changed"
    shutil.copytree(results["export_lstm"].path, changed)
    (changed / "note").write_text("another model")
    exports["export_lstm"] = artifact(dsl.Model, changed)
    register(str(registry), "", "x", leaderboard, artifact(dsl.Artifact, tmp_path / "registration"), **exports)
    assert (shelf / "current").readlink() == Path("2")
    assert (shelf / "1").is_dir()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda export: export.update(blessing=None), "nobody has tried to serve it"),
        (
            lambda export: export["blessing"].update(faults=["takes no image", "takes text"]),
            "takes no image, takes text",
        ),
        (lambda export: export["blessing"].update(saved_model_sha256="0" * 64), "isn't the one that was tried"),
    ],
)
def test_a_model_without_a_blessing_is_not_registered(change, reason, results, tmp_path):
    leaderboard, _ = compared(results, tmp_path)
    folder = tmp_path / "export"
    shutil.copytree(results["export_mlp"].path, folder)
    content = json.loads((folder / "export.json").read_text())
    change(content)
    (folder / "export.json").write_text(json.dumps(content))
    registration = artifact(dsl.Artifact, tmp_path / "registration")
    exports = {"export_mlp": artifact(dsl.Model, folder), "export_lstm": results["export_lstm"]}
    register = register_component(list(MODELS)).python_func
    register(str(tmp_path / "registry"), "", "x", leaderboard, registration, **exports)
    said = json.loads((Path(registration.path) / "registration.json").read_text())
    assert said[0].startswith("fashion: mlp is not registered, ")
    assert reason in said[0]
    assert [p.name for p in (tmp_path / "registry" / "test").iterdir()] == ["electricity"]


def test_a_refused_format_is_on_the_leaderboard_with_its_reason(results, tmp_path):
    folder = tmp_path / "export"
    shutil.copytree(results["export_mlp"].path, folder)
    content = json.loads((folder / "export.json").read_text())
    content["formats"]["onnx"] = {"refused": "differs from the model by 0.1"}
    (folder / "export.json").write_text(json.dumps(content))
    _, board = compared({**results, "export_mlp": artifact(dsl.Model, folder)}, tmp_path)
    formats = next(model.formats for model in board.models if model.model == "mlp")
    assert formats["onnx"] == Format(refused="differs from the model by 0.1")
    assert formats["saved_model"].agreement == 1.0


def test_a_failed_model_is_on_the_leaderboard_with_its_reason(results, tmp_path):
    finished = {k: v for k, v in results.items() if k not in ("model_lstm", "evaluation_lstm", "export_lstm")}
    _, board = compared(finished, tmp_path, failures={"train-lstm": "ValueError: boom"})
    failed = next(m for m in board.models if m.model == "lstm")
    assert failed.rank is None
    assert not failed.passed
    assert failed.reasons == ["train-lstm failed: ValueError: boom"]
    assert board.winner("electricity") is None
    assert (failed.behind, failed.ties) == ([], [])


def rivals(results, folder, change, **models):
    """Compare models of one data set that are copies of a model but for their predictions.

    Args:
        results: Of the steps.
        folder: To write into.
        change: Gives a model's predictions, from the original's, the targets and its value in `models`.
        models: By name; None is a model that failed.
    """
    original = next(name for name, spec in MODELS.items() if spec["dataset"] == change.__name__)
    dataset, metric = MODELS[original]["dataset"], "accuracy" if original == "mlp" else "mae"
    given = {f"{kind}_{dataset}": results[f"{kind}_{dataset}"] for kind in ("dataset", "baseline")}
    for name, value in models.items():
        copy = folder / f"evaluate-{name}"
        shutil.copytree(results[f"evaluation_{original}"].path, copy)
        with np.load(copy / "predictions.npz") as saved:
            target, prediction = saved["target"], saved["prediction"].copy()
        if value is not None:
            prediction = change(prediction, target, value)
        np.savez(copy / "predictions.npz", target=target, prediction=prediction)
        content = json.loads((copy / "evaluation.json").read_text())
        right = (prediction.argmax(axis=1) == target) if metric == "accuracy" else np.abs(prediction - target)
        content["metrics"][metric] = float(right.mean())
        (copy / "evaluation.json").write_text(json.dumps(content))
        made = {"evaluation": artifact(dsl.Artifact, copy)}
        made |= {kind: results[f"{kind}_{original}"] for kind in ("model", "export")}
        given |= {f"{kind}_{name}": made[kind] if value is not None else None for kind in made}
    contest = {"experiment": "test", "seed": 1, "gates": {}}
    contest["models"] = {name: {"family": "mlp", "dataset": dataset} for name in models}
    board = artifact(dsl.Artifact, folder / "leaderboard")
    compare = compare_component([dataset], list(models)).python_func
    compare(json.dumps(contest), json.dumps({"train-lost": "ValueError: boom"}), "sha", "code", "run", board, **given)
    return Leaderboard.model_validate_json((Path(board.path) / "leaderboard.json").read_text()).models


def fashion(prediction, target, wrong):
    """Probabilities that are right but for the examples `wrong`."""
    found = np.eye(10, dtype=np.float32)[target]
    found[wrong] = np.eye(10, dtype=np.float32)[(target[wrong] + 1) % 10]
    return found


def electricity(prediction, target, share):
    """Forecasts with a share of the original's error."""
    return target + share * (prediction - target)


def test_classifiers_that_differ_by_chance_tie_and_others_do_not(results, tmp_path):
    first = list(range(20))
    board = rivals(
        results, tmp_path, fashion, bad=list(range(60)), other=[*range(10), *range(30, 42)], best=first, same=first,
        lost=None,
    )  # fmt: skip
    assert [m.model for m in board] == ["best", "same", "other", "bad", "lost"]
    best, same, other, bad, lost = board
    assert (best.ties, same.ties, other.ties, bad.ties) == (["same", "other"], ["best", "other"], ["best", "same"], [])
    assert best.tied() == "can't be told apart from same or other"
    assert (best.behind, same.behind) == ([], [0, 0])
    low, high = other.behind
    assert low < 0 < 0.02 < high
    low, high = bad.behind
    assert 0.2 < low < 0.4 < high
    assert (lost.rank, lost.behind, lost.ties, lost.tied()) == (None, [], [], "")


def test_forecasters_that_differ_by_chance_tie_and_others_do_not(results, tmp_path):
    board = rivals(results, tmp_path, electricity, best=1.0, same=1.0, bad=1.5)
    assert [(m.model, m.ties) for m in board] == [("best", ["same"]), ("same", ["best"]), ("bad", [])]
    low, high = board[2].behind
    assert low < board[2].metrics["mae"] - board[0].metrics["mae"] < high
    assert low > 0


def test_ties_are_the_same_for_both(results, tmp_path):
    """Each two of many models that are close to each other."""
    generator = np.random.default_rng(4)
    models = {f"m{i}": generator.choice(100, size=10 + 3 * i, replace=False).tolist() for i in range(8)}
    board = rivals(results, tmp_path, fashion, **models)
    ties = {m.model: m.ties for m in board}
    assert {len(found) for found in ties.values()} != {7}
    assert any(ties.values())
    for name, found in ties.items():
        assert name not in found
        assert all(name in ties[other] for other in found)


def test_comparing_does_not_import_tensorflow():
    code = "import sys; import components.compare.work; print([n for n in ('tensorflow', 'keras') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
