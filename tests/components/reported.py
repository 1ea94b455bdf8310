"""Pages for the tests of the report, of the small run."""

import json

from small_run import DATASETS, MODELS

TASKS = {"ingest-fashion": [], "train-mlp": ["ingest-fashion"], "compare": ["train-mlp"], "report": ["compare"]}
COMMAND = "python -m pipeline run configs/small.yaml --set seed=1"


def page(given, path, leaderboard=None, failures=None, tunings=None):
    """Make the page of a run.

    Args:
        given: Artifacts by their names as compare takes them; one that isn't there failed.
        path: Where to write it.
        leaderboard: What compare wrote.
        failures: Reasons by task.
        tunings: Folders of searches by model.
    """
    from components.report.report import report

    def folders(kind, names):
        return {name: given[f"{kind}_{name}"].path if f"{kind}_{name}" in given else None for name in names}

    about = {"experiment": "small", "command": COMMAND, "seed": 1, "code_version": "c0de", "tasks": TASKS}
    report(
        json.dumps(about),
        json.dumps(failures or {}),
        "5ha256",
        folders("dataset", DATASETS),
        folders("model", MODELS),
        folders("evaluation", MODELS),
        folders("export", MODELS),
        leaderboard=leaderboard and leaderboard.path,
        path=str(path),
        searches=tunings or {},
    )
    return path.read_text()


def searched(folder, trials, mode="max"):
    """The folder of a search with these trials."""
    ranges = {"learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}, "batch_size": {"low": 10, "high": 90}}
    ranges |= {"hyperparameters.units": {"values": [[8], [16, 8]]}, "optimizer": {"values": ["adam", "<b>"]}}
    tune = {"trials": len(trials), "parallel": 2, "epochs": 3, "ranges": ranges}
    metric = "val_accuracy" if mode == "max" else "val_mae"
    scored = [trial for trial in trials if trial.get("score") is not None]
    best = (max if mode == "max" else min)(scored, key=lambda trial: trial["score"])["number"]
    folder.mkdir()
    content = {"metric": metric, "mode": mode, "best": best, "tune": tune, "trials": trials}
    (folder / "trials.json").write_text(json.dumps(content))
    return str(folder)


def trial(number, score=None, rate=0.01, units=(8,), **more):
    values = {"learning_rate": rate, "batch_size": 10 * number, "hyperparameters.units": list(units)}
    state = {"state": "failed"} if score is None else {"state": "complete", "score": score, "scores": [0.1, score]}
    state |= {} if score is None else {"best_epoch": 2, "seconds": 12.34}
    return {"number": number, "values": {**values, "optimizer": "<b>"}, **state, **more}
