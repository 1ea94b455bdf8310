"""The exported model of a proof, which is a stranger's file."""

import json
import tempfile
import zipfile
from pathlib import Path

import keras

from components.artifacts.dataset import DatasetInfo
from components.artifacts.model import KERAS_FILE
from components.common.files import printable
from components.train.train import build_final
from pipeline.evidence.claims import Claims


def exported_model(claims: Claims, info: DatasetInfo) -> keras.Model:
    """The exported model: that of this machine's code, with the weights of the file.

    What a stranger's file says of layers is compared as text, and isn't made into a program.

    Raises:
        ValueError: The file isn't one of such a model.
    """
    path = claims.folder / KERAS_FILE
    keras.utils.clear_session(free_memory=False)
    model = build_final(claims.model.spec, info, claims.seed)
    try:
        _check_members(path)
        model.load_weights(path)
        with tempfile.TemporaryDirectory() as scratch:
            own = Path(scratch) / KERAS_FILE
            model.save(own)
            same = _config(own) == _config(path)
    except Exception as error:  # Keras and HDF5 raise almost any exception where a file is damaged
        raise ValueError(f"{KERAS_FILE} can't be read: {printable(str(error).splitlines()[0][:200])}") from None
    if not same:
        raise ValueError(f"{KERAS_FILE} has other layers than family {claims.model.spec.family} builds")
    return model


def _check_members(path: Path) -> None:
    """Refuse an archive whose files are compressed, or together larger than itself: they could fill the memory."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if compressed := [member.filename for member in members if member.compress_type != zipfile.ZIP_STORED]:
        raise ValueError(f"{compressed[0]} is compressed")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise ValueError("its files are said to be larger than itself")


def _config(path: Path) -> object:
    """The description of a `.keras` file's layers. Keras writes addresses of objects into it, here they are numbers."""
    numbers: dict[object, int] = {}

    def numbered(value: dict[str, object]) -> dict[str, object]:
        if "shared_object_id" in value:
            value["shared_object_id"] = numbers.setdefault(value["shared_object_id"], len(numbers))
        return value

    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"), object_hook=numbered)
