"""Tiny data sets, real ones and such as a source could give, for the tests of ingest and of the input pipeline."""

import io
import json
from datetime import datetime, timedelta

import numpy as np
import pytest
from kfp import dsl
from PIL import Image

from components.artifacts.dataset import load_info
from components.common.errors import InputError
from components.common.spec import Facts
from components.data.source_data import Images, Series
from components.ingest.component import ingest
from components.sources import electricity, fashion_mnist

LOOKBACK, HORIZON = 30, 4
START = datetime(2020, 1, 1)


def run(folder, spec, name="tiny"):
    artifact = dsl.Dataset(uri=str(folder))
    ingest.python_func(name=name, spec=json.dumps(spec), fingerprint="", code_version="", dataset=artifact)
    info = load_info(folder)
    assert artifact.metadata == {"sha256": info.sha256, "task": info.task}
    return info


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def csv_table(rows=260):
    """Load, temperature and holiday of each hour."""
    rng = np.random.default_rng(1)
    return np.stack([rng.normal(50, 9, rows), rng.normal(10, 2, rows), rng.integers(0, 2, rows)], axis=1)


def csv_spec(folder, table, **changes):
    lines = ["time,load,temp,holiday"]
    lines += [f"{START + timedelta(hours=i)},{a!r},{b!r},{c!r}" for i, (a, b, c) in enumerate(table.tolist())]
    path = folder / "series.csv"
    path.write_text("\n".join(lines))
    spec = {"source": "csv", "path": str(path), "time": "time", "target": "load", "frequency": "h", "unit": "MW"}
    spec |= {"covariates": ["temp"], "known": ["holiday"], "calendar": ["hour"]}
    return spec | {"lookback": LOOKBACK, "horizon": HORIZON} | changes


def numbered(numbers, labels=None, shape=(4, 6)):
    """Grey images whose first pixel is their number and whose last is 0, with labels 0 and 1 in turn."""

    def make():
        for i, number in enumerate(numbers):
            pixels = np.full(shape, number, np.uint8)
            pixels[:, -1] = 0
            yield png(pixels), i % 2 if labels is None else labels[i]

    return make


def fake_images(monkeypatch, **splits):
    """Let fashion_mnist give other images."""
    made = {"train": numbered(range(1, 21)), "validation": numbered(range(21, 25)), "test": numbered(range(25, 29))}
    images = Images(classes=["even", "odd"], shape=(4, 6, 1), splits=made | splits)
    monkeypatch.setattr(fashion_mnist, "check", lambda options: Facts(fingerprint="", bytes=1000))
    monkeypatch.setattr(fashion_mnist, "read", lambda options: images)
    return {"source": "fashion_mnist"}


def fake_series(monkeypatch, change=None, rows=100, frequency="30min"):
    """Let electricity give other rows, changed by change(table)."""
    step = timedelta(minutes=30)
    table = [(START + i * step, [float(i), 1.0]) for i in range(rows)]
    if change:
        change(table)
    made = Series(columns=["demand", "workday"], known=[], frequency=frequency, unit="", rows=lambda: iter(table))
    monkeypatch.setattr(electricity, "check", lambda options: Facts(fingerprint="", bytes=1000, rows=rows))
    monkeypatch.setattr(electricity, "read", lambda options: made)
    return {"source": "electricity", "lookback": 5, "horizon": 2}


def assert_fails_and_leaves_nothing(folder, spec, error, *parts):
    """Ingest fails beside nothing, and beside an earlier data set that stays as it is."""
    parent = folder / "out"
    for earlier in (False, True):
        if earlier:
            (parent / "dataset").mkdir(parents=True)
            (parent / "dataset" / "dataset.json").write_text("earlier")
        with pytest.raises(error) as failed:
            run(parent / "dataset", spec)
        for part in parts:
            assert part in str(failed.value)
        assert error is not InputError or "\n" not in str(failed.value)
        left = [path.relative_to(parent).as_posix() for path in sorted(parent.rglob("*"))]
        assert left == (["dataset", "dataset/dataset.json"] if earlier else [])
    assert (parent / "dataset" / "dataset.json").read_text() == "earlier"


def found(info):
    return {check.name: check.found for check in info.checks}
