"""The splits of a series, which depend only on its number of rows, and of many series, which depend on their times."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from components.common.errors import InputError
from components.common.spec import SeriesOptions
from components.common.words import counted


def split_ends(rows: int, options: SeriesOptions) -> list[int]:
    """The row numbers at which the training, validation and test rows end, in time order."""
    used = round(rows * options.use)
    test = round(used * options.test)
    validation = round(used * options.validation)
    return [used - test - validation, used - test, used]


def folds(rows: int, options: SeriesOptions) -> list[SeriesOptions]:
    """The options of the folds of a backtest, the earliest first; none where there is no backtest.

    A fold is the data set as it was when its last test row was new. Its validation and its test split have as many rows
    as the data set's, and the test splits of all folds follow each other: a rolling origin (Tashman 2000,
    doi:10.1016/S0169-2070(00)00065-0), which moves on by a test split and trains anew each time. The last fold ends
    where the test split begins, so that whoever chooses by the folds hasn't seen it.
    """
    if not options.backtest:
        return []
    train, validation, end = split_ends(rows, options)
    ends = [validation - i * (end - validation) for i in reversed(range(options.backtest.folds))]
    return [
        options.model_copy(
            update={
                "use": used / rows,
                "validation": (validation - train) / used,
                "test": (end - validation) / used,
                "backtest": None,
            }
        )
        for used in ends
    ]


def backtest_problems(rows: int, options: SeriesOptions) -> list[str]:
    """The problem with a backtest whose first fold has less than a window to train on."""
    if not options.backtest:
        return []
    train, validation, end = split_ends(rows, options)
    test, window, count = end - validation, options.lookback + options.horizon, options.backtest.folds
    left = train - count * test
    if left >= window:
        return []
    most = (train - window) // test
    fits = f"{most} folds fit" if most > 1 else "not even 2 folds fit"
    return [
        f"backtest: {count} folds of {counted(test, 'test row')} leave the first one {counted(max(left, 0), 'row')} of "
        f"{train:,} to train on, a window has {window:,}; {fits}, and more with a smaller share test"
    ]


def split_problems(rows: int, options: SeriesOptions) -> list[str]:
    """The problems with the splits of a series: the split that is too short, and the window that would fit."""
    if options.validation + options.test >= 1:
        return [f"validation {options.validation} + test {options.test} leave nothing to train on"]
    ends = split_ends(rows, options)
    problems = _window_problems([end - start for start, end in pairwise([0, *ends])], options)
    return problems or backtest_problems(rows, options)


def _window_problems(lengths: Sequence[int], options: SeriesOptions, series: str = "") -> list[str]:
    sizes = dict(zip(("train", "validation", "test"), lengths, strict=True))
    split = min(sizes, key=lambda name: sizes[name])
    window, size = options.lookback + options.horizon, sizes[split]
    if window <= size:
        return []
    if size > options.horizon:
        fits = f"the longest lookback that fits is {size - options.horizon}"
    elif size > 1:
        fits = f"the longest horizon that fits is {size - 1}, with a lookback of 1"
    else:
        fits = "no window fits"
    return [
        f"lookback {options.lookback} + horizon {options.horizon} = {window} rows are longer than the {split} split of "
        f"{series}{counted(size, 'row')}; {fits}"
    ]


def cut_times(series: Mapping[str, Sequence[int]], options: SeriesOptions) -> list[int]:
    """The times at which the training, validation and test rows of many series end, the same for all of them.

    The shares of the splits are shares of all rows, but for the rows of one time, which stay together.

    Args:
        series: For each series, the times of its rows in seconds since 1970.
        options: The shares.

    Returns:
        Three times in seconds since 1970. The rows of a split lie before its time.
    """
    counts: Counter[int] = Counter()
    for times in series.values():
        counts.update(times)
    cuts: list[int] = []
    before = 0
    ends = split_ends(counts.total(), options)
    for time, count in sorted(counts.items()):
        while len(cuts) < len(ends) and before >= ends[len(cuts)]:
            cuts.append(time)
        before += count
    last = max(counts, default=0) + 1
    return [*cuts, *[last] * (len(ends) - len(cuts))]


def too_short(series: Mapping[str, Sequence[int]], cuts: Sequence[int], options: SeriesOptions) -> list[str]:
    """The names of the series that are too short for one window in each split.

    Raises:
        InputError: All of them are.
    """
    window = options.lookback + options.horizon
    shortest = {}
    for name, times in series.items():
        lengths = [end - start for start, end in pairwise([0, *(bisect_left(times, cut) for cut in cuts)])]
        shortest[name] = min(lengths), lengths
    if series and all(rows < window for rows, _ in shortest.values()):
        longest = max(shortest, key=lambda name: shortest[name])
        text = f"series '{longest}', which is the longest of {len(series):,}, with "
        raise InputError(*_window_problems(shortest[longest][1], options, text))
    return [name for name, (rows, _) in shortest.items() if rows < window]


def many_backtest_problems(series: Mapping[str, Sequence[int]], options: SeriesOptions) -> list[str]:
    """The problem with a backtest of many series, which has a fold in which all of them are too short.

    Args:
        series: For each series, the times of its rows in seconds since 1970.
        options: The shares and the backtest.
    """
    rows = sum(map(len, series.values()))
    if problems := backtest_problems(rows, options):
        return problems
    for number, fold in enumerate(folds(rows, options), 1):
        try:
            too_short(series, cut_times(series, fold), fold)
        except InputError as error:
            return [f"backtest: fold {number}: {problem}" for problem in error.problems]
    return []
