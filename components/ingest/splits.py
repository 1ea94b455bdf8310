"""Where the splits of a series lie; known from the number of rows alone."""

from components.spec import SeriesOptions


def split_ends(rows: int, options: SeriesOptions) -> list[int]:
    """Row numbers at which the training, validation and test rows end, in time order."""
    used = round(rows * options.use)
    test = round(used * options.test)
    validation = round(used * options.validation)
    return [used - test - validation, used - test, used]


def too_short(split: str, rows: int, options: SeriesOptions) -> str:
    """What to say of a split that no window fits into."""
    window = options.lookback + options.horizon
    return (
        f"lookback {options.lookback} + horizon {options.horizon} = {window} rows "
        f"are longer than the {split} split of {rows} rows"
    )
