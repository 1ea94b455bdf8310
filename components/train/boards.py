"""Logs for TensorBoard, by the names that Keras gives them."""

import json
from types import TracebackType

import keras
import tensorflow as tf

_GRAPH = tf.compat.v1.SummaryMetadata(
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="graph_keras_model", content=b"1")
)


class Boards:
    """The curves of a training, the model's graph and, where they are asked for, histograms of its weights.

    Args:
        folders: The folders, paths or gs:// addresses. The same is written into each.
        model: The compiled model.
        histograms: Whether to write the weights' distribution after each epoch.
    """

    def __init__(self, folders: list[str], model: keras.Model, *, histograms: bool) -> None:
        self._folders = folders
        self._model = model
        self._histograms = histograms

    def __enter__(self) -> "Boards":
        writer = tf.summary.create_file_writer
        # Not `to_json`, which wants to write the optimizer too, whatever its learning rate is made of.
        graph = json.dumps({"class_name": type(self._model).__name__, "config": self._model.get_config()})
        self._training = [writer(f"{folder}/train") for folder in self._folders]
        self._validation = [writer(f"{folder}/validation") for folder in self._folders]
        for board in self._training:
            with board.as_default(step=0):
                tf.summary.write("keras", graph, metadata=_GRAPH)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for board in self._training + self._validation:
            board.close()

    def write(self, epoch: int, step: int, logs: dict[str, float]) -> None:
        """Write the metrics of an epoch.

        Args:
            epoch: The epoch, counted from 0.
            step: The steps done, counted over all epochs.
            logs: The metrics. The names of those of the validation begin with "val_".
        """
        logs = {**logs, "learning_rate": float(keras.ops.convert_to_numpy(self._model.optimizer.learning_rate))}
        for board in self._training:
            with board.as_default(epoch):
                for name, value in logs.items():
                    if not name.startswith("val_"):
                        tf.summary.scalar(f"epoch_{name}", value)
                for weight in self._model.weights if self._histograms else ():
                    tf.summary.histogram(f"{weight.path}/histogram", keras.ops.convert_to_numpy(weight))
        for board in self._validation:
            with board.as_default(epoch):
                for name, value in logs.items():
                    if name.startswith("val_"):
                        tf.summary.scalar(f"epoch_{name[4:]}", value)
                        tf.summary.scalar(f"evaluation_{name[4:]}_vs_iterations", value, step=step)
