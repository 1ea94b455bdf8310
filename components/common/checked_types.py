"""The types of a config's keys whose values are checked by functions."""

from collections.abc import Collection, Iterable
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError


def _check_quantiles(quantiles: list[float]) -> list[float]:
    """Refuse quantiles that aren't the median and the ends of intervals around it."""
    expected = None
    if any(round(quantile, 3) != quantile for quantile in quantiles):
        expected = "at most three decimals"
    elif any(low >= high for low, high in pairwise(quantiles)):
        expected = "rising values"
    elif quantiles and 0.5 not in quantiles:
        expected = "0.5 among them, which is the forecast"
    elif quantiles == [0.5]:
        expected = "a pair around 0.5, such as 0.1 and 0.9"
    elif any(round(low + high, 3) != 1 for low, high in zip(quantiles, reversed(quantiles), strict=True)):
        expected = "pairs around 0.5 that add up to 1, such as 0.1 and 0.9"
    if expected:
        raise PydanticCustomError("quantiles", f"Input should be quantiles with {expected}")
    return quantiles


Quantile = Annotated[float, Field(gt=0, lt=1)]
Quantiles = Annotated[list[Quantile], Field(max_length=99), AfterValidator(_check_quantiles)]


def _weights_tag(value: object) -> str | None:
    """The tag of the kind of class weights that a YAML value is meant to be."""
    return "mapping" if isinstance(value, dict) else "balanced" if value == "balanced" else None


ClassWeights = Annotated[
    Annotated[Literal["balanced"], Tag("balanced")]
    | Annotated[dict[str, Annotated[float, Field(gt=0, le=1_000_000)]], Tag("mapping")],
    Discriminator(
        _weights_tag,
        custom_error_type="class_weights",
        custom_error_message="Input should be balanced, or a weight for each class",
    ),
]


def unknown_classes(weights: Iterable[str], classes: Collection[str]) -> list[str]:
    """The problem of each name of a class that isn't one of `classes`."""
    known = ", ".join([*list(classes)[:10], *(["…"] if len(classes) > 10 else [])])
    return [f"class_weights: no class '{name}'; there are: {known}" for name in weights if name not in classes]
