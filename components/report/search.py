"""The part of a model's section about its search for hyperparameters."""

import json
from dataclasses import dataclass
from itertools import accumulate

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from components.artifacts.search import Search, Trial
from components.common.words import counted
from components.report.svg import FIRST, INK, MUTED, SECOND, Picture, figure, legend, picture

# A logarithmic axis whose ends are farther apart than this factor has labels at powers of ten only.
MANY = 1000


@dataclass(frozen=True)
class SearchSection:
    """The part of the page about a search.

    Attributes:
        found: The search.
        best: The best trial.
        failed: The number of trials that failed.
        rows: Each trial with its values as text.
        keys: The keys of the values.
        pictures: The scores by trial, and the scores by each key.
    """

    found: Search
    best: Trial
    failed: int
    rows: list[tuple[Trial, list[str]]]
    keys: list[str]
    pictures: list[Picture]


def section(model: str, search: Search) -> SearchSection:
    """Draw and describe the search of a model of this name."""
    keys = list(search.tune.ranges)
    return SearchSection(
        found=search,
        best=search.trials[search.best - 1],
        failed=sum(trial.state == "failed" for trial in search.trials),
        rows=[(trial, [_text(trial.values[key]) for key in keys]) for trial in search.trials],
        keys=[_short(key) for key in keys],
        pictures=[_progress(model, search), *(_by_key(model, search, key) for key in keys)],
    )


def _progress(model: str, search: Search) -> Picture:
    trials, scores = _scored(search)
    numbers = [trial.number for trial in trials]
    best = list(accumulate(scores, max if search.mode == "max" else min))
    with figure(f"search-{model}") as (fig, ax):
        ax.plot(numbers, scores, "o", color=MUTED, label="trial")
        ax.step(numbers, best, where="post", color=FIRST, label="best so far")
        _ring(ax, search.best, best[-1])
        ax.set_title(search.metric)
        ax.set_xlabel("trial")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        legend(ax)
        description = (
            f"{model}: {search.metric} of {counted(len(trials), 'trial')}; the best so far goes from {best[0]:.4g} "
            f"in trial {numbers[0]} to {best[-1]:.4g} in trial {search.best}"
        )
        return picture(fig, f"Validation score by trial; the ring is trial {search.best}, the best", description)


def _by_key(model: str, search: Search, key: str) -> Picture:
    """Draw the scores by the values of a key. Values of a list stand at equal distances."""
    space, (trials, scores) = search.tune.ranges[key], _scored(search)
    # The values of a list as text, each once; empty for a range of numbers.
    names = list(dict.fromkeys(map(_text, space.values or ())))
    xs = [names.index(_text(trial.values[key])) if names else trial.values[key] for trial in trials]
    best = next(i for i, trial in enumerate(trials) if trial.number == search.best)
    with figure(f"search-{model}-{key}") as (fig, ax):
        ax.plot(xs, scores, "o", color=SECOND)
        _ring(ax, xs[best], scores[best])
        if names:
            ax.set_xticks(range(len(names)), names)
            ax.set_xlim(-0.5, len(names) - 0.5)
        elif space.log:
            ax.set_xscale("log")
            ax.xaxis.set_major_locator(LogLocator(subs=(1,) if space.high / space.low > MANY else (1, 2, 5)))
            ax.xaxis.set_minor_locator(NullLocator())
            ax.xaxis.set_major_formatter("{x:g}")
        ax.set_title(search.metric)
        ax.set_xlabel(_short(key))
        description = f"{model}: {search.metric} by {_short(key)}; the best trial has {_text(trials[best].values[key])}"
        return picture(fig, f"Validation score by {_short(key)}", description)


def _ring(ax: Axes, x: float, y: float) -> None:
    """Mark the best trial."""
    ax.plot(x, y, "o", ms=8, mfc="none", color=INK)


def _scored(search: Search) -> tuple[list[Trial], list[float]]:
    """The trials that didn't fail, and their scores."""
    scores = {trial.number: trial.score for trial in search.trials if trial.score is not None}
    return [trial for trial in search.trials if trial.number in scores], list(scores.values())


def _short(key: str) -> str:
    return key.removeprefix("hyperparameters.")


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
