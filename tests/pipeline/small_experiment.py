"""A good experiment of two data sets and two models, and what tests do with it: change it, write it, see it refused."""

import copy
from pathlib import Path

import pytest
import yaml

from components.common.errors import InputError
from pipeline.experiment.experiment import load_experiment

CONFIGS = Path(__file__).parent.parent.parent / "configs"
SHIPPED = sorted(path for path in CONFIGS.glob("*.yaml") if path.name not in ("machines.yaml", "prices.yaml"))
GOOD = {
    "seed": 3,
    "datasets": {
        "fashion": {"source": "fashion_mnist", "use": 0.1, "gate": {"majority_class": 0.3}},
        "demand": {"source": "electricity", "use": 0.1, "lookback": 96, "horizon": 48, "calendar": ["hour"]},
    },
    "models": {
        "mlp": {"family": "mlp", "dataset": "fashion", "epochs": 2, "hyperparameters": {"units": [8]}},
        "lstm": {"family": "lstm", "dataset": "demand"},
    },
}


def write(tmp_path, content=GOOD, name="small.yaml"):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    return path


def changed(key, value):
    """The good experiment with the value at "key.key" replaced, or left out where it is None."""
    content = copy.deepcopy(GOOD)
    place = content
    *path, last = key.split(".")
    for part in path:
        place = place.setdefault(part, {})
    place[last] = value
    if value is None:
        del place[last]
    return content


def assert_refused(path, parts, overrides=()):
    with pytest.raises(InputError) as refused:
        load_experiment(path, list(overrides))
    assert not any("\n" in problem for problem in refused.value.problems)
    message = str(refused.value)
    for part in parts:
        assert part in message
    return message
