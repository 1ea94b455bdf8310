"""Logs for TensorBoard, by the names that Keras gives them."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

import keras
import tensorflow as tf

_GRAPH = tf.compat.v1.SummaryMetadata(
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="graph_keras_model", content=b"1")
)


@contextmanager
def boards(folders: list[str], model: keras.Model, *, histograms: bool) -> Iterator[Callable[..., None]]:
    """Log the curves of a training, the model's graph and, where they are asked for, histograms of its weights.

    Args:
        folders: The folders, paths or gs:// addresses. The same is written into each.
        model: The compiled model.
        histograms: Whether to write the weights' distribution after each epoch.

    Yields:
        A function that writes the metrics of an epoch. Its arguments are the epoch, counted from 0; the steps done,
        counted over all epochs; and the metrics by name. The names of those of the validation begin with "val_".
    """
    with ExitStack() as opened:
        training, validation = (
            [opened.enter_context(closing(tf.summary.create_file_writer(f"{folder}/{split}"))) for folder in folders]
            for split in ("train", "validation")
        )
        # Not `to_json`, which wants to write the optimizer too, whatever its learning rate is made of.
        graph = json.dumps({"class_name": type(model).__name__, "config": model.get_config()})
        for board in training:
            with board.as_default(step=0):
                tf.summary.write("keras", graph, metadata=_GRAPH)

        def write(epoch: int, step: int, logs: dict[str, float]) -> None:
            logs = {**logs, "learning_rate": float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))}
            for board in training:
                with board.as_default(epoch):
                    for name, value in logs.items():
                        if not name.startswith("val_"):
                            tf.summary.scalar(f"epoch_{name}", value)
                    for weight in model.weights if histograms else ():
                        tf.summary.histogram(f"{weight.path}/histogram", keras.ops.convert_to_numpy(weight))
            for board in validation:
                with board.as_default(epoch):
                    for name, value in logs.items():
                        if name.startswith("val_"):
                            tf.summary.scalar(f"epoch_{name[4:]}", value)
                            tf.summary.scalar(f"evaluation_{name[4:]}_vs_iterations", value, step=step)

        yield write
