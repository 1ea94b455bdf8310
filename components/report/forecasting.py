"""Figures of a series and of a forecaster."""

from datetime import UTC, datetime

import numpy as np
from matplotlib import dates
from matplotlib.ticker import MaxNLocator

from components.artifacts.dataset import SPLITS, SeriesInfo
from components.artifacts.evaluation import Evaluation
from components.readers.time_axis import Frequency
from components.report.svg import FIRST, INK, MUTED, SECOND, THIRD, Picture, figure, legend, picture

# The most points that a long series is drawn with.
POINTS = 500
RESIDUAL_BINS = 50

_RANKS = {"good": "better than nine of ten forecasts", "median": "half are better", "worst": "none is worse"}
_RANKS |= {"best": "none is better", "only": "the only forecast"}

Rows = tuple[np.ndarray, np.ndarray]


def series(info: SeriesInfo, rows: dict[str, Rows]) -> Picture:
    """Draw the target over time, each split in a colour of its own.

    Args:
        info: The description of the series.
        rows: For each split, the times int64 [rows] in seconds since 1970 and the target float32 [rows].
    """
    every = -(-sum(len(times) for times, _ in rows.values()) // POINTS)
    with figure(f"series-{info.name}", 2.3, 10.5) as (fig, ax):
        for split, color in zip(SPLITS, (FIRST, SECOND, THIRD), strict=True):
            times, values = rows[split]
            starts = np.arange(0, len(times), every)
            at = dates.date2num(times[starts].astype("datetime64[s]"))
            low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
            mean = np.add.reduceat(values, starts) / np.diff([*starts, len(values)])
            if every > 1:
                ax.fill_between(at, low, high, color=color, alpha=0.25, lw=0)
            ax.plot(at, mean, color=color, lw=1, label=split)
        locator = dates.AutoDateLocator()
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
        ax.set_ylabel(_label(info))
        ax.margins(x=0.01)
        legend(ax)
        first, last = (str(np.datetime64(int(t), "s"))[:16] for t in (rows["train"][0][0], rows["test"][0][-1]))
        description = f"{info.columns[0]} from {first} to {last}, in time order cut into training, validation and test"
        drawn = "The mean of all series, and the splits" if info.series else "The series and its splits"
        title = drawn + (f"; mean and range of every {every} rows" if every > 1 else "")
        return picture(fig, title, description, True)


def windows(
    evaluation: Evaluation,
    info: SeriesInfo,
    rows: Rows,
    first: np.ndarray,
    forecast: np.ndarray,
    fan: np.ndarray | None,
    quantiles: list[float],
) -> list[Picture]:
    """Draw a good, a median and the worst forecast beside the target, with the intervals of the quantiles.

    Args:
        evaluation: The model's evaluation.
        info: The description of the series.
        rows: The times and the target of the test split.
        first: The row at which each window begins, int64 [windows].
        forecast: The forecasts, float32 [windows, horizon].
        fan: The forecasts of all quantiles, float32 [windows, horizon, quantiles]; None where there are none.
        quantiles: The quantiles.
    """
    times, target = rows
    shown = min(info.lookback, max(2 * info.horizon, 24))
    past, ahead = np.arange(-shown + 1, 1), np.arange(1, info.horizon + 1)
    marker = "o" if info.horizon <= 12 else ""
    drawn = []
    for window in evaluation.windows:
        start = int(first[window.example]) + info.lookback
        at = datetime.fromtimestamp(int(times[start]), UTC)
        description = (
            f"{evaluation.model}: forecast and truth of a test window ({window.name}), "
            f"mean absolute error {window.mae:.3g}"
        )
        with figure(f"{window.name}-{evaluation.model}") as (fig, ax):
            if fan is not None:
                ends = fan[window.example]
                for i in range(len(quantiles) // 2):
                    # An interval of one step is a line.
                    width = 0 if info.horizon > 1 else 4
                    share = None if i else f"{100 * (quantiles[-1] - quantiles[0]):g} %"
                    ax.fill_between(ahead, ends[:, i], ends[:, -1 - i], color=FIRST, alpha=0.2, lw=width, label=share)
                mean = (ends[:, -1] - ends[:, 0]).mean()
                description += f", {float(quantiles[-1] - quantiles[0]):.0%} interval {mean:.3g} wide on average"
            ax.plot(past, target[start - shown : start], color=MUTED, lw=1, label="seen")
            ax.plot(ahead, target[start : start + info.horizon], marker=marker, color=INK, lw=1.2, label="truth")
            ax.plot(ahead, forecast[window.example], marker=marker, color=FIRST, label="forecast")
            ax.axvline(0.5, color=MUTED, lw=0.8, ls=":")
            ax.set_title(f"{window.name}: mae {window.mae:.3g} {info.unit}".rstrip())
            ax.set(xlabel=f"steps, one every {Frequency(info.frequency).words()}", ylabel=_label(info))
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            legend(ax)
            series = f"{info.series} {window.series}, from" if info.series else "From"
            drawn.append(picture(fig, f"{series} {at:%Y-%m-%d %H:%M}: {_RANKS[window.name]}", description))
    return drawn


def errors(evaluation: Evaluation, info: SeriesInfo) -> Picture:
    """Draw the mean absolute error by steps ahead."""
    mae = evaluation.per_step["mae"]
    with figure(f"steps-{evaluation.model}") as (fig, ax):
        ax.plot(range(1, len(mae) + 1), mae, marker="o" if len(mae) <= 12 else "", color=FIRST)
        ax.axhline(evaluation.metrics["mae"], color=MUTED, lw=0.8, ls=":", label="over the horizon")
        ax.set_title("error by steps ahead")
        ax.set_ylim(0, 1.15 * max(mae))
        ax.set(xlabel=f"steps ahead, one every {Frequency(info.frequency).words()}", ylabel=f"mae{_unit(info)}")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        legend(ax)
        description = (
            f"{evaluation.model}: mean absolute error from {mae[0]:.3g} one step ahead to {mae[-1]:.3g} at the last"
        )
        return picture(fig, "Mean absolute error at each step of the horizon", description)


def hours(evaluation: Evaluation, info: SeriesInfo) -> Picture:
    """Draw the mean absolute error by hour of the day."""
    mae = evaluation.per_hour
    with figure(f"hours-{evaluation.model}") as (fig, ax):
        ax.set_title("error by hour of the day")
        ax.bar([int(hour) for hour in mae], list(mae.values()), width=0.8, color=FIRST, alpha=0.7)
        ax.set(xlabel="hour of the day", ylabel=f"mae{_unit(info)}", xlim=(-0.6, 23.6))
        ax.set_xticks(range(0, 24, 3))
        worst, best = max(mae, key=mae.__getitem__), min(mae, key=mae.__getitem__)
        description = (
            f"{evaluation.model}: mean absolute error by hour of the day, from {mae[best]:.3g} at {best} "
            f"to {mae[worst]:.3g} at {worst}"
        )
        return picture(fig, "Mean absolute error of the values of each hour", description)


def residuals(evaluation: Evaluation, info: SeriesInfo, error: np.ndarray) -> Picture:
    """Draw the distribution of the errors.

    Args:
        evaluation: The model's evaluation.
        info: The description of the series.
        error: The forecasts less the targets, float [windows, horizon].
    """
    with figure(f"residuals-{evaluation.model}") as (fig, ax):
        ax.set_title("residuals")
        counts, edges = np.histogram(error, min(RESIDUAL_BINS, error.size))
        ax.stairs(counts / counts.sum(), edges, fill=True, color=FIRST, alpha=0.5)
        bias = float(error.mean())
        ax.axvline(0, color=INK, lw=0.8)
        ax.axvline(bias, color=SECOND, lw=1, ls="--", label=f"mean {bias:+.3g}")
        ax.set(xlabel=f"forecast less truth{_unit(info)}", ylabel="share")
        legend(ax)
        description = (
            f"{evaluation.model}: errors of all forecasts, mean {bias:+.3g}, standard deviation {error.std():.3g}"
        )
        return picture(fig, "All errors of all forecasts", description)


def _unit(info: SeriesInfo) -> str:
    return f" in {info.unit}" if info.unit else ""


def _label(info: SeriesInfo) -> str:
    return f"{info.columns[0]}{_unit(info)}"
