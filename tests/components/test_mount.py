"""The steps of a run on a mount of Cloud Storage that belongs to somebody else, as a user without capabilities.

The judge is the kernel with bindfs: it refuses chmod, utime and rename, as the owner and gcsfuse do."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.getuid() != 0 or not all(map(shutil.which, ("bindfs", "setpriv"))),
        reason="a mount of another owner needs root and bindfs; on Debian: apt-get install bindfs",
    ),
]
OPTIONS = ["--force-user=1234", "--force-group=1234", "--perms=0777", "--chmod-deny", "--rename-deny"]
# Run without capabilities: what root may do to files of others, it may not.
STEPS = """
import json, sys, tempfile
from pathlib import Path
from kfp import dsl
from components.common import files
from components.train import place
files.MOUNT = Path(sys.argv[1])
place.address = lambda folder: tempfile.mkdtemp()
sys.path.insert(0, sys.argv[2])
from small_run import DATASETS, MODELS, artifact, compared, train_one
from components.baseline.component import baseline
from components.evaluate.component import evaluate_classification
from components.export.component import export
from components.ingest.component import ingest

root = files.MOUNT / "bucket" / "runs" / "123" / "small-1"
dataset = artifact(dsl.Dataset, root / "ingest-fashion_-1" / "dataset")
ingest.python_func("fashion", json.dumps(DATASETS["fashion"]), "f", "x", dataset)
model = train_one("mlp", root, {"fashion": dataset}, epochs=1)
evaluation = artifact(dsl.Artifact, root / "evaluate" / "evaluation")
metrics = artifact(dsl.Metrics, root / "evaluate" / "metrics")
confusion = artifact(dsl.ClassificationMetrics, root / "evaluate" / "confusion")
evaluate_classification.python_func(1, "x", dataset, model, evaluation, metrics, confusion)
exported = artifact(dsl.Model, root / "export" / "exported")
export.python_func("x", dataset, model, exported)
baselines = artifact(dsl.Artifact, root / "baseline" / "baselines")
baseline.python_func("x", dataset, baselines)
results = {"dataset_fashion": dataset, "dataset_electricity": None, "baseline_fashion": baselines,
    "baseline_electricity": None, "model_mlp": model, "evaluation_mlp": evaluation, "export_mlp": exported}
from PIL import Image
from components.predict.component import predict
Image.new("L", (28, 28)).save(root / "photo.png")
(root / "text.png").write_text("no picture")
predictions = artifact(dsl.Artifact, root / "predict" / "predictions")
predict.python_func(str(root), "x", exported, predictions)
board, _ = compared(results, root, failures={"train-lstm": "x"})
print("the steps are done")
"""


@pytest.fixture
def mount(tmp_path):
    """A folder that is mounted as Cloud Storage FUSE does it."""
    (tmp_path / "objects").mkdir()
    (tmp_path / "gcs").mkdir()
    ask = ["bindfs", *OPTIONS, "-o", "default_permissions", tmp_path / "objects", tmp_path / "gcs"]
    subprocess.run(ask, check=True)
    yield tmp_path / "gcs"
    subprocess.run(["umount", "--lazy", tmp_path / "gcs"], check=True)


def unprivileged(code, *arguments):
    command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_mount_refuses_what_it_should(mount):
    code = """
import os, sys
from pathlib import Path
path = Path(sys.argv[1], "a")
path.write_text("a")
for change in (lambda: path.rename(path.with_name("b")), lambda: path.chmod(0o600), lambda: os.utime(path, (1, 1))):
    try:
        change()
    except PermissionError:
        print("refused")
"""
    assert unprivileged(code, mount).stdout.split() == ["refused"] * 3


def test_every_step_writes_there(mount):
    done = unprivileged(STEPS, mount, Path(__file__).parent)
    assert "the steps are done" in done.stdout, done.stdout[-2000:] + done.stderr[-3000:]
    root = mount / "bucket" / "runs" / "123" / "small-1"
    assert json.loads((root / "leaderboard" / "leaderboard.json").read_text(encoding="utf-8"))["models"]
    predicted = {path.name for path in (root / "predict" / "predictions").iterdir()}
    assert predicted == {"predictions.jsonl", "predictions.errors.jsonl"}
    assert not list(mount.rglob("*.partial"))
