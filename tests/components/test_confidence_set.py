"""The model confidence set: judged by the package arch, and by simulations in which the best model is known."""

import numpy as np
import pytest
from arch.bootstrap import MCS, MovingBlockBootstrap

from components.metrics import bootstrap
from components.metrics.confidence_set import SIZE, p_values


def forecasters(generator, examples, models):
    """Absolute errors, of which the difficulty of an example is a part."""
    noise = generator.normal(size=(examples, models)) * (1 + 0.03 * np.arange(models))
    return np.abs(generator.normal(size=(examples, 1)) + noise)


def classifiers(generator, examples, models):
    """Errors of 0 and 1. arch fails where the best two have as many of them."""
    return (generator.random((examples, models)) < 0.2 + 0.01 * np.arange(models)).astype(float)


@pytest.mark.parametrize("kind", [forecasters, classifiers])
@pytest.mark.parametrize(("examples", "models", "block"), [(200, 2, 1), (500, 8, 1), (500, 8, 24), (300, 20, 10)])
def test_p_values_are_those_of_arch(kind, examples, models, block, monkeypatch):
    losses = kind(np.random.default_rng(3), examples, models)
    judge = MCS(losses, SIZE, block_size=block, bootstrap="moving block", seed=3)
    judge.compute()
    samples = MovingBlockBootstrap(block, np.arange(examples), seed=3).bootstrap(bootstrap.RESAMPLES)
    monkeypatch.setattr(bootstrap, "_samples", lambda *_: (drawn[0] for drawn, _ in samples))
    found = p_values({model: losses[:, model] for model in range(models)}, 3, block)
    assert found == judge.pvalues["Pvalue"].to_dict()
    assert [model for model, p in found.items() if p > SIZE] == judge.included


@pytest.mark.parametrize("lead", [0.0, 0.5])
def test_the_best_model_is_in_the_set(lead, monkeypatch):
    """In 95 % of the cases at least, where the best of the samples alone leaves it out in many."""
    monkeypatch.setattr(bootstrap, "RESAMPLES", 200)
    generator = np.random.default_rng(6)
    rounds, kept, pairs, others, poor = 120, 0, 0, 0, 0
    for seed in range(rounds):
        errors = dict(enumerate(generator.exponential(size=(8, 60))))
        errors[0] = errors[0] - lead
        errors["poor"] = generator.exponential(4, size=60)
        found = p_values(errors, seed)
        kept += found[0] > SIZE
        others += sum(found[model] > SIZE for model in range(1, 8)) / 7
        poor += found["poor"] > SIZE
        first = min(errors, key=lambda name: errors[name].mean())
        pairs += first == 0 or bootstrap.differences({"a": errors[first], "b": errors[0]}, seed)["a", "b"][0] <= 0
    assert kept >= 0.95 * rounds
    assert poor <= 0.01 * rounds
    if lead:
        assert others < 0.6 * rounds, "it isn't just all models"
    else:
        assert pairs < 0.9 * rounds, "without a correction"


def test_neighbours_that_resemble_each_other_say_less():
    """A difference that lasts for 50 windows at a time is seen 20 times, not 1,000 times."""
    steps = np.repeat(np.random.default_rng(1).normal(0, 1, 20), 50)
    errors = {"a": np.zeros(1000), "b": steps - steps.mean() + 0.12}
    assert p_values(errors, 1)["b"] < 0.001
    assert p_values(errors, 1, block=100)["b"] > 0.1


def test_the_seed_alone_decides():
    errors = dict(enumerate(forecasters(np.random.default_rng(4), 300, 6).T))
    assert p_values(errors, 5) == p_values(errors, 5)
    assert p_values(errors, 5) != p_values(errors, 6)


def test_equal_models_are_in_the_set_together_or_not_at_all():
    good, poor = np.random.default_rng(0).random((2, 500)) < [[0.1], [0.3]]
    errors = {"a": good.astype(float), "b": good.astype(float)}
    assert p_values(errors, 1) == {"a": 1, "b": 1}
    found = p_values({"p": poor.astype(float), **errors, "q": poor.astype(float)}, 1)
    assert (found["a"], found["b"]) == (1, 1)
    assert found["p"] == found["q"] < 0.01


def test_one_model_is_the_set():
    assert p_values({"a": np.ones(5)}, 1) == {"a": 1}


def test_a_split_of_one_block_says_nothing():
    assert p_values({"a": np.zeros(5), "b": np.arange(5.0), "c": np.ones(5)}, 1, block=10) == {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_model_without_a_finite_error_is_never_in_the_set(broken):
    errors = dict(enumerate(forecasters(np.random.default_rng(4), 300, 4).T))
    lost = np.ones(300)
    lost[7] = broken
    assert p_values({"lost": lost, **errors}, 1) == {"lost": 0, **p_values(errors, 1)}
    assert p_values({"lost": lost}, 1) == {"lost": 0}
