"""The benchmarks' picture."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt


def plot(found: dict[str, Any], path: Path) -> None:
    """Draw ratios of training, and growth of time and memory, as far as they were measured."""
    figure, (ratios, seconds, memory) = plt.subplots(1, 3, figsize=(12, 3.5), layout="constrained")
    training = found.get("training", {})
    ratios.bar(list(training), [values["ratio"] for values in training.values()], color="#4477aa")
    ratios.axhline(1.0, color="#888888", linewidth=1)
    ratios.set_title("training time, ours / the seminar's")
    for name, points in found.get("growth", {}).items():
        times = [point["times"] for point in points]
        for axes, key in ((seconds, "seconds_per_example"), (memory, "peak_bytes")):
            axes.plot(times, [point[key] / points[0][key] for point in points], marker="o", label=name)
    for axes, title, limit in ((seconds, "time per example", 1.15), (memory, "peak memory", 1.2)):
        axes.axhline(limit, color="#cc6677", linewidth=1, linestyle="--")
        axes.set(title=f"{title}, relative", xlabel="times the data", xscale="log", ylim=(0, 2))
        if axes.lines[:-1]:
            axes.legend()
    figure.savefig(path)
    plt.close(figure)
