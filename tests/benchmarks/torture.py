"""Kill trainings with SIGKILL, again and again, and compare what they end with: `make torture KILLS=200`.

Each model is trained undisturbed; then it is trained, killed at random moments, started again until it ends, and its
weights (SHA-256), history and best epoch are compared. Exit code 1 where one differs or a training fails.
"""

import argparse
import itertools
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("TFDS_DATA_DIR", str(Path("data/tfds").absolute()))
sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from common import trained_result
from killing import PHASES, ended, fork, kill, start

from components.ingest.ingest import ingest

SPLITS = {
    "fashion": {"source": "fashion_mnist", "use": 0.02},
    "demand": {"source": "electricity", "use": 0.152, "lookback": 96, "horizon": 48, "calendar": ["hour"]},
}
IMAGES = {"dataset": "fashion", "epochs": 3, "batch_size": 60}
SERIES = {"dataset": "demand", "epochs": 3, "batch_size": 100}
# Whatever has a state of its own is in one of them: dropout, moments, moving averages, schedules, patience, flips.
MODELS = {
    "mlp": {**IMAGES, "family": "mlp", "hyperparameters": {"units": [32], "dropout": [0.3], "norm": True}},
    "cnn": {
        **IMAGES,
        "family": "cnn",
        "flip": True,
        "augment": {"flip": "vertical", "translation": 0.1},
        "ema": 0.9,
        "label_smoothing": 0.1,
        "optimizer": "adamw",
        "schedule": "cosine",
        "warmup": 0.2,
        "hyperparameters": {"layers": [{"conv": 8}, "norm", "pool"], "units": [16], "dropout": 0.3},
    },
    "residual_cnn": {
        **IMAGES,
        "family": "residual_cnn",
        "hyperparameters": {"filters": [4, 8], "blocks": [1, 1], "dropout": 0.3},
    },
    "backbone": {
        **IMAGES,
        "family": "backbone",
        "hyperparameters": {"preset": "tests/components/preset", "weights": False},
    },
    "bidirectional_lstm": {**IMAGES, "family": "bidirectional_lstm", "hyperparameters": {"units": [8]}},
    "lstm": {
        **SERIES,
        "family": "lstm",
        "ema": 0.9,
        "patience": 1,
        "hyperparameters": {"units": 8, "patch": 12, "seasonal": True, "dropout": 0.2},
    },
    "stacked_lstm": {**SERIES, "family": "stacked_lstm", "hyperparameters": {"units": [8, 8], "patch": 12}},
    "cnn_lstm": {**SERIES, "family": "cnn_lstm", "optimizer": "rmsprop", "hyperparameters": {"units": 8}},
    "encoder_decoder_lstm": {
        **SERIES,
        "family": "encoder_decoder_lstm",
        "schedule": "cosine",
        "hyperparameters": {"units": 8, "patch": 12, "seasonal": True, "dropout": 0.2},
    },
    # Its examples are read from disk in every epoch.
    "streamed": {
        **IMAGES,
        "family": "mlp",
        "flip": True,
        "augment": {"rotation": 0.1, "zoom": 0.1, "brightness": 0.2, "mixup": 0.2},
        "class_weights": "balanced",
        "hyperparameters": {"units": [16], "dropout": [0.3]},
    },
}
DEVICES = {"one": "on one device", "two": "on two devices", "workers": "by two workers", "gpu": "on a GPU"}
# keras-hub's batch normalization isn't synchronized.
ONE_DEVICE = {"backbone"}
# More of one training say little more.
MOST_KILLS = 6


def main() -> int:
    """Kill trainings as the command line says; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--devices", nargs="+", choices=DEVICES, default=["one", "two", "workers"])
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    rng = random.Random(options.seed)  # noqa: S311
    pairs = [
        (model, devices)
        for devices in options.devices
        for model in options.models
        if model not in ONE_DEVICE or devices in ("one", "gpu")
    ]
    each = max(1, min(MOST_KILLS, -(-options.kills // len(pairs))))
    kills: Counter[str] = Counter()
    resumes = mismatches = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for dataset, spec in SPLITS.items():
            ended([fork(ingest, folder / "log", {}, dataset, json.dumps(spec), str(folder / dataset))])
        undisturbed: dict[tuple[str, str], tuple[dict, float]] = {}
        for number, (model, devices) in enumerate(itertools.cycle(pairs)):
            if kills.total() >= options.kills and number >= len(pairs):
                break
            job = {"name": model, "spec": MODELS[model], "devices": devices, "dataset": MODELS[model]["dataset"]}
            job["dataset"] = str(folder / job["dataset"])
            if model == "streamed":
                job["cache_bytes"] = 1
            if (model, devices) not in undisturbed:
                begin = time.monotonic()
                job["folder"] = str(folder / f"calm-{number}/run/train/model")
                processes, _ = start({**job, "checkpoints": str(folder / f"calm-{number}/checkpoints")}, folder / "log")
                if any(ended(processes)):
                    print((folder / "log").read_text()[-5000:])
                    return 1
                found = trained_result(folder / f"calm-{number}/run/train/model")
                undisturbed[model, devices] = found, time.monotonic() - begin
            expected, seconds = undisturbed[model, devices]
            # A save after each step, or a few times a second.
            job["spec"] = {**job["spec"], "checkpoint_seconds": rng.choice([0.0, 0.2])}
            job["folder"] = str(folder / f"{number}/run/train/model")
            job["checkpoints"] = str(folder / f"{number}/checkpoints")
            log = folder / f"{number}.log"
            moments, failure = tortured(job, log, rng, seconds, each)
            resumed = log.read_text().count("going on from the checkpoint")
            if "is damaged" in log.read_text() or "is there" in log.read_text():
                failure = failure or "a kill damaged a checkpoint"
            if not failure and trained_result(Path(job["folder"])) != expected:
                failure = "differs from the undisturbed training"
            counted = ", ".join(f"{moment} {count}" for moment, count in sorted(Counter(moments).items()))
            said = failure or "the same weights, history and best epoch"
            print(
                f"{model} {DEVICES[devices]}: {len(moments)} kills ({counted}), {resumed} resumes: {said}", flush=True
            )
            if failure:
                print(log.read_text()[-5000:], flush=True)
                mismatches += 1
            kills.update(moments)
            resumes += resumed
    moments = ", ".join(f"{moment} {kills[moment]}" for moment in PHASES)
    print(f"{kills.total()} kills ({moments}), {resumes} resumes, {mismatches} mismatches", flush=True)
    return int(mismatches > 0)


def tortured(job: dict, log: Path, rng: random.Random, seconds: float, most: int) -> tuple[list[str], str]:
    """Train with kills until the end: the phases that it was killed in, and how it failed, "" where it didn't."""
    moments: list[str] = []
    while True:
        processes, phase = start(job, log)
        if len(moments) < most and (moment := kill(processes, phase, rng, seconds)):
            moments.append(moment)
            continue
        codes = ended(processes)
        # A worker can be hit after the chief has written the model and gone.
        if codes[0] or any(code not in (0, -signal.SIGKILL) for code in codes):
            return moments, f"ended with {codes}"
        if moments:
            return moments, ""
        # It was over before its moment.
        shutil.rmtree(job["folder"])


if __name__ == "__main__":
    raise SystemExit(main())
