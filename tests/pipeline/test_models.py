"""What models are refused for that their data set, their family or another model doesn't suit."""

import pytest
from small_experiment import assert_refused, changed, write

from pipeline.experiment.experiment import load_experiment
from pipeline.graph.tasks import tasks


def test_a_family_that_cannot_do_the_task_is_refused_with_those_that_can(tmp_path):
    path = write(tmp_path, changed("models.mlp.family", "encoder_decoder_lstm"))
    message = assert_refused(path, ["models.mlp: family encoder_decoder_lstm doesn't solve classification"])
    assert message.endswith(
        "these do: backbone, bidirectional_lstm, cnn, cnn_lstm, lstm, mlp, residual_cnn, stacked_lstm"
    )


LAYERS = {
    "no layer": (
        {"convv": 3},
        "layers.0: {'convv': 3}: expected {conv: …}, {dropout: …}, {norm: …}, norm, pool or average",
    ),
    "number": (3, "layers.0: 3: expected {conv: …}"),
    "unknown name": ("nrm", "layers.0.name: 'nrm': expected 'norm', 'pool' or 'average'"),
    "no filters": ({"conv": 0}, "layers.0.conv.conv: 0: expected at least 1"),
    "endless filters": ({"conv": 10**9}, "layers.0.conv.conv: 1000000000: expected at most 16,384"),
    "endless kernel": ({"conv": 1, "kernel": 10**9}, "kernel: 1000000000: expected at most 255"),
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


def test_images_have_patches_but_no_seasons(tmp_path):
    content = changed("models.mlp.family", "lstm")
    content["models"]["mlp"]["hyperparameters"] = {"patch": 4}
    load_experiment(write(tmp_path, content), [])
    content["models"]["mlp"]["hyperparameters"] = {"patch": 4, "seasonal": True}
    assert_refused(write(tmp_path, content), ["models.mlp: hyperparameters.seasonal is for a series"])


def test_seasons_that_do_not_fit_into_the_lookback_are_refused(tmp_path):
    content = changed("datasets.demand.lookback", 20)
    content["models"]["lstm"]["hyperparameters"] = {"seasonal": True}
    assert_refused(write(tmp_path, content), ["models.lstm: hyperparameters.seasonal", "demand"])


def test_one_key_alone_mirrors_left_to_right(tmp_path):
    content = changed("models.mlp.augment", {"flip": "horizontal"})
    load_experiment(write(tmp_path, content), [])
    content["models"]["mlp"]["flip"] = True
    assert_refused(write(tmp_path, content), ["models.mlp: augment.flip: horizontal, but flip: true does the same"])
    content["models"]["mlp"]["augment"] = {"flip": "vertical"}
    load_experiment(write(tmp_path, content), [])


def test_models_of_a_data_set_have_the_same_quantiles_or_none_and_no_other_loss(tmp_path):
    content = changed("models.lstm.quantiles", [0.1, 0.5, 0.9])
    content["models"]["other"] = {"family": "mlp", "dataset": "demand", "quantiles": [0.05, 0.5, 0.95]}
    content["models"]["plain"] = {"family": "mlp", "dataset": "demand"}
    lines = ["models.other: quantiles: [0.05, 0.5, 0.95], but lstm on the same data set has [0.1, 0.5, 0.9]; expected"]
    assert len(assert_refused(write(tmp_path, content), lines).splitlines()) == 1
    other = content["models"]["other"]
    other |= {"quantiles": [0.1, 0.5, 0.9], "loss": "mae"}
    assert_refused(
        write(tmp_path, content), ["models.other: loss: mae, but a model with quantiles has the pinball loss"]
    )
    other |= {"loss": None, "tune": {"trials": 2, "ranges": {"quantiles": {"values": [0.5]}}}}
    assert_refused(write(tmp_path, content), ["models.other: tune: ranges.quantiles: "])
    del other["tune"]
    made = {task.name: task.arguments for task in tasks(load_experiment(write(tmp_path, content), []))}
    assert made["baseline-demand"] == {"quantiles": "[0.1, 0.5, 0.9]"}
    assert made["baseline-fashion"] == {}
