"""Write a model in the formats that others use it in, all with Keras' own exporters and raw inputs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.artifacts.dataset import DatasetInfo


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
    """Write an ONNX model that takes batches of any size.

    Keras' exporter hands the model's graph to tf2onnx as it is, which takes every tensor that the model holds for one
    more input, and has no operation for Erfc, which the exact GELU is made of.

    Raises:
        NotImplementedError: ONNX has no operation for one of the model's; the message names it.
    """
    import onnx
    import tf2onnx

    specs = [tf.TensorSpec(tensor.shape, tensor.dtype, name=tensor.name) for tensor in model.inputs]
    traced = tf.function(
        lambda *tensors: model(tensors[0] if len(specs) == 1 else list(tensors), training=False), autograph=False
    ).get_concrete_function(*specs)
    graph, outputs = traced.graph.as_graph_def(), [tensor.name for tensor in traced.outputs]

    def with_constants(*tensors: tf.Tensor) -> tf.Tensor:
        """The same graph, with the tensors that it holds as constants."""
        for variable in traced.variables:
            tf.convert_to_tensor(variable)  # tf2onnx freezes those alone that the function itself reads
        held = [t if t.dtype == tf.resource else t.numpy() for t in traced.captured_inputs]
        values = map(tf.convert_to_tensor, [*tensors, *held])
        given = {inside.name: value for inside, value in zip(traced.inputs, values, strict=True)}
        return tf.graph_util.import_graph_def(graph, given, outputs, name="model")[0]

    made, _ = tf2onnx.convert.from_function(
        tf.function(with_constants, autograph=False),
        specs,
        custom_op_handlers={"Erfc": (_erfc, [])},
        output_path=str(path),
    )
    if foreign := {node.op_type for node in made.graph.node if not onnx.defs.has(node.op_type, node.domain)}:
        raise NotImplementedError(f"ONNX has no operation for {', '.join(sorted(foreign))}")


def _erfc(graph: Any, node: Any, name: str, _: list[Any]) -> None:  # noqa: ANN401 (tf2onnx's)
    """Put 1 - erf(x) in the place of erfc(x)."""
    (x,), outputs = node.input, node.output
    graph.remove_node(name)
    one = graph.make_const(f"{name}/one", np.array(1, np.float32))
    erf = graph.make_node("Erf", [x])
    graph.make_node("Sub", [one.output[0], erf.output[0]], name=name, outputs=outputs)
