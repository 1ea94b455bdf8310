"""`registration.json`: the description of a registered version, signed with the registry's key.

runs/registry/.key                                        32 random bytes, which only its owner can read
runs/registry/<experiment>/<data set>/<version>/…         a model's files and its registration.json
runs/registry/<experiment>/<data set>/current             a link to a version
"""

import hmac
import json
import os
import secrets
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from components.common.errors import InputError
from components.common.files import make_folder, sha256, sync, write_json, write_text
from components.common.spec import Strict, Task

FILE = "registration.json"
KEY = ".key"
_KEY_BYTES = 32
# The file that register writes into its output folder.
REGISTERED = "registered.json"


Action = Literal["registered", "kept", "refused", "none"]


class Registered(Strict):
    """The result of register for a data set's winner.

    Attributes:
        dataset: The data set's name.
        action: "registered": the winner is the current version now. "kept": the current version stays; it may be the
            same model. "refused": the winner may not be registered. "none": there was no winner, or no registry.
        version: The current version; None where there is none, or register didn't look.
        path: The version's folder, or its name in Vertex AI's Model Registry.
        sentence: The result as a sentence.
    """

    dataset: str
    action: Action
    version: str | None = None
    path: str | None = None
    sentence: str


_LIST: TypeAdapter[list[Registered]] = TypeAdapter(list[Registered])


def write_registered(folder: Path, registered: list[Registered]) -> None:
    """Write the results of register, one for each data set."""
    write_text(folder / REGISTERED, _LIST.dump_json(registered, indent=2).decode() + "\n")


def load_registered(folder: Path) -> list[Registered]:
    """Read the results of register. The list is empty where register didn't run."""
    path = folder / REGISTERED
    return _LIST.validate_json(path.read_bytes()) if path.is_file() else []


class Registration(BaseModel):
    """The description of a registered version. A file that is older than some field is read, too.

    Attributes:
        model: The model's name.
        family: The name of its family.
        dataset: The name of its data set.
        task: The data set's task.
        metrics: The metrics on the test split.
        intervals: The 95 % interval of each metric.
        run: The name of the run that registered it.
        seed: The experiment's seed.
        time: The time, ISO 8601, UTC.
        pipeline_sha256: The digest of the compiled pipeline.
        dataset_sha256: The digest of the data set's records.
        sha256: The digest of the export that it was copied from.
        files: The SHA-256 of each file but this one, by its path in the folder.
        signature: The HMAC-SHA256 of everything else in the file, by the registry's key.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    model: str
    family: str = ""
    dataset: str = ""
    task: Task | None = None
    metrics: dict[str, float] = {}
    intervals: dict[str, list[float]] = {}
    run: str | None = None
    seed: int | None = None
    time: str | None = None
    pipeline_sha256: str = ""
    dataset_sha256: str = ""
    sha256: str = ""
    files: dict[str, str]
    signature: str = ""


def file_digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of a model's folder but the registration, by its path in the folder."""
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: sha256([path]) for name, path in paths.items() if name != FILE}


def write_registration(folder: Path, about: dict[str, object], registry: Path) -> None:
    """Write the registration of a model's folder, with the digests of its files, and sign it.

    Args:
        folder: The folder, which has all its other files.
        about: The registration without `files` and `signature`.
        registry: The registry's folder. A registry without a key gets one.
    """
    content = {**about, "files": file_digests(folder)}
    write_json(folder / FILE, {**content, "signature": _signature(content, own_key(registry))})


def read_registration(folder: Path) -> Registration:
    """Read the registration of a model's folder without a check of its signature.

    Raises:
        InputError: The folder has no registration, or the file isn't one.
    """
    return _read(folder)[0]


def check_registration(folder: Path, registry: Path | None = None) -> Registration:
    """Check that a registry wrote a model's folder, and that nobody has changed it since.

    The signature is checked with the key of the registry that the folder lies in, `<registry>/.key`, three levels
    above <registry>/<experiment>/<data set>/<version>. Somebody else's registry has a key of its own. So a caller who
    doesn't know where the folder comes from names the registry that is trusted.

    Args:
        folder: The folder of a version, or a link to it.
        registry: The registry that the folder has to lie in; None allows any.

    Returns:
        The registration. Its `files` are the digests of the folder's files now.

    Raises:
        InputError: The folder wasn't written by that registry, or was changed. The message says which.
    """
    registration, content = _read(folder)
    parents = folder.resolve().parents
    root = parents[min(2, len(parents) - 1)]
    if registry is not None and root != registry.resolve():
        raise InputError(f"{folder}: lies outside of the registry {registry}")
    if not registration.signature:
        raise InputError(f"{folder / FILE}: not signed by a registry; register the model again")
    if not hmac.compare_digest(_signature(content, _read_key(root)).encode(), registration.signature.encode()):
        raise InputError(
            f"{folder / FILE}: changed, or signed by another registry than {root}; register the model again"
        )
    _compare(folder, registration.files, file_digests(folder))
    return registration


def check_files(folder: Path, digests: dict[str, str]) -> None:
    """Compare a model's files with those that were registered, without a check of the signature.

    Args:
        folder: The model's folder. A folder without a registration, as export writes it, is not checked.
        digests: The `file_digests` of the folder now.

    Raises:
        InputError: A file was changed, added or removed since the model was registered.
    """
    if (folder / FILE).is_file():
        _compare(folder, read_registration(folder).files, digests)


def _compare(folder: Path, registered: dict[str, str], now: dict[str, str]) -> None:
    for name in sorted(registered.keys() | now.keys()):
        if registered.get(name) != now.get(name):
            change = "removed" if name not in now else "changed" if name in registered else "added"
            raise InputError(
                f"{folder / name}: {change} after the model was registered; register it again, or restore it"
            )


def _read(folder: Path) -> tuple[Registration, dict[str, object]]:
    path = folder / FILE
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is no file; expected what register writes; register the model again")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Registration.model_validate(content), content
    except FileNotFoundError:
        raise InputError(f"{path}: missing; expected a model that was registered") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except (ValidationError, ValueError, RecursionError):
        raise InputError(f"{path}: no digests of the model's files; register the model again") from None


def _signature(content: dict[str, object], key: bytes) -> str:
    signed = {name: value for name, value in content.items() if name != "signature"}
    return hmac.digest(key, json.dumps(signed, sort_keys=True).encode(), "sha256").hex()


def _read_key(registry: Path) -> bytes:
    path = registry / KEY
    try:
        key = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; expected the key of the registry that signed the model") from None
    if len(key) != _KEY_BYTES:
        raise InputError(f"{path}: {len(key)} bytes, expected the {_KEY_BYTES} of a key; remove it, and register again")
    return key


def own_key(registry: Path) -> bytes:
    """Read the key of a registry. A registry without a key gets one."""
    path = registry / KEY
    if not path.exists():
        make_folder(registry)
        new = registry / f"{KEY}.{os.getpid()}.partial"
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
        sync(new)
        try:
            path.hardlink_to(new)
        except FileExistsError:
            pass  # another process wrote the key first, and both use that one
        except OSError:
            new.replace(path)  # some file systems have no hard links
        new.unlink(missing_ok=True)
        sync(registry)
    return _read_key(registry)
