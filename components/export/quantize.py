"""Write a LiteRT model with 8-bit integers for weights and activations, and measure the loss of accuracy."""

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components.artifacts.dataset import DatasetInfo, ImagesInfo
from components.artifacts.export import Quality
from components.data import input_pipeline
from components.export.formats import traced, write_litert
from components.metrics.bootstrap import errors
from components.models.fresh.process import run_task, start

# The number of training examples from which the converter takes the range of every activation.
REPRESENTATIVE = 200
# The allowed loss of accuracy, and the allowed rise of the mae relative to the model's.
ACCURACY_LOSS = 0.01
MAE_RISE = 0.05
_ROUNDING = 1e-9
# The most test examples, and the most bytes of them, that the loss is measured on.
TEST_EXAMPLES = 10_000
TEST_BYTES = 256 << 20
BATCH = 256
CONTROL_FLOW = {"While", "StatelessWhile", "If", "StatelessIf"}

Arrays = dict[str, np.ndarray]


def representative(dataset: str, info: DatasetInfo) -> Arrays:
    """The training examples to quantize with, which are the same in each call.

    Args:
        dataset: The data set's folder.
        info: The description of the data set.

    Returns:
        Raw inputs by name, for `REPRESENTATIVE` examples, or fewer where the split is shorter. They are the first
        images, for images are stored in random order, or windows that are spread evenly over a series.
    """
    if isinstance(info, ImagesInfo):
        images, _ = next(input_pipeline.sequential_batches(dataset, info, "train", REPRESENTATIVE).as_numpy_iterator())
        return {"image": images}
    distance = max(1, info.examples("train") // REPRESENTATIVE)
    batches = input_pipeline.sequential_batches(dataset, info, "train", distance).take(REPRESENTATIVE)
    windows = [batch for batch, _ in batches.as_numpy_iterator()]
    return {name: np.stack([batch[name][0] for batch in windows]) for name in windows[0]}


def write_litert_int8(model: keras.Model, examples: Arrays, path: Path) -> list[str]:
    """Write a LiteRT model that computes in 8-bit integers. Its inputs and outputs are those of the float model.

    Recurrent layers are unrolled, because the converter can't measure activations inside a loop, and LiteRT's own LSTM
    keeps its state from one call to the next.

    Args:
        model: The model, which isn't changed.
        examples: Raw inputs by name, from which the ranges of activations are taken.
        path: The file to write.

    Returns:
        The names of the operations that have no integer kernel and were left in float32.

    Raises:
        ValueError: The model has a loop or a condition, which can't be quantized.
    """
    unrolled = type(model).from_config(_unrolled(model.get_config()))
    unrolled.set_weights(model.get_weights())
    _refuse_loops(unrolled)

    def one_by_one() -> Iterator[Arrays]:
        for i in range(len(next(iter(examples.values())))):
            yield {name: values[i : i + 1] for name, values in examples.items()}

    write_litert(
        unrolled,
        path,
        [tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.lite.OpsSet.TFLITE_BUILTINS],
        optimizations=[tf.lite.Optimize.DEFAULT],
        representative_dataset=one_by_one,
    )
    return _without_names(path)


def measure(path: Path, model: keras.Model, dataset: str, info: DatasetInfo, scratch: Path) -> Quality:
    """Measure the quantized model, in a fresh process, and the float model on the test split.

    Args:
        path: The quantized model.
        model: The float model.
        dataset: The data set's folder.
        info: The description of the data set.
        scratch: A folder for the examples and the outputs.
    """
    size = sum(int(np.prod(t.shape[1:])) * np.dtype(t.dtype).itemsize for t in model.inputs)
    count = min(info.examples("test"), TEST_EXAMPLES, max(1, TEST_BYTES // size))
    inputs, targets, expected = _test_outputs(model, dataset, info, count)
    np.savez(scratch / "test.npz", **inputs)  # type: ignore[arg-type]  # the stub mistakes them for allow_pickle
    with start("litert") as fresh:
        quantized, _ = run_task(fresh, path, scratch / "test.npz", [count])
    if isinstance(info, ImagesInfo):
        values = [float((outputs.argmax(axis=1) == targets).mean()) for outputs in (quantized, expected)]
        return Quality(metric="accuracy", quantized=values[0], model=values[1], test_examples=count)
    values = [float(errors(targets, outputs).mean()) for outputs in (quantized, expected)]
    return Quality(metric="mae", quantized=values[0], model=values[1], test_examples=count)


def why_refused(quality: Quality) -> str | None:
    """The reason why a quantized model isn't good enough; None where it is."""
    accuracy = quality.metric == "accuracy"
    worst = quality.model - ACCURACY_LOSS if accuracy else quality.model * (1 + MAE_RISE)
    # Both comparisons are false for NaN, which is thereby refused. 0.13 - 0.12 is a little above 0.01.
    if quality.quantized >= worst - _ROUNDING if accuracy else quality.quantized <= worst:
        return None
    return f"{quality}; allowed is {worst:.4f}"


def _unrolled(config: object) -> object:
    """A copy of a model's Keras configuration, in which recurrent layers are unrolled."""
    if isinstance(config, dict):
        return {key: True if key == "unroll" else _unrolled(value) for key, value in config.items()}
    return [_unrolled(value) for value in config] if isinstance(config, list) else config


def _refuse_loops(model: keras.Model) -> None:
    """Refuse a model with a loop or a condition, at which the converter would end the process without an exception."""
    graph = traced(model, batch=1).graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    if operations := {node.op for node in nodes} & CONTROL_FLOW:
        raise ValueError(f"{min(operations)} can't be quantized")


def _without_names(path: Path) -> list[str]:
    """Remove the names of tensors from a file. They are most of the file of an unrolled model.

    Returns:
        The names of the operations that compute in float32.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    content = flatbuffer_utils.read_model(str(path))
    floats = set()
    for graph in content.subgraphs:
        for operator in graph.operators:
            types = {graph.tensors[i].type for i in [*operator.inputs, *operator.outputs] if i >= 0}
            name = flatbuffer_utils.opcode_to_name(content, operator.opcodeIndex)
            if flatbuffer_utils.TensorType.FLOAT32 in types and name not in ("QUANTIZE", "DEQUANTIZE"):
                floats.add(name)
        for tensor in graph.tensors:
            tensor.name = None
    flatbuffer_utils.write_model(content, str(path))
    return sorted(floats)


def _test_outputs(
    model: keras.Model, dataset: str, info: DatasetInfo, count: int
) -> tuple[Arrays, np.ndarray, np.ndarray]:
    """The raw inputs by name, the targets and the model's outputs for the first `count` test examples."""
    inputs, targets, outputs = [], [], []
    batches = input_pipeline.sequential_batches(dataset, info, "test", BATCH).take(-(-count // BATCH))
    for batch, target in batches.as_numpy_iterator():
        inputs.append(batch if isinstance(batch, dict) else {"image": batch})
        targets.append(target)
        outputs.append(np.asarray(model.predict_on_batch(batch)))
    joined = {name: np.concatenate([batch[name] for batch in inputs])[:count] for name in inputs[0]}
    return joined, np.concatenate(targets)[:count], np.concatenate(outputs)[:count]
