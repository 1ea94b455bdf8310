"""Folders of runs, written as the program writes them, without a training, and the server that shows them."""

import threading
from contextlib import contextmanager

import numpy as np

from components.artifacts.dataset import Check, ImagesInfo
from components.artifacts.evaluation import Evaluation, save_evaluation
from components.artifacts.leaderboard import DatasetEntry, Leaderboard, ModelEntry
from pipeline.runs import ledger
from pipeline.runs.record import FILE, Record
from pipeline.ui.server import Server

EXAMPLES = 200


def predictions(right, seed=0):
    """Labels, int64 [200], and probabilities, float32 [200, 2], of which so many are right."""
    labels = np.random.default_rng(0).integers(0, 2, EXAMPLES)
    wrong = np.random.default_rng(seed).permutation(EXAMPLES) >= right
    return labels, np.eye(2, dtype=np.float32)[np.where(wrong, 1 - labels, labels)]


def make_run(runs, name, epochs=1, right=150, experiment="small", state="finished", failures=None, models=("mlp",)):
    """Make a run of an experiment. Where it finished, each model is right on one test example less than the one before.

    Args:
        runs: The folder of all runs.
        name: The run's name.
        epochs: A value of its config.
        right: The number of test examples that the first model has right.
        experiment: The experiment's name.
        state: As its record has it.
        failures: The reasons of tasks that failed.
        models: The models' names.
    """
    folder = runs / experiment / name
    (folder / "logs").mkdir(parents=True)
    (folder / "logs" / "train-mlp.log").write_text(f"epoch {epochs}\n", encoding="utf-8")
    time = f"{name[:4]}-{name[4:6]}-{name[6:8]}T{name[9:11]}:{name[11:13]}:00+00:00"
    config = {"seed": 1, "datasets": {"images": {"source": "test"}}}
    config["models"] = {model: {"family": "mlp", "epochs": epochs} for model in models}
    about = {"started": time, "ended": time, "command": "python -m pipeline run configs/small.yaml"}
    record = Record(state=state, config=config, code={"a.py": "1"}, failures=failures or {}, **about)
    (folder / FILE).write_text(record.model_dump_json(indent=2), encoding="utf-8")
    if state != "finished":
        return folder
    entries = []
    for rank, model in enumerate(models, 1):
        evaluation = folder / "models" / model / "evaluation"
        evaluation.mkdir(parents=True)
        (folder / "tensorboard" / model).mkdir(parents=True)
        info = {"name": "images", "source": "test", "records": {"test": EXAMPLES}, "sha256": "0", "mean": [0.0]}
        info |= {"std": [1.0], "checks": [Check(name="a", found="b")], "classes": ["a", "b"], "shape": [2, 2, 1]}
        ImagesInfo(**info, label_counts={}).save(evaluation.parent)
        save_evaluation(evaluation, Evaluation(model=model, metrics={}, intervals={}), *predictions(right + 1 - rank))
        value = (right + 1 - rank) / EXAMPLES
        entries.append(
            ModelEntry(
                model=model, family="mlp", dataset="images", task="classification", rank=rank, passed=True, gate="none",
                metrics={"accuracy": value, "macro_f1": value, "loss": 0.5}, parameters=10, epochs=epochs, best_epoch=1,
                intervals={"accuracy": [value - 0.05, value + 0.05]}, train_seconds=1.0, examples_per_second=1.0,
            )
        )  # fmt: skip
    splits = {"train": 1, "validation": 1, "test": EXAMPLES}
    entry = DatasetEntry(task="classification", source="test", splits=splits, sha256="0", baselines={})
    board = {"experiment": experiment, "run": name, "pipeline_sha256": "", "code_version": "", "created": time}
    Leaderboard(**board, datasets={"images": entry}, models=entries, seed=1).save(folder)
    (folder / "report.html").write_text(f"<!doctype html><title>report of {name}</title>", encoding="utf-8")
    (folder.parent / "latest").unlink(missing_ok=True)
    (folder.parent / "latest").symlink_to(name)
    ledger.note(folder, evaluation, evaluation.parent)
    return folder


@contextmanager
def serving(runs):
    """The server in a thread of this process."""
    with Server(runs, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
