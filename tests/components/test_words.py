import pytest

from components.artifacts.leaderboard import ModelEntry, figure, interval
from components.common.words import counted, some


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [(1, "epoch", "1 epoch"), (0, "epoch", "0 epochs"), (2245, "row", "2,245 rows"), (2, "class", "2 classes")],
)
def test_one_is_singular(number, noun, text):
    assert counted(number, noun) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0003173, "0.00032"),  # an ece, or a pinball loss
        (0.009083, "0.0091"),
        (-0.00999, "-0.0100"),
        (0.001, "0.0010"),
        (0.0000123, "1.2e-05"),
        (0.0, "0.0000"),
        (1234.5, "1234.5000"),
    ],
)
def test_a_metric_has_four_decimal_places_and_a_small_one_two_digits(value, text):
    assert figure(value) == text


@pytest.mark.parametrize(
    ("ends", "text", "distance"),
    [
        ([-0.0082, 0.0368], "-0.0082 to 0.0368", "no clear difference"),
        ([0.01, 0.02], "0.0100 to 0.0200", "0.0100 to 0.0200 behind"),
        # All samples are the same where a split is too short.
        ([0.13, 0.13], "no interval", "no clear difference"),
        ([0.0, 0.0], "no interval", "no clear difference"),
    ],
)
def test_an_interval_says_no_more_than_is_known(ends, text, distance):
    assert interval(ends) == text
    assert ModelEntry(model="b", family="mlp", dataset="d", behind=ends).distance() == distance


def test_of_many_names_the_first_are_shown():
    assert some(["a"], 1) == "a"
    assert some(["a", "b", "c"], 3) == "a, b, c"
    assert some(["a", "b", "c"], 2, "; ") == "a; b and 1 more"
