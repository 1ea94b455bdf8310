"""Descriptions of data sets, and a batch of each, for tests of models that need no data."""

import numpy as np

from components.artifacts.dataset import Check, ImagesInfo, SeriesInfo

CHECKS = [Check(name="counts", found="enough")]


def images(shape=(28, 28, 1), classes=10):
    return ImagesInfo(
        name="images", source="test", records={"train": 8, "validation": 2, "test": 2}, sha256="0", checks=CHECKS,
        mean=[70.0] * shape[2], std=[90.0] * shape[2], classes=[str(i) for i in range(classes)],
        shape=list(shape), label_counts={},
    )  # fmt: skip


def series(lookback=96, horizon=48, columns=("load", "heat"), known=("day", "hour_sin", "hour_cos")):
    stored = [*columns, *known]
    return SeriesInfo(
        name="series", source="test", records={"train": 500, "validation": 200, "test": 200}, sha256="0",
        checks=CHECKS, mean=[5.0] * len(stored), std=[2.0] * len(stored), stored=stored, columns=list(columns),
        known=list(known), frequency="30min", unit="GW", lookback=lookback, horizon=horizon, seasonal_error=1.0,
    )  # fmt: skip


def batch_for(info, size=16):
    rng = np.random.default_rng(0)
    if info.task == "classification":
        labels = rng.integers(0, len(info.classes), size)
        shape = (size, *info.shape)
        return rng.integers(0, 255, shape).astype(np.uint8) // 2 + labels.reshape(-1, 1, 1, 1).astype(np.uint8), labels
    window = rng.normal(5, 2, (size, info.lookback, len(info.columns))).astype(np.float32)
    inputs = {"window": window}
    if info.known:
        inputs["future"] = rng.normal(5, 2, (size, info.horizon, len(info.known))).astype(np.float32)
    return inputs, rng.normal(5, 2, (size, info.horizon)).astype(np.float32)
