"""Runs as data frames, for a notebook."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import escape

from components.artifacts.dataset import ImagesInfo, load_info
from components.artifacts.evaluation import load_predictions, load_quantiles
from components.artifacts.leaderboard import Leaderboard, ModelEntry
from components.artifacts.model import KERAS_FILE, ModelInfo, load_keras
from components.families import family_names, load_family

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Model:
    """A model of a run.

    Attributes:
        entry: Its entry in the leaderboard.
        folder: Its folder, with its formats and its evaluation.
    """

    entry: ModelEntry = field(repr=False)
    folder: Path

    @property
    def history(self) -> pd.DataFrame:
        """The metrics and the "seconds" of each epoch, by epoch from 1."""
        frame = pd.DataFrame(ModelInfo.load(self.folder).history)
        return frame.set_axis(pd.RangeIndex(1, len(frame) + 1, name="epoch"))

    @property
    def predictions(self) -> pd.DataFrame:
        """What it predicts of each test example.

        For images: example, target and prediction, both as names of classes, and the prediction's probability. For a
        series: example, step (from 1), target and prediction, both in the target's unit, and of a model with quantiles
        the others, such as forecast_p10.
        """
        target, prediction = load_predictions(self.folder / "evaluation")
        info = load_info(self.folder)
        if isinstance(info, ImagesInfo):
            names, best = pd.Series(info.classes), prediction.argmax(axis=1)
            columns = {"target": names.loc[target].array, "prediction": names.loc[best].array}
            return pd.DataFrame({"example": range(len(target)), **columns, "probability": prediction.max(axis=1)})
        examples, horizon = target.shape
        places = pd.MultiIndex.from_product([range(examples), range(1, horizon + 1)], names=["example", "step"])
        columns = {"target": target.ravel(), "prediction": prediction.ravel()}
        if (quantiles := load_quantiles(self.folder / "evaluation")) is not None:
            named = {name: quantiles[..., i].ravel() for i, name in enumerate(info.outputs)}
            columns |= {name: values for name, values in named.items() if name != "forecast"}
        return pd.DataFrame(columns, index=places).reset_index()

    def load(self) -> "keras.Model":
        """Load the model, to call it or to go on with it. It takes what its training took."""
        if self.entry.family in family_names():  # it may register layers of its own
            load_family(self.entry.family)
        return load_keras(self.folder / KERAS_FILE)


def models(board: Leaderboard | None, run: Path) -> dict[str, Model]:
    """The models of a run's folder that were finished, by name, the best of each data set first."""
    entries = board.models if board else []
    return {entry.model: Model(entry, run / "models" / entry.model) for entry in entries if entry.rank}


def leaderboard(board: Leaderboard | None) -> pd.DataFrame:
    """A row for each model, with each metric, and the ends of its 95 % interval as <metric>_low and <metric>_high.

    Where there is a backtest, <metric>_folds_mean and <metric>_folds_std are its mean and deviation over the folds.
    """
    shown = ("model", "dataset", "family", "rank", "gate", "parameters", "epochs", "best_epoch", "train_seconds")
    rows = []
    for entry in board.models if board else []:
        row: dict[str, Any] = {name: getattr(entry, name) for name in shown[:4]}
        for metric, value in entry.metrics.items():
            low, high = entry.intervals.get(metric, [None, None])
            row |= {metric: value, f"{metric}_low": low, f"{metric}_high": high}
        for metric, spread in board.over_folds(entry).items() if board else ():
            row |= {f"{metric}_folds_mean": spread.mean, f"{metric}_folds_std": spread.std}
        rows.append(row | {name: getattr(entry, name) for name in shown[4:]})
    return pd.DataFrame(rows).convert_dtypes(convert_string=False) if rows else pd.DataFrame(columns=shown)


def stacked(models: dict[str, Model], what: str) -> pd.DataFrame:
    """The history or the predictions of models, each after the column "model"."""
    parts = [getattr(model, what).reset_index(drop=what != "history") for model in models.values()]
    named = [part.assign(model=name) for name, part in zip(models, parts, strict=True)]
    frame = pd.concat(named, ignore_index=True) if named else pd.DataFrame(columns=["model"])
    frame = frame[["model", *(column for column in frame if column != "model")]]
    # A whole number stays one where another model has no such column.
    return frame.convert_dtypes(convert_string=False, convert_floating=False)


def html(about: str, board: pd.DataFrame) -> str:
    """What a notebook shows of a run: a sentence about it, and its leaderboard."""
    shown = board[[column for column in board if not column.endswith(("_low", "_high"))]]
    return f"<p>{escape(about)}</p>{shown.to_html(index=False, na_rep='', border=0)}"
