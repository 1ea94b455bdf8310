"""The sizes of a model's layers, computed from its config without TensorFlow, before anything runs.

A family may define a function `sizes(shape, outputs, hyperparameters)`. It takes the shape of an example ([height,
width, channels] or [lookback, columns]) and the number of values that the model returns. For each layer with weights it
returns the number of weights, and the number of values that the layer returns for an example. Biases and the known
columns of the future are left out, so the real model is a little larger.
"""

import math
from itertools import pairwise

# Adam keeps two averages and a gradient for each weight. This many weights then take 16 GB.
MAX_WEIGHTS = 1_000_000_000
# The outputs of all layers for a batch on one replica. This many float32 numbers take 40 GB.
MAX_NUMBERS = 10_000_000_000

LayerSizes = list[tuple[int, int]]


def sequence(shape: list[int], patch: int = 1) -> tuple[int, int]:
    """The numbers of steps and features of an example after `components.models.layers.sequence`."""
    patch = min(patch, shape[0])
    return shape[0] // patch, patch * math.prod(shape[1:])


def dense(*widths: int) -> LayerSizes:
    """The sizes of dense layers. The first width is that of the input, and layers of width 0 don't exist."""
    return [(before * after, after) for before, after in pairwise(width for width in widths if width)]


def lstm(steps: int, features: int, units: int) -> LayerSizes:
    """The size of an LSTM layer that returns its state at each step."""
    return [(4 * units * (features + units), steps * units)]


def problems(sizes: LayerSizes, shape: list[int], batch: int) -> list[str]:
    """The limits that a model exceeds, a line for each.

    Args:
        sizes: The sizes of the model's layers.
        shape: The shape of an example.
        batch: The number of examples in a step on one replica.
    """
    lines = []
    weights = sum(weights for weights, _ in sizes)
    numbers = batch * (math.prod(shape) + sum(numbers for _, numbers in sizes))
    if weights > MAX_WEIGHTS:
        lines.append(f"hyperparameters: at least {weights:,} weights, expected at most {MAX_WEIGHTS:,}")
    if numbers > MAX_NUMBERS:
        lines.append(
            f"batch_size: {batch:,} examples of {' x '.join(map(str, shape))} are at least {numbers:,} numbers in all "
            f"layers, expected at most {MAX_NUMBERS:,} on a replica"
        )
    return lines
