"""Seconds of training until the CNN is right about 93 % of Fashion-MNIST's test split, ours and the seminar's."""

from itertools import accumulate
from typing import Any

from common import dataset, shipped, trained

TARGET = 0.93


def time_to_accuracy(seminar: bool = False) -> dict[str, Any]:
    """Both, None where it wasn't reached or not tried.

    The seminar's CNN takes most of an hour and doesn't get there, so it is trained on request alone.
    """
    found: dict[str, Any] = {"target": TARGET, "ours_s": None, "seminar_s": None, "ratio": None}
    for whose, config in (("ours", "families"), ("seminar", "seminar")):
        if whose == "seminar" and not seminar:
            continue
        experiment = shipped(config)
        model = experiment["models"]["cnn"]
        data = dataset(f"{config}-cnn", experiment["datasets"][model["dataset"]])
        result = trained(model, data, until=TARGET)
        seconds = list(accumulate(epoch["seconds"] for epoch in result["history"]))
        reached = [s for s, tested in zip(seconds, result["tested"], strict=True) if tested >= TARGET]
        found[f"{whose}_s"] = reached[0] if reached else None
        found[f"{whose}_best"] = max(result["tested"])
        found[f"{whose}_trained_s"] = seconds[-1]
    if found["ours_s"] and found["seminar_s"]:
        found["ratio"] = found["ours_s"] / found["seminar_s"]
    return found
