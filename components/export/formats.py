"""Write a model in its serving formats, which take raw inputs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from components.artifacts.dataset import DatasetInfo

if TYPE_CHECKING:
    from tf2onnx.graph import Graph, Node


def with_named_outputs(model: keras.Model, info: DatasetInfo) -> keras.Model:
    """A model of quantiles with an output for each, by name, float32 [batch, horizon]; another model as it is."""
    if len(info.outputs) == 1:
        return model
    # Inside a model of its own, for operations of a loaded model and new ones may have the same names.
    inputs = [keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=tensor.name) for tensor in model.inputs]
    quantiles = model(inputs if len(inputs) > 1 else inputs[0])
    return keras.Model(inputs, {name: quantiles[:, :, i] for i, name in enumerate(info.outputs)})


def specs_of(model: keras.Model, batch: int | None = None) -> list[tf.TensorSpec]:
    """The types of a model's inputs, in batches of this size or of any."""
    return [tf.TensorSpec([batch, *tensor.shape[1:]], tensor.dtype, name=tensor.name) for tensor in model.inputs]


def traced(model: keras.Model, batch: int | None = None) -> tf.types.experimental.ConcreteFunction:
    """A model as a function of its inputs in their order, in batches of this size or of any."""
    specs = specs_of(model, batch)
    call = tf.function(
        lambda *tensors: model(tensors[0] if len(specs) == 1 else list(tensors), training=False), autograph=False
    )
    return call.get_concrete_function(*specs)


def write_saved_model(model: keras.Model, info: DatasetInfo, path: Path) -> None:
    """Write a SavedModel whose `serving_default` takes raw inputs by name, in batches of any size.

    An output that has no name yet is named `probabilities` or `forecast`. Inputs of another shape are refused, for
    TensorFlow checks only a request's types, and a convolution would take an image of any size.
    """
    specs = specs_of(model)

    def serve(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        by_name = {spec.name: tf.ensure_shape(t, spec.shape) for spec, t in zip(specs, tensors, strict=True)}
        outputs = model(by_name if len(by_name) > 1 else by_name[specs[0].name], training=False)
        return outputs if isinstance(outputs, dict) else {info.outputs[0]: outputs}

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
    """Write a LiteRT model that takes one example at a time, and needs only LiteRT's own operations.

    With a batch of any size, an LSTM would need TensorFlow's operations, which the plain runtime lacks.

    Args:
        model: The model.
        path: The file to write.
        operations: The sets of operations that the model may use.
        options: Further options of TensorFlow's converter.
    """
    specs = specs_of(model, batch=1)
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

    Keras' exporter can't be used, for it gives the model's graph to tf2onnx unchanged. tf2onnx then takes each constant
    of the model for one more input, and has no operation for Erfc, which the exact GELU needs.

    Raises:
        NotImplementedError: ONNX has no equivalent for an operation of the model. The message names it.
    """
    import onnx
    import tf2onnx

    function = traced(model)
    graph, outputs = function.graph.as_graph_def(), [tensor.name for tensor in function.outputs]
    # In the order of `outputs`.
    names = sorted(model.output) if isinstance(model.output, dict) else []

    def with_constants(*tensors: tf.Tensor) -> tf.Tensor | dict[str, tf.Tensor]:
        """The same graph, in which captured tensors are constants."""
        for variable in function.variables:
            tf.convert_to_tensor(variable)  # tf2onnx freezes only the variables that the function itself reads
        captured = [t if t.dtype == tf.resource else t.numpy() for t in function.captured_inputs]
        values = map(tf.convert_to_tensor, [*tensors, *captured])
        inputs = {inside.name: value for inside, value in zip(function.inputs, values, strict=True)}
        results = tf.graph_util.import_graph_def(graph, inputs, outputs, name="model")
        return dict(zip(names, results, strict=True)) if names else results[0]

    converted, _ = tf2onnx.convert.from_function(
        tf.function(with_constants, autograph=False),
        specs_of(model),
        custom_op_handlers={"Erfc": (_erfc, [])},
        output_path=str(path),
    )
    if foreign := {node.op_type for node in converted.graph.node if not onnx.defs.has(node.op_type, node.domain)}:
        raise NotImplementedError(f"ONNX has no operation for {', '.join(sorted(foreign))}")


def _erfc(graph: "Graph", node: "Node", name: str, _: list[object]) -> None:
    """Replace erfc(x) by 1 - erf(x) in tf2onnx's graph."""
    (x,), outputs = node.input, node.output
    graph.remove_node(name)
    one = graph.make_const(f"{name}/one", np.array(1, np.float32))
    erf = graph.make_node("Erf", [x])
    graph.make_node("Sub", [one.output[0], erf.output[0]], name=name, outputs=outputs)
