"""The splits of a series, which depend only on its number of rows."""

from components.common.spec import SeriesOptions
from components.common.words import counted


def split_ends(rows: int, options: SeriesOptions) -> list[int]:
    """The row numbers at which the training, validation and test rows end, in time order."""
    used = round(rows * options.use)
    test = round(used * options.test)
    validation = round(used * options.validation)
    return [used - test - validation, used - test, used]


def split_problems(rows: int, options: SeriesOptions) -> list[str]:
    """The problems with the splits of a series: the split that is too short, and the window that would fit."""
    if options.validation + options.test >= 1:
        return [f"validation {options.validation} + test {options.test} leave nothing to train on"]
    ends = split_ends(rows, options)
    sizes = {"train": ends[0], "validation": ends[1] - ends[0], "test": ends[2] - ends[1]}
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
        f"{counted(size, 'row')}; {fits}"
    ]
