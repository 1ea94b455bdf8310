"""Write a model in the formats that others use it in, all with Keras' own exporters and raw inputs."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components.dataset import DatasetInfo


def write_saved_model(model: keras.Model, info: DatasetInfo, path: Path) -> None:
    """Write a SavedModel whose `serving_default` takes raw inputs by name, in batches of any size.

    Its output is named `probabilities` or `forecast`. Inputs of another shape are refused: TensorFlow checks a
    request's types, and a convolution would take an image of any size.
    """
    specs = [tf.TensorSpec(tensor.shape, tensor.dtype, name=tensor.name) for tensor in model.inputs]
    output = "probabilities" if info.task == "classification" else "forecast"

    def serve(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        by_name = {spec.name: tf.ensure_shape(t, spec.shape) for spec, t in zip(specs, tensors, strict=True)}
        return {output: model(by_name if len(by_name) > 1 else by_name[specs[0].name], training=False)}

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serving_default", serve, input_signature=specs)
    archive.write_out(str(path), verbose=False)


def write_litert(
    model: keras.Model,
    path: Path,
    operations: Sequence[tf.lite.OpsSet] = (tf.lite.OpsSet.TFLITE_BUILTINS,),
    **options: object,
) -> None:
    """Write a LiteRT model that takes one example at a time, and needs LiteRT's own operations alone.

    With a batch of any size an LSTM would need TensorFlow's, which the plain runtime hasn't.

    Args:
        model: The model.
        path: The file to write.
        operations: Sets of operations that it may use.
        options: More of TensorFlow's converter.
    """
    specs = [tf.TensorSpec([1, *tensor.shape[1:]], tensor.dtype, name=tensor.name) for tensor in model.inputs]
    model.export(
        path,
        format="litert",
        verbose=False,
        input_signature=specs if len(specs) == 1 else [specs],
        target_spec={"supported_ops": list(operations)},
        **options,
    )


def write_onnx(model: keras.Model, path: Path) -> None:
    """Write an ONNX model that takes batches of any size."""
    # tf2onnx takes a tensor that was made before it traces for one more input.
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.mean, layer.variance = np.asarray(layer.mean), np.asarray(layer.variance)
    model.export(str(path), format="onnx", verbose=False)
