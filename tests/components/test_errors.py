"""Several problems in one error."""

import pytest

from components.common.errors import InputError, collecting


def test_an_error_has_a_line_for_each_problem():
    error = InputError("a.csv:3: one", "a.csv:9: two")
    assert error.problems == ("a.csv:3: one", "a.csv:9: two")
    assert str(error) == "a.csv:3: one\na.csv:9: two"


def test_problems_of_several_checks_are_collected():
    problems: list[str] = []
    with collecting(problems):
        raise InputError("one", "two")
    with collecting(problems):
        pass
    with collecting(problems):
        raise InputError("three")
    assert problems == ["one", "two", "three"]


def test_other_errors_are_not_collected():
    with pytest.raises(ValueError, match="a fault of ours"), collecting([]):
        raise ValueError("a fault of ours")
