"""Runs that register models of chosen mistakes."""

import shutil
from pathlib import Path

import numpy as np
from kfp import dsl
from small_run import MODELS, artifact

from components.artifacts.dataset import load_info
from components.artifacts.evaluation import load_predictions
from components.artifacts.leaderboard import DatasetEntry, Leaderboard, ModelEntry
from components.artifacts.registration import load_registered
from components.metrics.bootstrap import errors
from components.register.component import register


class Run:
    """Runs whose winners are copies of a model but for their predictions."""

    def __init__(self, results, folder, original="mlp"):
        self.folder, self.original = folder, original
        self.dataset = MODELS[original]["dataset"]
        self.data = Path(results[f"dataset_{self.dataset}"].path)
        self.evaluation = Path(results[f"evaluation_{original}"].path)
        self.exported = Path(results[f"export_{original}"].path)
        self.registry, self.count = folder / "registry", 0
        self.place = str(self.registry)

    @property
    def shelf(self):
        return self.registry / "test" / self.dataset

    def current(self):
        link = self.shelf / "current"
        return str(link.readlink()) if link.is_symlink() else link.read_text()

    def promote(self, version):
        link = self.shelf / "current"
        folder = link.is_symlink()
        link.unlink()
        link.symlink_to(version) if folder else link.write_text(f"{version}\n")

    def versions(self):
        return sorted(path.name for path in self.shelf.iterdir() if path.name != "current")

    def export(self, name):
        """An export; each name is another model."""
        folder = self.folder / "exports" / name
        if not folder.exists():
            shutil.copytree(self.exported, folder)
            (folder / "note").write_text(name)
        return folder

    def evaluated(self, wrong):
        """An evaluation of the test split: these examples are wrong, or so much of the original's error is."""
        self.count += 1
        folder = self.folder / f"evaluation-{self.count}"
        shutil.copytree(self.evaluation, folder)
        with np.load(folder / "predictions.npz") as saved:
            target, prediction = saved["target"], saved["prediction"]
        if self.original == "mlp":
            prediction = np.eye(10)[target]
            prediction[wrong] = np.eye(10)[(target[wrong] + 1) % 10]
        else:
            prediction = target + wrong * (prediction - target)
        np.savez(folder / "predictions.npz", target=target, prediction=prediction)
        return folder

    def prepare(self, name, wrong=(), promote=False, data=None, evaluation=None, **entry):
        """The arguments of `components.register.register.register` for a winner."""
        data, evaluation = data or self.data, evaluation or self.evaluated(list(wrong))
        self.count += 1
        info = load_info(data)
        error = float(errors(*load_predictions(evaluation)).mean())
        about = DatasetEntry(
            task=info.task, source=info.source, splits={}, sha256=info.sha256, baselines={},
            unit=getattr(info, "unit", ""),
        )  # fmt: skip
        fields = {"passed": True, "gate": "passed", "rank": 1, **entry}
        metrics = {"accuracy": 1 - error} if self.original == "mlp" else {"mae": error}
        model = ModelEntry(model=name, family="mlp", dataset=self.dataset, task=info.task, metrics=metrics, **fields)
        board = Leaderboard(
            experiment="test", run="cached", pipeline_sha256="p", code_version="c", created="now", seed=7,
            datasets={self.dataset: about}, models=[model],
        )  # fmt: skip
        folder = self.folder / f"run-{self.count}"
        folder.mkdir()
        (folder / "leaderboard.json").write_text(board.model_dump_json())
        return {
            "leaderboard_folder": str(folder), "datasets": {self.dataset: str(data)},
            "evaluations": {name: str(evaluation)}, "exports": {name: str(self.export(name))}, "registry": self.place,
            "vertex": "", "run": f"run-{self.count}", "promote": promote, "folder": str(folder / "said"),
        }  # fmt: skip

    def __call__(self, *winner, **about):
        """Register a winner; what register gave."""
        given = self.prepare(*winner, **about)
        places = {
            name: artifact(dsl.Artifact, Path(given.pop(argument)))
            for name, argument in (("leaderboard", "leaderboard_folder"), ("registration", "folder"))
        }
        register.python_func(code_version="x", **given, **places)
        (found,) = load_registered(Path(places["registration"].path))
        return found

    def into(self, cloud):
        """Register in a bucket of the test server, whose objects are files."""
        self.place = "gs://bucket/models"
        self.registry = cloud.file(self.place)
