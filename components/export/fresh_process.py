"""Use a SavedModel as someone would who has TensorFlow and not this project.

Reads one JSON line: the SavedModel, an .npz of inputs by name, and where to write the outputs.
"""

import json
import sys

import numpy as np
import tensorflow as tf


def main() -> None:
    """Load the model, call its serving signature, save what it gives."""
    task = json.loads(sys.stdin.read())
    serve = tf.saved_model.load(task["saved_model"]).signatures["serving_default"]
    with np.load(task["inputs"], allow_pickle=False) as inputs:
        outputs = serve(**{name: tf.constant(inputs[name]) for name in inputs.files})
    np.savez(task["outputs"], **{name: value.numpy() for name, value in outputs.items()})


if __name__ == "__main__":
    main()
