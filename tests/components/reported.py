"""Pages for the tests of the report: of the small run that test_steps trains."""

import json

from test_steps import DATASETS, MODELS

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
    from components.report.work import report

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
        tunings=tunings,
    )
    return path.read_text()
