"""What a proof claims: its files are read and checked before anything is computed."""

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import ValidationError

from components.artifacts.leaderboard import Leaderboard, ModelEntry
from components.artifacts.model import CHECKPOINTS, KERAS_FILE, MONITORED, Machine, ModelInfo, best_epoch
from components.artifacts.search import Tune, with_values
from components.common.errors import InputError, collecting
from components.common.files import printable
from components.common.spec import Strict
from components.common.words import some
from pipeline.evidence.line import Line
from pipeline.evidence.proof import LEADERBOARD, MODEL, PREDICTIONS, PROOF, Proof
from pipeline.experiment.dataset_checks import DatasetConfig, check_data, check_options
from pipeline.experiment.model_checks import ModelKeys, check_model
from pipeline.experiment.names import check_name
from pipeline.graph.code_version import code_files

Schema = TypeVar("Schema", bound=Strict)
# The steps whose code determines a model and its metrics.
_STEPS = ("ingest", "train", "evaluate")
_SHOWN = 3


@dataclass(frozen=True)
class Claims:
    """The content of a proof.

    Attributes:
        folder: The folder of its files.
        proof: Its description.
        board: The leaderboard.
        entry: The model's entry there.
        model: The description of the trained model.
        machine: The machine that it was trained on.
        dataset: The model's data set, which was found on this machine.
        steps: The steps whose checkpoints were kept.
    """

    folder: Path
    proof: Proof
    board: Leaderboard
    entry: ModelEntry
    model: ModelInfo
    machine: Machine
    dataset: DatasetConfig
    steps: list[int]

    @property
    def seed(self) -> int:
        """The experiment's seed."""
        return int(self.proof.config["seed"])


def read_claims(file: Path, folder: Path, data: str | None) -> Claims:
    """Read the files of a proof.

    Args:
        file: The proof, for messages.
        folder: The folder of its files.
        data: The file or folder of the data on this machine, where the source reads one.

    Raises:
        InputError: They aren't what prove writes, or the data can't be found.
    """
    where = printable(file)
    proof, board = _read(where, folder / PROOF, Proof), _read(where, folder / LEADERBOARD, Leaderboard)
    model = _read(where, folder / MODEL, ModelInfo)
    check_name(f"{where}: {PROOF}: models", proof.model)
    check_name(f"{where}: {MODEL}: datasets", model.dataset)
    entry = next((entry for entry in board.models if entry.model == proof.model and entry.rank is not None), None)
    config, name = proof.config, model.dataset
    try:
        dataset_config, seed = dict(config["datasets"][name]), config["seed"]
        dict(config["models"][proof.model])
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{where}: {PROOF}: its config has no seed, model '{proof.model}' or data set '{name}'"
        ) from None
    if type(seed) is not int or not 0 <= seed < 2**32 or entry is None or name not in board.datasets:
        raise InputError(f"{where}: {PROOF}: a seed that is none, or a model that isn't in {LEADERBOARD}")
    if not model.history or not 1 <= model.best_epoch <= len(model.history) or not model.machine:
        raise InputError(f"{where}: {MODEL}: no history, best epoch or machine of a training")
    # Without any, nothing would be drawn, and nothing that keep_checkpoints needs would be checked.
    if not model.spec.keep_checkpoints:
        raise InputError(f"{where}: {MODEL}: keep_checkpoints: 0, expected at least 1")
    # A path in a stranger's file is never read.
    if ("path" in dataset_config) != (data is not None):
        needs = f"data set '{name}' reads a file or folder: --data says where it is here"
        raise InputError(f"{where}: {needs if data is None else f'--data: {name} reads no file'}")
    if data is not None:
        dataset_config["path"] = str(Path(data).absolute()) if "://" not in data else data
    problems: list[str] = []
    at = f"{where}: {PROOF}: datasets.{name}"
    if (options := check_options(at, dataset_config, Path.cwd(), problems)) and not problems:
        dataset = check_data(at, options)
        with collecting(problems):
            at = f"{where}: {MODEL}"
            check_model(at, model.spec.model_dump(mode="json"), {name: dataset.task}, {name: dataset})
        monitored, _ = MONITORED[dataset.task]
        if any(monitored not in epoch for epoch in model.history):
            problems.append(f"{at}: history: an epoch without {monitored}")
    if problems:
        raise InputError(*problems)
    steps = sorted(int(path.name) for path in (folder / CHECKPOINTS).glob("*") if path.name.isdecimal())
    for needed in (KERAS_FILE, PREDICTIONS, *(f"{CHECKPOINTS}/{step}" for step in (steps or [0]))):
        if not (folder / needed).exists():
            raise InputError(f"{where}: no {needed} in it; expected a file that prove wrote")
    return Claims(folder, proof, board, entry, model, model.machine, dataset, steps)


def statements(claims: Claims, versions: dict[str, str]) -> list[Line]:
    """Whether the files agree with each other, and with the code and the packages of this machine."""
    proof, model = claims.proof, claims.model
    modules = [f"components.{step}.component" for step in _STEPS]
    uses = [f"components.sources.{claims.dataset.source}", f"components.families.{model.spec.family}"]
    here = code_files(*modules, *uses)
    other_code = [name for name, digest in here.items() if proof.code.get(name) != digest]
    packages = {name: version for name, version in proof.versions.items() if name != "Python"}
    other_packages = [
        f"{n} {version}, here {versions.get(n)}" for n, version in packages.items() if versions.get(n) != version
    ]
    try:
        disagree = _disagreements(claims)
    except (ValidationError, AttributeError, TypeError, KeyError):
        disagree = [f"the config's model '{proof.model}' isn't one"]
    return [
        Line("config", not disagree, _list(disagree) or "config, model and leaderboard agree"),
        Line(
            "code",
            not other_code,
            f"differs here: {_list(other_code)}" if other_code else f"the same {len(here)} files",
        ),
        Line(
            "packages", not other_packages, _list(other_packages) or ", ".join(f"{n} {v}" for n, v in packages.items())
        ),
    ]


def arrays(path: Path) -> dict[str, np.ndarray]:
    """Read an .npz file that may come from anyone.

    Raises:
        ValueError: It isn't one, or its arrays are larger than the file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
                raise ValueError("compressed")
        with np.load(path, allow_pickle=False) as saved:
            return {name: saved[name] for name in saved.files}
    except (OSError, ValueError, KeyError, EOFError, MemoryError, zipfile.BadZipFile, SyntaxError) as error:
        raise ValueError(f"{path.name} can't be read: {str(error)[:200]}") from None


def _disagreements(claims: Claims) -> list[str]:
    """The keys of the config, and the fields of the model and the leaderboard, that contradict each other."""
    proof, board, entry, model = claims.proof, claims.board, claims.entry, claims.model
    found = {}
    spec = dict(proof.config["models"][proof.model])
    tuned = Tune.model_validate(spec["tune"]).ranges if spec.get("tune") else {}
    trained = model.spec.model_dump(mode="json", exclude={"machine"})
    values = {key: _value(trained, key) for key in tuned}
    asked = with_values(
        {key: value for key, value in spec.items() if key not in (*ModelKeys.model_fields, "machine")}, values
    )
    for key in asked.keys() | trained.keys():
        found[f"models.{proof.model}.{key}"] = (asked.get(key), trained.get(key))
    data = board.datasets[model.dataset]
    epochs, end = model.spec.epochs, model.best_epoch + (model.spec.patience or model.spec.epochs)
    found |= {
        "the experiment": (proof.experiment, board.experiment),
        "the run": (proof.run, board.run),
        "the seed": (claims.seed, board.seed),
        "the model's name": (proof.model, model.name),
        "the family": (model.spec.family, entry.family),
        "the data set": (model.spec.dataset, entry.dataset),
        "the source": (claims.dataset.source, data.source),
        "the digest of the data": (model.dataset_sha256, data.sha256),
        "the weights' number": (model.parameters, entry.parameters),
        "the epochs": (len(model.history), entry.epochs),
        "the best epoch": (model.best_epoch, entry.best_epoch),
        "the machine": (model.machine, entry.machine),
        "the epochs, and the config's epochs and patience": (len(model.history), min(epochs, end)),
        "the best epoch, and the history's": (model.best_epoch, best_epoch(model.history, claims.dataset.task) + 1),
    }
    return [f"{name}: {one} and {other}" for name, (one, other) in sorted(found.items()) if one != other]


def _value(config: dict[str, object], key: str) -> object:
    """The value of a key with dots."""
    place: object = config
    for part in key.split("."):
        place = place.get(part) if isinstance(place, dict) else None
    return place


def _list(items: Iterable[str]) -> str:
    return printable(some([item[:200] for item in items], _SHOWN, "; "))


def _read(where: str, path: Path, schema: type[Schema]) -> Schema:
    try:
        return schema.model_validate_json(path.read_bytes())
    except OSError:
        raise InputError(f"{where}: no {path.name} in it; expected a file that prove wrote") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise InputError(f"{where}: {path.name}: {printable(key[:100])}: {first['msg']}") from None
