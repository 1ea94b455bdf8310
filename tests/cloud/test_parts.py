"""Parts of the server by themselves: cron expressions, filters, tokens, what fits to a machine."""

from datetime import UTC, datetime

import machine_types
import pytest
from cron import Cron
from errors import ApiError
from filters import Filter
from google.cloud.aiplatform_v1.types import AcceleratorType


@pytest.mark.parametrize(
    ("text", "after", "then"),
    [
        ("0 3 * * *", "2025-01-01T02:59:59", "2025-01-01T03:00"),
        ("0 3 * * *", "2025-01-01T03:00:00", "2025-01-02T03:00"),
        ("*/20 * * * *", "2025-01-01T00:41:00", "2025-01-01T01:00"),
        ("30 4 * * MON-FRI", "2025-01-03T05:00:00", "2025-01-06T04:30"),
        ("0 0 1 jan,jul *", "2025-01-02T00:00:00", "2025-07-01T00:00"),
        ("0 0 29 2 *", "2025-01-01T00:00:00", "2028-02-29T00:00"),
        ("0 0 13 * 7", "2025-01-01T00:00:00", "2025-01-05T00:00"),
        ("TZ=Europe/Berlin 0 3 * * *", "2025-07-01T00:00:00", "2025-07-01T01:00"),
        ("CRON_TZ=America/New_York 0 3 * * *", "2025-01-01T00:00:00", "2025-01-01T08:00"),
    ],
)
def test_cron(text, after, then):
    start, expected = (datetime.fromisoformat(when).replace(tzinfo=UTC).timestamp() for when in (after, then))
    assert Cron(text).next(start) == expected


@pytest.mark.parametrize("text", ["", "* * * *", "60 * * * *", "*/0 * * * *", "5-1 * * * *", "a * * * *", "* * 0 * *"])
def test_no_cron(text):
    with pytest.raises(ValueError, match=r"'"):
        Cron(text)


THING = {"name": "one", "size": 3, "labels": {"team": "vision", "a.b/c": "d"}, "tags": ["x", "y"], "done": True}


def look(path):
    value = THING[path[0]]
    for part in path[1:]:
        value = value.get(part)
    return value


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("", True),
        ("name=one", True),
        ('name="two"', False),
        ('name!="two" size>2', True),
        ("size>=4 OR size<4 AND name=two", False),
        ("(size>=4 AND name=one) OR done=true", True),
        ("NOT (labels.team=vision)", False),
        ("labels.team:* labels.team:VIS", True),
        ('labels."a.b/c"="d"', True),
        ("labels:team tags:x", True),
        ("labels.other:*", False),
        ("labels.team=(audio OR vision)", True),
        ('name:"o*e"', True),
    ],
)
def test_filters(text, passes):
    assert Filter(text).matches(look) is passes


@pytest.mark.parametrize(
    "text", ["name", "name=", "=one", "(name=one", "name=one)", 'name="one', "other=one", "name>1 AND"]
)
def test_no_filter(text):
    with pytest.raises(ApiError, match="filter"):
        Filter(text).matches(look)


def test_quotas_have_googles_names():
    names = {gpu: machine_types.metric(gpu) for gpu in machine_types.GPUS}
    assert names["NVIDIA_TESLA_A100"] == "custom_model_training_nvidia_a100_gpus"
    assert names["NVIDIA_A100_80GB"] == "custom_model_training_nvidia_a100_80gb_gpus"
    assert machine_types.metric("NVIDIA_TESLA_T4", spot=True) == "custom_model_training_preemptible_nvidia_t4_gpus"
    assert set(machine_types.GPUS) <= set(AcceleratorType.__members__)
