"""What the benchmarks share: data sets, shipped models, and trainings in processes of their own."""

import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TFDS_DATA_DIR", str(ROOT / "data" / "tfds"))
sys.path.insert(0, str(ROOT))

FOLDER = Path("runs/bench")
SEED = 7


def shipped(config: str) -> dict[str, Any]:
    """A shipped experiment, as its file says, but for what its models claim: trainings aren't told."""
    experiment = yaml.safe_load((ROOT / "configs" / f"{config}.yaml").read_text())
    for model in experiment["models"].values():
        model.pop("expect", None)
    return experiment


def dataset(name: str, options: dict[str, Any]) -> Path:
    """A data set, ingested once for all benchmarks.

    Args:
        name: Its name.
        options: Its source and options; those that an experiment alone understands don't matter.
    """
    from components.ingest.ingest import ingest

    options = {key: value for key, value in options.items() if key != "gate"}
    folder = FOLDER / "data" / name
    mark = folder / "bench.json"
    if not mark.is_file() or json.loads(mark.read_text()) != options:
        ingest(name, json.dumps(options), str(folder))
        mark.write_text(json.dumps(options))
    return folder


def trained(spec: dict[str, Any], data: Path, **more: Any) -> dict[str, Any]:
    """Train a model in a process of its own.

    Args:
        spec: A `ModelSpec`.
        data: The data set folder.
        more: `until`, an accuracy on the test split that ends the training.

    Returns:
        `history`, `seconds` of its epochs, `fit_s` (with the checkpoints and logs after them), `saving` (seconds of all
        checkpoints), `tested`, `peak_bytes` of the process.
    """
    with tempfile.TemporaryDirectory(dir=FOLDER) as scratch:
        request = {
            "name": spec["family"],
            "spec_json": json.dumps(spec),
            "seed": SEED,
            "code_version": "",
            "dataset": str(data.absolute()),
            "folder": str(Path(scratch).absolute() / "run" / "train" / "model"),
            "checkpoints": str(Path(scratch).absolute() / "checkpoints"),
            **more,
        }
        command = [sys.executable, str(Path(__file__).with_name("one_training.py")), json.dumps(request)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{done.stdout}{done.stderr}")
        return json.loads(done.stdout.splitlines()[-1])


def trained_result(folder: Path) -> dict[str, Any]:
    """What a training left that has to be the same, without the seconds."""
    info = json.loads((folder / "model.json").read_text())
    history = [{key: value for key, value in epoch.items() if key != "seconds"} for epoch in info["history"]]
    return {"weights": weights_digest(folder), "history": history, "best_epoch": info["best_epoch"]}


def weights_digest(folder: Path) -> str:
    """The SHA-256 of all weights of a folder's `model.keras`: the file itself holds the time."""
    import h5py

    digest = hashlib.sha256()
    with zipfile.ZipFile(folder / "model.keras") as archive:
        weights = h5py.File(io.BytesIO(archive.read("model.weights.h5")))

    def add(name: str, found: Any) -> None:
        if isinstance(found, h5py.Dataset):
            digest.update(name.encode() + found[()].tobytes())

    weights.visititems(add)
    return digest.hexdigest()
