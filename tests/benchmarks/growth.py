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
TURNS = 3


def growth() -> dict[str, Any]:
    """The families' MLP on Fashion-MNIST and more, their LSTM on 17,520 rows and more.

    Seconds are the median of three turns, of an epoch that isn't the first. The images at 16 times don't fit in memory
    and are streamed.
    """
    import components.sources

    components.sources.__path__.append(str(Path(__file__).parent / "sources"))
    models = shipped("families")["models"]
    images = {times: dataset(f"noisy-{times}", {"source": "noisy_fashion", "times": times}) for times in IMAGE_TIMES}
    series = {times: dataset(f"series-{times}", _series(times)) for times in SERIES_TIMES}
    return {"images": _points(models["mlp"], images), "series": _points(models["lstm"], series)}


def _points(model: dict[str, Any], sizes: dict[int, Path]) -> list[dict[str, float]]:
    from components.artifacts.dataset import load_info

    # In turns, since other work on the machine that lasts a minute is in one of a size's three then, not in all.
    turns = [{times: trained({**model, "epochs": 2}, data) for times, data in sizes.items()} for _ in range(TURNS)]
    points = []
    for times, data in sizes.items():
        examples = load_info(data).examples("train")
        seconds = statistics.median(turn[times]["history"][1]["seconds"] for turn in turns)
        points.append(
            {
                "times": times,
                "examples": examples,
                "seconds_per_example": seconds / examples,
                "peak_bytes": max(turn[times]["peak_bytes"] for turn in turns),
            }
        )
    return points


def _series(times: int) -> dict[str, Any]:
    """A source: a year of half hours, `times` over, of a daily and a weekly season and noise."""
    path = FOLDER / "data" / f"load-{times}.csv"
    if not path.is_file():
        _write_series(path, times)
    return {"source": "csv", "path": str(path), "time": "time", "target": "load", "frequency": "30min",
            "lookback": 336, "horizon": 48, "calendar": ["hour", "weekday"]}  # fmt: skip


def _write_series(path: Path, times: int) -> None:
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.arange(ROWS * times)
    noise = np.random.default_rng(1).normal(0, 0.1, len(rows))
    load = 3 + np.sin(rows * 2 * np.pi / 48) + 0.5 * np.sin(rows * 2 * np.pi / 336) + noise
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "load"])
        start, step = datetime(1920, 1, 1), timedelta(minutes=30)
        writer.writerows([(start + step * i).isoformat(), f"{value:.4f}"] for i, value in enumerate(load))
