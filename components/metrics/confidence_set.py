"""The model confidence set: the models that can be the best, where more than two are compared.

Hansen, Lunde and Nason 2011, The Model Confidence Set, Econometrica 79(2), doi:10.3982/ECTA5771.
"""

import numpy as np

from components.metrics.bootstrap import resampled_means

# The models whose p-value is above this are in the 95 % set.
SIZE = 0.05


def p_values(
    errors: dict[str, np.ndarray], seed: int, block: int = 1, places: np.ndarray | None = None
) -> dict[str, float]:
    """The MCS p-value of each model. The arguments are those of `components.metrics.bootstrap.differences`.

    All models are tested for equal mean errors, by the largest t statistic of any two of them (T_R of the paper). Then
    the model that is worst by it leaves, and the others are tested again. A model's p-value is the largest until it
    left, and 1 for the last one. The models whose p-value is above 0.05 hold the best one with a probability of 95 %,
    however many are compared. The package arch has the same test. It brings 75 MB, takes 0.8 s to import, and fails
    where two models have the same predictions, or as many mistakes.

    Returns:
        The p-value of each model. It is 0 for a model that has a NaN or an infinity among its errors.
    """
    found = dict.fromkeys(errors, 0.0)
    finite = {name: values for name, values in errors.items() if np.isfinite(values).all()}
    if not finite:
        return found
    names, left = list(finite), list(range(len(finite)))
    means = np.array([values.mean() for values in finite.values()])
    # How much worse the first model of each two is, [models, models], and by how much each sample differs from that.
    gaps = means[:, None] - means
    resampled = resampled_means(finite, seed, block, places)
    noise = resampled[:, :, None] - resampled[:, None, :] - gaps
    spread = np.sqrt((noise**2).mean(axis=0))
    # Two models that differ in no sample are equal, or the split is a single block. Neither tells them apart.
    gaps, noise = (np.divide(values, spread, out=np.zeros_like(values), where=spread > 0) for values in (gaps, noise))
    p = 0.0
    while len(left) > 1:
        worse = gaps[np.ix_(left, left)].max(axis=1)
        worst = left[int(worse.argmax())]
        by_chance = noise[:, left][:, :, left].max(axis=(1, 2))
        # Where none is worse than another, nothing speaks against equality.
        p = max(p, float((by_chance > worse.max()).mean())) if worse.max() > 0 else 1.0
        found[names[worst]] = p
        left.remove(worst)
    found[names[left[0]]] = 1.0
    return found
