"""The calibration of a classifier by temperature scaling (Guo et al. 2017, arXiv:1706.04599).

Its logits are divided by one number, the temperature. So the order of the classes stays, and with it the accuracy.
"""

import keras
import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from components.artifacts.dataset import ImagesInfo
from components.artifacts.model import Temperature, compiled
from components.common.words import counted
from components.data import input_pipeline
from components.models.answers import logits_layer
from components.train.shared_batches import EVALUATION_BATCH

LIMITS = {"lowest": 0.1, "highest": 10.0}
# The 95 % quantile of the chi-squared distribution with one degree of freedom. By it the likelihood-ratio test tells a
# temperature from 1 (Wilks 1938, doi:10.1214/aoms/1177732360).
CLEAR = 3.841


def calibrate(model: keras.Model, dataset: str, info: ImagesInfo) -> Temperature:
    """Fit the temperature on the validation split, and divide the weights of the model's last layer by it.

    This is the same as dividing the logits. It needs no layer of its own, so that every format has it as well.

    Args:
        model: A classifier with its final weights, which are changed.
        dataset: The data set's folder.
        info: The description of the data set.
    """
    if (last := logits_layer(model)) is None:
        return Temperature(note="the model doesn't end in a Dense layer with softmax")
    config = {**last.get_config(), "name": f"{last.name}_logits", "activation": "linear"}
    linear = keras.layers.Dense.from_config(config)
    call = compiled(keras.Model(model.inputs, linear(last.input)), info)
    linear.set_weights(last.get_weights())
    batches = input_pipeline.sequential_batches(dataset, info, "validation", EVALUATION_BATCH)
    answered = [(call(x).numpy(), y.numpy()) for x, y in batches]
    logits, labels = (np.concatenate(parts) for parts in zip(*answered, strict=True))
    temperature = fit(logits, labels)
    last.set_weights([weight / np.float32(temperature.value) for weight in last.get_weights()])
    return temperature


def fit(logits: np.ndarray, labels: np.ndarray) -> Temperature:
    """Find the temperature with the smallest negative log-likelihood.

    Where all examples are right, this would be 0, and the model would always be sure. So one example more is counted,
    which is of each class to the same part, as in Laplace's rule of succession.

    Args:
        logits: float [examples, classes].
        labels: int64 [examples].

    Returns:
        A temperature within LIMITS; or 1, where the examples don't show that another one is better.
    """
    logits = logits.astype(np.float64)
    if not np.isfinite(logits).all():
        return Temperature(note="a logit is NaN or infinite")
    examples = len(labels)
    right, mean = logits[np.arange(examples), labels], logits.mean(axis=1)
    smoothed = right + (mean - right) / (examples + 1)

    def loss(inverse: float, expected: np.ndarray) -> float:
        return float((logsumexp(inverse * logits, axis=1) - inverse * expected).mean())

    # It is convex in the inverse of the temperature.
    found = minimize_scalar(
        loss,
        bounds=(1 / LIMITS["highest"], 1 / LIMITS["lowest"]),
        args=(smoothed,),
        method="bounded",
        options={"xatol": 1e-8},
    )
    value, before = float(1 / found.x), loss(1, right)
    if 2 * examples * (loss(1, smoothed) - found.fun) < CLEAR:
        note = f"{counted(examples, 'validation example')} don't show that {value:.3g} is better"
        return Temperature(before=before, after=before, note=note)
    limit = next((which for which, end in LIMITS.items() if np.isclose(value, end, rtol=1e-3)), None)
    note = f"it is the {limit} that is allowed" if limit else ""
    return Temperature(value=value, before=before, after=loss(found.x, right), note=note)
