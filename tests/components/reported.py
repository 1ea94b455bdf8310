"""Pages for the tests of the report, of the small run."""

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

from small_run import DATASETS, MODELS, artifact

TASKS = {"ingest-fashion": [], "train-mlp": ["ingest-fashion"], "compare": ["train-mlp"], "report": ["compare"]}
COMMAND = "python -m pipeline run configs/small.yaml --set seed=1"


class Page(HTMLParser):
    """What a reader finds: the text, the ids, the links, the drawings; and whether all tags are closed in order."""

    EMPTY = ("meta", "link", "img", "br", "wbr")

    def __init__(self, html):
        super().__init__()
        self.text, self.ids, self.links, self.alone, self.pictures = "", [], [], [], []
        self._open = []
        self.feed(html)
        assert not self._open

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found[key] for key in ("href", "src", "xlink:href") if key in found]
        if tag in ("svg", "img"):
            self.pictures.append(found.get("aria-label") or found.get("alt"))
        if tag not in self.EMPTY:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        if tag not in self.EMPTY:
            self.handle_starttag(tag, attributes)
            self._open.pop()

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "style" not in self._open and "script" not in self._open:
            self.text += data


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


def evaluation_of(results, name):
    return json.loads((Path(results[f"evaluation_{name}"].path) / "evaluation.json").read_text())


def changed(results, kind, folder, file, change):
    """The results with a copy of one of them, and in it a JSON file changed."""
    shutil.copytree(results[kind].path, folder)
    content = json.loads((folder / file).read_text())
    change(content)
    (folder / file).write_text(json.dumps(content))
    return {**results, kind: artifact(type(results[kind]), folder)}
