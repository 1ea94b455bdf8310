"""Figures of a training and of the leaderboard."""

from matplotlib.ticker import MaxNLocator

from components.artifacts.leaderboard import Leaderboard
from components.artifacts.model import ModelInfo
from components.common.words import counted
from components.metrics.metrics import METRICS
from components.report.drawing import short
from components.report.svg import BAD, FIRST, INK, MUTED, SECOND, Picture, figure, legend, picture

# The metrics of each task that are drawn by epoch, by their names in Keras.
_CURVES = {"classification": ("loss", "accuracy"), "forecasting": ("loss", "mae")}


def curves(model: ModelInfo, task: str) -> list[Picture]:
    """Draw the loss and the metric of each epoch, on both splits. A ring marks the best epoch."""
    return [_curve(model, name) for name in _CURVES[task]]


def _curve(model: ModelInfo, name: str) -> Picture:
    training, validation = ([epoch[key] for epoch in model.history] for key in (name, f"val_{name}"))
    epochs = range(1, len(training) + 1)
    marker = "o" if len(epochs) <= 20 else ""
    with figure(f"{name}-{model.name}") as (fig, ax):
        ax.plot(epochs, training, marker=marker, color=FIRST, label="training")
        ax.plot(epochs, validation, marker=marker, color=SECOND, label="validation")
        ax.axvline(model.best_epoch, color=MUTED, lw=0.8, ls=":")
        ax.plot(model.best_epoch, validation[model.best_epoch - 1], "o", ms=8, mfc="none", color=INK, label="kept")
        ax.set_title(name)
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(epochs) == 1:
            ax.set_xticks([1])
        legend(ax)
        description = f"{model.name}: {name} over {counted(len(epochs), 'epoch')}, " + ", ".join(
            f"{_change(values)} of the {split} split"
            for split, values in (("training", training), ("validation", validation))
        )
        return picture(
            fig, f"{name.capitalize()} by epoch; the ring is epoch {model.best_epoch}, which was kept", description
        )


def _change(values: list[float]) -> str:
    return f"{values[0]:.3g}" if len(values) == 1 else f"from {values[0]:.3g} to {values[-1]:.3g}"


def contest(board: Leaderboard, dataset: str) -> Picture:
    """Draw the metric that ranks the models of a data set: each model's with its interval, and each baseline's."""
    entry = board.datasets[dataset]
    ranks = METRICS[entry.task][0]
    metric = ranks.name
    ranked = [model for model in board.models if model.dataset == dataset and model.rank is not None]
    baselines = {name: values[metric] for name, values in entry.baselines.items() if metric in values}
    names = [short(name) for name in [*(model.model for model in ranked), *baselines]]
    left = 0.2 + 0.072 * max(map(len, names))
    with figure(f"contest-{dataset}", 0.75 + 0.2 * len(names), 4.4, left) as (fig, ax):
        for i, model in enumerate(ranked):
            color = FIRST if model.passed else BAD
            ax.plot(model.intervals[metric], [i, i], color=color, lw=3, alpha=0.45, solid_capstyle="round")
            ax.plot(model.metrics[metric], i, "o", ms=5, color=color)
        for i, value in enumerate(baselines.values(), len(ranked)):
            ax.plot(value, i, "D", ms=4, color=MUTED)
        ax.set_yticks(range(len(names)), names)
        ax.tick_params(axis="y", labelcolor=INK)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.grid(True, axis="x")
        ax.grid(False, axis="y")
        ax.spines["left"].set_visible(False)
        ax.set_xlabel(ranks.heading(entry.unit))
        description = f"{metric} on {dataset}: " + ", ".join(
            [f"{model.model} {model.metrics[metric]:.4g}" for model in ranked]
            + [f"{name} {value:.4g}" for name, value in baselines.items()]
        )
        title = f"{metric} on the test split: models with their 95 % interval, red if refused; baselines as diamonds"
        return picture(fig, title, description)
