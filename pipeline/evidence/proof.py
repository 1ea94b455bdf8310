"""Make the proof of a model: its config, code, data, training, weights, predictions and metrics, in one file.

SHA256SUMS               the digest of every file below; SHA256SUMS.sig is its signature
proof.json               a `Proof`
leaderboard.json         of the run
model.json               a `components.artifacts.model.ModelInfo`, with the history of the training
model.keras              the exported model
predictions.npz          its predictions on the test split
checkpoints/<step>/…     what `components.train.kept` kept of the training
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from components.artifacts.evaluation import PREDICTIONS
from components.artifacts.model import CHECKPOINTS, KERAS_FILE, ModelInfo
from components.common.errors import InputError
from components.common.files import printable, write_text
from components.common.spec import Strict
from components.common.words import now
from components.report.versions import versions
from pipeline.evidence.archive import pack, write_sums
from pipeline.evidence.signature import sign
from pipeline.local import cache
from pipeline.runs.history import Run, near

PROOF = "proof.json"
MODEL = "model.json"
LEADERBOARD = "leaderboard.json"


class Proof(Strict):
    """The content of `proof.json`.

    Attributes:
        experiment: The experiment's name.
        run: The run's name.
        model: The model's name.
        created: The time, ISO 8601, UTC.
        config: The experiment with the values of all keys.
        code: The digest of each file of the run's code, as `pipeline.graph.code_version.code_files` gives it.
        versions: The versions of Python and of packages.
    """

    experiment: str
    run: str
    model: str
    created: str
    config: dict[str, Any]
    code: dict[str, str]
    versions: dict[str, str]


def prove(run: Run, model: str, key: Path | None, output: Path) -> None:
    """Write the proof of a model of a finished run.

    Args:
        run: The run.
        model: The model's name.
        key: The key to sign with; None to leave the proof unsigned.
        output: The file to write. It appears as a whole.

    Raises:
        InputError: The run can't prove this model, the key can't sign, or the file can't be written.
    """
    name = f"{run.experiment}/{run.name}"
    if run.record is None or run.board is None or run.state != "finished":
        raise InputError(f"{name}: {run.state}; expected a finished run, with run.json and leaderboard.json")
    finished = [entry.model for entry in run.board.models if entry.rank is not None]
    if model not in finished:
        raise InputError(f"{name}: no model '{printable(model)}'; {near(model, finished)}")
    if output.is_dir() or not output.parent.is_dir():
        raise InputError(f"{printable(output)}: expected a file in a folder that exists")
    trained = _trained(run, model)
    published = run.folder / "models" / model
    devices = machine.devices if (machine := ModelInfo.load(trained).machine) else "an unknown machine"
    if devices != "the CPU":
        raise InputError(f"{name}: {model} was trained on {devices}; an audit redoes steps on a CPU")
    try:
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as scratch:
            folder = Path(scratch)
            shutil.copytree(trained / CHECKPOINTS, folder / CHECKPOINTS)
            shutil.copyfile(trained / MODEL, folder / MODEL)
            shutil.copyfile(published / KERAS_FILE, folder / KERAS_FILE)
            shutil.copyfile(published / "evaluation" / PREDICTIONS, folder / PREDICTIONS)
            run.board.save(folder)
            proof = Proof(
                experiment=run.experiment,
                run=run.name,
                model=model,
                created=now(),
                config=run.record.config,
                code=run.record.code,
                versions=versions(),
            )
            write_text(folder / PROOF, proof.model_dump_json(indent=2) + "\n")
            sums = write_sums(folder)
            if key:
                sign(sums, key)
            pack(folder, output)
    except OSError as error:
        where = printable(error.filename or output)
        raise InputError(f"{printable(output)}: can't be written: {where}: {error.strerror}") from None


def _trained(run: Run, model: str) -> Path:
    """The model's folder that train wrote, whole, with checkpoints that stayed."""
    name = f"{run.experiment}/{run.name}"
    task = f"train-{model.replace('_', '-')}"
    outputs = run.record.outputs if run.record else []
    folders = [run.folder.parent / path for path in outputs if Path(path).name.rpartition("-")[0] == task]
    if not folders or not folders[0].is_dir():
        raise InputError(f"{name}: the output of {task} isn't there any more; run the experiment again")
    try:
        model_folder = cache.load_outputs(folders[0], digests=True).path("model")
    except cache.DamagedError as problem:
        raise InputError(f"{name}: {task}: {problem}; run the experiment again") from None
    if not (model_folder / CHECKPOINTS).is_dir():
        raise InputError(
            f"{name}: {model} kept no checkpoints; expected keep_checkpoints: 3 at the model, and a run after that"
        )
    return model_folder
