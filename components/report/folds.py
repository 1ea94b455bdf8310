"""The figure of a backtest."""

from components.artifacts.leaderboard import Leaderboard
from components.metrics.metrics import METRICS
from components.report.drawing import short
from components.report.svg import FIRST, INK, MUTED, SECOND, THIRD, Picture, figure, legend, picture

# The most models that have a colour of their own, the best ones.
_COLORS = (FIRST, SECOND, THIRD)


def drawn(board: Leaderboard, dataset: str) -> Picture:
    """Draw the error of each model on each fold of a data set and on the test split, beside the best baseline's.

    A line has a gap where a task of a fold failed.
    """
    entry = board.datasets[dataset]
    assert entry.backtest  # noqa: S101 (the caller has looked)
    folds, ranks = entry.backtest.folds, METRICS[entry.task][0]
    name = ranks.name
    ranked = [model for model in board.models if model.dataset == dataset and model.rank is not None]
    places = range(len(folds) + 1)
    best = [
        min((values[name] for values in baselines.values()), default=float("nan"))
        for baselines in (*(fold.baselines for fold in folds), entry.baselines)
    ]
    said = []
    with figure(f"backtest-{dataset}", 2.6, 10.5) as (fig, ax):
        for i, model in enumerate(ranked):
            values = [fold.models.get(model.model, {}).get(name, float("nan")) for fold in folds]
            color, label = (_COLORS[i], short(model.model)) if i < len(_COLORS) else (MUTED, None)
            ax.plot(places, [*values, model.metrics[name]], marker="o", color=color, label=label)
            said.append(f"{model.model} {', '.join(f'{value:.3g}' for value in values)}")
        ax.plot(places, best, ls="--", marker="D", color=INK, label="the best baseline")
        ax.axvline(len(folds) - 0.5, color=MUTED, lw=0.8, ls=":")
        days = [fold.times["test"][0][:10] if fold.times else "" for fold in folds]
        ax.set_xticks(places, [*(f"fold {i}, {day}" for i, day in enumerate(days, 1)), "test split"])
        ax.set(xlabel="fold, and the day on which its test rows begin", ylabel=ranks.heading(entry.unit))
        ax.set_ylim(bottom=0)
        ax.set_title(f"{name} by fold")
        legend(ax)
        others = "; grey models rank lower" if len(ranked) > len(_COLORS) else ""
        title = f"Each fold is a training on the rows before its test rows, the last is that of the leaderboard{others}"
        return picture(fig, title, f"{name} of {dataset} by fold: {'; '.join(said)}", True)
