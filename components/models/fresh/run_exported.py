"""Run an exported model as a user would who has the format's runtime, but not this project.

Run as `run_exported.py saved_model|litert|onnx`, with a JSON object in a line of standard input:

    {"model": its path, "inputs": the .npz file of inputs by name, "outputs": the .npy file to write,
     "names": of a model with several outputs, those to write, side by side along the last axis,
     "batches": the sizes of the batches that the inputs are cut into, "timed": the batch sizes to time,
     "golden": the file of the golden request, for a SavedModel only}

Before it times batches, the program prints "ready to measure" and waits for an empty line. It prints one JSON object,
`{"milliseconds": {size: [median, 95th percentile]}}`. With a golden request, the object also has `"predictions"`, and
`"accepted"`, the malformed requests that the model answered. The program imports NumPy and the runtime, and nothing
else.
"""

import base64
import functools
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

Batch = dict[str, np.ndarray]
Call = Callable[[Batch], dict[str, np.ndarray]]

WARM_UP_CALLS = 2
MAX_CALLS = 50
# The time for the calls of a batch size, after which a slow model isn't called again.
MAX_SECONDS = 0.1


def main() -> None:
    """Load the model, compute its outputs, and measure the time of a call."""
    runtime = sys.argv[1]
    if importlib.util.find_spec("components"):
        raise SystemExit("the project can be imported here")
    if runtime == "saved_model":
        import tensorflow  # noqa: F401 (the import takes seconds, in which the parent process prepares the task)
    task = json.loads(sys.stdin.readline())
    with np.load(task["inputs"], allow_pickle=False) as file:
        inputs = {name: file[name] for name in file.files}
    call = {"saved_model": saved_model, "litert": litert, "onnx": onnx}[runtime](task["model"])
    names = task.get("names", ["forecast"])
    np.save(task["outputs"], np.concatenate([joined(call(batch), names) for batch in cut(inputs, task["batches"])]))
    result: dict[str, object] = golden(task["model"], task["golden"]) if "golden" in task else {}
    if task["timed"]:
        # The parent process lets nothing else compute during the measurement.
        print("ready to measure", flush=True)
        sys.stdin.readline()
    result["milliseconds"] = {size: milliseconds(call, next(cut(inputs, [size]))) for size in task["timed"]}
    foreign = [] if runtime == "saved_model" else [name for name in ("tensorflow", "keras") if name in sys.modules]
    if foreign:
        raise SystemExit(f"{runtime} was run in a process that imports {foreign[0]}")
    print(json.dumps(result))


def joined(outputs: Batch, names: list[str]) -> np.ndarray:
    """The only output, or the named ones of several."""
    chosen = list(outputs.values()) if len(outputs) == 1 else [outputs[name] for name in names]
    return np.stack(chosen, axis=-1) if len(chosen) > 1 else chosen[0]


def cut(inputs: Batch, sizes: list[int]) -> Iterator[Batch]:
    """Cut inputs into batches of these sizes, one after the other."""
    first = 0
    for size in sizes:
        yield {name: values[first : first + size] for name, values in inputs.items()}
        first += size


def milliseconds(call: Call, batch: Batch) -> tuple[float, float]:
    """The median and the 95th percentile of the time of a call, in milliseconds."""
    for _ in range(WARM_UP_CALLS):
        call(batch)
    seconds: list[float] = []
    while len(seconds) < MAX_CALLS and sum(seconds) < MAX_SECONDS:
        start = time.perf_counter()
        call(batch)
        seconds.append(time.perf_counter() - start)
    median, p95 = np.quantile(seconds, (0.5, 0.95))
    return 1000 * float(median), 1000 * float(p95)


@functools.cache
def signature(path: str) -> "tf.types.experimental.ConcreteFunction":
    """Load the serving signature of a SavedModel."""
    import tensorflow as tf

    return tf.saved_model.load(path).signatures["serving_default"]


def saved_model(path: str) -> Call:
    """Load a SavedModel's serving signature with TensorFlow."""
    import tensorflow as tf

    serve = signature(path)

    def call(batch: Batch) -> dict[str, np.ndarray]:
        outputs = serve(**{name: tf.constant(values) for name, values in batch.items()})
        return {name: output.numpy() for name, output in outputs.items()}

    return call


def litert(path: str) -> Call:
    """Load a LiteRT model, which takes one example at a time."""
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(model_path=path).get_signature_runner()

    def call(batch: Batch) -> dict[str, np.ndarray]:
        size = len(next(iter(batch.values())))
        answers = [run(**example) for example in cut(batch, [1] * size)]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}

    return call


def onnx(path: str) -> Call:
    """Load an ONNX model with ONNX Runtime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda batch: dict(zip(names, session.run(None, batch), strict=True))


def golden(path: str, request: str) -> dict[str, object]:
    """Predict the golden request, and try malformed requests that are made of it."""
    import tensorflow as tf

    serve = signature(path)
    with Path(request).open(encoding="utf-8") as file:
        instances = json.load(file)["instances"]
    specs = serve.structured_input_signature[1]

    def decoded(name: str, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return tf.io.decode_png(base64.b64decode(value["b64"]), specs[name].shape[-1]).numpy()

    inputs = {
        name: tf.constant(np.array([decoded(name, instance[name]) for instance in instances]), specs[name].dtype)
        for name in instances[0]
    }
    answers = serve(**inputs)
    outputs = {name: values.numpy().tolist() for name, values in answers.items()}
    predictions = [dict(zip(outputs, values, strict=True)) for values in zip(*outputs.values(), strict=True)]
    if len(outputs) == 1:
        (predictions,) = outputs.values()
    accepted = []
    for name, values in inputs.items():
        others = {key: value for key, value in inputs.items() if key != name}
        changed = serve(**others, **{name: values + tf.ones_like(values)})
        if all(np.array_equal(changed[key], answer) for key, answer in answers.items()):
            continue  # the model doesn't use it, so TensorFlow looks at nothing but its type
        malformed = {
            f"{name} of another shape": {**others, name: values[:, 1:]},
            f"{name} without a batch": {**others, name: values[0]},
            f"{name} of text": {**others, name: tf.strings.as_string(values)},
            f"no {name}": others,
        }
        for description, tensors in malformed.items():
            try:
                serve(**tensors)
            except (TypeError, ValueError, tf.errors.InvalidArgumentError):
                continue
            accepted.append(description)
    return {"predictions": predictions, "accepted": accepted}


if __name__ == "__main__":
    main()
