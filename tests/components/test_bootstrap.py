"""Which models can be told apart."""

import numpy as np
import pytest

from components.artifacts.dataset import ImagesInfo, SeriesInfo
from components.metrics.bootstrap import QUANTILES, RESAMPLES, differences, intervals


def wrong(*examples, of=1000):
    """Errors of a classifier that is wrong for these examples."""
    errors = np.zeros(of)
    errors[list(examples)] = 1
    return errors


def test_equal_models_have_no_difference_at_all():
    errors = np.random.default_rng(0).random(997)
    found = differences({"a": errors, "b": errors.copy(), "c": errors.copy()}, seed=1)
    assert found == {("a", "b"): [0, 0], ("a", "c"): [0, 0], ("b", "c"): [0, 0]}


def test_the_interval_is_of_the_second_less_the_first():
    found = differences({"good": wrong(*range(50)), "bad": wrong(*range(150))}, seed=1)
    low, high = found["good", "bad"]
    assert 0.07 < low < 0.1 < high < 0.13
    swapped = differences({"bad": wrong(*range(150)), "good": wrong(*range(50))}, seed=1)
    assert swapped["bad", "good"] == pytest.approx([-high, -low])


def test_pairs_tell_apart_what_intervals_of_their_own_do_not():
    """The second errs where the first does, and 12 times more."""
    first, second = wrong(*range(200)), wrong(*range(212))
    own = [
        intervals(lambda sample, e=errors: {"error": e[sample].mean()}, 1000, seed=1)["error"]
        for errors in (first, second)
    ]
    assert own[0][1] > own[1][0], "they overlap"
    assert differences({"first": first, "second": second}, seed=1)["first", "second"][0] > 0
    elsewhere = wrong(*range(500, 712))
    low, high = differences({"first": first, "second": elsewhere}, seed=1)["first", "second"]
    assert low < 0 < high, "as many errors, elsewhere"


def test_examples_are_drawn_as_for_the_intervals_of_a_model():
    generator = np.random.default_rng(3)
    a, b = generator.random(300), generator.random(300)
    for block in (1, 12):
        alone = intervals(lambda sample: {"d": (b[sample] - a[sample]).mean()}, 300, seed=5, block=block)["d"]
        assert differences({"a": a, "b": b}, seed=5, block=block)["a", "b"] == pytest.approx(alone, rel=1e-9)
    assert differences({"a": a, "b": b}, seed=5) == differences({"a": a, "b": b}, seed=5)
    assert differences({"a": a, "b": b}, seed=5) != differences({"a": a, "b": b}, seed=6)


def test_neighbours_that_resemble_each_other_make_the_interval_wider():
    """A difference that lasts for 50 windows at a time is seen 20 times, not 1,000 times."""
    steps = np.repeat(np.random.default_rng(1).normal(0.15, 1, 20), 50)
    errors = {"a": np.zeros(1000), "b": steps}
    one, blocks = differences(errors, seed=1)["a", "b"], differences(errors, seed=1, block=100)["a", "b"]
    assert blocks[1] - blocks[0] > 3 * (one[1] - one[0])


def test_one_model_is_compared_with_none():
    assert differences({"a": wrong(1)}, seed=1) == {}


def test_a_set_smaller_than_a_block_is_one_block():
    assert differences({"a": wrong(1, of=5), "b": wrong(2, 3, of=5)}, seed=1, block=10)["a", "b"] == [0.2, 0.2]


def test_interval_ends_are_those_of_95_percent():
    assert QUANTILES == (0.025, 0.975)
    assert RESAMPLES >= 1000


def test_a_block_is_two_horizons_of_a_series_and_one_image():
    assert SeriesInfo.model_construct(horizon=6).block == 12
    assert ImagesInfo.model_construct().block == 1
