"""Seconds per example and peak memory of a training, as its data grow."""

import csv
import statistics
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from common import FOLDER, dataset, shipped, trained

IMAGE_TIMES = (1, 4, 16)
SERIES_TIMES = (1, 10, 100)
ROWS = 17_520


def growth() -> dict[str, Any]:
    """The families' MLP on Fashion-MNIST and more, their LSTM on 17,520 rows and more.

    Seconds are the median of three epochs after the first. The images at 16 times don't fit in memory and are streamed.
    """
    import components.sources

    components.sources.__path__.append(str(Path(__file__).parent / "sources"))
    models = shipped("families")["models"]
    found: dict[str, Any] = {"images": [], "series": []}
    for times in IMAGE_TIMES:
        options = {"source": "noisy_fashion", "times": times}
        found["images"].append(_point(times, models["mlp"], dataset(f"noisy-{times}", options)))
    for times in SERIES_TIMES:
        path = _series(times)
        options = {"source": "csv", "path": str(path), "time": "time", "target": "load", "frequency": "30min",
                   "lookback": 336, "horizon": 48, "calendar": ["hour", "weekday"]}  # fmt: skip
        found["series"].append(_point(times, models["lstm"], dataset(f"series-{times}", options)))
    return found


def _point(times: int, model: dict[str, Any], data: Path) -> dict[str, float]:
    from components.dataset import load_info

    result = trained({**model, "epochs": 4}, data)
    examples = load_info(data).examples("train")
    return {
        "times": times,
        "examples": examples,
        "seconds_per_example": statistics.median(epoch["seconds"] for epoch in result["history"][1:]) / examples,
        "peak_bytes": result["peak_bytes"],
    }


def _series(times: int) -> Path:
    """A year of half hours, `times` over: a daily and a weekly season and noise."""
    import numpy as np

    path = FOLDER / "data" / f"load-{times}.csv"
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.arange(ROWS * times)
    noise = np.random.default_rng(1).normal(0, 0.1, len(rows))
    load = 3 + np.sin(rows * 2 * np.pi / 48) + 0.5 * np.sin(rows * 2 * np.pi / 336) + noise
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "load"])
        start, step = datetime(1920, 1, 1), timedelta(minutes=30)
        writer.writerows([(start + step * i).isoformat(), f"{value:.4f}"] for i, value in enumerate(load))
    return path
