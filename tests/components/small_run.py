"""A small run on slices of the real data: what it trains, and its steps called as KFP calls them."""

import json
from pathlib import Path

from kfp import dsl

from components.artifacts.leaderboard import Leaderboard
from components.common.gather import inputs_of
from components.compare.component import compare
from components.train.component import train

DATASETS = {
    "fashion": {"source": "fashion_mnist", "use": 0.01},
    "electricity": {"source": "electricity", "use": 0.1, "lookback": 96, "horizon": 12, "calendar": ["hour"]},
}


# The gates of a config that has none of its own.
NAIVE = {"fashion": {"majority_class": None}, "electricity": {"last_value": None, "same_time_yesterday": None}}
# What compare takes of the folds of backtests, of which this run has none.
NO_FOLDS = {"fold_datasets": {}, "fold_baselines": {}, "fold_evaluations": {}}
MODELS = {
    "mlp": {"family": "mlp", "dataset": "fashion", "epochs": 3, "batch_size": 50, "hyperparameters": {"units": [32]}},
    "lstm": {
        "family": "lstm",
        "dataset": "electricity",
        "epochs": 2,
        "quantiles": [0.1, 0.5, 0.9],
        "hyperparameters": {"units": 8, "patch": 12, "seasonal": True},
    },
}


def artifact(kind, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    return kind(uri=str(path))


def train_one(name, folder, datasets, seed=1, code_version="x", **changes):
    spec = {**MODELS[name], **changes}
    model = artifact(dsl.Model, folder / "run" / f"train-{name}" / "model")
    train.python_func(
        name,
        json.dumps(spec),
        seed,
        code_version,
        datasets[spec["dataset"]],
        model,
        checkpoints=str(folder / "checkpoints"),
    )
    return model


def tasks_of(model):
    dataset = MODELS[model]["dataset"]
    return [
        f"ingest-{dataset}",
        f"baseline-{dataset}",
        *(f"{step}-{model}" for step in ("train", "evaluate", "export")),
    ]


def gathered(results, *kinds, datasets=DATASETS, models=MODELS):
    """What a component that gathers is called with: for each kind the folders by name, None for what isn't there."""
    names = {kind: list(datasets if kind in ("datasets", "baselines") else models) for kind in kinds}
    return {
        kind: {name: found.path if (found := results.get(key)) else None for name, key in inputs.items()}
        for kind, inputs in inputs_of(names).items()
    }


def compared(results, folder, gates=None, failures=None):
    contest = {
        "experiment": "test",
        "seed": 1,
        "gates": NAIVE | (gates or {}),
        "models": {
            n: {"family": m["family"], "dataset": m["dataset"], "tasks": tasks_of(n)} for n, m in MODELS.items()
        },
    }
    board = artifact(dsl.Artifact, folder / "leaderboard")
    kinds = ("datasets", "baselines", "models", "evaluations", "exports")
    given = json.dumps(contest), json.dumps(failures or {}), "sha", "code", "run", board
    compare.python_func(*given, **gathered(results, *kinds), searches={}, **NO_FOLDS)
    return board, Leaderboard.model_validate_json((Path(board.path) / "leaderboard.json").read_text())
