"""How large a model is, told from its config, without TensorFlow and before anything runs.

A family says it by a function `sizes(shape, outputs, hyperparameters)`; it may have none. Given the shape of an example
([height, width, channels] or [lookback, columns]) and how many numbers the model gives, that is, for each layer with
weights, how many these are, and how many numbers the layer gives for an example. Small things (biases, what is known of
the future) are left out, so a model is at least so large.
"""

import math
from itertools import pairwise

# With Adam, whose averages and gradients are as large, so many weights take 16 GB.
MOST_WEIGHTS = 1_000_000_000
# Of all layers, for a batch on one replica: 40 GB.
MOST_NUMBERS = 10_000_000_000

Sizes = list[tuple[int, int]]


def sequence(shape: list[int], patch: int = 1) -> tuple[int, int]:
    """Steps, and features of each, of what `components.models.layers.sequence` makes of an example."""
    if len(shape) == 3:
        return shape[0], shape[1] * shape[2]
    patch = min(patch, shape[0])
    return shape[0] // patch, patch * shape[1]


def dense(*widths: int) -> Sizes:
    """Dense layers, each as wide as one of `widths`, but for the first, which is the input; those of 0 aren't there."""
    return [(before * after, after) for before, after in pairwise(width for width in widths if width)]


def lstm(steps: int, features: int, units: int) -> Sizes:
    """An LSTM layer."""
    return [(4 * units * (features + units), steps * units)]


def problems(sizes: Sizes, shape: list[int], batch: int) -> list[str]:
    """What is too large.

    Args:
        sizes: Of the model's layers.
        shape: Of an example.
        batch: Examples of a step on one replica.
    """
    found = []
    weights = sum(weights for weights, _ in sizes)
    numbers = batch * (math.prod(shape) + sum(numbers for _, numbers in sizes))
    if weights > MOST_WEIGHTS:
        found.append(f"hyperparameters: at least {weights:,} weights, expected at most {MOST_WEIGHTS:,}")
    if numbers > MOST_NUMBERS:
        found.append(
            f"batch_size: {batch:,} examples of {' x '.join(map(str, shape))} are at least {numbers:,} numbers in all "
            f"layers, expected at most {MOST_NUMBERS:,} on a replica"
        )
    return found
