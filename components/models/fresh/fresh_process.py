"""Use an exported model as someone would who has its runtime and not this project.

Run as `fresh_process.py saved_model|litert|onnx`, with a JSON object in a line of standard input:

    {"model": its path, "inputs": .npz of inputs by name, "outputs": .npy to write,
     "batches": sizes of the batches that the inputs are cut into, "timed": sizes to time,
     "golden": of a SavedModel, the file of the golden request}

and, where sizes are to be timed, an empty line after it has printed "ready to measure". It prints a JSON object,
`{"milliseconds": {size: [median, 95th percentile]}}`, with, of a golden request,
`"predictions"` and the malformed requests that were answered, `"accepted"`. numpy is imported, and the runtime.
"""

import base64
import functools
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Batch = dict[str, np.ndarray]
Call = Callable[[Batch], np.ndarray]

WARM_UP = 2
CALLS = 50
# Of a batch size; slow models are called less often than CALLS.
SECONDS = 0.1


def main() -> None:
    """Load the model, answer the inputs, take the time."""
    runtime = sys.argv[1]
    if importlib.util.find_spec("components"):
        raise SystemExit("the project can be imported here")
    if runtime == "saved_model":
        import tensorflow  # noqa: F401 (it takes seconds, in which the other process gets the task ready)
    task = json.loads(sys.stdin.readline())
    with np.load(task["inputs"], allow_pickle=False) as file:
        inputs = {name: file[name] for name in file.files}
    call = {"saved_model": saved_model, "litert": litert, "onnx": onnx}[runtime](task["model"])
    np.save(task["outputs"], np.concatenate([call(batch) for batch in cut(inputs, task["batches"])]))
    found: dict[str, Any] = golden(task["model"], task["golden"]) if "golden" in task else {}
    if task["timed"]:
        # Nothing else shall compute meanwhile.
        print("ready to measure", flush=True)
        sys.stdin.readline()
    found["milliseconds"] = {n: milliseconds(call, next(cut(inputs, [n]))) for n in task["timed"]}
    foreign = [] if runtime == "saved_model" else [name for name in ("tensorflow", "keras") if name in sys.modules]
    if foreign:
        raise SystemExit(f"{runtime} was run in a process that imports {foreign[0]}")
    print(json.dumps(found))


def cut(inputs: Batch, sizes: list[int]) -> Iterator[Batch]:
    """Batches of these sizes, one after the other."""
    first = 0
    for size in sizes:
        yield {name: values[first : first + size] for name, values in inputs.items()}
        first += size


def milliseconds(call: Call, batch: Batch) -> tuple[float, float]:
    """Median and 95th percentile of a call."""
    for _ in range(WARM_UP):
        call(batch)
    seconds: list[float] = []
    while len(seconds) < CALLS and sum(seconds) < SECONDS:
        start = time.perf_counter()
        call(batch)
        seconds.append(time.perf_counter() - start)
    median, p95 = np.quantile(seconds, (0.5, 0.95))
    return 1000 * float(median), 1000 * float(p95)


@functools.cache
def signature(path: str) -> Any:  # noqa: ANN401 (TensorFlow's ConcreteFunction)
    """What a SavedModel serves with."""
    import tensorflow as tf

    return tf.saved_model.load(path).signatures["serving_default"]


def saved_model(path: str) -> Call:
    """A SavedModel's serving signature, with TensorFlow."""
    import tensorflow as tf

    serve = signature(path)

    def call(batch: Batch) -> np.ndarray:
        (output,) = serve(**{name: tf.constant(values) for name, values in batch.items()}).values()
        return output.numpy()

    return call


def litert(path: str) -> Call:
    """A LiteRT model, which takes one example at a time."""
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(model_path=path).get_signature_runner()

    def call(batch: Batch) -> np.ndarray:
        size = len(next(iter(batch.values())))
        return np.concatenate([next(iter(run(**one).values())) for one in cut(batch, [1] * size)])

    return call


def onnx(path: str) -> Call:
    """An ONNX model, with ONNX Runtime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda batch: session.run(None, batch)[0]


def golden(path: str, request: str) -> dict[str, Any]:
    """Answer the recorded request, and try malformed ones that are made of it."""
    import tensorflow as tf

    serve = signature(path)
    with Path(request).open(encoding="utf-8") as file:
        instances = json.load(file)["instances"]
    specs = serve.structured_input_signature[1]

    def value(name: str, given: Any) -> Any:  # noqa: ANN401 (of JSON)
        if not isinstance(given, dict):
            return given
        return tf.io.decode_png(base64.b64decode(given["b64"]), specs[name].shape[-1]).numpy()

    asked = {
        name: tf.constant(np.array([value(name, one[name]) for one in instances]), specs[name].dtype)
        for name in instances[0]
    }
    (answer,) = serve(**asked).values()
    accepted = []
    for name, values in asked.items():
        others = {key: value for key, value in asked.items() if key != name}
        malformed = {
            f"{name} of another shape": {**others, name: values[:, 1:]},
            f"{name} without a batch": {**others, name: values[0]},
            f"{name} of text": {**others, name: tf.strings.as_string(values)},
            f"no {name}": others,
        }
        for what, tensors in malformed.items():
            try:
                serve(**tensors)
            except (TypeError, ValueError, tf.errors.InvalidArgumentError):
                continue
            accepted.append(what)
    return {"predictions": answer.numpy().tolist(), "accepted": accepted}


if __name__ == "__main__":
    main()
