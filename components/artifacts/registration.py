"""`registration.json`: what register says beside a model's files, signed with a key of the registry's own.

runs/registry/.key                                        32 random bytes, for its owner alone
runs/registry/<experiment>/<data set>/<version>/…         a model's files and its registration.json
runs/registry/<experiment>/<data set>/current             a link to a version
"""

import hmac
import json
import os
import secrets
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from components.common.errors import InputError
from components.common.files import make_folder, sha256, sync, write_json, write_text
from components.common.spec import Strict, Task

FILE = "registration.json"
KEY = ".key"
_KEY_BYTES = 32
# What register gives.
REGISTERED = "registered.json"


class Registered(Strict):
    """What register did with the winner of a data set.

    Attributes:
        dataset: The data set.
        action: "registered": the winner is the current version now. "kept": the version that was current still is; it
            may be this very model. "refused": the winner may not be registered. "none": there was nothing to register,
            or nowhere.
        version: The current version; None where there is none, or it wasn't looked at.
        path: Where that is: a folder, or a name of Vertex AI's Model Registry.
        sentence: All of it for people.
    """

    dataset: str
    action: Literal["registered", "kept", "refused", "none"]
    version: str | None = None
    path: str | None = None
    sentence: str


_LIST: TypeAdapter[list[Registered]] = TypeAdapter(list[Registered])


def write_registered(folder: Path, found: list[Registered]) -> None:
    """Write what register did, for each data set."""
    write_text(folder / REGISTERED, _LIST.dump_json(found, indent=2).decode() + "\n")


def load_registered(folder: Path) -> list[Registered]:
    """Read what register did; nothing where it didn't run."""
    path = folder / REGISTERED
    return _LIST.validate_json(path.read_bytes()) if path.is_file() else []


class Registration(BaseModel):
    """A registered version. Registrations of before a field was there are read, too.

    Attributes:
        model: Name of the model.
        family: Its architecture.
        dataset: Its data set.
        task: What the data set is for.
        metrics: On the test split.
        intervals: 95 % interval of each.
        run: Name of the run that registered it.
        seed: Of the experiment.
        time: When, ISO 8601, UTC.
        pipeline_sha256: Digest of the compiled pipeline.
        dataset_sha256: Digest of the data set's records.
        sha256: Digest of the export that it was copied from.
        files: SHA-256 of each file but this one, by its path in the folder.
        signature: HMAC-SHA256, by the registry's key, of all of the above and what else stands in the file.
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
    """SHA-256 of every file of a model's folder but the registration, by its path in the folder."""
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: sha256([path]) for name, path in paths.items() if name != FILE}


def write_registration(folder: Path, about: dict[str, Any], registry: Path) -> None:
    """Write the registration of a model's folder, with the digests of its files, and sign it.

    Args:
        folder: The folder, with all of its other files in place.
        about: The registration without `files` and `signature`.
        registry: The registry's folder. Its key is made where there is none.
    """
    content = {**about, "files": file_digests(folder)}
    write_json(folder / FILE, {**content, "signature": _signature(content, _own_key(registry))})


def read_registration(folder: Path) -> Registration:
    """Read the registration of a model's folder as it is; `check_registration` says whether it can be believed.

    Raises:
        InputError: There is none, or it is none.
    """
    return _read(folder)[0]


def check_registration(folder: Path, registry: Path | None = None) -> Registration:
    """Whether a model's folder is a version that this registry wrote, and nobody changed since.

    The key that has to have signed it lies in the folder's registry, `<registry>/.key`: three levels above the folder,
    <registry>/<experiment>/<data set>/<version>. A registry that somebody else made has a key of theirs; so whoever
    doesn't know where the folder comes from names the registry that is trusted.

    Args:
        folder: The folder of a version, or a link to it.
        registry: The registry that it has to lie in; None for whichever it lies in.

    Returns:
        The registration; its `files` are the digests of the files as they are.

    Raises:
        InputError: It isn't; the reason.
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


def check_files(folder: Path, found: dict[str, str]) -> None:
    """Compare a model's files with what was registered, without a look at the signature.

    Args:
        folder: The model's folder. One without a registration, as export wrote it, is not checked.
        found: What `file_digests` gives now.

    Raises:
        InputError: A file was changed, added or removed since the model was registered.
    """
    if (folder / FILE).is_file():
        _compare(folder, read_registration(folder).files, found)


def _compare(folder: Path, registered: dict[str, str], found: dict[str, str]) -> None:
    for name in sorted(registered.keys() | found.keys()):
        if registered.get(name) != found.get(name):
            what = "removed" if name not in found else "changed" if name in registered else "added"
            raise InputError(
                f"{folder / name}: {what} after the model was registered; register it again, or restore it"
            )


def _read(folder: Path) -> tuple[Registration, dict[str, Any]]:
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


def _signature(content: dict[str, Any], key: bytes) -> str:
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


def _own_key(registry: Path) -> bytes:
    """The key of a registry, made on first use."""
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
            pass  # of two that begin at once, one makes the key, and both use it
        except OSError:
            new.replace(path)  # a file system without hard links
        new.unlink(missing_ok=True)
        sync(registry)
    return _read_key(registry)
