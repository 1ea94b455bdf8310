"""LiteRT with 8-bit integers for weights and activations, and what that costs in accuracy."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.artifacts.dataset import DatasetInfo, ImagesInfo
from components.artifacts.export import Quality
from components.data import batching
from components.export.formats import write_litert
from components.models.fresh.process import ask, start

# Training examples that the range of every activation is taken from.
REPRESENTATIVE = 200
# What quantization may cost: of the accuracy; of the mae, relative to the model's.
ACCURACY_LOSS = 0.01
MAE_RISE = 0.05
# Test examples that the cost is measured on at most, and bytes of them.
TEST_EXAMPLES = 10_000
TEST_BYTES = 256 << 20
BATCH = 256
CONTROL_FLOW = {"While", "StatelessWhile", "If", "StatelessIf"}

Arrays = dict[str, np.ndarray]


def representative(dataset: str, info: DatasetInfo) -> Arrays:
    """Training examples to quantize with, the same ones each time.

    Args:
        dataset: The data set folder.
        info: Its description.

    Returns:
        Raw inputs by name, `REPRESENTATIVE` of each, fewer of a shorter split: the first images, which are stored in
        random order; windows that lie evenly over a series.
    """
    if isinstance(info, ImagesInfo):
        images, _ = next(batching.sequential_batches(dataset, info, "train", REPRESENTATIVE).as_numpy_iterator())
        return {"image": images}
    apart = max(1, info.examples("train") // REPRESENTATIVE)
    batches = batching.sequential_batches(dataset, info, "train", apart).take(REPRESENTATIVE)
    found = [windows for windows, _ in batches.as_numpy_iterator()]
    return {name: np.stack([windows[name][0] for windows in found]) for name in found[0]}


def write_litert_int8(model: keras.Model, examples: Arrays, path: Path) -> list[str]:
    """Write a LiteRT model that computes in 8-bit integers, and takes and gives what the float one does.

    Recurrent layers are unrolled: the converter can't watch what happens inside a loop, and LiteRT's own LSTM keeps its
    state from one call to the next.

    Args:
        model: The model; it isn't changed.
        examples: Raw inputs by name, that the ranges of activations are taken from.
        path: The file to write.

    Returns:
        Names of the operations that have no integer kernel and were left in float32.

    Raises:
        ValueError: The model has a loop or a condition.
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
    """Measure the quantized model, in a fresh process, and the model itself on the test split.

    Args:
        path: The quantized model.
        model: The model.
        dataset: The data set folder.
        info: Its description.
        scratch: A folder for the examples and the answers.
    """
    size = sum(int(np.prod(t.shape[1:])) * np.dtype(t.dtype).itemsize for t in model.inputs)
    count = min(info.examples("test"), TEST_EXAMPLES, max(1, TEST_BYTES // size))
    raw, target, own = _test(model, dataset, info, count)
    np.savez(scratch / "test.npz", **raw)
    answers = scratch / "test.npy"
    with start("litert") as fresh:
        paths = {"model": path, "inputs": scratch / "test.npz", "outputs": answers}
        ask(fresh, batches=[count], timed=[], **{name: str(value) for name, value in paths.items()})
    quantized = np.load(answers, allow_pickle=False)
    if isinstance(info, ImagesInfo):
        values = [float((given.argmax(axis=1) == target).mean()) for given in (quantized, own)]
        return Quality(metric="accuracy", quantized=values[0], model=values[1], test_examples=count)
    values = [float(np.abs(given.astype(np.float64) - target).mean()) for given in (quantized, own)]
    return Quality(metric="mae", quantized=values[0], model=values[1], test_examples=count)


def why_refused(quality: Quality) -> str | None:
    """Why a quantized model isn't good enough; None where it is."""
    accuracy = quality.metric == "accuracy"
    worst = quality.model - ACCURACY_LOSS if accuracy else quality.model * (1 + MAE_RISE)
    # A NaN is no smaller than anything.
    if quality.quantized >= worst if accuracy else quality.quantized <= worst:
        return None
    return f"{quality}; allowed is {worst:.4f}"


def _unrolled(config: Any) -> Any:  # noqa: ANN401 (of Keras)
    """The configuration of a model with its recurrent layers unrolled."""
    if isinstance(config, dict):
        return {key: True if key == "unroll" else _unrolled(value) for key, value in config.items()}
    return [_unrolled(value) for value in config] if isinstance(config, list) else config


def _refuse_loops(model: keras.Model) -> None:
    """The converter's calibration ends the process at one, without an exception."""
    specs = [tf.TensorSpec([1, *tensor.shape[1:]], tensor.dtype, name=tensor.name) for tensor in model.inputs]
    call = tf.function(
        lambda *tensors: model(tensors[0] if len(specs) == 1 else list(tensors), training=False), autograph=False
    )
    graph = call.get_concrete_function(*specs).graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    if found := {node.op for node in nodes} & CONTROL_FLOW:
        raise ValueError(f"{min(found)} can't be quantized")


def _without_names(path: Path) -> list[str]:
    """Take the names of tensors out of a file; of an unrolled model they are most of it.

    Returns:
        Names of the operations that compute in float32.
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


def _test(
    model: keras.Model, dataset: str, info: DatasetInfo, count: int
) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Raw inputs by name, targets and the model's outputs, of the first test examples."""
    raw, targets, outputs = [], [], []
    batches = batching.sequential_batches(dataset, info, "test", BATCH).take(-(-count // BATCH))
    for batch, target in batches.as_numpy_iterator():
        raw.append(batch if isinstance(batch, dict) else {"image": batch})
        targets.append(target)
        outputs.append(np.asarray(model.predict_on_batch(batch)))
    joined = {name: np.concatenate([one[name] for one in raw])[:count] for name in raw[0]}
    return joined, np.concatenate(targets)[:count], np.concatenate(outputs)[:count]
