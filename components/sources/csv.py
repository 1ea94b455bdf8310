"""A time series from a user's CSV file with a header.

The file is read line by line, so that memory doesn't grow with it.
"""

import math
from collections.abc import Iterator
from typing import TextIO

from components.common.errors import InputError, collecting
from components.common.files import sha256
from components.common.spec import Facts, Scaling, SeriesOptions
from components.common.words import counted
from components.data.source_data import Row, Series
from components.data.splits import cut_times, many_backtest_problems, split_problems, too_short
from components.readers.csv_format import CsvFormat, shortened
from components.readers.csv_reading import Found, SeriesFile
from components.readers.csv_regular import Changes, Rows, regularize
from components.readers.csv_rows import Problem, Table, open_text, read_fields
from components.readers.csv_scan import scan
from components.readers.csv_series import group
from components.readers.time_axis import Frequency, step_problem
from components.vertex.cloud_storage import DataPath, local_path

TASK = "forecasting"
# The most series that a line names.
_MOST_NAMES = 100


class Options(SeriesOptions, CsvFormat):
    """Options of a CSV series.

    Attributes:
        path: The file, relative to the config, or gs://bucket/file.
        time: The column of times.
        target: The column to forecast.
        covariates: The columns whose values are known up to the time of the forecast.
        known: The columns whose values are known in the future as well, such as holidays or prices set in advance.
        frequency: The time between two rows in pandas' notation, such as 30min, h, D, B, W-FRI, MS (months), M (last
            days).
        unit: The target's unit, for tables and plots.
        static: Columns that have one number in each series, such as a store's area. They are inputs, repeated along the
            window.
        scaling: The scale of the target: "window" takes the mean and the standard deviation of each window, which fits
            series of any size, new ones too (Kim et al. 2022, openreview.net/forum?id=cGDAkQo1C0p). "shared" takes
            those of all training rows. It is "window" with `series`, otherwise "shared". The other columns are always
            scaled by all training rows.
    """

    path: DataPath
    time: str
    target: str
    covariates: list[str] = []
    known: list[str] = []
    frequency: str
    unit: str = ""
    static: list[str] = []
    scaling: Scaling | None = None

    def columns(self) -> list[str]:
        """The columns of values, the target first."""
        return [self.target, *self.covariates, *self.known, *self.static]


def check(options: Options) -> Facts:
    """Read the whole file, and compare it with the options.

    Raises:
        InputError: They don't fit. There is a line for each kind of problem in the options, the file and its length.
    """
    columns = options.columns()
    option_problems = options.problems(columns)
    repeated = [name for name in dict.fromkeys(columns) if columns.count(name) > 1]
    problems = [*option_problems.values(), *(f"column '{name}' is named twice in the options" for name in repeated)]
    if options.static and not options.series:
        problems.append("static: only many series have such columns, expected series with it")
    problems = [f"{options.path}: {problem}" for problem in problems]
    frequency = Frequency("D")
    with collecting(problems):
        frequency = Frequency(options.frequency)
        if options.fill and options.fill.method == "seasonal" and not frequency.seasons():
            problems.append(f"{options.path}: fill: seasonal: frequency {frequency.text} has no season; take linear")
            option_problems["fill"] = ""
    found: Found | None = None
    with collecting(problems):
        # The scan uses the defaults of wrong options, so that it finds the problems of the rows as well.
        defaults = {name: CsvFormat.model_fields[name].default for name in option_problems}
        scanned = scan(_series_file(options, frequency), options.form().model_copy(update=defaults))
        found = scanned.found
        problems += scanned.lines
    cuts, left_out = None, []
    if found and found.series and options.validation + options.test < 1:
        cuts = cut_times(found.series, options)
        try:
            left_out = too_short(found.series, cuts, options)
            if backtest := many_backtest_problems(found.series, options):
                raise InputError(*backtest)
        except InputError as error:
            problems += [f"{options.path}: {problem}" for problem in error.problems]
    elif found and found.rows:
        problems += [f"{options.path}: {problem}" for problem in split_problems(found.rows, options)]
    if problems or not found:
        raise InputError(*problems)
    size = found.rows * (100 + 8 * len(columns))
    fingerprint = sha256([local_path(options.path)])
    return Facts(
        fingerprint=fingerprint,
        bytes=size,
        rows=found.rows,
        cuts=cuts,
        left_out=left_out,
        filled={column: found.changes.filled[column] for column in columns} if options.fill else {},
        found=_summary(found.changes, options) | _left_out(left_out),
    )


def read(options: Options) -> Series:
    """Read the series. Its rows raise an `InputError` at the first problem that `check` would find."""
    return Series(
        columns=options.columns(),
        known=options.known,
        frequency=options.frequency,
        unit=options.unit,
        form=options.form(),
        rows=lambda: _rows(options),
        many=(lambda: _many(options)) if options.series else None,
        static=options.static,
        scaling=options.scaling or ("window" if options.series else "shared"),
    )


def _series_file(options: Options, frequency: Frequency) -> SeriesFile:
    return SeriesFile(
        path=local_path(options.path),
        name=options.path,
        columns=list(dict.fromkeys(options.columns())),
        known=options.known,
        frequency=frequency,
        lookback=options.lookback,
        horizon=options.horizon,
        static=options.static,
    )


def _rows(options: Options) -> Iterator[Row]:
    with open_text(local_path(options.path), options.path) as file:
        yield from _regular(_read(file, options), options)


def _many(options: Options) -> Iterator[tuple[str, Iterator[Row]]]:
    with open_text(local_path(options.path), options.path) as file:
        for name, rows in group(_read(file, options), len(options.columns()), options.path):
            yield name, _regular(rows, options)


def _read(file: TextIO, options: Options) -> Rows:
    lines = read_fields(file, options.separator)
    _, header = next(lines, (1, []))
    return Table(header if isinstance(header, list) else [], options.columns(), options).rows(lines)


def _regular(rows: Rows, options: Options) -> Iterator[Row]:
    frequency, columns = Frequency(options.frequency), options.columns()
    previous = None
    for row in regularize(rows, columns, frequency, options, Changes()):
        where = f"{options.path}:{row.line}"
        if isinstance(row, Problem):
            raise InputError(f"{where}: {row.text}")
        if problem := step_problem(row.time, previous, frequency):
            raise InputError(f"{where}: {problem[1]}")
        if missing := [name for name, value in zip(columns, row.values, strict=True) if math.isnan(value)]:
            raise InputError(f"{where}: column '{missing[0]}': a missing value")
        previous = row.time
        yield row.time, row.values


def _left_out(names: list[str]) -> dict[str, str]:
    """The series that are left out as text, for the log and the report."""
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    shown = ", ".join(shortened(name) for name in names[:_MOST_NAMES])
    return {"series too short for a window in each split": f"{len(names):,} left out: {shown}{more}"} if names else {}


def _summary(changes: Changes, options: Options) -> dict[str, str]:
    """The changes to the rows as text, for the report."""
    summary = {}
    if options.resample and changes.sizes:
        smallest, largest = changes.sizes
        sizes = f"{smallest:,}" if smallest == largest else f"{smallest:,} to {largest:,}"
        partial = f"; {changes.partial} at the ends left out, not whole" if changes.partial else ""
        summary["resampled"] = f"rows of a period made one: {sizes}{partial}"
    if options.fill:
        total = changes.filled.total()
        values = ", ".join(f"{count:,} of {column}" for column, count in changes.filled.items())
        inserted = f"; {counted(changes.inserted, 'row')} inserted" if changes.inserted else ""
        left_out = f"; {counted(changes.left_out, 'row')} at the ends left out" if changes.left_out else ""
        whole = "; of the whole file" if options.use < 1 else ""
        summary["filled"] = f"{values} ({options.fill.method})" if total else "nothing"
        summary["filled"] += inserted + left_out + whole
    return summary
