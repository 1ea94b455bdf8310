"""Training on several devices and in several processes gives what a single process gives."""

import json

import numpy as np
import pytest
from trained_processes import result, run

# Nothing random but the initial weights and the order: replicas draw the same dropout, each for its own examples.
IMAGES = {"dataset": "fashion", "epochs": 2, "batch_size": 60}
SERIES = {"dataset": "demand", "epochs": 2, "batch_size": 60}
MODELS = {
    "mlp": {**IMAGES, "family": "mlp", "hyperparameters": {"units": [32], "dropout": [0.0], "norm": True}},
    "cnn": {
        **IMAGES,
        "family": "cnn",
        "flip": True,
        "ema": 0.9,
        "label_smoothing": 0.1,
        "optimizer": "sgd",
        "learning_rate": 0.003,
        "hyperparameters": {"layers": [{"conv": 8}, "pool", {"conv": 8}, "pool"], "units": [16], "dropout": 0.0},
    },
    # The moments of a batch that replicas share are E[x²] - E[x]², those of a single process aren't: the last digits
    # differ, and steps amplify them where ReLUs and maxima of flat regions are ties. So few steps.
    "cnn_norm": {
        **IMAGES,
        "family": "cnn",
        "batch_size": 550,
        "optimizer": "sgd",
        "learning_rate": 0.003,
        "hyperparameters": {"layers": [{"conv": 8}, "norm", "pool", {"conv": 8}, "norm", "pool"], "units": [16]},
    },
    "bidirectional_lstm": {
        **IMAGES,
        "family": "bidirectional_lstm",
        "hyperparameters": {"units": [8], "head_dropout": 0.0},
    },
    "lstm": {**SERIES, "family": "lstm", "ema": 0.9, "hyperparameters": {"units": 8, "patch": 12, "seasonal": True}},
    "stacked_lstm": {**SERIES, "family": "stacked_lstm", "hyperparameters": {"units": [8, 8], "patch": 12}},
    "cnn_lstm": {**SERIES, "family": "cnn_lstm", "hyperparameters": {"units": 8}},
    "encoder_decoder_lstm": {
        **SERIES,
        "family": "encoder_decoder_lstm",
        "schedule": "cosine",
        "quantiles": [0.1, 0.5, 0.9],
        "hyperparameters": {"units": 8, "patch": 12, "seasonal": True, "dropout": 0.0},
    },
}


@pytest.fixture(scope="module")
def datasets(divided):
    """The data sets whose batches two workers can divide."""
    return divided


def trained(folder, datasets, workers=1, models=MODELS, **job):
    """Train models, and give for each its history and weights."""
    job = {"folder": str(folder), "datasets": datasets, "models": models, "seed": 1, **job}
    outputs, codes = run(job, workers)
    assert codes == [0] * workers, outputs[0][-3000:]
    return {name: result(folder, name) for name in models}, outputs


@pytest.fixture(scope="module")
def single(datasets, tmp_path_factory):
    """What each training ends with on one device."""
    return trained(tmp_path_factory.mktemp("single"), datasets)[0]


@pytest.fixture(scope="module")
def mirrored(datasets, tmp_path_factory):
    """What each training ends with on two devices."""
    return trained(tmp_path_factory.mktemp("mirrored"), datasets, devices=2)


@pytest.fixture(scope="module")
def workers(datasets, tmp_path_factory):
    """What each training ends with in two processes."""
    folder = tmp_path_factory.mktemp("workers")
    return trained(folder, datasets, workers=2, histories=str(folder / "history"))


def assert_close(single, other, names=MODELS):
    for name in names:
        (history, weights), (other_history, other_weights) = single[name], other[name]
        digits = {"rtol": 1e-4, "atol": 3e-4} if name == "cnn_norm" else {"rtol": 2e-6, "atol": 2e-5}
        for epoch, other_epoch in zip(history, other_history, strict=True):
            assert epoch.keys() == other_epoch.keys()
            for key in epoch:
                # An accuracy moves by a whole example.
                atol = 0.011 if "accuracy" in key else 0
                np.testing.assert_allclose(other_epoch[key], epoch[key], digits["rtol"], atol, err_msg=f"{name} {key}")
        for first, second in zip(weights, other_weights, strict=True):
            np.testing.assert_allclose(second, first, atol=digits["atol"], rtol=0, err_msg=name)


def assert_same(first, second):
    assert first[0] == second[0]
    for one, other in zip(first[1], second[1], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_two_devices_give_what_one_gives(single, mirrored):
    assert_close(single, mirrored[0])
    assert "on 2 CPUs" in mirrored[1][0]


@pytest.mark.slow
def test_two_workers_give_what_one_process_gives(single, workers):
    assert_close(single, workers[0])
    assert "worker 1 of 2, 2 replicas in all" in workers[1][0]
    assert "worker 2 of 2" in workers[1][1]


@pytest.mark.slow
def test_both_workers_saw_the_same(datasets, workers, tmp_path_factory):
    folder = next(path for path in tmp_path_factory.getbasetemp().glob("workers*") if (path / "run").exists())
    seen = [json.loads(path.read_text()) for path in sorted(folder.glob("history-*.json"))]
    assert len(seen) == 2
    for name, (history, _) in workers[0].items():
        for other in seen:
            assert [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in other[name]] == history


@pytest.mark.slow
def test_only_the_chief_leaves_something(workers, tmp_path_factory):
    folder = next(path for path in tmp_path_factory.getbasetemp().glob("workers*") if (path / "run").exists())
    assert sorted(path.name for path in (folder / "run").iterdir()) == sorted(f"train-{name}" for name in MODELS)
    assert not list((folder / "checkpoints").iterdir())


DROPOUT = {**IMAGES, "family": "mlp", "hyperparameters": {"units": [32], "dropout": [0.3]}}


@pytest.mark.slow
def test_sigterm_at_one_worker_ends_both_after_the_same_step(datasets, tmp_path):
    # Workers ask each other as often as checkpoints may be due.
    models = {"mlp": {**DROPOUT, "checkpoint_seconds": 0.001}}
    undisturbed, _ = trained(tmp_path / "a", datasets, models=models, workers=2)
    job = {"folder": str(tmp_path / "b"), "datasets": datasets, "models": models, "seed": 1}
    outputs, codes = run({**job, "terminate": {"worker": 1, "step": 5}}, workers=2)
    assert codes == [143, 143], outputs
    stops = [next(line for line in output.splitlines() if "stopped by SIGTERM" in line) for output in outputs]
    assert stops[0] == stops[1]
    resumed, outputs = trained(tmp_path / "b", datasets, models=models, workers=2)
    assert all("going on from the checkpoint in epoch" in output for output in outputs)
    assert_same(undisturbed["mlp"], resumed["mlp"])


@pytest.mark.slow
def test_workers_give_up_or_go_back_together(datasets, tmp_path):
    options = {"family": "lstm", "optimizer": "sgd", "hyperparameters": {"units": 8, "patch": 12}}
    # The workers' speeds differ as much as they can, and with them the stretches that each would choose.
    stretches = {"chief": 0.0, "worker": 1000.0}
    job = {"folder": str(tmp_path), "datasets": datasets, "seed": 1, "stretch_seconds": stretches}
    for change, said in (({"learning_rate": 8.0}, "checkpoints from before"), ({"on_nan": "rollback"}, "3 rollbacks")):
        models = {"lstm": {**SERIES, **options, "learning_rate": 1000.0, **change}}
        outputs, codes = run({**job, "models": models}, workers=2)
        assert codes == [1, 1]
        last = [output.strip().splitlines()[-1] for output in outputs]
        assert last[0] == last[1]
        assert last[0].startswith("RuntimeError: the loss is NaN or infinite at step ")
        assert said in last[0]


@pytest.mark.slow
def test_bfloat16_trains_and_leaves_a_float32_model(datasets, tmp_path):
    models = {name: {**spec, "epochs": 1} for name, spec in MODELS.items() if name != "cnn_norm"}
    got, outputs = trained(tmp_path, datasets, models=models, policy="mixed_bfloat16")
    assert "mixed_bfloat16" in outputs[0]
    import keras

    for name, (history, weights) in got.items():
        assert np.isfinite(history[0]["loss"])
        assert {weight.dtype for weight in weights} == {np.dtype("float32")}
        model = keras.saving.load_model(tmp_path / "run" / f"train-{name}" / "model" / "model.keras", compile=False)
        assert {layer.dtype_policy.name for layer in model.layers if layer.weights} == {"float32"}
        # The forecast was as good as in float32 while it was trained.
        assert history[0].get("val_mae", 0) < 1.5


def test_precision_is_for_accelerators():
    from components.train.devices import dtype_policy

    assert dtype_policy("mixed_bfloat16", accelerator=False) == "float32"
    assert dtype_policy("mixed_bfloat16", accelerator=True) == "mixed_bfloat16"


def test_half_precision_scales_its_loss(datasets):
    import keras

    from components.artifacts.dataset import load_info
    from components.common.spec import ModelSpec
    from components.train.optimization import compile_model
    from components.train.train import build

    info = load_info(datasets["fashion"])
    spec = ModelSpec(**MODELS["mlp"])
    model = build(spec, info, 1, "mixed_float16")
    compile_model(model, spec, info, 10)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.slow
def test_what_several_devices_cannot_do_is_refused(datasets, tmp_path):
    models = {"mlp": {**MODELS["mlp"], "batch_size": 55}}
    job = {"folder": str(tmp_path), "datasets": datasets, "models": models, "seed": 1, "devices": 2}
    (output,), (code,) = run(job)
    assert code
    assert "model mlp: batch_size 55, expected a multiple of the 2 replicas, or per_replica: true" in output
    (output,), (code,) = run({**job, "models": {"mlp": {**MODELS["mlp"], "keep_checkpoints": 3}}})
    assert code
    assert "model mlp: keep_checkpoints: is for a training on the CPU, this one has 2 CPUs" in output
    models["mlp"] = {**models["mlp"], "per_replica": True, "epochs": 1}
    got, (output,) = trained(tmp_path, datasets, models=models, devices=2)
    assert "10 steps of 110 per epoch" in output
    assert len(got["mlp"][0]) == 1


def test_a_rate_per_replica_grows_with_them(datasets):
    from components.artifacts.dataset import load_info
    from components.common.spec import ModelSpec
    from components.families import build_model
    from components.train.optimization import compile_model

    info = load_info(datasets["fashion"])
    for per_replica, expected in ((False, 0.01), (True, 0.04)):
        spec = ModelSpec(**{**MODELS["mlp"], "learning_rate": 0.01, "per_replica": per_replica})
        model = build_model(spec, info)
        compile_model(model, spec, info, 10, replicas=4)
        assert float(model.optimizer.learning_rate) == pytest.approx(expected)


@pytest.mark.parametrize("family", ["lstm", "stacked_lstm", "cnn_lstm", "encoder_decoder_lstm", "bidirectional_lstm"])
def test_recurrent_layers_suit_cudnn(datasets, family):
    """What cuDNN asks of a layer: keras.io/api/layers/recurrent_layers/lstm."""
    import keras

    from components.artifacts.dataset import load_info
    from components.common.spec import ModelSpec
    from components.families import build_model

    model = build_model(ModelSpec(family=family, dataset="d"), load_info(datasets["demand"]))
    found = 0
    for layer in model.layers:
        inner = (
            [layer.forward_layer, layer.backward_layer] if isinstance(layer, keras.layers.Bidirectional) else [layer]
        )
        for each in inner:
            if isinstance(each, keras.layers.LSTM):
                found += 1
                assert (each.activation.__name__, each.recurrent_activation.__name__) == ("tanh", "sigmoid")
                assert (each.use_bias, each.unroll, each.recurrent_dropout) == (True, False, 0)
    assert found


def test_one_task_is_no_cluster(monkeypatch):
    from components.train.devices import _cluster

    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"chief": ["a:1"]}, "task": {"type": "chief", "index": 0}}')
    assert _cluster() == ([("chief", 0)], "chief", 0)
    two = {"cluster": {"worker": ["b:1", "c:1"]}, "task": {"type": "worker", "index": "1"}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(two))
    assert _cluster() == ([("worker", 0), ("worker", 1)], "worker", 1)
    monkeypatch.delenv("TF_CONFIG")
    assert _cluster()[0] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "expected JSON with cluster and task"),
        ("[]", "expected JSON with cluster and task"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": "x"}}', "expected JSON"),
        (
            '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "evaluator", "index": 0}}',
            "this is task evaluator 0",
        ),
        ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}', "this is task worker 2"),
    ],
)
def test_a_broken_tf_config_is_one_line(monkeypatch, text, said):
    from components.common.errors import InputError
    from components.train.devices import _cluster

    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match=said):
        _cluster()


def test_checkpoints_and_logs_go_to_an_address(datasets, tmp_path, monkeypatch):
    """TensorFlow's ram:// is as little a path as gs://, which test_lease.py trains on."""
    import tensorflow as tf

    from components.train import train as train_step

    saved = {}
    on_step = train_step.Trainer.on_step

    def spy(self):
        on_step(self)
        saved[len(self.state.history)] = tf.io.gfile.glob("ram://bucket/*/*")

    monkeypatch.setattr(train_step.Trainer, "on_step", spy)
    model = tmp_path / "run" / "train-mlp" / "model"
    train_step.train("mlp", json.dumps(MODELS["mlp"]), 1, "x", datasets["fashion"], str(model), "ram://bucket")
    assert len([name for name in saved[2] if name.endswith(".sha256")]) == 2
    assert list((model / "tensorboard" / "train").glob("events*"))
    assert not tf.io.gfile.glob("ram://bucket/*")
